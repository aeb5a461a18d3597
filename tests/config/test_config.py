"""Grid files come from declarations: one class is enough; the JSON Schema says what the reader accepts."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import jsonschema
import pytest
from fake_grids import GRID_TEXT, ROOT
from hypothesis import HealthCheck, given, settings
from spec_strategies import VALID, valid_trees
from spec_text import BASE

from mdcore.analysis.figures import style
from mdcore.config.cell import COLUMNS, flatten, words_of
from mdcore.config.grid import GridError
from mdcore.config.json_schema import grid_file_schema
from mdcore.config.schema import CLASSES, LEAVES
from mdcore.config.yaml_lines import parse
from mdcore.math.potentials import BUILTIN
from mdcore.math.step_rules import RULES, StepRule
from mdcore.problems.sources import SOURCES

SCHEMA = jsonschema.Draft202012Validator(grid_file_schema())

# One class each, registered as the built-in ones are; then a grid is read that knows nothing else of them.
ONE_CLASS_EACH = '''
import json
from mdcore.math import potentials, step_rules
from mdcore.math.parameters import Integer, Number
from mdcore.problems import sources


class Huber(potentials.Potential):
    """phi(w) = delta^2 (sqrt(1 + (w/delta)^2) - 1)."""

    name, title, colour, limit_p = "huber", "pseudo-Huber", "#123456", 2.0
    parameters = {"delta": Number(above=0, symbol="δ"), "scales": Number(above=0, per_layer=True, example=[1, 2])}


class Polyak(step_rules.Rule):
    """s = eta (R - floor)/N^2."""

    name, needs_norm, needs_risk, deepest = "polyak", True, True, 2
    parameters = {"eta": step_rules.ETA, "floor": Number(least=0, default=0.25)}


class Rings(sources.Source):
    """Two rings."""

    name, titled = "rings", ("turns",)
    parameters = {"turns": Integer(1, 9, default=3), "n": Integer(1, 5), "source": Integer(0, 9, default=0)}

    def label(self, config):
        return f"rings-{config['dataset']['turns']}"

    def title(self, config):
        return f"Rings, {config['dataset']['turns']} turns"

    def read(self, config, record):
        return "two rings"

    def load(self, dataset, digits, pca, seed):
        raise NotImplementedError  # nothing is trained here


potentials.BUILTIN["huber"], step_rules.RULES["polyak"], sources.SOURCES["rings"] = Huber, Polyak, Rings()

import sys
from mdcore.analysis.figures import style
from mdcore.config import labels
from mdcore.config.cell import words_of
from mdcore.config.grid import GridError, cell_from_config, load_grid
from mdcore.config.expansion.selection import select
from mdcore.config.json_schema import grid_file_schema

grid = load_grid(sys.argv[1])
(cell,) = select(grid.cells, ["delta=0.5,step_floor=0.1,dataset_turns=4"])
bad = ["potential={huber: {delta: 0, scale: [1]}}", "step={rule: polyak, flor: 1}", "depth=3", "dataset.n=6"]
other = ["dataset={name: mnist, source: 3}", "digits=[0, 1]"]
try:
    load_grid(sys.argv[1], bad)
except GridError as error:
    refused = error.problems
try:
    load_grid(sys.argv[1], other)
except GridError as error:
    refused += error.problems
print(json.dumps({
    "config": cell.config, "id": cell.cell_id, "flat": cell.flat(), "words": words_of(cell.config["potential"]),
    "data": list(labels.data_words([cell.config]).values()), "varied": grid.varied,
    "again": cell_from_config(cell.config) == cell, "refused": refused,
    "colour": style.colours(["huber0.5+1+2"])["huber0.5+1+2"], "schema": json.dumps(grid_file_schema()),
}))
'''
NEW_GRID = """\
question: q
fixed: {dataset: {name: rings, turns: 4, n: 1}, epochs: 5, depth: 2, step: {rule: polyak, floor: 0.1}}
vary:
  potential: [{huber: {delta: 0.5, scales: [1, 2]}}, {huber: {delta: 2, scales: [1, 2]}}]
"""


def test_a_potential_a_step_rule_and_a_data_source_are_one_class_each(tmp_path):
    (tmp_path / "grid.yaml").write_text(NEW_GRID)
    words = [sys.executable, "-c", ONE_CLASS_EACH, str(tmp_path / "grid.yaml")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)
    assert read["config"]["potential"] == {"huber": {"delta": 0.5, "scales": [1.0, 2.0]}}
    assert read["config"]["step"] == {"rule": "polyak", "eta": 1.0, "floor": 0.1}
    assert read["config"]["dataset"] == {"name": "rings", "turns": 4, "n": 1, "source": 0}
    assert read["id"].startswith("rings-4_huber0.5+1+2_L2_s0-") and read["again"]
    flat = read["flat"]
    assert (flat["delta"], flat["scales"], flat["step_floor"], flat["dataset_turns"]) == (0.5, "1+2", 0.1, 4)
    assert flat["p"] is None and read["varied"] == ["delta"]
    assert read["words"] == "pseudo-Huber, δ = 0.5, scales = (1, 2)" and read["data"] == ["Rings, 4 turns"]
    assert read["colour"] == "#123456"
    assert all(f'"{name}"' in read["schema"] for name in ("huber", "polyak", "rings", "delta", "floor", "turns"))
    refused = "\n".join(read["refused"])
    assert "potential.huber.delta: got 0; expected a number > 0" in refused
    assert "potential.huber: got the unknown key 'scale'; expected the parameter one of delta, scales" in refused
    assert "dataset.source: got 3; expected one of bundled, full" in refused
    assert "dataset.n: got 6; expected an integer from 1 to 5" in refused
    assert "step.flor: unknown key 'flor'" in refused and "did you mean 'floor'" in refused
    assert "got 'polyak' at depth 3; expected one of constant, normalized, adaptive: polyak diverges" in refused


def test_a_data_source_that_lacks_a_method_cannot_be_made():
    class Half(type(SOURCES["file"]).__mro__[1]):
        name, parameters = "half", {}

    with pytest.raises(TypeError, match=r"abstract methods? .*label.*load.*read.*title"):
        Half()


def test_every_declared_parameter_is_a_key_and_a_column():
    for group, classes in (("dataset", SOURCES), ("step", RULES)):
        assert CLASSES[group] is classes
        for cls in classes.values():
            assert all(f"{group}.{name}" in LEAVES for name in cls.parameters)
            assert all(f"{group}_{name}" in COLUMNS for name in cls.parameters)
    assert all(name in COLUMNS for cls in BUILTIN.values() for name in cls.parameters)


@pytest.mark.parametrize("name", RULES)
def test_the_default_of_every_parameter_is_one_the_step_rule_takes(name):
    values = {key: declared.default for key, declared in RULES[name].parameters.items()}
    assert StepRule(name, **values, horizon=10).rule == name


@pytest.mark.parametrize(
    ("potential", "words"),
    [
        ("quadratic", "quadratic"),
        ({"lp": {"p": 3.0}}, "lp, p = 3"),
        ({"cosh": {"beta": 0.5}}, "cosh, β = 0.5"),
        ({"layer_scaled": {"alpha": [1.0, 4.0]}}, "layer-scaled, α = (1, 4)"),
        ([{"lp": {"p": 1.5}}, "quadratic"], "lp1.5 + quadratic"),
        ({"mine:Mix": {"b": 2, "a": 1}}, "Mix, a = 1, b = 2"),
    ],
)
def test_words_of_potentials(potential, words):
    assert words_of(potential) == words


def test_the_well_known_potentials_keep_their_colours():
    labels = ["quadratic", "lp1.5", "lp3", "scaled", "hypentropy0.1", "cosh1", "layer_scaled1+4"]
    wanted = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"]
    assert list(style.colours(labels).values()) == wanted


def test_a_column_is_of_its_own_cell_alone(load):
    """Of a list of potentials the parameters are the input layer's; those given one per layer are joined."""
    config = load(BASE).cells[0].config
    layers = (("lp", "p", 3.0), ("layer_scaled", "alpha", [4.0]), ("lp", "p", 1.5), ("layer_scaled", "alpha", [2.0]))
    entries = [{name: {parameter: value}} for name, parameter, value in layers]
    flat = flatten({**config, "potential": entries, "depth": 4})
    assert (flat["p"], flat["alpha"], flat["beta"]) == (3.0, "4+2", None)


# ---------------------------------------------------------------- the JSON Schema


def wrong(tree) -> bool:
    return not SCHEMA.is_valid(json.loads(json.dumps(tree)))


@pytest.mark.parametrize("path", sorted((ROOT / "grids").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_accepts_the_shipped_grids_which_name_it(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=grid.schema.json\n")
    assert list(SCHEMA.iter_errors(parse(text, "grid", print).data)) == []


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(valid_trees())
def test_what_the_reader_accepts_the_schema_accepts(tree):
    assert not wrong(tree)


CHANGES = {
    "unknown key": lambda tree: tree["fixed"].update(epoch=3),
    "unknown section": lambda tree: tree.update(varry={}),
    "no question": lambda tree: tree.pop("question"),
    "a word for a number": lambda tree: tree["fixed"].update(epochs="many"),
    "a fraction for an integer": lambda tree: tree["fixed"].update(epochs=2.5),
    "out of range": lambda tree: tree["fixed"].update(depth=0),
    "no list to vary": lambda tree: tree["vary"].update(depth=2),
    "an empty list": lambda tree: tree["vary"].update(depth=[]),
    "p = 1": lambda tree: tree["vary"].update(potential=[{"lp": {"p": 1}}]),
    "a parameter of another": lambda tree: tree["vary"].update(potential=[{"lp": {"beta": 3}}]),
    "an unknown potential": lambda tree: tree["vary"].update(potential=["quadratc"]),
    "a parameter missing": lambda tree: tree["vary"].update(potential=["lp"]),
    "an unknown data set": lambda tree: tree["fixed"].update({"dataset.name": "mnits"}),
    "a key of another data set": lambda tree: tree["fixed"].update(dataset={"name": "mnist", "dim": 3}),
    "a key of another rule": lambda tree: tree["fixed"].update(step={"rule": "adaptive", "decay": 1}),
    "a number as step": lambda tree: tree["fixed"].update(step=0.1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_schema_sees_what_the_reader_refuses(name, load):
    tree = copy.deepcopy(VALID[0])
    assert not wrong(tree)
    CHANGES[name](tree)
    assert wrong(tree)
    with pytest.raises(GridError, match=r"grid\.yaml"):
        load(json.dumps(tree))


def test_the_schema_knows_data_sets_and_potentials_of_ones_own():
    tree = {
        "question": "q",
        "fixed": {"dataset": {"name": "mine:data", "n": 3, "shape": [1, {"a": None}]}, "dataset.more": 1},
        "vary": {
            "potential": ["mine:Mix", {"mine:Mix": {"a": 1}}, ["quadratic", {"mine:Mix": None}]],
            "dataset.x": [1],
        },
        "zip": [{"metrics": [["mine:metric"]], "depth": [2]}],
        "plugin_dir": "plugins",
    }
    assert list(SCHEMA.iter_errors(tree)) == []
    assert wrong(tree | {"fixed": {"dataset": "../mine:data"}})


def test_the_schema_is_written(tmp_path):
    words = [sys.executable, "-m", "mdcore.config.json_schema", str(tmp_path / "schema.json")]
    subprocess.run(words, cwd=ROOT, check=True)
    assert json.loads((tmp_path / "schema.json").read_text(encoding="utf-8")) == grid_file_schema()


@pytest.mark.parametrize(
    ("line", "value"), [("timeout: 600", 600.0), ("timeout: 0.5", 0.5), ("keep: false", False)], ids=str
)
def test_what_decides_no_number_is_read_and_is_no_part_of_the_identity(load, line, value):
    name, without = line.split(":")[0], load(GRID_TEXT)
    grid = load(f"{GRID_TEXT}{line}\n")
    assert getattr(grid, name) == getattr(load(grid.resolved_yaml()), name) == value != getattr(without, name)
    assert grid.cells == without.cells and not wrong({"question": "q", name: value})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"timeout: {text}", "seconds without a step, a number > 0")
        for text in ("0", "-1", "soon", "true", ".inf", "null")
    ]
    + [("keep: 10", "true or false: whether to keep what exploring needs")],
)
def test_a_time_out_or_keep_that_is_none_is_refused(load, line, expected):
    with pytest.raises(GridError, match=f"{line.split(':')[0]}: got .*; expected {expected}"):
        load(f"{GRID_TEXT}{line}\n")


@pytest.mark.parametrize("key", ["<<", "<p>", "<own>"])
def test_a_key_that_looks_like_a_tag_is_an_unknown_key(load, key):
    with pytest.raises(GridError, match=f"got the unknown key '{key}'; expected the parameter p"):
        load(f"question: '?'\nvary:\n  potential: [{{lp: {{'{key}': 1.5}}}}]\n")
