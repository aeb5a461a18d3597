"""What is asked of a grid: configurations, --set, --only, the resolved text; shipped grids; size and cost."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from fake_grids import ROOT
from spec_text import BASE, MNIST, grid_of

from mdcore.config.expansion.selection import select
from mdcore.config.grid import Grid, GridError, cell_from_config, load_grid
from mdcore.problems.datasets import load_dataset

GRIDS = ROOT / "grids"
SHIPPED = {"quick_debug": 12, "synthetic_potentials": 190, "mnist_pairs": 72}


def repeated(grid: Grid) -> bool:
    """Whether every cell is made again from its configuration as JSON has it."""
    again = [cell_from_config(json.loads(json.dumps(cell.config))) for cell in grid.cells]
    return repr(again) == repr(grid.cells)


def same(one: Grid, other: Grid) -> bool:
    """Cells are equal iff their ids are."""
    return all(getattr(one, name) == getattr(other, name) for name in ("cells", "varied", "grid_hash", "question"))


def test_cell_from_config_repeats_a_cell(load):
    assert all(repeated(load(text)) for text in (BASE, MNIST, BASE.replace("quadratic", "scaled")))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"depth": 0}, "depth: got 0"),
        ({"depth": "2"}, "depth: got '2'"),
        ({"lr": 1}, "lr: unknown key"),
        ({"dataset": 3}, "dataset: got 3"),
        ({"potential": {"lp": {"p": float("nan")}}}, "got nan"),
        ({"init": {"scale": 0.0}}, "saddle"),
        ({"stop": {}}, "stop: got {}"),
        ({"step": {"rule": "loss_scaled"}}, "loss_scaled"),
        ({"seed": [0]}, "seed: got [0]"),
        ({"seed": {1}}, "got a set"),
        ({"step.eta": 1}, "step.eta: unknown key"),
        ({"digits": [3, 5]}, "digits"),
        ({"width": None}, "width"),
        ({7: 7}, "not strings"),
    ],
)
def test_cell_from_config_refuses_what_a_grid_refuses(load, change, part):
    config = load(BASE).cells[-1].config
    with pytest.raises(GridError, match=re.escape(part)):
        cell_from_config({**config, **change})


def test_cell_from_config_needs_a_mapping():
    with pytest.raises(GridError, match="expected a mapping"):
        cell_from_config([1])
    nested: dict = {}
    nested["dataset"] = nested
    with pytest.raises(GridError, match="nested more than"):
        cell_from_config(nested)


OVERRIDES = [
    # (overrides, number of cells, check of every configuration)
    (["depth=2"], 6, lambda c: c["depth"] == 2),
    (["depth=[2]"], 6, lambda c: c["depth"] == 2),
    (["depth=[2, 3]"], 12, lambda c: c["depth"] in (2, 3)),
    (["epochs=1e3"], 12, lambda c: c["epochs"] == 1000),
    (["epochs=[5, 6]"], 24, lambda c: c["epochs"] in (5, 6)),
    (["seed=[0, 1, 2, 3]", "depth=1"], 12, lambda c: c["depth"] == 1),
    (["potential=scaled"], 4, lambda c: c["potential"] == "scaled"),
    (["potential=[scaled, {lp: {p: 4}}]"], 8, lambda c: c["potential"] in ("scaled", {"lp": {"p": 4.0}})),
    (["potential=[[scaled, {lp: {p: 4}}]]", "depth=2"], 2, lambda c: c["potential"] == ["scaled", {"lp": {"p": 4.0}}]),
    (["dataset.dim=30"], 12, lambda c: c["dataset"]["dim"] == 30 and c["dataset"]["n"] == 60),
    (["dataset.dim=[30, 40]"], 24, lambda c: c["dataset"]["dim"] in (30, 40)),
    (["dataset={name: mnist}", "digits=[3, 5]", "pca=50"], 12, lambda c: c["digits"] == [3, 5] and c["pca"] == 50),
    (["dataset={name: mnist}", "digits=[[3, 5], [0, 1]]"], 24, lambda c: c["digits"] in ([3, 5], [0, 1])),
    (["step={rule: constant, eta: 0.5}"], 12, lambda c: c["step"] == {"rule": "constant", "eta": 0.5}),
    (["step.eta=0.5"], 12, lambda c: c["step"] == {"rule": "adaptive", "eta": 0.5}),
    (["stop={gap: 0.01}"], 12, lambda c: c["stop"] == {"gap": 0.01}),
    (["init.scale=0.1"], 12, lambda c: c["init"]["scale"] == 0.1),
    (["question=Why?"], 12, lambda c: True),
    ([" depth = 2 "], 6, lambda c: c["depth"] == 2),
]


@pytest.mark.parametrize(("overrides", "count", "check"), OVERRIDES)
def test_overrides(load, overrides, count, check):
    grid = load(BASE, *overrides)
    assert len(grid.cells) == count and all(check(cell.config) for cell in grid.cells)
    assert load(grid.resolved_yaml()).cells == grid.cells


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("depth=zwei", ["--set depth=zwei: depth: got 'zwei', a string; expected an integer ≥ 1"]),
        ("dpeth=2", ["--set dpeth=2: dpeth: unknown key", "did you mean 'depth'"]),
        ("p=3", ["belongs to a potential"]),
        ("depth", ["expected key=value"]),
        ("=2", ["expected key=value"]),
        ("", ["expected key=value"]),
        ("depth=", ["got nothing (null)"]),
        ("depth=[1, 2", ["--set depth=[1, 2: not YAML"]),
        ("depth=[]", ["got an empty list"]),
        ("depth=[1, 1.0]", ["a value twice"]),
        ("depth=!!python/name:os", ["not safe"]),
        ("depth=" + "[" * 1000, ["nested more than"]),
        ("potential={lp: {p: 1}}", ["potential.lp.p: got 1"]),
        ("init.scale=0", ["--set init.scale=0: init.scale: got 0 at depth 2"]),
        ("step={}", ["expected a mapping"]),
        ("dataset.path=[a, b]", ["path is of dataset one of mnist, file"]),
        ("question=3", ["non-empty string"]),
        ("depth=1\x1b[31m", ["\\x1b[31m"]),
        ("depth=\udcff", ["not Unicode"]),
    ],
)
def test_bad_overrides_name_their_text(refused, override, parts):
    message = "\n".join(refused(BASE, override))
    assert message.startswith("--set ") and "\x1b" not in message
    assert all(part in message for part in parts), message


def test_the_same_key_overridden_twice_is_refused(refused):
    assert "set already by --set depth=1" in refused(BASE, "depth=1", "depth=2")[0]
    assert "step.eta is set already" in refused(BASE, "step.eta=1", "step={rule: constant, eta: 2}")[0]


def test_overrides_of_keys_that_move_together(load, refused):
    text = BASE + "zip:\n  - width: [3, 4]\n    loss: [logistic, exponential]\n"
    assert {cell.config["loss"] for cell in load(text, "width=5").cells} == {"logistic", "exponential"}
    pairs = {(c.config["width"], c.config["loss"]) for c in load(text, "width=[6, 7]", "depth=2").cells}
    assert pairs == {(6, "logistic"), (7, "exponential")}
    assert "expected 2: width moves together with loss" in refused(text, "width=[5, 6, 7]")[0]


def test_a_part_of_what_varies_as_a_whole(load, refused):
    text = BASE.replace("  step: {rule: adaptive}\n", "") + "  step: [{rule: constant, eta: 0.1}, {rule: adaptive}]\n"
    assert "varies as a whole" in "\n".join(refused(text, "step.rule=constant"))
    grid = load(text.replace("{rule: adaptive}", "{rule: adaptive, eta: 2}"), "step.eta=5")
    assert {cell.config["step"]["eta"] for cell in grid.cells} == {5.0} and len(grid.cells) == 24
    assert load(grid.resolved_yaml()).cells == grid.cells


def test_a_key_that_an_override_makes_vary_keeps_its_place_in_the_resolved_text(load):
    grid = load(
        BASE + "zip:\n  - {width: [3, 4], svm_C: [1, 2]}\n  - dtype: [float64, float32]\n",
        "epochs=[8, 9]",
        "dtype=[float32, float64]",
    )
    assert load(grid.resolved_yaml()).cells == grid.cells


def test_an_exclude_that_overrides_make_idle_is_dropped(load):
    grid = load(BASE + "exclude:\n  - {depth: 1, seed: 0}\n", "depth=2")
    assert len(grid.cells) == 6 and "exclude" not in grid.raw
    assert load(grid.resolved_yaml()).cells == grid.cells


ONLY = [
    (["depth=2"], lambda f: f["depth"] == 2),
    (["potential=lp"], lambda f: f["potential"] == "lp"),
    (["potential=lp1.5"], lambda f: f["p"] == 1.5),
    (["p=1.5"], lambda f: f["p"] == 1.5),
    (["p=1.50"], lambda f: f["p"] == 1.5),
    (["p=null"], lambda f: f["p"] is None),
    (["digits=3v5"], lambda f: f["digits"] == "3v5"),
    (["pca=50"], lambda f: f["pca"] == 50),
    (["pca=null"], lambda f: f["pca"] is None),
    (["seed=0,depth=1"], lambda f: f["seed"] == 0 and f["depth"] == 1),
    ([" seed = 0 , depth = 1 "], lambda f: f["seed"] == 0 and f["depth"] == 1),
    (["seed=0", "depth=1"], lambda f: f["seed"] == 0 or f["depth"] == 1),
    (["step.rule=adaptive"], lambda f: True),
    (["dataset=mnist,depth=1"], lambda f: f["depth"] == 1),
    ([], lambda f: True),
]


@pytest.mark.parametrize(("only", "keep"), ONLY)
def test_filters(load, only, keep):
    cells = load(MNIST).cells
    wanted = [cell for cell in cells if keep(cell.flat())]
    assert wanted and select(cells, only) == wanted


def test_filter_by_id(load):
    cells = load(MNIST).cells
    assert select(cells, [f"cell_id={cells[3].cell_id}"]) == [cells[3]]
    assert len(select(cells, [f"condition_id={cells[3].condition_id}"])) == 2


@pytest.mark.parametrize(
    ("only", "parts"),
    [
        ("depht=2", ["unknown key", "did you mean 'depth'"]),
        ("depth=7", ["got '7'", "there are 1, 2"]),
        ("potential=lp3.5", ["there are quadratic, lp, lp1.5, lp3", "did you mean 'lp3'|did you mean 'lp1.5'"]),
        ("pca=200", ["there are 50, null"]),
        ("dtype=float32", ["there is float64"]),
        ("depth=1,depth=2", ["no cell has all of these"]),
        ("depth", ["expected key=value"]),
        ("", ["expected key=value"]),
        ("depth=1,", ["expected key=value"]),
        ("depth=", ["expected key=value"]),
    ],
)
def test_bad_filters_say_what_there_is(load, only, parts):
    with pytest.raises(GridError) as error:
        select(load(MNIST).cells, ["seed=0", only])
    message = str(error.value)
    assert message.startswith(f"--only {only}") and all(re.search(part, message) for part in parts), message


SECTIONS = {
    "zip": "zip:\n  - {width: [3, 4], loss: [logistic, exponential]}\n",
    "only_if": "  init.scale: [0.1, 0.2]\nonly_if:\n  init.scale: {depth: 2, potential: [lp]}\n",
    "exclude": "exclude:\n  - {potential: lp, depth: [2]}\n",
    "stop": "  stop: [null, {gap: 0.01}]\n",
    "dataset": "  dataset.noise: [1e-3, 0.1]\n",
}


@pytest.mark.parametrize("name", SECTIONS)
def test_resolved_text_gives_the_same_grid(load, name):
    text = BASE.replace(", noise: 1", "") if name == "dataset" else BASE
    grid = load(text + SECTIONS[name], "svm_C=0.30000000000000004")
    again = load(grid.resolved_yaml())
    assert same(again, grid)
    assert again.resolved_yaml().split("\n", 1)[1] == grid.resolved_yaml().split("\n", 1)[1]


def test_resolved_text_writes_shared_defaults(load):
    raw = load(MNIST).raw
    assert raw["fixed"]["dataset"]["test_fraction"] == 0.2 and raw["fixed"]["width"] == 50
    assert "scale" not in raw["fixed"]["init"]  # differs between depths


# ---------------------------------------------------------------- shipped grids, size, cost


@pytest.mark.parametrize("name", SHIPPED)
def test_the_header_of_a_shipped_grid_says_how_many_cells_it_has(name):
    path = GRIDS / f"{name}.yaml"
    assert len(load_grid(path).cells) == SHIPPED[name]
    header = path.read_text(encoding="utf-8").split("\nquestion:")[0]
    assert all(line.startswith("#") or not line for line in header.split("\n"))
    assert "Question:" in header and f"{SHIPPED[name]} cells" in header


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("overrides", [["epochs=7"], ["depth=2", "width=3"], ["seed=[4, 5]"]], ids=str)
def test_shipped_grids_with_overrides_read_back_from_their_resolved_text(load, name, overrides):
    grid = load_grid(GRIDS / f"{name}.yaml", overrides)
    assert same(load(grid.resolved_yaml()), grid) and repeated(grid)


@pytest.mark.parametrize("path", sorted(GRIDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_grid_of_the_repository_reads_back_from_its_resolved_text(load, path):
    grid = load_grid(path)
    again = load(grid.resolved_yaml())
    assert same(again, grid) and repeated(grid)
    assert again.plugins == grid.plugins and again.plugin_dir == grid.plugin_dir


def test_mnist_pairs_is_the_main_job():
    flats = [cell.flat() for cell in load_grid(GRIDS / "mnist_pairs.yaml").cells]
    assert {(f["digits"], f["pca"], f["potential_label"], f["depth"], f["seed"]) for f in flats} == {
        (digits, pca, potential, depth, seed)
        for digits in ("0v1", "3v5")
        for pca in (50, 200)
        for potential in ("quadratic", "lp1.5", "lp3")
        for depth in (1, 2)
        for seed in (0, 1, 2)
    }


def test_thousands_of_cells_share_their_parts(load):
    grid = load(BASE.replace("[0, 1]", str(list(range(340)))))
    assert len(grid.cells) == 2040 == len({cell.cell_id for cell in grid.cells})
    assert len({id(cell.config["dataset"]) for cell in grid.cells}) == 1
    assert len({id(cell.config["init"]) for cell in grid.cells}) <= 6


@pytest.mark.parametrize(
    "work, heavy",
    [
        (
            "from mdcore.config.grid import load_grid; load_grid('grids/mnist_pairs.yaml')",
            {"torch", "numpy", "pandas", "sklearn", "scipy", "matplotlib"},
        ),
        (
            "from mdcore import run_grid; run_grid.main('--config grids/quick_debug.yaml --tag t --dry_run'.split())",
            {"torch", "numba", "matplotlib", "papermill"},
        ),
    ],
    ids=["reading", "planning"],
)
def test_what_a_grid_file_is_read_and_planned_without(work, heavy):
    code = f"import sys; {work}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("dataset", ["{name: synthetic}", "{name: synthetic, geometry: planted}"])
def test_the_label_in_the_name_of_a_cell_is_that_of_its_data(load, dataset):
    (cell,) = load(grid_of(f"dataset: {dataset}")).cells
    assert load_dataset(cell.config["dataset"]).label == cell.dataset_label
