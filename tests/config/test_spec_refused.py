"""Bad grids: each is refused before anything runs, told with file, line, key, what was given and expected."""

from __future__ import annotations

import os
import re

import pytest
from fake_grids import ROOT
from spec_text import BASE, MNIST

from mdcore.config.grid import GridError, load_grid

base, mnist = BASE.replace, MNIST.replace


def fixed(line: str) -> str:
    return base("  epochs", f"  {line}\n  epochs")  # becomes line 4


def potential(first: str) -> str:
    return base("quadratic", first)


def images(keys: str) -> str:
    return mnist("{name: mnist}", f"{{name: mnist, {keys}}}")


BAD = {  # what is wrong: (grid, line and key that the message begins with, parts of its rest)
    "unknown key": (base("epochs", "epoch"), "4: fixed.epoch", "'epoch' … did you mean 'epochs'"),
    "unknown section": (base("vary", "varry"), "6: varry", "expected one of question, fixed … did you mean 'vary'"),
    "setting outside fixed": (BASE + "epochs: 3\n", "10: epochs", "put it under fixed or vary"),
    "misspelt potential": (potential("quadratc"), "7: vary.potential", "'quadratc' … did you mean 'quadratic'"),
    "misspelt rule": (base("adaptive", "adaptve"), "5: fixed.step.rule", "'adaptve' … did you mean 'adaptive'"),
    "misspelt dataset": (
        base("synthetic", "synthetc"),
        "3: fixed.dataset.name",
        "'synthetc' … did you mean 'synthetic'",
    ),
    "misspelt geometry": (base("gaussian", "gausian"), "3: fixed.dataset.geometry", "did you mean 'gaussian'"),
    "p = 1": (base("p: 1.5", "p: 1"), "7: vary.potential.lp.p", "got 1 … a number > 1"),
    "p < 1": (base("p: 1.5", "p: 0.5"), "7: vary.potential.lp.p", "got 0.5 … a number > 1"),
    "p missing": (base("{lp: {p: 1.5}}", "lp"), "7: vary.potential.lp", "parameter p missing … {lp: {p: 1.5}}"),
    "p as a number": (base("{p: 1.5}", "1.5"), "7: vary.potential.lp", "got 1.5 … write {lp: {p: 1.5}}"),
    "parameter of another": (base("p: 1.5", "beta: 1"), "7: vary.potential.lp", "'beta' … the parameter p"),
    "p as a key": (BASE + "  p: [1.5]\n", "10: vary.p", "belongs to a potential … {lp: {p: 1.5}}"),
    "learning rate": (base("epochs", "lr"), "4: fixed.lr", "did you mean 'step.eta'"),
    "two potentials in one mapping": (
        base("{lp: {p: 1.5}}", "{lp: {p: 2.5}, scaled: {}}"),
        "7: vary.potential",
        "2 keys",
    ),
    "parameter for quadratic": (potential("{quadratic: {p: 2}}"), "7: vary.potential.quadratic", "no parameter"),
    "empty list": (base("[1, 2]", "[]"), "8: vary.depth", "empty list … at least one value"),
    "empty potential list": (potential("[]"), "7: vary.potential", "empty list"),
    "no list to vary": (base("[1, 2]", "2"), "8: vary.depth", "got 2 … expected a list … under fixed"),
    "string for a number": (base("100", "'100'"), "4: fixed.epochs", "got '100', a string … without quotes"),
    "word for a number": (base("100", "many"), "4: fixed.epochs", "got 'many', a string … an integer ≥ 1"),
    "underscore in a number": (base("noise: 1", "noise: 1_000"), "3: fixed.dataset.noise", "'1_000' … write 1000"),
    "truth value for a number": (base("100", "true"), "4: fixed.epochs", "got true … an integer"),
    "yes is a string": (base("seed: [0", "seed: [yes"), "9: vary.seed", "got 'yes', a string"),
    "fraction for an integer": (base("[1, 2]", "[1, 2.5]"), "8: vary.depth", "got 2.5 … an integer ≥ 1"),
    "null for a number": (base("100", ""), "4: fixed.epochs", "got nothing (null)"),
    "duplicate key": (BASE + "  depth: [3]\n", "10: vary.depth", "given twice … line 8"),
    "duplicate section": (BASE + "fixed: {}\n", "10: fixed", "given twice … line 2"),
    "duplicate nested": (base("dim: 20", "dim: 20, dim: 20"), "3: fixed.dataset.dim", "given twice"),
    "dotted twice": (fixed("step.rule: constant"), "6: fixed.step.rule", "is set already"),
    "not YAML": (base("[1, 2]", "[1, 2"), "9", "not YAML"),
    "tab": (base("  epochs", "\tepochs"), "4", "not YAML"),
    "two documents": (BASE + "---\n" + BASE, "10", "second document"),
    "top level a list": ("- a\n- b\n", "1", "got ['a', 'b'], a list … expected a mapping"),
    "top level a word": ("hello\n", "1", "got 'hello', a string"),
    "empty file": ("", "1", "an empty file"),
    "only a comment": ("# nothing\n", "1", "an empty file"),
    "empty mapping": ("{}\n", "1", "expected a mapping with question"),
    "negative step": (base("{rule: adaptive}", "{rule: constant, eta: -0.1}"), "5: fixed.step.eta", "got -0.1 … > 0"),
    "zero step": (base("{rule: adaptive}", "{rule: constant, eta: 0}"), "5: fixed.step.eta", "got 0 … > 0"),
    "NaN": (base("p: 1.5", "p: .nan"), "7: vary.potential.lp.p", "got nan … NaN and infinity are refused"),
    "infinity": (base("noise: 1", "noise: .inf"), "3: fixed.dataset.noise", "got inf … NaN and infinity"),
    "minus infinity": (base("noise: 1", "noise: -.INF"), "3: fixed.dataset.noise", "got -inf"),
    "number too large for a float": (base("noise: 1", "noise: 1e999"), "3: fixed.dataset.noise", "got inf"),
    "NaN for an integer": (base("100", ".NaN"), "4: fixed.epochs", "got nan … NaN and infinity are refused"),
    "integer of 5,000 digits": (base("100", "9" * 5000), "4: fixed.epochs", "got inf"),
    "zero init at depth 2": (fixed("init: {scale: 0}"), "4: fixed.init.scale", "depth 2 … saddle"),
    "negative init": (fixed("init: {scale: -1}"), "4: fixed.init.scale", "got -1 … ≥ 0"),
    "depth 0": (base("[1, 2]", "[0, 1]"), "8: vary.depth", "got 0 … an integer ≥ 1"),
    "width 0": (fixed("width: 0"), "4: fixed.width", "got 0"),
    "width null at depth 2": (fixed("width: null"), "4: fixed.width", "at depth 2"),
    "epochs 0": (base("100", "0"), "4: fixed.epochs", "got 0 … an integer ≥ 1"),
    "negative seed": (base("[0, 1]", "[-1]"), "9: vary.seed", "got -1 … ≥ 0"),
    "alpha too long": (potential("{layer_scaled: {alpha: [1, 4]}}"), "7: vary.potential", "2 alpha but depth is 1"),
    "alpha no list": (potential("{layer_scaled: {alpha: 4}}"), "7: vary.potential.layer_scaled.alpha", "one per layer"),
    "alpha negative": (potential("{layer_scaled: {alpha: [-4]}}"), "7: vary.potential.layer_scaled.alpha", "got -4"),
    "list too long": (potential("[quadratic, scaled]"), "7: vary.potential", "2 potentials but depth is 1"),
    "loss_scaled when deep": (base("adaptive", "loss_scaled"), "5: fixed.step.rule", "depth 2 … diverges"),
    "decay without normalized": (base("adaptive", "adaptive, decay: 1"), "5: fixed.step.decay", "of rule adaptive"),
    "mnist key for synthetic": (base("n: 60", "source: bundled"), "3: fixed.dataset.source", "of dataset synthetic"),
    "synthetic key for mnist": (images("dim: 3"), "3: fixed.dataset.dim", "of dataset mnist"),
    "dotted key of the other": (
        mnist("  epochs", "  dataset.dim: 3\n  epochs"),
        "4: fixed.dataset.dim",
        "of dataset synthetic",
    ),
    "digits for synthetic": (BASE + "  digits: [[0, 1]]\n", "10: vary.digits", "dataset synthetic … only_if"),
    "pca for synthetic": (BASE + "  pca: [50]\n", "10: vary.pca", "dataset synthetic … only_if"),
    "equal digits": (mnist("[3, 5]", "[3, 3]"), "7: vary.digits", "[3, 3] … two different digits"),
    "digit 10": (mnist("[3, 5]", "[3, 10]"), "7: vary.digits", "[3, 10]"),
    "three digits": (mnist("[3, 5]", "[3, 5, 7]"), "7: vary.digits", "[3, 5, 7]"),
    "digits as words": (mnist("[3, 5]", "['3', '5']"), "7: vary.digits", "['3', '5']"),
    "flat digits": (mnist("[[0, 1], [3, 5]]", "[3, 5]"), "7: vary.digits", "got 3"),
    "no digits": (mnist("  digits: [[0, 1], [3, 5]]\n", ""), "1: digits", "missing"),
    "pca 0": (mnist("pca: [50", "pca: [0"), "8: vary.pca", "got 0 … an integer ≥ 1 or null"),
    "pca beyond the pixels": (mnist("pca: [50", "pca: [785"), "8: vary.pca", "785 … 784"),
    "pca beyond the images": (images("test_fraction: 0.9").replace("50,", "150,"), "8: vary.pca", "100 images"),
    "pca as many as the images": (
        images("test_fraction: 0.9").replace("[50, null]", "[99, 100]"),
        "8: vary.pca",
        "got 100 components, but 100 images train; expected at most 99",
    ),
    "aliases of deep values": (f"a: &a {'[' * 25}1{']' * 25}\nb: {'[' * 25}*a{']' * 25}\n", "2", "nested more than"),
    "test_fraction 1": (images("test_fraction: 1"), "3: fixed.dataset.test_fraction", "[0, 1)"),
    "test_fraction < 0": (images("test_fraction: -0.1"), "3: fixed.dataset.test_fraction", "-0.1"),
    "nothing left to train": (images("test_fraction: 0.9999"), "3: fixed.dataset.test_fraction", "no image"),
    "full without a path": (images("source: full"), "3: fixed.dataset.source", "path: DIRECTORY"),
    "path of bundled": (images("path: x"), "3: fixed.dataset.path", "source full"),
    "path varied": (BASE + "  dataset.path: [a, b]\n", "10: vary.dataset.path", "path is of dataset"),
    "gap 1": (fixed("stop: {gap: 1}"), "4: fixed.stop.gap", "got 1 … (0, 1)"),
    "stop as a number": (fixed("stop: 0.01"), "4: fixed.stop", "{gap: 0.01} or null"),
    "step as a word": (base("{rule: adaptive}", "adaptive"), "5: fixed.step", "expected a mapping: {rule: adaptive}"),
    "dtype": (fixed("dtype: float16"), "4: fixed.dtype", "float64, float32"),
    "value twice": (base("[1, 2]", "[1, 2, 1.0]"), "8: vary.depth", "got 1 twice"),
    "potential twice": (potential("{lp: {p: 3.0}}"), "7: vary.potential", "twice"),
    "fixed and varied": (fixed("depth: 2"), "9: vary.depth", "set already as fixed.depth"),
    "fixed and zipped": (BASE + "zip:\n  - epochs: [1]\n", "11: zip.epochs", "set already as fixed.epochs"),
    "varied and zipped": (BASE + "zip:\n  - depth: [3]\n", "11: zip.depth", "set already as vary.depth"),
    "zipped twice": (BASE + "zip:\n  - width: [3]\n  - width: [4]\n", "12: zip.width", "set already as zip.width"),
    "zip of unequal lengths": (
        BASE + "zip:\n  - width: [3, 4]\n    loss: [logistic]\n",
        "11: zip",
        "width has 2, loss has 1",
    ),
    "zip no list": (BASE + "zip:\n  width: [3, 4]\n", "11: zip", "expected a list of mappings"),
    "zip row twice": (
        BASE + "zip:\n  - width: [3, 3]\n    loss: [logistic, logistic]\n",
        "11: zip.width",
        "got 3, logistic twice",
    ),
    "only_if of a key not set": (
        BASE + "only_if:\n  width: {depth: 2}\n",
        "11: only_if.width",
        "does not set this key",
    ),
    "only_if misspelt": (BASE + "only_if:\n  dept: {seed: 0}\n", "11: only_if.dept", "did you mean 'depth'"),
    "only_if no mapping": (BASE + "only_if:\n  depth: 2\n", "11: only_if.depth", "expected a mapping"),
    "condition misspelt": (BASE + "only_if:\n  depth: {sed: 0}\n", "11: only_if.depth.sed", "did you mean 'seed'"),
    "condition value": (
        BASE + "only_if:\n  depth: {potential: quadratc}\n",
        "11: only_if.depth.potential",
        "did you mean 'quadratic'",
    ),
    "condition empty": (BASE + "only_if:\n  depth: {seed: []}\n", "11: only_if.depth.seed", "empty list"),
    "only_if circle": (BASE + "only_if:\n  depth: {seed: 0}\n  seed: {depth: 2}\n", "11: only_if", "circle"),
    "exclude no list": (BASE + "exclude: {depth: 2}\n", "10: exclude", "expected a list of mappings"),
    "exclude misspelt": (BASE + "exclude:\n  - {dpth: 2}\n", "11: exclude.dpth", "did you mean 'depth'"),
    "exclude idle": (BASE + "exclude:\n  - {depth: 7}\n", "11: exclude", "matches no combination"),
    "exclude all": (BASE + "exclude:\n  - {depth: [1, 2]}\n", "1: exclude", "all 12 combinations are excluded"),
    "question missing": (base("question", "comment"), "1: question", "missing"),
    "question empty": (base("Does depth change the limit direction?", "'  '"), "1: question", "non-empty string"),
    "question a number": (base("Does depth change the limit direction?", "42"), "1: question", "got 42"),
    "vary empty": (
        BASE[: BASE.index("  potential")].replace("  epochs", "  potential: scaled\n  epochs"),
        "7: vary",
        "nothing (null)",
    ),
    "too many combinations": (
        BASE + f"  width: {list(range(1, 84_001))}\n",
        "1: vary",
        "1008000 combinations … at most 1000000",
    ),
    "quadratic is lp 2": (base("p: 1.5", "p: 2"), "7: vary.potential", "quadratic and {lp: {p: 2.0}} are the same"),
    "alias bomb": (
        "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e]\n",
        "5",
        "aliases repeat more than",
    ),
    "circular alias": ("a: &a [*a]\n", "1", "no finished anchor"),
    "unknown alias": ("a: *b\n", "1", "no finished anchor"),
    "deep list": ("question: " + "[" * 50_000, "1", "nested more than"),
    "deep mapping": ("question: " + "{a: " * 5_000, "1", "nested more than"),
    "deep block": ("".join(" " * i + "a:\n" for i in range(300)), "40", "nested more than"),
    "python object": ("question: !!python/object/apply:os.system [ls]\n", "1", "not safe"),
    "python name": ("question: !!python/name:os.system\n", "1", "not safe"),
    "own tag": ("question: !secret x\n", "1", "not safe"),
    "list as key": ("? [a, b]\n: 1\n" + BASE, "1", "expected a name as key"),
    "merge key": ("<<: {a: 1}\n" + BASE, "1: <<", "merge keys"),
    "control character": (BASE + "# \x01\n", "10", "not YAML"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "too many combinations" else n for n in BAD]
)
def test_bad_grids_are_refused_with_file_line_and_key(refused, name):
    text, where, parts = BAD[name]
    problems = [problem for problem in refused(text) if problem.startswith(f"grid.yaml:{where}: ")]
    assert any(all(part in problem for part in parts.split(" … ")) for problem in problems), refused(text)


def test_everything_wrong_is_told_at_once(refused):
    text = (
        base("quadratic", "quadratc").replace("p: 3", "p: .nan").replace("100", "-5").replace("adaptive", "fast")
        + "  loss: []\nzip:\n  - {width: [1], svm_C: [1, 2]}\nexclude:\n  - {sed: 1}\n"
    )
    assert {tuple(problem.split(": ")[:2]) for problem in refused(text)} == {
        ("grid.yaml:4", "fixed.epochs"),
        ("grid.yaml:5", "fixed.step.rule"),
        ("grid.yaml:7", "vary.potential"),
        ("grid.yaml:7", "vary.potential.lp.p"),
        ("grid.yaml:10", "vary.loss"),
        ("grid.yaml:12", "zip"),
        ("grid.yaml:14", "exclude.sed"),
    }


def test_a_key_with_a_wrong_value_is_not_told_as_missing(refused):
    text = base("[1, 2]", "[]").replace("  potential: [quadratic, {lp: {p: 1.5}}, {lp: {p: 3}}]", "  potential: scaled")
    problems = refused(text + "only_if:\n  depth: {seed: 0}\n")
    assert [problem.split(": ")[1] for problem in problems] == ["vary.potential", "vary.depth"]


def test_wrong_values_do_not_hide_wrong_combinations(refused):
    problems = refused(base("quadratic", "quadratc").replace("  epochs", "  init.scale: 0\n  epochs"))
    assert any("saddle" in problem for problem in problems) and any("quadratc" in problem for problem in problems)


def test_a_thousand_mistakes_of_a_kind_are_not_a_thousand_lines(refused):
    problems = refused(base("[0, 1]", str([f"x{i}" for i in range(1000)])))
    assert len(problems) == 201 and "800 more" in problems[-1]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("mnist_pair.yaml", None, "no such file"),
        (".", None, "is a directory"),
        ("b.yaml", b"question: \xff\xfe\n", "not UTF-8"),
        ("b.yaml", bytes(range(256)) * 50, "not UTF-8"),
        ("b.yaml", b"\0" * 100, "not YAML"),
        ("b.yaml", b"#" * 9_000_000, "larger than"),
        ("fifo", None, "no regular file"),
        ("x" * 300, None, "cannot be read"),
        ("a\0b.yaml", None, "cannot be read"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_grid_file_is_refused(tmp_path, name, content, part):
    os.mkfifo(tmp_path / "fifo")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(GridError, match=re.escape(part)) as error:
        load_grid(tmp_path / name)
    assert str(tmp_path) in str(error.value)


def test_a_missing_file_names_those_that_exist():
    with pytest.raises(GridError, match=r"mnist_pairs\.yaml"):
        load_grid(ROOT / "grids" / "mnist_pair.yaml")


def test_aliases_within_the_limit_are_values(load):
    grid = load(
        base("seed: [0, 1]", "seed: &s [0, 1]\n  epochs: *s").replace("  epochs: 100\n", "").replace("[0, 1]", "[3, 4]")
    )
    assert {cell.config["epochs"] for cell in grid.cells} == {3, 4}
