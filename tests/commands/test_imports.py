"""Imports run downwards only, no folder is crowded, and notebooks are short: the rules of mdcore/README.md."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter

import pytest
from fake_grids import ROOT

MODULES = sorted((ROOT / "mdcore").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# What of the package each folder may import, as in mdcore/README.md; the commands may import everything.
BELOW = ("math", "problems", "config")
ALLOWED = {
    "math": ("math",),
    "problems": ("math", "problems"),
    "config": BELOW,
    "training": (*BELOW, "training"),
    "store": (*BELOW, "store"),
    "runner": (*BELOW, "training", "store", "runner"),
    "analysis": (*BELOW, "store", "analysis"),
    "verification": (*BELOW, "training", "store", "analysis", "verification"),
    "bench": (*BELOW, "training", "store", "runner", "analysis", "bench"),
    "library": (*BELOW, "training", "store", "runner", "analysis", "library", "run_grid", "run_analysis"),
}
# math knows torch, and numba on numpy's view of its memory: no files, no tables, no YAML, no logging.
MATH_ONLY = {"torch", "numba", "numpy"}
NOT_IN_MATH = {"os", "io", "pathlib", "shutil", "tempfile", "json", "csv", "pickle", "logging", "subprocess"}


def imported(source: str, package: str) -> list[str]:
    """Every module a source imports, wherever the import stands; `package` resolves relative ones."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                kept = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*kept, base]).rstrip(".")
            names += [f"{base}.{alias.name}" if base.startswith("mdcore") else base for alias in node.names]
    return names


def broken_rules(source: str, wing: str) -> list[str]:
    wrong = []
    for name in imported(source, f"mdcore.{wing}"):
        top = name.split(".")[0]
        if top == "mdcore":
            if name.split(".")[1] not in (*ALLOWED[wing], *(["files"] if wing != "math" else [])):
                wrong.append(f"{wing} imports {name}")
        elif wing == "math" and (top in NOT_IN_MATH or (top not in MATH_ONLY and top not in sys.stdlib_module_names)):
            wrong.append(f"math imports {name}")
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_run_downwards(path):
    wing = path.relative_to(ROOT / "mdcore").parts[0]
    if wing in ALLOWED:
        assert broken_rules(path.read_text(), wing) == []


@pytest.mark.parametrize(
    ("wing", "source"),
    [
        ("math", "import pandas"),
        ("math", "def f():\n    import logging"),
        ("math", "from mdcore.problems import datasets"),
        ("math", "from ..store import runs"),
        ("math", "import pydantic"),
        ("config", "from mdcore.store import runs"),
        ("config", "from mdcore.analysis.figures import style"),
        ("problems", "from mdcore.config.grid import load_grid"),
        ("store", "import mdcore.analysis.report.sections"),
        ("analysis", "from mdcore.runner.runner import Runner"),
        ("analysis", "from mdcore.runner import runner"),
        ("runner", "from mdcore.bench import timing"),
        ("training", "from mdcore.store import runs"),
        ("store", "from mdcore.training import stack"),
        ("verification", "from mdcore.runner import plan"),
        ("analysis", "from mdcore.bench import goals"),
        ("training", "from mdcore.library import fitting"),
        ("library", "from mdcore.bench import goals"),
    ],
)
def test_the_rules_see_what_is_forbidden(wing, source):
    assert broken_rules(source, wing)


def test_every_folder_has_its_rule():
    folders = {p.relative_to(ROOT / "mdcore").parts[0] for p in MODULES if p.parent != ROOT / "mdcore"}
    assert folders == set(ALLOWED)


def test_no_folder_is_crowded():
    """At most nine modules, so that a newcomer tells them apart by their names."""
    count = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {path.relative_to(ROOT).as_posix(): n for path, n in count.items() if n > 9} == {}


MOST_ARGUMENTS = 6
# A step of a small stack takes about as long as it takes to hand over its arrays in tuples, and a compiler knows of
# arrays alone that they do not overlap; an estimator of scikit-learn takes its parameters one by one.
MAY_TAKE_MORE = {
    "mdcore/library/classifier.py: __init__",
    "mdcore/math/engine/compiled/few_columns.py: weigh_points",
    "mdcore/math/engine/compiled/layers.py: _step_few_columns",
    "mdcore/math/engine/compiled/layers.py: _step_five_rows",
    "mdcore/math/engine/compiled/layers.py: _step_in_place",
    "mdcore/math/engine/compiled/layers.py: _step_row",
    "mdcore/math/engine/compiled/layers.py: mirror_step",
    "mdcore/math/engine/compiled/points.py: _add_step",
}
NOT_YET = ("analysis", "bench", "verification")


def many_arguments(source: str) -> list[str]:
    """The functions of a source that take more than six arguments, self and cls aside."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            of = node.args
            names = [arg.arg for arg in (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg) if arg]
            if len([name for name in names if name not in ("self", "cls")]) > MOST_ARGUMENTS:
                found.append(getattr(node, "name", "lambda"))
    return found


def test_functions_take_at_most_six_arguments():
    assert many_arguments("def f(a, b, c, d, e, f): ...\ndef g(self, a, b, *c, d, e, f, **g): ...") == ["g"]
    found = {f"{p.relative_to(ROOT).as_posix()}: {name}" for p in MODULES for name in many_arguments(p.read_text())}
    assert {name for name in found - MAY_TAKE_MORE if name.split("/")[1] not in NOT_YET} == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebooks_are_short_and_clean(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert 5 <= len(cells) <= 10
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    for cell in code:  # no logic where a test cannot reach it
        tree = ast.parse("".join(cell["source"]))
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.While)]
