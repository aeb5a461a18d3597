"""Compiled code that is kept: under a checksum, made anew when it is damaged, and never a reason to fail."""

from __future__ import annotations

import errno
import importlib.util

import pytest

from mdcore.math.engine.compiled import jit

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
