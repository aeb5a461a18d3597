"""import mdcore: fits on one's own data, exact answers, and one clear error for what cannot be used."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from fake_run import GAUSSIAN
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import mdcore
from mdcore.problems.datasets import load_dataset
from mdcore.problems.proofs import exact

POTENTIALS = [
    pytest.param("lp", 1, {"p": 1.5}, 1.5, id="lp1.5"),
    pytest.param("lp", 2, {"p": 3, "width": 8}, 3.0, id="lp3-deep"),
    pytest.param("quadratic", 2, {"width": 8, "seed": 3}, 2.0, id="quadratic-deep"),
    pytest.param({"layer_scaled": {"alpha": [1, 4]}}, 2, {"width": 8}, 2.0, id="layer_scaled"),
    pytest.param(["quadratic", {"lp": {"p": 1.5}}], 2, {"width": 8}, 2.0, id="mixed"),
    pytest.param("scaled", 1, {}, 2.0, id="scaled"),
    pytest.param("hypentropy", 1, {"beta": 0.1}, 1.0, id="hypentropy"),
]


def test_importing_mdcore_imports_nothing_else():
    code = "import sys, mdcore; dir(mdcore); print([m for m in ('torch', 'numpy', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", mdcore.__all__)
def test_every_name_of_the_front_door_is_there(name):
    assert name in dir(mdcore) and getattr(mdcore, name) is not None


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(AttributeError, match=r"no attribute 'train'; it offers .*fit"):
        mdcore.train  # noqa: B018


@pytest.mark.parametrize(("potential", "depth", "keys", "p"), POTENTIALS)
def test_a_fit_without_tuning_is_certified(g20, potential, depth, keys, p):
    """The gap is what exact arithmetic finds against the solver's own optimum, or more."""
    X, y = g20
    fit = mdcore.fit(X, y, potential, depth, **keys)
    assert fit.status == "converged" and fit.gap <= 0.01 and fit.p == p and not fit.message
    true = 1 - float(exact.margin_lower_bound(y[:, None] * X, fit.w, p)) / mdcore.max_margin(X, y, p).margin
    assert true - 1e-9 <= fit.gap
    product = fit.layers[0]
    for layer in fit.layers[1:]:
        product = layer @ product
    np.testing.assert_allclose(product[0], fit.w, rtol=1e-12)
    np.testing.assert_array_equal(fit.path[-1], fit.w)
    assert len(fit.layers) == depth and fit.history["gap"].iloc[-1] == fit.gap and len(fit.path) == len(fit.history)


def test_a_fit_takes_the_steps_of_a_grid(g20, tmp_path):
    """To the bit: the same keys are the same cell."""
    from mdcore.config.grid import cell_from_config
    from mdcore.math.engine.trainer import StackTrainer
    from mdcore.training.stack import plan_cells, stack_plan

    keys = {"step": {"rule": "adaptive"}, "epochs": 200, "stop": None, "seed": 4, "width": 6, "log_points": 9}
    config = cell_from_config({"dataset": GAUSSIAN, "potential": {"lp": {"p": 3}}, "depth": 2, **keys})
    data = load_dataset(GAUSSIAN)
    trainer = StackTrainer(torch.tensor(data.A), plan_cells([config])[0], stack_plan(config.config, True, "cpu"))
    while not trainer.done:
        trainer.advance()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = mdcore.fit(data.X_train, data.y_train, "lp", depth=2, p=3, **keys)
    np.testing.assert_array_equal(fit.path, trainer.observer.predictors[0].numpy())


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_data_of_another_scale_are_trained_alike(g20, scale):
    X, y = g20
    for keys in ({"p": 3}, {"p": 1.5, "depth": 2, "width": 8}):
        assert mdcore.fit(scale * X, y, **keys).gap <= 0.01


def test_the_weights_of_a_run_prove_its_gap(g20):
    X, y = g20
    fit = mdcore.fit(X, y, p=1.5)
    assert fit.lam.min() >= 0 and fit.lam.sum() == pytest.approx(1)
    assert mdcore.certificate(fit.w, X, y, 1.5, fit.lam) == pytest.approx(fit.gap, abs=1e-6)
    assert mdcore.certificate(fit.w, X, y, 1.5) <= fit.gap


def test_the_certificate_holds_for_any_predictor_and_any_weights(g20):
    X, y = g20
    rng = np.random.default_rng(1)
    best = mdcore.max_margin(X, y, 3)
    assert best.gap <= 1e-7 and best.unique and best.margin == pytest.approx(1.59028, abs=1e-5)
    assert mdcore.certificate(best.w, X, y, 3) <= 1e-7
    for _ in range(5):
        w = best.w + 0.02 * rng.standard_normal(20) * np.abs(best.w).max()
        missing = 1 - (y * (X @ w)).min() / np.linalg.norm(w, 3) / best.margin
        assert mdcore.certificate(w, X, y, 3) == pytest.approx(missing, abs=1e-6)
        assert mdcore.certificate(w, X, y, 3, rng.random(60)) >= missing - 1e-9
    assert mdcore.certificate(-best.w, X, y, 3) > 1


def test_every_verdict_of_separability_has_its_certificate(g20):
    X, y = g20
    answer = mdcore.separability(X, y)
    assert answer.verdict == "separable" and (y * (X @ answer.w) > 0).all() and answer.lam is None
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3)), np.repeat([-1.0, 1.0], 25)
    answer = mdcore.separability(X, y)
    assert answer.verdict == "overlapping" and answer.w is None and answer.lam.min() > 0
    assert np.abs((y * answer.lam) @ X).max() < 1e-12 and answer.lam.sum() == pytest.approx(1)
    assert "certified by λ > 0" in answer.message
    X, y = np.vstack([X * np.geomspace(1e-9, 1e9, 50)[:, None], np.zeros(3)]), np.append(y, 1.0)
    assert np.abs((y * mdcore.separability(X, y).lam) @ X).max() < 1e-17
    X = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.0, 1.0]])
    assert mdcore.separability(X[:3], [1, 1, 0]).verdict == "separable"
    answer = mdcore.separability(X, [1, 1, 0, 0])
    assert answer.verdict == "quasi-separable" and answer.strict.tolist() == [True, False, False, False]


def test_overlapping_data_end_at_the_logistic_minimiser_and_say_so():
    from mdcore.problems.baselines import logistic_regression

    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 6))
    y = np.sign(X[:, 0] + rng.standard_normal(200))
    with pytest.warns(ConvergenceWarning, match="not separable"):
        fit = mdcore.fit(X, y, p=1.5)
    assert fit.status == "overlap" and np.isnan(fit.gap) and fit.lam is None
    assert mdcore.angle(fit.w, logistic_regression(y[:, None] * X, None).w) < 1e-3
    for question in (lambda: mdcore.max_margin(X, y), lambda: mdcore.certificate(fit.w, X, y)):
        with pytest.raises(ValueError, match="the data are overlapping: no w separates them"):
            question()


def test_what_is_not_converged_says_so_and_what_would_help(g20):
    X, y = g20
    with pytest.warns(ConvergenceWarning, match=r"certified gap 0\.\d+ after 30 steps; standardise .* epochs="):
        fit = mdcore.fit(X, y, p=3, epochs=30)
    assert fit.status in ("transient", "failed") and fit.message
    with pytest.warns(ConvergenceWarning, match=r"above 1e-09"):
        assert mdcore.fit(X, y, p=1.5, epochs=300, stop={"gap": 1e-9}).status == "converged"


def test_labels_are_any_two_values_and_the_larger_is_plus_one(g20):
    X, y = g20
    reference = mdcore.max_margin(X, y).w
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(20)])
    for labels in (y > 0, np.where(y > 0, "zebra", "ant"), pd.Series(np.where(y > 0, 7, 3)), (y > 0).tolist()):
        np.testing.assert_array_equal(mdcore.max_margin(table, labels).w, reference)
    assert mdcore.fit(table, np.where(y > 0, "zebra", "ant"), epochs=2000).classes.tolist() == ["ant", "zebra"]


def test_a_fit_is_drawn(g20):
    figure = mdcore.fit(*g20, p=1.5).plot()
    assert [axis.get_ylabel() for axis in figure.axes] == ["certified gap", "angle to max-margin (degrees)"]


X2, Y2 = [[1.0, 2.0], [3.0, 1.0], [-1.0, -1.0]], [1, 1, 0]


@pytest.mark.parametrize(
    ("X", "y", "kind", "message"),
    [
        (X2, [1, 1, 1], ValueError, "y has 1 class: 1; expected exactly 2"),
        (X2, [1, 2, 3], ValueError, "y has 3 classes: 1, 2, 3; expected exactly 2"),
        (X2, [1, 0], ValueError, "X has 3 points and y has 2 labels"),
        (X2, [[1], [0], [1]], ValueError, r"y has the shape \(3, 1\); expected \(points,\): y.ravel\(\)"),
        (X2, [1, 0, np.nan], ValueError, "y has NaN or infinity"),
        (X2, ["a", None, "b"], ValueError, "y has missing values"),
        (X2, np.array([1, "a", 1], dtype=object), ValueError, "y mixes labels that cannot be sorted"),
        (X2, None, ValueError, "y is None"),
        ([1.0, 2.0, 3.0], Y2, ValueError, r"X has the shape \(3,\); .* X.reshape\(-1, 1\)"),
        (np.zeros((3, 0)), Y2, ValueError, r"X has 0 feature"),
        ([[1.0, np.nan], [1, 2], [3, 4]], Y2, ValueError, "NaN or infinity, first at point 0, feature 1"),
        ([[1.0, 2.0], [np.inf, 2], [3, 4]], Y2, ValueError, "NaN or infinity, first at point 1, feature 0"),
        ([[1j, 2.0], [1, 2], [3, 4]], Y2, ValueError, "complex"),
        ([["a", "b"], ["c", "d"], ["e", "f"]], Y2, ValueError, "X is no array of numbers"),
        (pd.DataFrame({"size": [1, 2, 3], "town": ["A", "B", "C"]}), Y2, ValueError, "X: the column 'town' holds"),
        (np.zeros((3, 2)), Y2, ValueError, "X is zero everywhere"),
        (np.full((3, 2), 1e200), Y2, ValueError, "Multiply the data by a constant"),
        (sparse.csr_matrix(np.array(X2)), Y2, TypeError, r"X is a sparse csr_matrix; .* X.toarray\(\)"),
    ],
)  # fmt: skip
def test_bad_data_get_one_clear_error(X, y, kind, message):
    for call in (mdcore.fit, mdcore.separability, mdcore.max_margin, lambda X, y: mdcore.certificate([1, 1], X, y)):
        with pytest.raises(kind, match=message) as error:
            call(X, y)
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("keys", "kind", "message"),
    [
        ({"potential": "lpp"}, ValueError, "did you mean 'lp'"),
        ({"potential": "lpp", "p": 3}, ValueError, "did you mean 'lp'"),
        ({"potential": "quadratic", "p": 3}, ValueError, "potential quadratic: got the parameter p"),
        ({"potential": "hypentropy"}, ValueError, "parameter beta missing"),
        ({"potential": ["quadratic"], "depth": 2}, ValueError, "1"),
        ({"p": 1}, ValueError, "potential.lp.p: got 1; expected a number > 1"),
        ({"depth": 0}, ValueError, "depth: got 0; expected an integer ≥ 1"),
        ({"step": {"rule": "adaptve"}}, ValueError, "did you mean 'adaptive'"),
        ({"loss": "hinge"}, ValueError, "loss: got 'hinge'; expected one of logistic, exponential"),
        ({"lr": 0.1}, TypeError, "unknown keyword 'lr'; .* did you mean 'step'"),
        ({"epoch": 5}, TypeError, "did you mean 'epochs'"),
        ({"stop": {"gap": 2}}, ValueError, r"stop.gap: got 2; expected a number in \(0, 1\)"),
    ],
)
def test_a_wrong_keyword_is_told_as_in_a_grid_file(g20, keys, kind, message):
    with pytest.raises(kind, match=message):
        mdcore.fit(*g20, **keys)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X, y: mdcore.max_margin(X, y, 0.5), "p: got 0.5; expected a number ≥ 1"),
        (lambda X, y: mdcore.max_margin(X, y, "2"), "p: got '2'"),
        (lambda X, y: mdcore.certificate(np.zeros(20), X, y), "w: got an array of shape .* with zeros"),
        (lambda X, y: mdcore.certificate(np.ones(3), X, y), r"w: got an array of shape \(3,\)"),
        (lambda X, y: mdcore.certificate(X[0], X, y, 2, -np.ones(60)), "lam: .* expected shape .* numbers ≥ 0"),
        (lambda X, y: mdcore.certificate(X[0], X, y, 2, np.zeros(60)), "lam: .* not all zero"),
    ],
)
def test_a_wrong_argument_of_an_exact_answer_is_told(g20, call, message):
    with pytest.raises(ValueError, match=message):
        call(*g20)


def test_potentials_have_names():
    assert mdcore.potential("lp", p=1.5) == mdcore.potential({"lp": {"p": 1.5}}) == mdcore.potentials["lp"](1.5)
    assert mdcore.potential("quadratic").limit_p == 2
    for entry, parameters, message in (
        ("quadratc", {}, "did you mean 'quadratic'"),
        ("lp", {}, "got no parameter; expected p, a number > 1"),
        ("lp", {"q": 3}, "got q=3; expected p"),
        (mdcore.potential("lp", p=2), {"p": 3}, "has its parameters already"),
        (3, {}, "got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            mdcore.potential(entry, **parameters)


def test_a_potential_of_ones_own_is_tried_out_and_then_trained(g20):
    from mdcore.math.potentials import Lp

    class Own(Lp):
        name = "own"

    assert mdcore.fit(*g20, Own(3.0)).gap <= 0.01

    class Wrong(Lp):
        def mirror_map(self, w):
            return -w

    with pytest.raises(ValueError, match="Wrong: mirror_map does not rise"):
        mdcore.fit(*g20, Wrong(3.0))
