"""The files of a trained stack, recomputed from the raw data and the recorded predictors by numpy, scipy and sklearn.

Nothing here uses the product's metrics, references, tables or scales: a formula that is wrong there is not wrong here.
"""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from mdcore.config.grid import load_grid
from mdcore.store.results import write_results
from mdcore.training.stack import train_request

GRID = """\
question: Which numbers does a stack leave?
fixed:
  dataset: {name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1}
  step: {rule: normalized, eta: 1}
  epochs: 2000
  log_points: 12
  seed: 3
  width: 6
zip:
  - potential: [quadratic, quadratic, {lp: {p: 1.5}}, {lp: {p: 1.5}}, {lp: {p: 3}}, {lp: {p: 3}},
                [{lp: {p: 1.5}}, quadratic], [quadratic, {lp: {p: 1.5}}]]
    depth: [1, 2, 1, 2, 1, 2, 2, 2]
"""
LIMIT = {"quadratic": 2.0, "lp1.5": 1.5, "lp3": 3.0, "lp1.5+quadratic": 1.5, "quadratic+lp1.5": 2.0}


def trained(place, text):
    """history, final and predictors as read back from the files that the training notebook would write."""
    (place / "grid.yaml").write_text(text)
    cells = load_grid(place / "grid.yaml").cells
    request = {"cells": [cell.config for cell in cells], "references_dir": None, "device": "cpu"}
    (place / "request.json").write_text(json.dumps(request))
    write_results(place / "out", train_request(place / "request.json"))
    with np.load(place / "out" / "predictors.npz") as raw:
        ids, w = raw["cell_id"], raw["w"]
    tables = (pd.read_parquet(place / "out" / f"{name}.parquet") for name in ("history", "final"))
    return *tables, dict(zip(map(str, ids), w, strict=True)), {cell.cell_id: cell.config for cell in cells}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("stack"), GRID)


@pytest.fixture(scope="module")
def A():
    """The recipe of theory 9.1 (G20), seed 3."""
    rng = np.random.default_rng(3)
    y = np.repeat([1.0, -1.0], 30)
    mu = rng.standard_normal(20)
    mu *= 2.5 / np.sqrt(mu @ mu)
    return y[:, None] * (y[:, None] * mu + rng.standard_normal((60, 20)))


@pytest.fixture(scope="module")
def exact(A):
    """p -> argmin ‖w‖_p^p s.t. Aw ≥ 1, by sequential quadratic programming."""
    start = np.linalg.lstsq(A, np.ones(len(A)), rcond=None)[0]
    start = start / (A @ start).min()
    return {
        p: minimize(
            lambda w, p=p: (np.abs(w) ** p).sum(),
            start,
            jac=lambda w, p=p: p * np.sign(w) * np.abs(w) ** (p - 1),
            method="SLSQP",
            constraints={"type": "ineq", "fun": lambda w: A @ w - 1, "jac": lambda w: A},
            options={"ftol": 1e-15, "maxiter": 1000},
        ).x
        for p in (1.5, 2.0, 3.0)
    }


def label(config):
    """The potential of a cell in words, from its raw configuration."""
    layers = config["potential"] if isinstance(config["potential"], list) else [config["potential"]]
    words = [x if isinstance(x, str) else f"lp{x['lp']['p']:g}" for x in layers]
    return words[0] if len(set(words)) == 1 else "+".join(words)


def degrees(u, v):
    """arccos of the cosine: worth 1e-6° here, and another formula than the product's."""
    return math.degrees(math.acos(np.clip(u @ v / math.sqrt((u @ u) * (v @ v)), -1, 1)))


def log_inverse_risk(m):
    """log(1/R) of the logistic loss; log log(1 + e^{−m}) is −m to rounding from m = 40 on."""
    log_loss = np.where(m > 40, -m, np.log(np.log1p(np.exp(-np.minimum(m, 40)))))
    return math.log(len(m)) - logsumexp(log_loss)


def p_margin(A, w, p):
    return (A @ w).min() / (np.abs(w) ** p).sum() ** (1 / p)


def test_predictors_are_recorded_in_double_precision_and_make_the_last_row(stack, A):
    history, _final, w, _ = stack
    assert all(v.dtype == np.float64 for v in w.values())
    assert any((v != v.astype(np.float32)).any() for v in w.values())
    last = history.groupby("cell_id").tail(1).set_index("cell_id")
    for cell_id, v in w.items():
        assert last.loc[cell_id, "margin_l2"] == pytest.approx(p_margin(A, v, 2), rel=1e-12)
        assert last.loc[cell_id, "weight_norm"] == pytest.approx(math.sqrt(v @ v), rel=1e-12)


def test_every_final_number_of_a_predictor_is_recomputed(stack, A, exact):
    _, final, predictors, configs = stack
    assert len(final) == 8 and {label(c) for c in configs.values()} == set(LIMIT)
    logistic = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-12, max_iter=10_000)
    logistic.fit(np.vstack([A, -A]), np.repeat([1, -1], len(A)), np.full(2 * len(A), 0.5))
    for row in final.to_dict("records"):
        w, p = predictors[row["cell_id"]], LIMIT[label(configs[row["cell_id"]])]
        m, reached, best = A @ w, p_margin(A, w, p), p_margin(A, exact[p], p)
        assert row["limit_p"] == p
        assert row["log_inverse_loss"] == pytest.approx(log_inverse_risk(m), rel=1e-9)
        assert row["train_accuracy"] == np.mean(m > 0) == 1.0
        assert row["margin_lp"] == pytest.approx(reached, rel=1e-12)
        assert row["exact_margin"] == pytest.approx(best, rel=1e-6)
        assert row["margin_ratio"] == pytest.approx(reached / best, rel=1e-6)
        assert row["gap"] >= 1 - reached / best - 1e-6  # certified: never less than what is missing
        assert row["gap"] == pytest.approx(1 - reached / row["gamma_bound"], abs=1e-9)
        assert row["angle_max_margin"] == pytest.approx(degrees(w, exact[p]), abs=1e-2)
        assert row["angle_svm"] == pytest.approx(degrees(w, exact[2.0]), abs=1e-2)
        assert row["angle_logreg"] == pytest.approx(degrees(w, logistic.coef_[0]), abs=1e-2)
        assert row["status"] == ("converged" if row["gap"] <= 0.01 else "transient")
    # the potentials tell the margins apart, or a wrong p would not show
    assert min(abs(p_margin(A, exact[p], p) / p_margin(A, exact[p], 2) - 1) for p in (1.5, 3.0)) > 0.1
    assert min(degrees(exact[1.5], exact[2.0]), degrees(exact[2.0], logistic.coef_[0])) > 2


def test_the_companion_of_a_deep_cell_is_the_depth_1_cell_of_its_input_potential(stack):
    _, final, predictors, configs = stack
    linear = {label(c): predictors[i] for i, c in configs.items() if c["depth"] == 1}
    for row in final.to_dict("records"):
        config = configs[row["cell_id"]]
        other = linear[label(config).split("+")[0]]
        expected = degrees(predictors[row["cell_id"]], other) if config["depth"] > 1 else 0.0
        assert row["angle_linear_md"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("first", [1.5, 2.0])
def test_the_input_layers_potential_decides_the_limit(tmp_path, first):
    """Planted data, where the limit is ψ_p(a_0) in closed form: the input layer's p, not the last one's."""
    names = {1.5: "{lp: {p: 1.5}}", 2.0: "quadratic"}
    text = f"""\
question: Which layer decides?
fixed:
  dataset: {{name: synthetic, geometry: planted, dim: 2, n: 20, separation: 2, noise: 1}}
  step: {{rule: normalized, eta: 1}}
  epochs: 3000
  log_points: 5
  seed: 0
  width: 8
  depth: 2
  potential: [{names[first]}, {names[3.5 - first]}]
"""
    history, final, predictors, configs = trained(tmp_path, text)
    from mdcore.problems.datasets import load_dataset

    (_cell_id, w), (config,) = *predictors.items(), configs.values()
    data = load_dataset(config["dataset"], None, None, 0)
    margins = data.y_train * (data.X_train @ w)
    a = data.y_train[margins.argmin()] * data.X_train[margins.argmin()]  # the one support vector
    limit = {p: np.sign(a) * np.abs(a) ** (1 / (p - 1)) for p in (1.5, 2.0)}
    assert degrees(limit[1.5], limit[2.0]) > 5
    assert degrees(w, limit[first]) < 1 and degrees(w, limit[3.5 - first]) > 4
    assert final["limit_p"].item() == first and final["angle_max_margin"].item() < 1
    q = first / (first - 1)
    best = (np.abs(a) ** q).sum() ** (1 / q)  # γ_p* = ‖a_0‖_q
    reached = margins.min() / (np.abs(w) ** first).sum() ** (1 / first)
    assert history["margin_ratio"].iloc[-1] == pytest.approx(reached / best, rel=1e-9)


def test_accuracies_are_of_their_own_points(tmp_path):
    text = """\
question: How well does it predict?
fixed:
  dataset: {name: mnist, source: bundled, test_fraction: 0.2}
  digits: [3, 5]
  pca: 50
  step: {rule: constant, eta: 0.1}
  epochs: 60
  seed: 0
  potential: quadratic
"""
    history, final, predictors, configs = trained(tmp_path, text)
    from mdcore.problems.datasets import load_dataset

    ((cell_id, w),) = predictors.items()
    config = configs[cell_id]
    data = load_dataset(config["dataset"], config["digits"], config["pca"], config["seed"])
    assert len(data.y_test) == 200 and len(data.y_train) == 800
    shares = [np.mean(np.sign(X @ w) == y) for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test))]
    assert shares[0] != shares[1]
    assert [final["train_accuracy"].item(), final["test_accuracy"].item()] == pytest.approx(shares, abs=1e-12)
    assert [history[f"{s}_accuracy"].iloc[-1] for s in ("train", "test")] == pytest.approx(shares, abs=1e-12)


@pytest.mark.parametrize(("stop", "status"), [(0.01, "converged"), (0.02, "transient")])
def test_the_line_between_converged_and_transient_is_a_gap_of_1_percent(tmp_path, stop, status):
    """Cells that stop at a gap just below 1 %, and just below 2 %: a line at 3 % or at 0.3 % would be seen."""
    text = GRID.replace("epochs: 2000", f"epochs: 9000\n  stop: {{gap: {stop}}}").replace("points: 12", "points: 150")
    text = text[: text.index("zip:")] + "vary:\n  potential: [quadratic, {lp: {p: 1.5}}]\n  depth: [1, 2]\n"
    final = trained(tmp_path, text)[1]
    near = final[(final["gap"] <= stop) & (final["gap"] > 0.6 * stop)]
    assert len(near) >= 3 and (near["status"] == status).all()
