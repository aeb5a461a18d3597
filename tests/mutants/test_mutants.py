"""The mutation tool itself: what counts as a mutant, and that the one in memory is the one that is tested."""

import re

import mutants
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
    one, other = (mutants.ast.dump(mutants.Essence().visit(mutants.ast.parse(text))) for text in (program, changed))
    assert (one != other) == differs


def test_every_subject_names_a_module_and_tests_that_exist():
    names = [str(p.relative_to(mutants.SOURCES).with_suffix("")) for p in mutants.SOURCES.rglob("*.py")]
    for pattern, words in mutants.CONFIG["tests"].items():
        assert any(re.fullmatch(pattern, name) for name in names), pattern
        assert all(list(mutants.TESTS.rglob(f"{name}.py")) for name in words.partition(" -k ")[0].split()), words


def test_the_mathematics_and_the_solvers_are_subjects_whole():
    """A new module of these folders wants a line in mutants.toml, or a reason to stand here."""
    without = {f"math/{name}__init__" for name in ("", "engine/", "engine/compiled/")}
    without |= {f"problems/{name}__init__" for name in ("", "solvers/", "proofs/")}
    without |= {f"problems/{name}" for name in ("datasets", "mnist", "synthetic", "sources")}  # sources of data
    names = {str(p.relative_to(mutants.SOURCES).with_suffix("")) for p in mutants.SOURCES.rglob("*.py")}
    mine = {name for name in names if name.split("/")[0] in ("math", "problems")}
    assert {name for name in mine if not mutants.subject_of(name)} == without


def test_operators_find_places_in_every_way_they_can():
    found = mutants.mutants_of(mutants.SOURCES / "math" / "step_rules.py")
    kinds = {name for _, name, _ in found}
    assert {"core/NumberReplacer", "core/AddNot", "core/ReplaceBinaryOperator_Sub_Add"} <= kinds and len(found) > 30


@pytest.mark.slow
@pytest.mark.parametrize(("growth", "what"), [("1.06", "killed"), ("1.050", "survived")])
def test_a_mutant_in_memory_is_the_one_that_is_tested(growth, what):
    path = mutants.SOURCES / "math" / "step_rules.py"
    text = path.read_text(encoding="utf-8")
    code = text.replace("ADAPTIVE_SHRINK = 1.05,", f"ADAPTIVE_SHRINK = {growth},")
    assert code != text
    assert mutants.outcome("test_engine -k theory and adaptive", path, code, 200.0) == what
    assert path.read_text(encoding="utf-8") == text
