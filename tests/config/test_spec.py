"""Grid files: what is accepted means what README.md says, and expands to the cells that one would write down."""

from __future__ import annotations

import itertools
import json
import math
import random

import pytest
from spec_text import BASE, grid_of, one

from mdcore.config.errors import Problems
from mdcore.config.grid import cell_from_config, load_grid
from mdcore.config.yaml_lines import dump, parse, scalar

SCALARS = {
    "1e-3": 1e-3, "1E5": 1e5, ".5": 0.5, "5.": 5.0, "+1.5": 1.5, "010": 10, "-7": -7, "0o17": 15, "0x1F": 31,
    "true": True, "False": False, "null": None, "~": None, "": None, ".inf": math.inf, "-.INF": -math.inf,
}  # fmt: skip
STRINGS = (
    "yes", "No", "on", "off", "1_000", "12:30:45", "0b11", "1e", "2001-12-14", "=", "TrUe", "1.5.2", "e3", "+", ".",
    "..inf",
)  # fmt: skip


@pytest.mark.parametrize(("text", "value"), [*SCALARS.items(), *zip(STRINGS, STRINGS)])
def test_scalars_follow_the_yaml_1_2_core_schema(text, value):
    read = scalar(text)
    assert read == value and type(read) is type(value)


WRITTEN = (
    "1e-3", "0o17", "yes", "null", "", "true", "a: b", "- x", "é\n\t", " x ", "#", "1_0", "'", '"', "!x", "&x", "*x",
    "1.0", ".nan", "<<", 1e-5, 1e22, 0.1 + 0.2, 5e-324, 3, -0.5, None, True, [], {}, {"a": [1, {"b": [None]}]},
    ["x" * 500],
)  # fmt: skip


@pytest.mark.parametrize("value", WRITTEN, ids=repr)
def test_what_is_written_reads_back(value):
    problems = Problems()
    back = parse(dump({"key": value}), "text", problems.add)
    assert not problems and back.data == {"key": value}
    assert type(back.data["key"]) is type(value)


def test_the_product_runs_in_file_order_the_last_key_fastest(load):
    flats = [cell.flat() for cell in load(BASE).cells]
    order = [(flat["potential_label"], flat["depth"], flat["seed"]) for flat in flats]
    assert order == [(q, d, s) for q in ("quadratic", "lp1.5", "lp3") for d in (1, 2) for s in (0, 1)]


def test_defaults(load):
    assert one(load, "depth: 2") == {
        "dataset": {"name": "synthetic", "geometry": "gaussian", "dim": 20, "n": 60, "separation": 2.5, "noise": 1.0},
        "digits": None,
        "pca": None,
        "potential": "quadratic",
        "depth": 2,
        "width": 50,
        "init": {"scale": 0.3, "distribution": "normal"},
        "loss": "logistic",
        "step": {"rule": "adaptive", "eta": 1.0},
        "epochs": 10,
        "stop": None,
        "log_points": 120,
        "seed": 0,
        "svm_C": 1.0,
        "logreg_C": 1.0,
        "dtype": "float64",
    }


BUNDLED = {
    "name": "mnist",
    "source": "bundled",
    "path": None,
    "test_fraction": 0.2,
    "split": "fixed",
    "subsample": None,
}
SCALED = {"layer_scaled": {"alpha": [1.0, 4.0]}}


@pytest.mark.parametrize(
    ("fixed", "path", "value"),
    [
        ("depth: 1", "init.scale", 0.0),
        ("depth: 1\ninit: {scale: 0.5}", "init.scale", 0.5),
        ("depth: 1\nwidth: 7", "width", None),
        ("step: {rule: constant}", "step", {"rule": "constant", "eta": 0.1}),
        ("step: {rule: normalized}", "step", {"rule": "normalized", "eta": 1.0, "decay": 1.0, "anneal": 0.0}),
        ("step: {rule: loss_scaled, eta: 1e-1}", "step", {"rule": "loss_scaled", "eta": 0.1}),
        ("step.rule: constant\nstep.eta: 2", "step", {"rule": "constant", "eta": 2.0}),
        ("dataset: {name: synthetic, geometry: planted}", "dataset.dim", 2),
        ("dataset: {name: synthetic}\ndataset.dim: 30", "dataset.dim", 30),
        ("dataset: {name: mnist}\ndigits: [3, 5]", "dataset", BUNDLED),
        ("dataset: {name: mnist, source: full, path: here}\ndigits: [3.0, 5]", "digits", [3, 5]),
        ("dataset: {name: mnist}\ndigits: [3, 5]\npca: null", "pca", None),
        ("stop: null", "stop", None),
        ("stop: {gap: 0.01}", "stop", {"gap": 0.01}),
        ("epochs: 2e4", "epochs", 20000),
        ("depth: 2.0", "depth", 2),
        ("depth: 010", "depth", 10),
        ("init: {scale: -0.0}", "init.scale", 0.0),
        ("potential: {quadratic: {}}", "potential", "quadratic"),
        ("potential: [scaled]", "potential", "scaled"),
        ("depth: 2\npotential: [{lp: {p: 3}}, {lp: {p: 3.0}}]", "potential", {"lp": {"p": 3.0}}),
        ("depth: 2\npotential: [{lp: {p: 3}}, quadratic]", "potential", [{"lp": {"p": 3.0}}, "quadratic"]),
        ("depth: 2\npotential: {layer_scaled: {alpha: [1, 4]}}", "potential", SCALED),
        ("depth: 2\npotential: [{layer_scaled: {alpha: [1]}}, {layer_scaled: {alpha: [4]}}]", "potential", SCALED),
        ("potential: {hypentropy: {beta: 1e-1}}", "potential", {"hypentropy": {"beta": 0.1}}),
        ("potential: {cosh: {beta: 1}}", "potential", {"cosh": {"beta": 1.0}}),
    ],
)
def test_canonical_values(load, fixed, path, value):
    config = one(load, fixed)
    for key in path.split("."):
        config = config[key]
    assert json.dumps(config) == json.dumps(value)  # types too: 1 is not 1.0


def test_keys_that_move_together(load):
    grid = load(grid_of("epochs: 10", "zip:\n  - depth: [1, 2]\n    init.scale: [0, 0.1]\n  - seed: [5, 6]\n"))
    rows = [(cell.config["depth"], cell.config["init"]["scale"], cell.config["seed"]) for cell in grid.cells]
    assert rows == [(1, 0.0, 5), (1, 0.0, 6), (2, 0.1, 5), (2, 0.1, 6)]
    assert grid.varied == ["depth", "init_scale"]


ONLY_IF = [
    # (sections, {what identifies a cell: value of the key})
    (
        "vary:\n  depth: [1, 2]\n  init.scale: [0.1, 0.3]\nonly_if:\n  init.scale: {depth: 2}\n",
        "init",
        {
            1: [{"scale": 0.0, "distribution": "normal"}],
            2: [{"scale": 0.1, "distribution": "normal"}, {"scale": 0.3, "distribution": "normal"}],
        },
    ),
    (
        "vary:\n  depth: [1, 2, 3]\n  loss: [exponential, logistic]\nonly_if:\n  loss: {depth: [2, 3]}\n",
        "loss",
        {1: ["logistic"], 2: ["exponential", "logistic"], 3: ["exponential", "logistic"]},
    ),
    (
        "zip:\n  - {depth: [1, 2], stop: [{gap: 0.1}, {gap: 0.2}]}\nonly_if:\n  stop: {depth: 2}\n",
        "stop",
        {1: [None], 2: [{"gap": 0.2}]},
    ),
    (
        "vary:\n  depth: [1, 2]\n  dtype: [float32, float64]\n  loss: [exponential, logistic]\n"
        "only_if:\n  dtype: {loss: exponential}\n  loss: {depth: 2}\n",
        "dtype",
        {1: ["float64"], 2: ["float32", "float64", "float64"]},
    ),
]


@pytest.mark.parametrize(("sections", "key", "expected"), ONLY_IF)
def test_only_if_gives_the_default_elsewhere(load, sections, key, expected):
    values: dict = {}
    for cell in load(grid_of("epochs: 10", sections)).cells:
        values.setdefault(cell.config["depth"], []).append(cell.config[key])
    assert values == expected


def test_only_if_and_exclude_let_two_kinds_of_data_share_a_grid(load):
    sections = (
        "vary:\n  dataset: [{name: synthetic, dim: 20}, {name: mnist}]\n"
        "  digits: [[0, 1], [3, 5]]\n  pca: [50, 200]\n"
        "only_if:\n  digits: {dataset: mnist}\n  pca: {dataset: {name: mnist}}\n"
        "exclude:\n  - {digits: [3, 5], pca: 50}\n"
    )
    grid = load(grid_of("epochs: 10", sections, without="dataset"))
    assert [cell.dataset_label for cell in grid.cells] == [
        "synthetic-gaussian-d20",
        "mnist-0v1-pca50",
        "mnist-0v1-pca200",
        "mnist-3v5-pca200",
    ]
    assert grid.varied == ["dataset", "digits", "pca", "dataset_dim"]


EXCLUDE = [
    ("{depth: 1}", lambda flat: flat["depth"] == 1),
    ("{depth: [1, 2], seed: 1}", lambda flat: flat["seed"] == 1),
    ("{potential: lp}", lambda flat: flat["potential"] == "lp"),
    ("{potential: {lp: {p: 3.0}}}", lambda flat: flat["p"] == 3),
    ("{potential: [quadratic, {lp: {p: 3}}]}", lambda flat: flat["p"] != 1.5),
    ("{p: [1.5, 7]}", lambda flat: flat["p"] == 1.5),
    ("{p: 3, depth: 2}", lambda flat: flat["p"] == 3 and flat["depth"] == 2),
    ("{dataset: synthetic, seed: 0}", lambda flat: flat["seed"] == 0),
    ("{dataset: {name: synthetic, dim: 20}, seed: 0}", lambda flat: flat["seed"] == 0),
    ("{step.rule: adaptive, depth: 2}", lambda flat: flat["depth"] == 2),
    ("{init.scale: 0.3}", lambda flat: flat["depth"] == 2),  # the default of depth 2
    ("{init: {scale: 0}}", lambda flat: flat["depth"] == 1),
]


@pytest.mark.parametrize(("entry", "out"), EXCLUDE)
def test_exclude_matches_parts(load, entry, out):
    everything = [cell.flat() for cell in load(BASE).cells]
    kept = [cell.flat() for cell in load(BASE + f"exclude:\n  - {entry}\n").cells]
    assert 0 < len(kept) < len(everything)
    assert kept == [flat for flat in everything if not out(flat)]


def test_every_exclude_counts(load):
    kept = [cell.flat() for cell in load(BASE + "exclude:\n  - {depth: 1, p: 3}\n  - {seed: 1}\n").cells]
    everything = [cell.flat() for cell in load(BASE).cells]
    assert kept == [f for f in everything if not (f["depth"] == 1 and f["p"] == 3) and f["seed"] != 1]


def test_a_key_of_another_data_set_or_rule_matches_nothing(load):
    data = (
        "vary:\n  dataset: [{name: synthetic}, {name: mnist}]\n  digits: [[0, 1]]\n"
        "only_if: {digits: {dataset: mnist}}\nexclude:\n  - {dataset.geometry: gaussian}\n"
    )
    kept = load(grid_of("epochs: 5", data, without="dataset")).cells
    assert [cell.config["dataset"]["name"] for cell in kept] == ["mnist"]
    rules = "vary:\n  step: [{rule: adaptive}, {rule: normalized}]\nexclude:\n  - {step.decay: 1}\n"
    kept = load(grid_of("epochs: 5", rules, without="step")).cells
    assert [cell.config["step"]["rule"] for cell in kept] == ["adaptive"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, load):
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert load_grid(tmp_path / "bom.yaml").cells == load(BASE).cells


def test_excluded_combinations_need_not_be_valid(load):
    scaled = BASE.replace("quadratic", "{layer_scaled: {alpha: [1, 4]}}")
    assert len(load(scaled + "exclude:\n  - {potential: layer_scaled, depth: 1}\n").cells) == 10


def test_what_becomes_one_cell_is_one_cell(load):
    grid = load(BASE + "  width: [10, 20]\n")
    assert len(grid.cells) == 3 * 2 * (1 + 2)  # depth 1 has no hidden layer
    assert len({cell.cell_id for cell in grid.cells}) == len(grid.cells)
    assert {cell.config["width"] for cell in grid.cells if cell.config["depth"] == 1} == {None}


def naive_cells(tree: dict) -> list[str]:
    """The product as one would write it down: every choice laid over `fixed`, made canonical one by one."""
    axes = [[{key: value} for value in values] for key, values in tree["vary"].items()]
    axes += [[dict(zip(entry, row)) for row in zip(*entry.values())] for entry in tree.get("zip", [])]
    ids: dict[str, None] = {}
    for choice in itertools.product(*axes):
        config = {**tree["fixed"], **{key: value for part in choice for key, value in part.items()}}
        if not any(all(config[key] in values for key, values in out.items()) for out in tree.get("exclude", [])):
            ids[cell_from_config(config).cell_id] = None
    return list(ids)


@pytest.mark.parametrize("seed", range(20))
def test_the_expansion_is_the_naive_product(load, seed):
    draw = random.Random(seed)
    values = {
        "depth": [1, 2, 3],
        "width": [4, 8],
        "seed": [0, 1, 2, 3],
        "loss": ["logistic", "exponential"],
        "potential": ["quadratic", "scaled", {"lp": {"p": 1.5}}, {"cosh": {"beta": 2}}],
        "svm_C": [0.1, 1, 10],
        "dtype": ["float32", "float64"],
    }
    keys = draw.sample(list(values), 5)
    lists = {key: draw.sample(values[key], draw.randint(1, len(values[key]))) for key in keys}
    shortest = min(len(lists[key]) for key in keys[3:])
    tree = {
        "question": "q",
        "fixed": {"dataset": {"name": "synthetic"}, "epochs": 5, "step": {"rule": "adaptive"}},
        "vary": {key: lists[key] for key in keys[:3]},
        "zip": [{key: lists[key][:shortest] for key in keys[3:]}],
    }
    tree["fixed"].update({"potential": "quadratic"} if "potential" not in keys else {})
    if len(lists[keys[0]]) > 1:
        tree["exclude"] = [{keys[0]: lists[keys[0]][:1], keys[1]: lists[keys[1]][:2]}]
    if len({json.dumps(row) for row in zip(*tree["zip"][0].values())}) == shortest and naive_cells(tree):
        assert [cell.cell_id for cell in load(json.dumps(tree)).cells] == naive_cells(tree)


SAME = [
    ("quadratic, {lp: {p: 2}}", "1, 2", True),
    ("quadratic, {lp: {p: 2}}", "3", True),
    ("quadratic, {layer_scaled: {alpha: [1, 1]}}", "2", True),
    ("{lp: {p: 2}}, {layer_scaled: {alpha: [1.0]}}", "1", True),
    ("quadratic, [quadratic, {lp: {p: 2}}]", "2", True),
    ("[quadratic, {lp: {p: 3}}], [{lp: {p: 2}}, {lp: {p: 3}}]", "2", True),
    ("quadratic, {layer_scaled: {alpha: [2, 2]}}", "2", False),
    ("quadratic, {lp: {p: 2.0000001}}", "1, 2", False),
    ("[quadratic, {lp: {p: 3}}], [{lp: {p: 3}}, quadratic]", "2", False),
]


@pytest.mark.parametrize(("potentials", "depths", "same"), SAME)
def test_one_run_under_two_names_is_refused(load, refused, potentials, depths, same):
    text = grid_of("epochs: 10", f"vary:\n  potential: [{potentials}]\n  depth: [{depths}]\n", without="potential")
    if same:
        assert all("the same mathematics" in problem for problem in refused(text))
    else:
        assert len(load(text).cells) == 2 * len(depths.split(","))


def test_two_names_that_never_meet_are_two_conditions(load):
    """lp 2 at one width and quadratic at another are different runs."""
    together = "zip:\n  - potential: [quadratic, {lp: {p: 2}}]\n    width: [3, 4]\n"
    text = grid_of("depth: 2", together, without="potential")
    assert len(load(text).cells) == 2
