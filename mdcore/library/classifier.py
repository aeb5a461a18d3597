"""`MirrorDescentClassifier`: mirror descent as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from mdcore.library import arrays, fitting, settings
from mdcore.library.settings import PotentialEntry


class MirrorDescentClassifier(ClassifierMixin, BaseEstimator):
    """A deep linear network trained by mirror descent, with a certified margin.

    Parameters
    ----------
    potential : a potential as in grid files: "lp", "quadratic", {"hypentropy": {"beta": 0.1}}, …, a `Potential` of
        your own, or a list with one for each layer.
    p : of the potential "lp"; the others do not use it.
    depth, width : number of layers, and of hidden neurons in each hidden layer.
    step : a step rule as in grid files, {"rule": "adaptive"}; None: normalised and annealed, as in `mdcore.fit`.
    max_iter : steps at most; None: as many as `mdcore.fit` tries, up to 128,000.
    tol : the certified gap at which the training ends: 0.01 misses at most 1 % of the largest margin.
    random_state : of the initial weights; depth 1 starts at zero.
    warm_start : go on from the weights of the last fit.
    fit_intercept : append a feature that is 1 to every point. Its weight then counts in the norm like any other: the
        margin that is certified is that of the points (x, 1) in R^{d+1}, not the distance of the hyperplane in R^d, and
        it depends on where the origin lies. Centre X, or scale it up, to make the difference small.

    Attributes: `coef_` (1, d), `intercept_` (1,), `classes_` (2,), `n_iter_`, `gap_` (certified; NaN where the data are
    not separable), `status_`, `fit_` (the `Fit`, with history and layers), `n_features_in_`, `feature_names_in_`. There
    is no `predict_proba`: as training goes on ‖w‖ grows without bound, so its scale says nothing.
    """

    def __init__(
        self,
        potential: PotentialEntry = "lp",
        p: float = 2.0,
        depth: int = 1,
        width: int = 50,
        step: dict[str, Any] | None = None,
        max_iter: int | None = 2000,
        tol: float = 0.01,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        fit_intercept: bool = False,
    ):
        self.potential = potential
        self.p = p
        self.depth = depth
        self.width = width
        self.step = step
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start
        self.fit_intercept = fit_intercept

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any) -> MirrorDescentClassifier:
        """Train on X (n, d) and y (n,) of two classes. ValueError otherwise; ConvergenceWarning above `tol`."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        count = len(np.unique(y))
        if count > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is multiclass: y has {count} "
                "classes. Wrap the estimator in sklearn.multiclass.OneVsRestClassifier"
            )
        if self.fit_intercept:
            X = np.hstack([X, np.ones((len(X), 1))])
        data, self.classes_ = arrays.read(X, y)
        asked = settings.read(self.potential, self.depth, self._keys(), data.A)
        self.fit_ = fitting.run(data, self.classes_, asked, self._start(asked, X.shape[1]), exact=False)
        d = self.n_features_in_
        self.coef_, self.intercept_ = self.fit_.w[None, :d], np.append(self.fit_.w, 0.0)[d : d + 1]
        self.n_iter_, self.gap_, self.status_ = self.fit_.steps, self.fit_.gap, self.fit_.status
        return self

    def _keys(self) -> settings.Keys:
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        keys: settings.Keys = {"width": self.width, "seed": seed, "stop": {"gap": self.tol}}
        if self.potential == "lp":
            keys["p"] = self.p
        if self.step is not None:
            keys["step"] = self.step
        if self.max_iter is not None:
            keys["epochs"] = self.max_iter
        return keys

    def _start(self, asked: settings.Settings, dim: int) -> tuple[np.ndarray, ...] | None:
        """The layers of the last fit, where there is one to go on from."""
        if not self.warm_start or not hasattr(self, "fit_") or not np.isfinite(self.fit_.w).all():
            return None
        from mdcore.math.models import layer_shapes

        there = [layer.shape for layer in self.fit_.layers]
        needed = layer_shapes(asked.cell.depth, asked.cell.width, dim)
        if there != needed:
            raise ValueError(
                f"warm_start: the last fit has layers {there}, this one needs {needed}; clone the estimator"
            )
        return self.fit_.layers

    def decision_function(self, X: Any) -> np.ndarray:
        """⟨w, x⟩ + intercept, (n,): positive for `classes_[1]`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return X @ self.coef_[0] + self.intercept_[0]

    def predict(self, X: Any) -> np.ndarray:
        """The class of each point, (n,)."""
        positive = self.decision_function(X) > 0
        return self.classes_[positive.astype(int)]
