"""MirrorDescentClassifier: scikit-learn's own checks, pipelines and searches, and what its intercept is."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import mdcore
from mdcore import MirrorDescentClassifier

NOT_CHECKED = {"check_array_api_input"}  # scikit-learn skips it for every estimator unless SCIPY_ARRAY_API is set


def failures(estimator) -> list[str]:
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for made, check in estimator_checks_generator(estimator):
            name = getattr(check, "func", check).__name__
            try:
                if name not in NOT_CHECKED:
                    check(made)
            except Exception as error:
                wrong.append(f"{name}: {error!r}")
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{}, {"max_iter": 50}, {"max_iter": 50, "fit_intercept": True, "p": 3}, {"max_iter": 50, "depth": 2, "width": 5}],
    ids=["defaults", "few steps", "intercept", "deep"],
)
def test_it_passes_every_check_of_scikit_learn(settings):
    assert failures(MirrorDescentClassifier(**settings)) == []


def test_it_is_the_fit_of_the_library(g20):
    X, y = g20
    classifier = MirrorDescentClassifier(p=1.5, depth=2, width=8, random_state=3).fit(X, y)
    fit = mdcore.fit(X, y, p=1.5, depth=2, width=8, seed=3, epochs=2000)
    np.testing.assert_array_equal(classifier.coef_[0], fit.w)
    assert classifier.gap_ == fit.gap <= 0.01 and classifier.n_iter_ == fit.steps and classifier.status_ == "converged"
    np.testing.assert_array_equal(classifier.decision_function(X), X @ fit.w)
    assert classifier.score(X, y) == 1 and classifier.intercept_.tolist() == [0.0]


def test_the_tolerance_is_the_certified_gap(g20):
    X, y = g20
    tight = MirrorDescentClassifier(p=1.5, tol=1e-3, max_iter=20_000).fit(X, y)
    assert tight.gap_ <= 1e-3 and mdcore.certificate(tight.coef_[0], X, y, 1.5) <= tight.gap_
    with pytest.warns(ConvergenceWarning, match="certified gap"):
        MirrorDescentClassifier(p=1.5, tol=1e-3, max_iter=20).fit(X, y)


def test_a_pipeline_and_a_search_on_a_table():
    X, y = load_iris(return_X_y=True, as_frame=True)
    X, y = X[y < 2], y[y < 2].map({0: "setosa", 1: "versicolor"})
    pipeline = make_pipeline(StandardScaler(), MirrorDescentClassifier(max_iter=500))
    search = GridSearchCV(pipeline, {"mirrordescentclassifier__p": [1.5, 3.0]}, cv=3).fit(X, y)
    assert search.best_score_ == 1.0 and set(search.predict(X)) == {"setosa", "versicolor"}
    best = search.best_estimator_[-1]
    assert best.classes_.tolist() == ["setosa", "versicolor"] and best.gap_ <= 0.01
    named = MirrorDescentClassifier(max_iter=200).fit(X - X.mean(), y)
    assert named.feature_names_in_.tolist() == list(X.columns)


def test_the_intercept_is_a_weight_that_counts_in_the_norm(g20):
    """Its margin is that of the points (x, 1), and moves with the origin."""
    X, y = g20
    classifier = MirrorDescentClassifier(fit_intercept=True, max_iter=None).fit(X + 1.0, y)
    ones = np.hstack([X + 1.0, np.ones((60, 1))])
    w = np.append(classifier.coef_[0], classifier.intercept_[0])
    assert mdcore.certificate(w, ones, y) <= classifier.gap_ <= 0.01
    np.testing.assert_allclose(classifier.decision_function(X + 1.0), ones @ w)
    assert mdcore.max_margin(ones, y).margin != pytest.approx(mdcore.max_margin(X, y).margin, rel=1e-3)
    assert classifier.coef_.shape == (1, 20) and classifier.intercept_.shape == (1,)


def test_a_warm_start_goes_on_from_the_last_weights(g20):
    X, y = g20
    step = {"rule": "constant", "eta": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = MirrorDescentClassifier(p=3, depth=2, width=4, step=step, max_iter=40, random_state=0).fit(X, y)
        halves = clone(whole).set_params(max_iter=20, warm_start=True).fit(X, y)
        cold = halves.coef_
        halves.fit(X, y)
    assert not np.allclose(cold, whole.coef_, rtol=1e-3)
    np.testing.assert_allclose(halves.coef_, whole.coef_, rtol=1e-9)  # Z is taken from W in between
    with pytest.raises(ValueError, match="warm_start: the last fit has layers"):
        halves.set_params(width=5).fit(X, y)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda X, y: (X, np.arange(60) % 3), ValueError, r"3 classes\. Wrap .*OneVsRestClassifier"),
        (lambda X, y: (X, np.ones(60)), ValueError, "y has 1 class"),
        (lambda X, y: (np.where(X > 2, np.nan, X), y), ValueError, "NaN"),
        (lambda X, y: (sparse.csr_matrix(X), y), TypeError, "dense data is required"),
        (lambda X, y: (X, X[:, 0]), ValueError, "continuous"),
    ],
)
def test_bad_data_are_refused(g20, change, kind, message):
    with pytest.raises(kind, match=message):
        MirrorDescentClassifier().fit(*change(*g20))


def test_three_classes_are_met_by_one_against_the_rest():
    X, y = load_iris(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier = OneVsRestClassifier(MirrorDescentClassifier(fit_intercept=True, max_iter=300)).fit(
            pd.DataFrame(X), y
        )
    assert classifier.score(pd.DataFrame(X), y) > 0.9
