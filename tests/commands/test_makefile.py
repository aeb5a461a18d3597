"""The Makefile: every target explained, a missing variable told once, .venv/ built when it must be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from fake_grids import ROOT

# Stands for python3: answers the version check, "builds" a .venv whose python writes down how it is called.
FAKE_PYTHON = """#!/bin/sh
case "$1" in
  -c) exit ${OLD:-0} ;;
  --version) echo Python 3.9 ;;
  -m) mkdir -p .venv/bin
      printf '#!/bin/sh\\necho "$@" >> calls\\ncase "$*" in *run_grid*) exit ${GRID_STATUS:-0};; esac\\n' > .venv/bin/python
      chmod +x .venv/bin/python; echo built >> calls ;;
esac
"""  # noqa: E501


@pytest.fixture
def make(tmp_path):
    """call(*words, **environment) -> CompletedProcess, in a directory with the Makefile and a fake python."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").write_text("torch==1\n")
    (tmp_path / "fakepython").write_text(FAKE_PYTHON)
    (tmp_path / "fakepython").chmod(0o755)

    def call(*words, **environment):
        argv = ["make", "PYTHON=./fakepython", *words]
        return subprocess.run(argv, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True)

    call.place = tmp_path
    call.calls = lambda: (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    return call


def test_help_is_the_default_and_lists_every_target(make):
    done = make()
    assert done.returncode == 0
    phony = re.search(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text(), re.M).group(1).split()
    listed = re.findall(r"^  make ([a-z-]+) +\S.*$", done.stdout, re.M)
    assert sorted(listed) == sorted(phony)
    assert {"demo", "test", "test-all", "grid", "plan", "analysis", "paper", "lab", "help"} <= set(listed)
    assert make.calls() == []  # nothing is set up for it


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["grid"], "GRID TAG"),
        (["plan", "GRID=x"], "TAG"),
        (["paper", "TAG=x"], "GRID"),
        (["analysis"], "TAG"),
    ],
)
def test_a_missing_variable_is_told_before_anything_is_set_up(make, words, missing):
    done = make(*words)
    assert done.returncode == 2
    assert f"*** {missing} missing. Example: make {words[0]} " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert make.calls() == []


def test_the_environment_is_built_once_and_again_when_the_requirements_change(make):
    assert make("setup").returncode == 0
    assert [c for c in make.calls() if c == "built" or "requirements.txt" in c] == [
        "built",
        "-m pip install --quiet --disable-pip-version-check -r requirements.txt",
    ]
    before = len(make.calls())
    make("setup")
    assert len(make.calls()) == before
    newer = (make.place / ".venv/.requirements").stat().st_mtime + 10
    os.utime(make.place / "requirements.txt", (newer, newer))
    make("setup")
    assert make.calls().count("built") == 2


def test_an_old_python_is_told(make):
    done = make("test", OLD="1")
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "PYTHON=python3.12" in done.stderr
    assert make.calls() == []


def test_a_grid_is_called_with_what_was_given(make):
    words = ["GRID=mnist_pairs", "TAG=first", "JOBS=3", "SET=epochs=500 depth=3", "ONLY=depth=2,potential=lp"]
    assert make("grid", *words, "ARGS=--rerun stale").returncode == 0
    assert make.calls()[-1] == (
        "-m mdcore.run_grid --config grids/mnist_pairs.yaml --tag first --jobs 3 "
        "--set epochs=500 --set depth=3 --only depth=2,potential=lp --rerun stale"
    )
    make("plan", "GRID=my/own.yaml", "TAG=first", "JOBS=1")
    assert make.calls()[-1] == "-m mdcore.run_grid --config my/own.yaml --tag first --jobs 1 --dry_run"
    make("analysis", "TAG=first")
    assert make.calls()[-1] == "-m mdcore.run_analysis --tag first"


@pytest.mark.parametrize(("status", "analysed", "code"), [("0", True, 0), ("1", True, 2), ("2", False, 2)])
def test_paper_analyses_what_has_run_also_when_cells_failed(make, status, analysed, code):
    done = make("paper", "GRID=g", "TAG=t", GRID_STATUS=status)
    assert done.returncode == code
    assert any("run_analysis" in call for call in make.calls()) == analysed


def test_the_demo_is_the_quick_grid_and_its_analysis(make):
    assert make("demo").returncode == 0
    grid, analysis = make.calls()[-2:]
    assert "--config grids/quick_debug.yaml --tag demo" in grid
    assert analysis == "-m mdcore.run_analysis --tag demo"


def test_the_tests_leave_out_the_slow_ones(make):
    make("test")
    assert make.calls()[-1] == "-m pytest -q -n logical --dist loadfile --no-loadscope-reorder -m not slow"
    make("test-all")
    assert make.calls()[-1] == "-m pytest -q -n logical --dist loadfile --no-loadscope-reorder"
