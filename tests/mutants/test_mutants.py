"""The mutation tool itself: what counts as a mutant, and that the one in memory is the one that is tested."""

import os
import re
import subprocess
import sys

import mutation
import pytest
import yaml
from fake_grids import ROOT

PROGRAM = 'x: int = 3\ndef f(a, b):\n    return g(a + b, Margins(1, top=1), {"zorder": 1, "alpha": 2}, linewidth=1)\n'


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("(a, b)", "(a: float, b) -> str", False),
        ("int", "str", False),
        ("linewidth=1", "linewidth=2", False),
        ('"zorder": 1', '"zorder": 2', False),
        ("Margins(1", "Margins(2", False),
        ("top=1", "top=2", False),
        ("x: int = 3", "x: int = 4", True),
        ("a + b", "a - b", True),
        ('"alpha": 2', '"alpha": 3', True),
    ],
)
def test_annotations_and_looks_are_no_mutants(old, new, differs):
    assert (mutation.essence(PROGRAM) != mutation.essence(PROGRAM.replace(old, new))) == differs


def test_every_alternative_of_a_subject_is_a_module_and_every_word_picks_tests():
    names = [mutation.name_of(p) for p in mutation.SOURCES.rglob("*.py")]
    for pattern, words in mutation.CONFIG["tests"].items():
        head, middle, tail = re.fullmatch(r"([^(]*)\(?([^()]*)\)?([^()]*)", pattern).groups()
        for one in middle.split("|"):
            assert any(re.fullmatch(head + one + tail, name) for name in names), one
        for part in words.split(";"):
            files, _, picked = part.strip().partition(" -k ")
            paths = [path for name in files.split() for path in mutation.TESTS.rglob(f"{name}.py")]
            assert len(paths) == len(files.split()) > 0, part
            texts = " ".join(path.stem + path.read_text(encoding="utf-8") for path in paths)
            assert all(word in texts for word in picked.split() if word not in ("or", "and", "not")), part


WITHOUT = {  # how a thing looks, what it is called, where data come from, how files are made: no numbers of the results
    "math": "__init__ engine/__init__ engine/compiled/__init__",
    "problems": "__init__ solvers/__init__ proofs/__init__ datasets mnist preparing synthetic sources tables",
    "analysis": "__init__ terminal data/__init__ figures/__init__ figures/drawings/__init__ report/__init__ "
    "tables/__init__ report/findings/__init__ data/validate figures/captions figures/collection figures/layout "
    "figures/registry figures/study figures/style report/document report/methods report/paper report/provenance "
    "report/publishing tables/latex",
}


@pytest.mark.parametrize("room", WITHOUT)
def test_what_computes_or_places_a_number_is_a_subject(room):
    """A new module of these folders wants a line in mutants.toml, or a reason to stand here."""
    names = {mutation.name_of(p) for p in (mutation.SOURCES / room).rglob("*.py")}
    assert {name for name in names if not mutation.subject_of(name)} == {f"{room}/{x}" for x in WITHOUT[room].split()}


def test_what_is_accepted_is_a_change_of_a_line_that_is_still_there():
    texts: dict[str, str] = {}
    for file in mutation.SOURCES.rglob("*.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        texts[file.stem] = "\n".join([texts.get(file.stem, ""), *map(str.strip, lines)])
    for accepted in yaml.load((mutation.HERE / "mutants_accepted.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader):
        assert accepted["was"] in texts[accepted["module"]], accepted
        assert accepted["was"] != accepted["becomes"] and accepted["why"]


def test_operators_find_places_in_every_way_they_can():
    mutants = mutation.mutants_of("math/step_rules")
    kinds = {name for _, name, _ in mutants}
    assert {"core/NumberReplacer", "core/AddNot", "core/ReplaceBinaryOperator_Sub_Add"} <= kinds and len(mutants) > 30


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
        "import os, sys, judging, mutation\n"
        "terminal = os.dup(1)  # the forks are silent\n"
        "code = mutation.text_of('math/losses').replace(*sys.argv[1:])\n"
        "mutant = {'module': 'math/losses', 'line': mutation.difference('math/losses', code)[0], 'code': code}\n"
        "group = judging.Group('test_losses', False, 1, 20.0)\n"
        "assert group.record()\n"
        "group.judge([mutant], lambda _, what, __: os.write(terminal, what.encode()))\n"
    )
    argv = [sys.executable, "-c", program, was, becomes]
    done = subprocess.run(argv, cwd=mutation.HERE, capture_output=True, text=True)
    assert done.stdout.split() == [what], done.stderr
    assert was in mutation.path_of("math/losses").read_text(encoding="utf-8")


def test_the_lines_of_a_statement(tmp_path, monkeypatch):
    lines = ["A = 1", "def f(x,", "      y=2):", "    if (x and", "            y):", "        return g(x,", "       y)"]
    monkeypatch.setattr(mutation, "SOURCES", tmp_path)
    (tmp_path / "a_module_of_the_test.py").write_text("\n".join([*lines, "    return 0"]))
    statements = [mutation.statement("a_module_of_the_test", line) for line in range(1, 9)]
    assert statements == [set(), set(), set(), {4, 5}, {4, 5}, {6, 7}, {6, 7}, {8}]


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
    monkeypatch.setattr(mutation, "SOURCES", tmp_path)
    path = tmp_path / "another_module_of_the_test.py"
    path.write_text(DECORATED)
    names = {}
    exec(compile(DECORATED, str(path), "exec", dont_inherit=True), names)
    living = mutation.living_functions()
    assert names["g"](1) == 4
    assert mutation.plant(path.stem, DECORATED.replace("y + 2", "y - 2"), living) and names["g"](1) == 0
    assert mutation.plant(path.stem, DECORATED.replace("f(x) + 1", "f(x) - 1"), living) and names["g"](1) == -2
    assert not mutation.plant(path.stem, DECORATED.replace("x + 3", "x - 3"), living)  # has run
    assert not mutation.plant(path.stem, DECORATED.replace("A = 1", "A = 2"), living)


@pytest.mark.slow
def test_compiled_loops_pass_their_tests_without_the_compiler_too():
    """Their mutants are judged that way, since a mutant that is compiled first takes ten seconds."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "tests/math/engine/test_compiled.py", "-k", "not no_number"]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
