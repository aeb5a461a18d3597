"""The house has wings and imports run downwards only: analysis, grid, config, problems, math."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "mdcore").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# What of the package each wing may import; the two commands may import everything.
ALLOWED = {
    "math": ("mdcore.math",),
    "problems": ("mdcore.problems", "mdcore.math"),
    "config": ("mdcore.config", "mdcore.problems", "mdcore.math"),
    "grid": ("mdcore.grid", "mdcore.config", "mdcore.problems", "mdcore.math"),
    # the analysis reads runs, and takes ids, keys, labels and YAML from their one owner;
    # compare is a command too: its streams are those of the others
    "analysis": (
        "mdcore.analysis",
        "mdcore.grid.store",
        "mdcore.grid.streams",
        "mdcore.config",
        "mdcore.problems",
        "mdcore.math",
    ),
    # bench measures all of them and borrows the look of a report
    "bench": ("mdcore.bench", "mdcore.analysis", "mdcore.grid", "mdcore.config", "mdcore.problems", "mdcore.math"),
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
            if not any(
                name == a or name.startswith(a + ".") or a.startswith(name + ".") for a in ALLOWED[wing]
            ):
                wrong.append(f"{wing} imports {name}")
        elif wing == "math" and (
            top in NOT_IN_MATH or (top not in MATH_ONLY and top not in sys.stdlib_module_names)
        ):
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
        ("math", "from ..grid import store"),
        ("math", "import pydantic"),
        ("config", "from mdcore.grid import store"),
        ("config", "from mdcore.analysis import style"),
        ("problems", "from mdcore.config.grid import load_grid"),
        ("grid", "import mdcore.analysis.report"),
        ("analysis", "from mdcore.grid.runner import Runner"),
        ("analysis", "from mdcore.grid import runner"),
        ("grid", "from mdcore.bench import timing"),
        ("analysis", "from mdcore.bench import goals"),
    ],
)
def test_the_rules_see_what_is_forbidden(wing, source):
    assert broken_rules(source, wing)


def test_every_wing_is_looked_at():
    assert {p.relative_to(ROOT / "mdcore").parts[0] for p in MODULES} >= set(ALLOWED)


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
