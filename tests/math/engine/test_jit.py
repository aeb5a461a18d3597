"""Compiled code that is kept: under a checksum, made anew when it is damaged, and never a reason to fail."""

from __future__ import annotations

import ast
import errno
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from fake_grids import ROOT, SUPPORT

from mdcore.math.engine.compiled import few_columns, jit, layers, points

SOURCE = """
from mdcore.math.engine.compiled.jit import compiled

@compiled
def cube(x):
    return x * x * x
"""


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """call() -> (cube(3.0), was it compiled now, what there was to tell), as in a process of its own."""
    (tmp_path / "loops.py").write_text(SOURCE)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")  # whatever $NUMBA_CACHE_DIR says

    def call():
        call.announced = []
        monkeypatch.setattr(jit, "NOTES", [])
        monkeypatch.setattr(jit, "BEFORE_COMPILING", [lambda: call.announced.append("now")])
        spec = importlib.util.spec_from_file_location("loops", tmp_path / "loops.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        value = module.cube(3.0)
        return value, bool(module.cube.stats.cache_misses), jit.NOTES

    call.files = lambda ending: list((tmp_path / "__pycache__").glob(f"*cube*.{ending}"))
    return call


def test_compiled_code_is_kept_and_damaged_code_is_compiled_anew(loaded):
    assert loaded() == (27.0, True, []) and loaded.announced == ["now"]
    assert loaded() == (27.0, False, []) and loaded.announced == []
    for ending in ("nbc", "nbi"):
        (file,) = loaded.files(ending)
        whole = file.read_bytes()
        for damaged in (whole[:40], b"", bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]])):
            file.write_bytes(damaged)
            value, compiled, notes = loaded()
            assert (value, compiled) == (27.0, True)
            assert "the compiled code of cube was damaged" in notes[0]
        assert loaded() == (27.0, False, [])


def test_code_that_cannot_be_kept_is_compiled_and_told(loaded, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jit.CheckedFiles, "_open_for_write", full)
    assert loaded() == (
        27.0,
        True,
        ["compiled code cannot be kept (No space left on device): every process compiles anew"],
    )
    monkeypatch.setattr(jit, "CheckedCache", lambda function: (_ for _ in ()).throw(RuntimeError("no locator")))
    value, _, (note,) = loaded()
    assert (value, "no folder for it can be written" in note) == (27.0, True)


def test_code_is_compiled_anew_when_a_module_beside_its_own_has_changed(loaded, monkeypatch, tmp_path):
    """It may hold what it calls there; numba by itself looks at the function's own file. Nothing is said of it."""
    (tmp_path / "sources").mkdir()
    beside = tmp_path / "sources" / "points.py"
    monkeypatch.setattr(jit, "FOLDER", beside.parent)
    for text in ("one", "two"):
        beside.write_text(text)
        jit.sources.cache_clear()
        assert [loaded(), loaded()] == [(27.0, True, []), (27.0, False, [])]
    jit.sources.cache_clear()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_code_computes_the_same_bits_whichever_process_compiled_it_and_in_which_order(tmp_path):
    """A run that goes on in another process, or on another machine of the kind, ends with the same numbers."""

    def process(folder: str, order: str) -> list[str]:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / folder), "PYTHONPATH": str(ROOT)}
        words = [sys.executable, SUPPORT / "bits_of_runs.py", order]
        return sorted(subprocess.check_output(words, env=environment, text=True).split("\n"))

    compiling = process("one", "first")
    assert len(compiling) == 31 and list((tmp_path / "one").rglob("*.nbc"))
    assert process("one", "first") == compiling
    assert process("one", "last") == compiling
    assert process("two", "last") == compiling


def test_a_compiled_function_calls_inlined_ones_only():
    """Another would be kept in both their files, compiled in two ways, and which of them runs hangs on the order."""
    how, calls = {}, set()
    for module in (few_columns, layers, points):
        for function in ast.parse(Path(module.__file__).read_text()).body:
            if isinstance(function, ast.FunctionDef) and function.decorator_list:
                here = f"{module.__name__}.{function.name}"
                how[here] = ast.unparse(function.decorator_list[0])
                names = [
                    call.func.id for call in ast.walk(function) if isinstance(getattr(call, "func", None), ast.Name)
                ]
                calls |= {f"{getattr(module, n).__module__}.{n}" for n in names if hasattr(module, n)}
    assert set(how.values()) == {"compiled", "inlined"} and {how[name] for name in calls} == {"inlined"}
