"""What a run keeps for exploring: each cell as it was, bounded, turned off by a key, held against the other results."""

from __future__ import annotations

import numpy as np
import pytest
from small_runs import STEPS, train, write

import mdcore
from mdcore.math.engine import observer
from mdcore.problems import datasets, mnist, preparing
from mdcore.store.commits import committed
from mdcore.store.reading.exploring import read_kept
from mdcore.training import exploring

GRID = (
    "question: What is kept?"
    + STEPS
    + """\
  dataset: {name: sklearn, set: digits, classes: ["3", "5"], subsample: 40}
  log_points: 20
  stop: {gap: 0.02}
vary:
  potential: [quadratic, {lp: {p: 1.5}}]
  depth: [1, 2, 3]
"""
)


def trained(place, patch, text=GRID):
    train(write(place, text), place / "20250101_t", patch)
    return mdcore.load_run(place / "20250101_t")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return trained(tmp_path_factory.mktemp("run"), patch)


def test_every_cell_is_kept_as_it_ended_and_leads_back_to_the_features(run):
    raw = datasets.load_dataset({"name": "sklearn", "set": "digits", "classes": ["3", "5"], "subsample": 40})
    ends = set()
    for cell_id, config in run.configs.items():
        kept, history = run.kept(cell_id), run.history[run.history["cell_id"].eq(cell_id)]
        assert kept.epochs.tolist() == history["epoch"].tolist()
        assert np.array_equal(kept.path[-1], run.predictors[cell_id])
        np.testing.assert_allclose(np.linalg.norm(kept.path, axis=1), history["weight_norm"], rtol=1e-12)
        assert len(kept.layers) == config["depth"]
        product = np.linalg.multi_dot([*kept.layers[::-1], np.eye(len(kept.path[0]))])[0]
        np.testing.assert_allclose(product, kept.path[-1], atol=1e-9 * np.abs(kept.path[-1]).max())
        assert kept.basis.image == (8, 8) and np.array_equal(kept.basis.axes, raw.basis.axes)
        ends.add(kept.epochs[-1])
    assert len(ends) > 1  # cells that stopped, and their companions that trained on, among them


def test_to_keep_nothing_changes_no_result(run, tmp_path, monkeypatch):
    bare = trained(tmp_path, monkeypatch, GRID + "keep: false\n")
    assert bare.history.equals(run.history) and list(bare.predictors) == list(run.predictors)
    assert bare.cells.drop(columns="seconds").equals(run.cells.drop(columns="seconds"))
    assert all(np.array_equal(bare.predictors[i], w) for i, w in run.predictors.items())
    assert not list(bare.path.glob("stacks/*/exploring.npz"))
    with pytest.raises(ValueError, match="keeps nothing for exploring: its grid says keep: false"):
        bare.kept(next(iter(bare.configs)))
    with pytest.raises(ValueError, match="has no result of the cell 'nine'"):
        bare.kept("nine")


def test_its_size_is_bounded_and_what_is_left_out_is_told(run, tmp_path, monkeypatch):
    size = 8 * sum(run.kept(cell_id).path.size for cell_id in run.configs)
    monkeypatch.setattr(exploring, "MOST_PATHS", size // 3 + 1)
    monkeypatch.setattr(observer, "MOST_LAYERS", 100)
    small = trained(tmp_path, monkeypatch)
    for cell_id in small.configs:
        kept, whole = small.kept(cell_id), run.kept(cell_id)
        assert np.array_equal(kept.path, whole.path[::-1][::3][::-1]) and kept.layers == ()
    (stack,) = committed(small.path).records
    assert "is kept for exploring" in (text := (stack.path / "stack.json").read_text()) and "the layers (0 MB)" in text


EDITS = {
    "the last predictor": lambda a: {"w": a["w"] * 1.001},
    "a predictor": lambda a: {"w": np.vstack([a["w"][:1] * 1.01, a["w"][1:]])},
    "the product of the layers": lambda a: {"layers": a["layers"] * 1.01},
    "the basis": lambda a: {"scale": a["scale"][:-1]},
    "cannot be read": lambda a: {"layers": a["layers"][:-1]},
}


@pytest.mark.parametrize("what", EDITS)
def test_what_contradicts_the_other_results_is_refused(run, tmp_path, what):
    cell_id = next(iter(run.configs))
    with np.load(run.stacks[cell_id] / "exploring.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "exploring.npz", **arrays | EDITS[what](arrays))
    mine = run.history[run.history["cell_id"].eq(cell_id)]
    with pytest.raises(ValueError, match=what):
        read_kept(tmp_path, cell_id, run.predictors[cell_id], dict(zip(mine["epoch"], mine["weight_norm"])))


@pytest.mark.parametrize("pca", [None, 20])
def test_a_predictor_of_mnist_leads_back_to_the_pixels(pca):
    asked = {"name": "mnist", "source": "bundled", "test_fraction": 0.2}
    data = datasets.load_dataset(asked, [3, 5], pca)
    pixels, digits = mnist.load_bundled()
    mine = np.isin(digits, [3, 5])
    raw = pixels[mine][preparing.divide(digits[mine], asked, 0)[0]]
    w = np.random.default_rng(0).standard_normal(data.X_train.shape[1])
    u = data.basis.on_features(w)
    assert u.shape == (784,) and data.basis.image == (28, 28)
    np.testing.assert_allclose((raw - raw.mean(axis=0)) @ u, data.X_train @ w, atol=1e-9)


def test_a_basis_that_does_not_fit_is_refused():
    basis = datasets.Basis(np.zeros(3), np.arange(2), np.ones(2))
    with pytest.raises(datasets.DataError, match="basis does not fit 3 coordinates"):
        datasets.Dataset("mine", np.eye(3), np.array([1.0, -1, 1]), np.empty((0, 3)), np.empty(0), {}, basis=basis)
