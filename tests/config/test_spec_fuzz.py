"""Generated garbage and near-misses of valid grids: GridError or a grid inside the specification, only that.

What is accepted is judged by `inside`, a small checker that shares no code with the validator, and must read
back from its own resolved_yaml() to the same cells.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_strategies import KEYS, OVERRIDES, SCALARS, VALID, mangled_text, near_misses, valid_trees

from mdcore.config.expansion.selection import select
from mdcore.config.grid import GridError, cell_from_config, load_grid

FEW = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=13_500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def inside(config) -> list[str]:
    """What of a configuration is outside the specification (README.md, grid files); [] if nothing is."""
    wrong = []

    def check(condition, text):
        if not condition:
            wrong.append(f"{text}: {config}")

    def number(value, low, low_in=False):
        return type(value) is float and math.isfinite(value) and (low <= value if low_in else low < value)

    def whole(value, low):
        return type(value) is int and value >= low

    keys = "dataset digits pca potential depth width init loss step epochs stop log_points seed"
    keys += " svm_C logreg_C dtype"
    check(set(config) - {"metrics"} == set(keys.split()), "keys")
    data, depth = config["dataset"], config["depth"]
    check(whole(depth, 1), "depth")
    if data["name"] == "mnist":
        a, b = config["digits"]
        check(type(a) is int and type(b) is int and 0 <= a <= 9 and 0 <= b <= 9 and a != b, "digits")
        check(config["pca"] is None or (whole(config["pca"], 1) and config["pca"] <= 784), "pca")
        check(set(data) == {"name", "source", "path", "test_fraction", "split", "subsample"}, "mnist keys")
        check(data["split"] in ("fixed", "by_seed"), "split")
        check(data["subsample"] is None or whole(data["subsample"], 2), "subsample")
        check(data["source"] in ("bundled", "full"), "source")
        check(isinstance(data["path"], str) if data["source"] == "full" else data["path"] is None, "path")
        check(number(data["test_fraction"], 0, low_in=True) and data["test_fraction"] < 1, "test_fraction")
    else:
        check(data["name"] == "synthetic", "dataset name")
        check(set(data) == {"name", "geometry", "dim", "n", "separation", "noise"}, "synthetic keys")
        check(data["geometry"] in ("planted", "gaussian"), "geometry")
        check(whole(data["dim"], 2) and whole(data["n"], 2), "dim, n")
        check(number(data["separation"], 0) and number(data["noise"], 0, low_in=True), "separation, noise")
        check(config["digits"] is None and config["pca"] is None, "digits, pca of synthetic data")

    def potential(entry, layers):
        if isinstance(entry, str):
            return entry in ("quadratic", "scaled")
        ((name, given),) = entry.items()
        if name == "lp":
            return set(given) == {"p"} and number(given["p"], 1)
        if name == "layer_scaled":
            alpha = given["alpha"]
            return set(given) == {"alpha"} and len(alpha) == layers and all(number(a, 0) for a in alpha)
        return name in ("hypentropy", "cosh") and set(given) == {"beta"} and number(given["beta"], 0)

    entries = config["potential"]
    if isinstance(entries, list):
        check(len(entries) == depth > 1 and all(potential(entry, 1) for entry in entries), "potentials")
        check(any(entry != entries[0] for entry in entries), "a list of equal potentials")
    else:
        check(potential(entries, depth), "potential")
    check(config["width"] is None if depth == 1 else whole(config["width"], 1), "width")
    check(set(config["init"]) == {"scale", "distribution"}, "init keys")
    check(number(config["init"]["scale"], 0, low_in=depth == 1), "init")
    check(config["init"]["distribution"] in ("normal", "uniform"), "init distribution")
    check(config["loss"] in ("logistic", "exponential"), "loss")
    step = config["step"]
    check(step["rule"] in ("constant", "normalized", "adaptive", *["loss_scaled"] * (depth == 1)), "rule")
    check(set(step) == {"rule", "eta"} | ({"decay", "anneal"} if step["rule"] == "normalized" else set()), "step keys")
    check(number(step["eta"], 0) and number(step.get("decay", 1.0), 0, low_in=True), "step")
    check(number(step.get("anneal", 0.0), 0, low_in=True), "anneal")
    check(whole(config["epochs"], 1) and whole(config["log_points"], 1) and whole(config["seed"], 0), "counts")
    stop = config["stop"]
    check(stop is None or (set(stop) == {"gap"} and number(stop["gap"], 0) and stop["gap"] < 1), "stop")
    check(number(config["svm_C"], 0) and number(config["logreg_C"], 0), "C")
    check(config["dtype"] in ("float64", "float32"), "dtype")
    check(not re.search(r"-0\.0(?![0-9])", json.dumps(config)), "-0.0")
    return wrong


def read(data: bytes, overrides=()):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "grid.yaml")
        path.write_bytes(data)
        return load_grid(path, list(overrides))


def judge(data: bytes, overrides=()) -> bool:
    """True if accepted. Fails on any other error, on a problem without its place, on a cell outside."""
    try:
        grid = read(data, overrides)
    except GridError as error:
        assert error.problems
        for line in error.problems:
            assert line.startswith((tempfile.gettempdir(), "--set", "…")) and "\n" not in line and len(line) < 2000, (
                line
            )
        return False
    assert grid.cells and grid.question.strip()
    for cell in grid.cells:
        assert not inside(cell.config)
        assert re.fullmatch(r"[A-Za-z0-9.+_-]+", cell.cell_id) and len(cell.cell_id) < 200
        assert cell_from_config(json.loads(json.dumps(cell.config))) == cell
    assert len({cell.cell_id for cell in grid.cells}) == len(grid.cells)
    again = read(grid.resolved_yaml().encode())
    for name in ("cells", "grid_hash", "varied", "question"):
        assert getattr(again, name) == getattr(grid, name)
    return True


def as_yaml(tree) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("tree", VALID)
def test_the_trees_that_are_mutated_are_valid(tree):
    assert judge(as_yaml(tree))


def test_the_checker_can_fail():
    """A checker that accepts everything would make the properties below empty."""
    config = read(as_yaml(VALID[1])).cells[0].config
    assert not inside(config)
    changes = {
        "depth": 0,
        "epochs": 2.0,
        "init": {"scale": math.nan, "distribution": "normal"},
        "potential": {"lp": {"p": 1.0}},
        "step": {"rule": "adaptive", "eta": 1.0, "decay": 1.0},
        "pca": 3,
        "seed": True,
    }
    for key, value in changes.items():
        assert inside({**config, key: value}), key


@FEW
@given(valid_trees())
def test_what_is_inside_the_specification_is_accepted(tree):
    assert judge(as_yaml(tree))


@FEW
@given(near_misses())
def test_near_misses(tree):
    judge(as_yaml(tree))


@FEW
@given(mangled_text())
def test_mangled_text(data):
    judge(data)


@FEW
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_garbage(data):
    assert not judge(data)


@FEW
@given(st.one_of(st.sampled_from(VALID), valid_trees()), OVERRIDES)
def test_overrides(tree, overrides):
    judge(as_yaml(tree), overrides)


@FEW
@given(st.lists(st.one_of(st.text(max_size=20), st.tuples(KEYS, SCALARS.map(str)).map("=".join)), max_size=3))
def test_filters(only):
    cells = read(as_yaml(VALID[1])).cells
    try:
        chosen = select(cells, only)
    except GridError as error:
        assert error.problems
    else:
        assert chosen and all(cell in cells for cell in chosen)


@st.composite
def near_configs(draw):
    cells = read(as_yaml(draw(st.sampled_from(VALID)))).cells
    return draw(near_misses([cells[0].config, cells[-1].config]))


@FEW
@given(near_configs())
def test_configurations(config):
    try:
        cell = cell_from_config(config)
    except GridError as error:
        assert error.problems
    else:
        assert not inside(cell.config)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_ten_thousand_bad_inputs_are_refused():
    refused = 0

    @MANY
    @given(near_misses().map(as_yaml) | mangled_text() | st.binary(max_size=100), st.just([]) | OVERRIDES)
    def each(data, overrides):
        nonlocal refused
        refused += not judge(data, overrides)

    each()
    assert refused >= 10_000
