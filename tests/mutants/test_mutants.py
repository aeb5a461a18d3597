"""The mutation tool itself: what counts as a mutant, and that the one in memory is the one that is tested."""

import re
import subprocess
import sys

import places
import pytest


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ("x: int = 3\ndef f(a: float, b) -> str:\n    return g(a + b, linewidth=2)\n", False),
        ("x: str = 3\ndef f(a, b: int):\n    return g(a + b, linewidth=1)\n", False),
        ("x: int = 4\ndef f(a, b):\n    return g(a + b, linewidth=1)\n", True),
        ("x: int = 3\ndef f(a, b):\n    return g(a - b, linewidth=1)\n", True),
    ],
)
def test_annotations_and_looks_are_no_mutants(changed, differs):
    program = "x: int = 3\ndef f(a, b):\n    return g(a + b, linewidth=1)\n"
    one, other = (places.ast.dump(places.Essence().visit(places.ast.parse(text))) for text in (program, changed))
    assert (one != other) == differs


def test_every_subject_names_a_module_and_tests_that_exist():
    names = [places.name_of(p) for p in places.SOURCES.rglob("*.py")]
    for pattern, words in places.CONFIG["tests"].items():
        assert any(re.fullmatch(pattern, name) for name in names), pattern
        names_of_tests = [name for part in words.split(";") for name in part.partition(" -k ")[0].split()]
        assert names_of_tests and all(list(places.TESTS.rglob(f"{name}.py")) for name in names_of_tests), words


def test_the_mathematics_and_the_solvers_are_subjects_whole():
    """A new module of these folders wants a line in mutants.toml, or a reason to stand here."""
    without = {f"math/{name}__init__" for name in ("", "engine/", "engine/compiled/")}
    without |= {f"problems/{name}__init__" for name in ("", "solvers/", "proofs/")}
    without |= {
        f"problems/{name}" for name in ("datasets", "mnist", "preparing", "synthetic", "sources", "tables")
    }  # sources of data
    names = {places.name_of(p) for p in places.SOURCES.rglob("*.py")}
    mine = {name for name in names if name.split("/")[0] in ("math", "problems")}
    assert {name for name in mine if not places.subject_of(name)} == without


def test_operators_find_places_in_every_way_they_can():
    found = places.mutants_of("math/step_rules")
    kinds = {name for _, name, _ in found}
    assert {"core/NumberReplacer", "core/AddNot", "core/ReplaceBinaryOperator_Sub_Add"} <= kinds and len(found) > 30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("was", "becomes", "what"),
    [
        ("LOGISTIC_IS_EXPONENTIAL = 40.0", "LOGISTIC_IS_EXPONENTIAL = 4.0", "killed"),  # when the module is imported
        ("LOGISTIC_IS_EXPONENTIAL = 40.0", "LOGISTIC_IS_EXPONENTIAL = 40.00", "survived"),
        ("math.log2(math.e)", "math.log2(math.pi)", "killed"),  # in a function
        ("math.log2(math.e)", "1.0 * math.log2(math.e)", "survived"),
    ],
)
def test_a_mutant_in_memory_is_the_one_that_is_tested(was, becomes, what):
    program = (
        "import os, sys, judging, places\n"
        "terminal = os.dup(1)  # the forks are silent\n"
        "code = places.text_of('math/losses').replace(*sys.argv[1:])\n"
        "mutant = {'module': 'math/losses', 'line': places.difference('math/losses', code)[0], 'code': code}\n"
        "group = judging.Group('test_losses', False, 1, 20.0)\n"
        "assert group.record()\n"
        "group.judge([mutant], lambda _, what, __: os.write(terminal, what.encode()))\n"
    )
    told = subprocess.run([sys.executable, "-c", program, was, becomes], cwd=places.HERE, capture_output=True)
    assert told.stdout.decode().split() == [what], told.stderr.decode()
    assert was in places.path_of("math/losses").read_text(encoding="utf-8")


def test_the_lines_of_a_statement(tmp_path, monkeypatch):
    lines = ["A = 1", "def f(x,", "      y=2):", "    if (x and", "            y):", "        return g(x,", "       y)"]
    monkeypatch.setattr(places, "SOURCES", tmp_path)
    (tmp_path / "a_module_of_the_test.py").write_text("\n".join([*lines, "    return 0"]))
    found = [places.statement("a_module_of_the_test", line) for line in range(1, 9)]
    assert found == [set(), set(), set(), {4, 5}, {4, 5}, {6, 7}, {6, 7}, {8}]


DECORATED = """
from functools import wraps
A = 1
def outer(f):
    @wraps(f)
    def inner(x):
        return f(x) + 1
    return inner

@outer
def g(x):
    return [y + 2 for y in [x]][0]

early = [x + 3 for x in [1]]
"""


def test_living_functions_take_the_code_of_a_mutant(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "SOURCES", tmp_path)
    path = tmp_path / "another_module_of_the_test.py"
    path.write_text(DECORATED)
    names = {}
    exec(compile(DECORATED, str(path), "exec", dont_inherit=True), names)
    living = places.living_functions()
    assert names["g"](1) == 4
    assert places.plant(path.stem, DECORATED.replace("y + 2", "y - 2"), living) and names["g"](1) == 0
    assert places.plant(path.stem, DECORATED.replace("f(x) + 1", "f(x) - 1"), living) and names["g"](1) == -2
    assert not places.plant(path.stem, DECORATED.replace("x + 3", "x - 3"), living)  # has run
    assert not places.plant(path.stem, DECORATED.replace("A = 1", "A = 2"), living)
