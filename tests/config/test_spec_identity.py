"""Identity of cells, conditions, grids and data; labels; the columns a configuration flattens to."""

from __future__ import annotations

import hashlib
import json

import pytest
from spec_text import BASE, MNIST, grid_of, one

from mdcore.config.cell import COLUMNS
from mdcore.config.expansion import cells


def test_cell_ids_are_label_and_hash_of_the_sorted_configuration(load):
    for cell in load(MNIST).cells:
        config = json.loads(json.dumps(cell.config))
        for key in ("path", "split", "subsample"):  # the place, and what a fixed split of all points need not say
            del config["dataset"][key]
        text = json.dumps(config, sort_keys=True, separators=(",", ":"))
        assert cell.cell_id.endswith("-" + hashlib.sha256(text.encode()).hexdigest()[:8])
    labels = [cell.cell_id.rsplit("-", 1)[0] for cell in load(MNIST).cells]
    assert labels[0] == "mnist-0v1-pca50_quadratic_L1_s0" and labels[-1] == "mnist-3v5_lp3_L2_s1"
    assert load(MNIST).cells[0].condition_id.rsplit("-", 1)[0] == "mnist-0v1-pca50_quadratic_L1"


def test_the_identity_is_pinned(load):
    """A changed hash orphans every finished run: change it knowingly."""
    assert load(BASE).cells[0].cell_id == "synthetic-gaussian-d20_quadratic_L1_s0-4fb43fdc"


@pytest.mark.parametrize(
    ("fixed", "label"),
    [
        ("potential: {lp: {p: 1.5}}", "lp1.5"),
        ("potential: {lp: {p: 3}}", "lp3"),
        ("potential: {hypentropy: {beta: 0.1}}", "hypentropy0.1"),
        ("potential: {cosh: {beta: 1}}", "cosh1"),
        ("potential: scaled", "scaled"),
        ("potential: {lp: {p: 1e20}}", "lp1e+20"),
        ("depth: 2\npotential: {layer_scaled: {alpha: [1, 4]}}", "layer_scaled1+4"),
        ("depth: 2\npotential: [{lp: {p: 1.5}}, quadratic]", "lp1.5+quadratic"),
        ("depth: 60\npotential: [" + "quadratic, " * 59 + "scaled]", ("quadratic+" * 9)[:80]),
    ],
)
def test_potential_labels(load, fixed, label):
    (cell,) = load(grid_of(fixed)).cells
    assert cell.cell_id.split("_L")[0] == f"synthetic-gaussian-d20_{label}"
    assert cell.flat()["potential_label"] == label


EQUAL = [
    ("epochs: 10", "epochs: 10.0"),
    ("epochs: 10", "epochs: 1e1"),
    ("svm_C: 1", "svm_C: 1.0"),
    ("init: {scale: 0}", "init: {scale: -0.0}"),
    ("potential: {lp: {p: 3}}", "potential: {lp: {p: 3.0}}"),
    ("dataset: {name: synthetic, dim: 5, n: 7}", "dataset: {n: 7.0, dim: 5, name: synthetic}"),
    ("step: {rule: constant, eta: 0.001}", "step.eta: 1e-3\nstep.rule: constant"),
    ("width: 9", "width: 10"),  # depth 1
    ("potential: quadratic", "potential: [quadratic]"),
    (
        "dataset: {name: mnist, source: full, path: a}\ndigits: [0, 1]",
        "dataset: {name: mnist, source: full, path: b}\ndigits: [0, 1]",
    ),
]
DIFFERENT = [
    ("init: {scale: 0.3}", "init: {scale: 0.30000000000000004}"),
    ("svm_C: 1", "svm_C: 1.0000000000000002"),
    ("dataset: {name: mnist}\ndigits: [0, 1]", "dataset: {name: mnist}\ndigits: [1, 0]"),
    ("dataset: {name: mnist}\ndigits: [0, 1]", "dataset: {name: mnist, source: full, path: a}\ndigits: [0, 1]"),
    ("depth: 2\nwidth: 9", "depth: 2\nwidth: 10"),
    ("seed: 0", "seed: 1"),
    ("log_points: 10", "log_points: 11"),
]


@pytest.mark.parametrize(
    ("first", "second", "same"), [*((*pair, True) for pair in EQUAL), *((*pair, False) for pair in DIFFERENT)]
)
def test_the_same_request_has_one_identity_and_another_has_another(load, first, second, same):
    one, other = load(grid_of(first)), load(grid_of(second))
    assert (one.cells == other.cells) is (one.grid_hash == other.grid_hash) is same


def test_the_grid_hash_is_of_the_cells_alone(load):
    moved = BASE.replace("  depth: [1, 2]\n  seed: [0, 1]", "  seed: [1, 0]\n  depth: [2, 1]").replace(
        "Does depth", "Does width"
    )
    assert load(moved).grid_hash == load(BASE).grid_hash != load(BASE.replace("[0, 1]", "[0, 2]")).grid_hash


def test_conditions_are_cells_without_their_seed(load):
    cells = load(BASE).cells
    assert len({cell.condition_id for cell in cells}) == 6
    for cell in cells:
        same = [other for other in cells if other.condition_id == cell.condition_id]
        assert {other.config["seed"] for other in same} == {0, 1}
        assert all({**other.config, "seed": 0} == {**cell.config, "seed": 0} for other in same)


def test_data_keys(load):
    synthetic, mnist = load(BASE).cells, load(MNIST).cells
    assert len({cell.data_key for cell in synthetic}) == 2  # each seed draws its own
    assert len({cell.data_key for cell in mnist}) == 4  # digits × pca, whatever the seed
    assert one(load, "dataset: {name: mnist, source: full, path: a}\ndigits: [0, 1]")["dataset"]["path"] == "a"


def test_colliding_ids_are_refused(refused, monkeypatch):
    real = vars(cells)["make_cell"]

    def clash(config):
        cell = real(config)
        return type(cell)(cell.config, "same-00000000", cell.condition_id)

    monkeypatch.setitem(vars(cells), "make_cell", clash)
    assert any("share the id same-00000000" in problem for problem in refused(BASE))


def test_two_places_for_the_same_data_are_refused(refused):
    places = "vary:\n  dataset: [{name: mnist, source: full, path: a}, {name: mnist, source: full, path: b}]\n"
    problems = refused(grid_of("digits: [0, 1]", places, without="dataset"))
    assert "'a' and 'b' for the same cell" in "\n".join(problems)


def test_flat_columns(load):
    assert all(list(cell.flat()) == list(COLUMNS) for text in (BASE, MNIST) for cell in load(text).cells)
    flat = load(MNIST).cells[-1].flat()
    assert flat.items() >= {"potential": "lp", "p": 3.0, "digits": "3v5", "pca": None, "dataset": "mnist"}.items()
    assert flat.items() >= {"step_rule": "adaptive", "step_decay": None, "dataset_source": "bundled"}.items()
    assert flat["dataset_dim"] is None
    mixed = "potential: [{lp: {p: 1.5}}, {layer_scaled: {alpha: [4]}}, {cosh: {beta: 2}}]"
    flat = load(grid_of(f"depth: 3\n{mixed}")).cells[0].flat()
    assert flat.items() >= {"potential": "lp+layer_scaled+cosh", "p": 1.5, "alpha": "4", "beta": None}.items()
    flat = load(grid_of("potential: {cosh: {beta: 2}}")).cells[0].flat()
    assert flat.items() >= {"p": None, "alpha": None, "beta": 2.0}.items()


def test_varied_columns(load):
    assert load(BASE).varied == ["potential", "p", "depth"]
    assert load(MNIST).varied == ["potential", "p", "depth", "digits", "pca"]
    assert load(BASE + "  width: [3, 4]\n", "depth=2", "potential=quadratic").varied == ["width"]
    vary = "vary:\n  potential: [[{lp: {p: 3}}, {lp: {p: 1.5}}], [{lp: {p: 3}}, {lp: {p: 4}}]]\n"
    lists = grid_of("depth: 2", vary, without="potential")
    assert load(lists).varied == ["potential_label"]  # nothing else tells the two apart
    more = lists.replace("]]\n", "], scaled]\n")
    assert load(more).varied == ["potential", "p", "potential_label"]
