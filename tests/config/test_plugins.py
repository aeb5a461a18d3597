"""Plug-ins: run only when a grid names them, from beside the grid file; errors are told with their reason."""

from __future__ import annotations

import pydoc
import sys
from pathlib import Path

import pytest
import torch

from mdcore.config.expansion.selection import select
from mdcore.config.grid import GridError, cell_from_config, load_grid
from mdcore.config.plugins import loading as plugins
from mdcore.config.plugins.sources import loaded_plugins
from mdcore.math.step_rules import Moment
from mdcore.problems.datasets import DataError, Dataset
from mdcore.store.fingerprint import changes, code_parts
from mdcore.store.runs import Run, write_head
from mdcore.training.cell_data import load_data

POTENTIAL = '''\
"""phi(w) = c w^4 / 4."""
from dataclasses import dataclass

from mdcore.math.potentials import Potential


@dataclass
class Part:
    x: int = 0


class Quartic(Potential):
    name, parameters, limit_p = "quartic", ("c",), 4.0

    def __init__(self, c=1.0):
        if c <= 0:
            raise ValueError(f"c = {c}; expected c > 0")
        self.c = c

    def value_per_entry(self, w):
        return self.c * w**4 / 4

    def mirror_map(self, w):
        return self.c * w**3

    def inverse_mirror_map(self, z, out=None):
        w = z.sign() * (z.abs() / self.c) ** (1 / 3)
        return w if out is None else out.copy_(w)


class Half(Potential):
    def mirror_map(self, w):
        return w


def data(n=10, noise=0.5):
    return n, noise


def metric(w):
    return float(w.sum())


def worse(w):
    return 1.0


worse.better = "larger"
NUMBER = 3
'''
GRID = """\
question: q
fixed:
  dataset: {name: synthetic}
  epochs: 10
  step: {rule: adaptive}
  potential: POTENTIAL
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "mine.py").write_text(POTENTIAL)
    return tmp_path / "grids"


def grid(folder: Path, potential: str = "mine:Quartic", *overrides: str, more: str = "", dataset: str = ""):
    text = GRID.replace("POTENTIAL", potential) + more
    (folder / "grid.yaml").write_text(text.replace("{name: synthetic}", dataset or "{name: synthetic}"))
    return load_grid(folder / "grid.yaml", list(overrides))


def problems(folder: Path, *arguments: str) -> str:
    with pytest.raises(GridError) as error:
        grid(folder, *arguments)
    return str(error.value)


def test_a_potential_beside_the_grid_file(folder):
    loaded = grid(folder, "{mine:Quartic: {c: 2}}")
    (cell,) = loaded.cells
    assert loaded.plugins == ["mine:Quartic"] and loaded.plugin_dir == str(folder.resolve())
    assert cell.config["potential"] == {"mine:Quartic": {"c": 2}}
    assert cell.cell_id.startswith("synthetic-gaussian-d20_mine.Quartic-c2_L1_s0-")
    assert cell.flat()["potential"] == "mine:Quartic" and cell.flat()["potential_label"] == "mine.Quartic-c2"
    (potential,) = plugins.potentials_for(cell.config, loaded.plugin_dir)
    w = torch.tensor([-2.0, 0.5], dtype=torch.float64)
    assert torch.allclose(potential.inverse_mirror_map(potential.mirror_map(w)), w) and potential.limit_p == 4.0


def test_one_and_one_point_zero_are_one_parameter(folder):
    assert grid(folder, "{mine:Quartic: {c: 1}}").cells == grid(folder, "{mine:Quartic: {c: 1.0}}").cells
    assert grid(folder, "mine:Quartic").cells == grid(folder, "{mine:Quartic: {}}").cells
    assert grid(folder, "{mine:Quartic: {c: 1}}").cells != grid(folder, "{mine:Quartic: {c: 1.5}}").cells


def test_plug_ins_among_the_layers(folder):
    loaded = grid(folder, "[{mine:Quartic: {c: 3}}, {lp: {p: 1.5}}]", "depth=2")
    first, second = plugins.potentials_for(loaded.cells[0].config, loaded.plugin_dir)
    assert (first.c, second.p) == (3, 1.5)


def test_a_data_set_and_metrics(folder):
    overrides = "dataset={name: mine:data, n: 7.0, dim: many}", "metrics=[mine:metric]"
    loaded = grid(folder, "quadratic", *overrides)
    (cell,) = loaded.cells
    assert cell.config["dataset"] == {"name": "mine:data", "n": 7, "dim": "many"}
    assert cell.config["metrics"] == ["mine:metric"] and loaded.plugins == ["mine:data", "mine:metric"]
    assert cell.dataset_label == "mine.data" and cell.cell_id.startswith("mine.data_quadratic_L1_s0-")
    assert cell.flat()["dataset"] == "mine:data" and cell.flat()["param.n"] == 7 and cell.flat()["dataset_n"] is None
    assert plugins.load_dataset("mine:data", loaded.plugin_dir)(n=3) == (3, 0.5)
    assert plugins.load_metric("mine:metric", loaded.plugin_dir)(torch.ones(2)) == 2.0
    assert cell_from_config(cell.config) == cell


def test_parameters_of_a_data_set_can_vary(folder):
    vary = "vary:\n  dataset.n: [3, 4]\n  dataset.noise: [0.5, 1]\n  seed: [0, 1]\n"
    loaded = grid(folder, "quadratic", more=vary, dataset="mine:data")
    assert len(loaded.cells) == 8 and loaded.varied == ["param.n", "param.noise"]
    assert len({cell.data_key for cell in loaded.cells}) == 8  # its draw may hang on the seed
    (folder / "again.yaml").write_text(loaded.resolved_yaml())
    assert load_grid(folder / "again.yaml").cells == loaded.cells


def test_resolved_text_finds_the_plug_in_from_another_directory(folder, tmp_path):
    loaded = grid(folder)
    elsewhere = tmp_path / "runs" / "grid.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(loaded.resolved_yaml())
    again = load_grid(elsewhere)
    assert again.cells == loaded.cells and again.plugin_dir == loaded.plugin_dir
    assert "plugin_dir" not in str(again.cells[0].config)  # the place is no part of the identity
    (elsewhere.parent / "mine.py").write_text(POTENTIAL)  # a copy beside the text goes first
    assert load_grid(elsewhere).plugin_dir == str(elsewhere.parent.resolve())


def test_the_working_directory_comes_after_that_of_the_grid_file(folder, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(POTENTIAL)
    monkeypatch.chdir(tmp_path)
    assert grid(folder).plugin_dir == str(folder.resolve())
    (folder / "mine.py").unlink()
    assert grid(folder).plugin_dir == str(tmp_path.resolve())
    monkeypatch.chdir("/")
    assert "its file is not found" in problems(folder)


def test_a_file_is_compiled_as_if_it_were_imported(folder):
    """Without the future statements of the module that loads it."""
    (folder / "mine.py").write_text(
        "class Kind: ...\ndef f(x: Kind): ...\ndef data(): return f.__annotations__['x'] is Kind\n"
    )
    assert plugins.load_dataset("mine:data", folder)() is True


def test_conditions_on_parameters_of_a_data_set_are_typed(folder):
    sections = "vary:\n  dataset.flag: [true, 1, 2]\nexclude:\n  - {dataset.flag: 1}\n"
    cells = grid(folder, "quadratic", more=sections, dataset="mine:data").cells
    assert [cell.config["dataset"]["flag"] for cell in cells] == [True, 2]


def test_a_plug_in_that_is_not_named_is_not_run(folder):
    (folder / "mine.py").write_text("raise SystemExit('run')\n")
    assert grid(folder, "quadratic").plugins == []
    config = grid(folder, "quadratic").cells[0].config
    assert cell_from_config({**config, "potential": "mine:Quartic"}).config["potential"] == "mine:Quartic"


def test_it_is_loaded_under_a_private_name_and_leaves_no_cache(folder):
    before = set(sys.modules)
    first, second = (plugins.load_potential("mine:Quartic", folder) for _ in range(2))
    assert first is second and "mine" not in sys.modules
    assert {name for name in set(sys.modules) - before if "mine" in name} <= {first.__module__}
    assert first.__module__.startswith("_mdcore_plugin_mine_")
    assert [path.name for path in folder.iterdir()] == ["mine.py"]


def test_a_file_named_like_a_module_shadows_nothing(folder):
    import json

    (folder / "json.py").write_text(POTENTIAL)
    assert plugins.load_potential("json:Quartic", folder) is not None
    assert sys.modules["json"] is json


def test_a_changed_file_is_another_class_and_another_fingerprint(folder):
    config = grid(folder).cells[0].config
    before, first = plugins.plugin_fingerprint(config, folder), plugins.load_potential("mine:Quartic", folder)
    (folder / "mine.py").write_text(POTENTIAL + "\n# changed\n")
    assert plugins.plugin_fingerprint(config, folder) != before
    assert plugins.load_potential("mine:Quartic", folder) is not first
    assert grid(folder).cells[0].cell_id == cell_from_config(config).cell_id  # identity is what was asked for
    assert plugins.plugin_fingerprint({**config, "potential": "quadratic"}, folder) == ""


@pytest.mark.parametrize(
    ("potential", "parts"),
    [
        ("mime:Quartic", ["mime:Quartic: its file is not found", "mime.py", "did you mean 'mine'"]),
        ("mine:Quartik", ["has no Quartik", "did you mean 'Quartic'"]),
        ("mine:NUMBER", ["is not a potential", "class NUMBER(Potential)"]),
        ("mine:metric", ["is not a potential"]),
        ("mine:Half", ["has no value_per_entry, inverse_mirror_map"]),
        ("{mine:Quartic: {c: -1}}", ["cannot be made", "ValueError: c = -1; expected c > 0"]),
        ("{mine:Quartic: {d: 1}}", ["cannot be made", "unexpected keyword argument 'd'"]),
        ("{mine:Quartic: {c: .nan}}", ["got nan", "finite"]),
        ("{mine:Quartic: 3}", ["got 3; expected a mapping of its parameters"]),
        *((reference, ["no directories, no dots"]) for reference in (
            "../mine:Quartic", "/etc/mine:Quartic", "a.mine:Quartic", "mine.py:Quartic", "mine:Quartic.c", "'mine:'",
            "':Quartic'", "'mine:Quartic\\n'", "mine:Quartic:c",
        )),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plug_in_is_told(folder, potential, parts):
    message = problems(folder, potential)
    assert f"{folder / 'grid.yaml'}:6: fixed.potential" in message
    assert all(part in message for part in parts), message


BROKEN = {
    "import nothing_there\n": "ModuleNotFoundError",
    "def f(:\n": "SyntaxError",
    "raise SystemExit(3)\n": "SystemExit: 3",
    "x = 1 / 0\n": "ZeroDivisionError",
    "\0": "",
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_file_that_does_not_run_is_told(folder, source):
    (folder / "mine.py").write_text(source)
    message = problems(folder)
    assert f"{folder / 'grid.yaml'}:6: fixed.potential" in message
    assert f"mine.py: cannot be imported: {BROKEN[source]}" in message


WRONG_LISTS = ("[]", "mine:metric", "[mine:metric, mine:metric]", '["mine:metric\\n"]')


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("dataset={name: mine:dita}", ["has no dita", "did you mean 'data'"]),
        ("dataset={name: mine:NUMBER}", ["is a int; expected a function"]),
        ("dataset={name: ../mine:data}", ["expected one of synthetic, mnist, file, sklearn, or a plug-in"]),
        ("dataset={name: mine:data, x: .inf}", ["dataset.x: got inf"]),
        ("metrics=[mine:nothing]", ["has no nothing"]),
        ("metrics=[mine:worse]", ["mine:worse: its better is 'larger'; expected 'low' or 'high'"]),
        *((f"metrics={value}", ["a list of different plug-ins"]) for value in WRONG_LISTS),
        ("digits=[0, 1]", ["digits"]),
    ],
)
def test_wrong_data_sets_and_metrics_are_told(folder, override, parts):
    message = problems(folder, "quadratic", override)
    assert message.startswith(f"--set {override}: ") and all(part in message for part in parts), message


@pytest.mark.parametrize(
    "reference", ["../mine:Quartic", "a/b:C", "mine", "mine:", ":x", "a.b:C", "mine:Quartic ", 3, None]
)
@pytest.mark.parametrize("load", [plugins.load_potential, plugins.load_dataset, plugins.load_metric])
def test_references_cannot_leave_their_directory(folder, load, reference):
    with pytest.raises(GridError, match="my_file:Name"):
        load(reference, folder)


def test_loading_needs_the_file_still(folder):
    config = grid(folder).cells[0].config
    (folder / "mine.py").unlink()
    for call in (plugins.potentials_for, plugins.plugin_fingerprint):
        with pytest.raises(GridError, match="cannot be read"):
            call(config, folder)


@pytest.mark.parametrize(
    ("potential", "depth", "expected"),
    [
        ("quadratic", 3, "quadratic"),
        ({"layer_scaled": {"alpha": [2.0, 5.0]}}, 2, {"layer_scaled": {"alpha": [2.0]}}),
        ([{"lp": {"p": 3.0}}, "scaled"], 2, {"lp": {"p": 3.0}}),
        ([{"mine:Quartic": {"c": 3}}, {"lp": {"p": 1.5}}], 2, {"mine:Quartic": {"c": 3}}),
    ],
)
def test_the_companion_is_linear_with_the_input_layers_potential(folder, potential, depth, expected):
    base = grid(folder, "quadratic", "step={rule: constant, eta: 0.5}", "seed=4").cells[0].config
    deep = {"depth": depth, "width": 3, "init": {"scale": 0.2, "distribution": "normal"}}
    config = cell_from_config({**base, **deep, "potential": potential}).config
    companion = plugins.companion_config(config)
    linear = {"depth": 1, "width": None, "init": {"scale": 0.0, "distribution": "normal"}}
    assert companion == config | linear | {"potential": expected}
    assert cell_from_config(companion).config == companion
    assert [len(plugins.potentials_for(each, folder)) for each in (config, companion)] == [depth, 1]


def test_each_layer_of_layer_scaled_has_its_own_alpha(folder):
    config = grid(folder, "{layer_scaled: {alpha: [2, 5]}}", "depth=2").cells[0].config
    assert [potential.alpha for potential in plugins.potentials_for(config)] == [2.0, 5.0]


# ---------------------------------------------------------------- step rules

RULE = """\
from mdcore.math.parameters import Number
from mdcore.math.step_rules import ETA, Rule


class Decay(Rule):
    name, needs_norm, deepest = "decay", True, 2
    parameters = {"eta": ETA, "power": Number(least=0, most=1, default=0.5), "floor": Number(above=0)}

    @staticmethod
    def coefficient(step, now):
        return step.eta * now.t ** -step.parameters["power"] / now.norm + step.parameters["floor"]


class Lacking(Rule):
    pass


class Untyped(Decay):
    parameters = ("eta",)


class One(Decay):
    @staticmethod
    def coefficient(step, now):
        return now.norm.sum()


class Backwards(Decay):
    @staticmethod
    def coefficient(step, now):
        return -now.norm


class Raises(Decay):
    @staticmethod
    def coefficient(step, now):
        return now.speed


NUMBER = 3
"""


@pytest.fixture
def rules(folder):
    (folder / "mine.py").write_text(RULE)
    return folder


def test_a_step_rule_beside_the_grid_file(rules):
    loaded = grid(rules, "quadratic", "step={rule: mine:Decay, floor: 3.0}", "depth=[1, 2]")
    cell = loaded.cells[0]
    assert cell.config["step"] == {"rule": "mine:Decay", "floor": 3} and loaded.plugins == ["mine:Decay"]
    flat = cell.flat()
    assert (flat["step_rule"], flat["param.floor"], flat["step_eta"]) == ("mine:Decay", 3, None)
    assert cell_from_config(cell.config) == cell and plugins.references(cell.config) == {"mine:Decay": "step rule"}
    assert plugins.plugin_fingerprint(cell.config, rules)
    rule = plugins.rule_for(cell.config, rules)
    assert rule.needs_norm and not rule.needs_risk and rule.parameters == {"eta": 1.0, "power": 0.5, "floor": 3.0}
    two = torch.tensor([1.0, 2.0])
    got = rule.coefficient(Moment(4, two, 0 * two, 0 * two, two))
    assert torch.equal(got, 0.5 / two + 3.0)
    (rules / "grid.yaml").write_text(loaded.resolved_yaml())
    assert load_grid(rules / "grid.yaml").cells == loaded.cells


def test_parameters_of_a_step_rule_can_vary_and_be_picked(rules):
    loaded = grid(rules, "quadratic", "step={rule: mine:Decay, floor: 1}", "step.power=[0, 0.5]")
    assert loaded.varied == ["param.power"] and len(loaded.cells) == 2
    assert [cell.config["step"]["power"] for cell in select(loaded.cells, ["step.power=0.5"])] == [0.5]
    text = (rules / "grid.yaml").read_text() + "vary:\n  step: [{rule: mine:Decay, floor: 1}, {rule: normalized}]\n"
    text = text.replace("  step: {rule: adaptive}\n", "") + "exclude:\n  - {step: mine:Decay}\n"
    (rules / "grid.yaml").write_text(text)
    assert [cell.config["step"]["rule"] for cell in load_grid(rules / "grid.yaml").cells] == ["normalized"]


@pytest.mark.parametrize(
    ("step", "parts"),
    [
        ("{rule: mine:Dicay}", ["has no Dicay", "did you mean 'Decay'"]),
        ("{rule: mine:NUMBER}", ["is not a step rule; expected `class NUMBER(Rule)`"]),
        ("{rule: mine:Lacking}", ["has no coefficient"]),
        ("{rule: mine:Untyped}", ["parameters is ('eta',); expected {name: Number(…)}"]),
        ("{rule: mine:Decay}", ["cannot be made", "parameter floor missing"]),
        ("{rule: mine:Decay, floor: 0}", ["floor = 0.0; expected a finite number > 0"]),
        ("{rule: mine:Decay, floor: much}", ["cannot be made", "could not convert"]),
        ("{rule: mine:Decay, flor: 1}", ["unknown parameter 'flor'; expected one of eta, power, floor"]),
        ("{rule: mine:One, floor: 1}", ["coefficient gives a Tensor of shape (); expected a tensor (K,)"]),
        ("{rule: mine:Backwards, floor: 1}", ["expected numbers > 0"]),
        ("{rule: mine:Raises, floor: 1}", ["coefficient raises AttributeError"]),
        ("{rule: ../mine:Decay}", ["expected one of constant, normalized, adaptive, loss_scaled, or a plug-in"]),
        ("{rule: mine:Decay, floor: .inf}", ["step.floor: got inf"]),
    ],
)
def test_what_is_wrong_with_a_step_rule_is_told(rules, step, parts):
    message = problems(rules, "quadratic", f"step={step}")
    assert message.startswith(f"--set step={step}: ") and all(part in message for part in parts), message


def test_a_step_rule_that_is_too_deep_is_told(rules):
    message = problems(rules, "quadratic", "step={rule: mine:Decay, floor: 1}", "depth=[2, 3]")
    assert "is for depth ≤ 2; got depth 3" in message


def test_a_run_directory_repeats_itself_wherever_it_lies(folder, tmp_path):
    """It holds its plug-ins' sources; where they lay before is not said, and may be gone."""
    loaded = grid(folder)
    run = tmp_path / "20250101_t"
    run.mkdir()
    write_head(Run(run, new=True), loaded, {})
    (folder / "mine.py").unlink()
    moved = run.rename(tmp_path / "20250101_moved")
    again = load_grid(moved / "grid.yaml")
    assert again.cells == loaded.cells and again.plugin_dir == str(moved)
    assert str(folder) not in (moved / "grid.yaml").read_text()
    write_head(Run(moved, new=False), again, {})  # a file copied onto itself
    assert (moved / "mine.py").read_text() == POTENTIAL


# ---- what a plug-in imports beside it


def beside(folder: Path, value: int) -> Path:
    """mine:value gives a number that far.py decides, by way of near.py."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(
        "import numpy\nfrom near import far\n\ndef value(w):\n    return float(far.VALUE)\n"
    )
    (folder / "near.py").write_text("import far, near\n")
    (folder / "far.py").write_text(f"VALUE = {value}\n")
    return folder


def test_what_a_plugin_imports_beside_it_decides_with_it(tmp_path):
    """Each directory's own, by its present content; none stays where another plug-in could import it."""
    first, second = beside(tmp_path / "a", 1), beside(tmp_path / "b", 2)
    assert [plugins.load_metric("mine:value", folder)(None) for folder in (first, second)] == [1, 2]
    config = {**grid(first, "quadratic").cells[0].config, "metrics": ["mine:value"]}
    before = plugins.plugin_fingerprint(config, first)
    beside(first, 3)
    assert plugins.load_metric("mine:value", first)(None) == 3 and plugins.plugin_fingerprint(config, first) != before
    assert [path.name for path in plugins.source_files(["mine:value"], first)] == ["far.py", "mine.py", "near.py"]
    assert loaded_plugins().keys() >= {"far.py", "near.py", "mine.py"}
    assert not {"far", "near", "mine"} & sys.modules.keys() and not list(first.glob("__pycache__"))


def test_a_module_that_python_finds_elsewhere_is_none_of_the_plugins(tmp_path):
    beside(tmp_path, 1)
    (tmp_path / "numpy.py").write_text("raise ValueError('taken from beside')\n")
    (tmp_path / "mine.py").write_text("import numpy\nimport json\nvalue = lambda w: float(numpy.sqrt(4))\n")
    assert plugins.load_metric("mine:value", tmp_path)(None) == 2
    assert [path.name for path in plugins.source_files(["mine:value"], tmp_path)] == ["mine.py"]


@pytest.mark.parametrize("form", ["module", "package", "by text"])
def test_what_would_decide_without_being_known_is_refused(tmp_path, monkeypatch, form):
    """A module of the working directory that is not beside the plug-in, a package, an import that no text names."""
    plugin, work = tmp_path / "grids", tmp_path / "work"
    plugin.mkdir()
    (work / "helping").mkdir(parents=True)
    (work / ("helping/__init__.py" if form == "package" else "helping.py")).write_text("VALUE = 1\n")
    line = "import importlib; importlib.import_module('helping')" if form == "by text" else "import helping"
    (plugin / "mine.py").write_text(f"{line}\nvalue = lambda w: 1.0\n")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend("")
    for _ in range(2):
        with pytest.raises(GridError, match=r"mine.py: imports helping from .*; expected one file helping.py beside"):
            plugins.load_metric("mine:value", plugin)


def test_a_run_keeps_what_its_plugins_import(tmp_path):
    """So that the run repeats its grid wherever it lies, and a changed neighbour makes its cells stale."""
    folder = beside(tmp_path / "grids", 1)
    loaded = grid(folder, "quadratic", "metrics=[mine:value]")
    run = Run(tmp_path / "run", new=True)
    run.path.mkdir()
    write_head(run, loaded, {})
    assert plugins.load_metric("mine:value", run.path)(None) == 1
    before = code_parts(loaded.plugin_files)
    beside(folder, 2)
    assert changes(before, code_parts(loaded.plugin_files)) == ["plug-in far.py changed"]


def test_what_is_no_data_set_is_refused_with_the_class_that_is_expected(tmp_path):
    (tmp_path / "mine.py").write_text("def make(seed):\n    return {}\n")
    with pytest.raises(DataError, match=r"^mine:make returned dict; expected a \S+$") as error:
        load_data({"dataset": {"name": "mine:make"}, "seed": 0}, tmp_path)
    assert pydoc.locate(str(error.value).split()[-1]) is Dataset
