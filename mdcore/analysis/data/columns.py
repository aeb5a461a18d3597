"""What the analysis knows about each measured column: its title, symbol, unit, range and which way is better.

A metric of the user's own is what its function declares, which the run's manifest keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mdcore.config.cell import METRIC

STATUSES = ("converged", "transient", "overlap", "quasi-separable", "failed", "diverged", "missing")
# Statistics are over these; the others are counted beside the statistics.
USED = ("converged", "transient", "overlap", "quasi-separable")
BASE = ["potential", "p", "depth", "dataset", "digits", "pca"]


@dataclass(frozen=True)
class Metric:
    """One measured column.

    `better` is "low", "high" or "" (no better or worse); `separable` metrics exist only where a margin does;
    `deep` metrics say nothing at depth 1; `low` and `high` bound the values that can be true.
    """

    name: str
    title: str
    symbol: str = ""
    unit: str = ""
    better: str = ""
    separable: bool = False
    deep: bool = False
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def axis(self) -> str:
        """Axis label: title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _angle(name: str, title: str, symbol: str, **more) -> Metric:
    return Metric(name, title, symbol, "degrees", "low", low=0.0, high=180.0, **more)


_HISTORY = [
    Metric("loss", "risk R", r"R", low=0.0),
    Metric("log_inverse_loss", "log(1/R)", r"\log(1/R)", "nats", "high"),
    Metric("train_accuracy", "train accuracy", r"\mathrm{acc}_{\mathrm{train}}", better="high", low=0, high=1),
    Metric("test_accuracy", "test accuracy", r"\mathrm{acc}_{\mathrm{test}}", better="high", low=0, high=1),
    Metric("weight_norm", "norm of the predictor", r"\|w\|_2", low=0.0),
    Metric("margin_l2", "l2 margin", r"\gamma_2(w)", better="high", separable=True),
    Metric("margin_lp", "lp margin", r"\gamma_p(w)", better="high", separable=True),
    Metric(
        "margin_ratio",
        "share of the exact margin",
        r"\gamma_p(w)/\gamma_p^\star",
        better="high",
        separable=True,
        high=1 + 1e-6,
    ),
    Metric("gap", "certified gap", r"\mathrm{gap}", better="low", separable=True, low=-1e-6),
    _angle("angle_max_margin", "angle to the lp max-margin", r"\angle(\ell_p\ \mathrm{max\ margin})", separable=True),
    _angle("angle_bound", "certified bound of the angle to the lp max-margin", r"\angle^{\le}", separable=True),
    _angle("angle_linear_md", "angle to linear MD, equal steps", r"\angle(\mathrm{linear\ MD})_{t}", deep=True),
    _angle(
        "angle_linear_md_equal_loss", "angle to linear MD, equal loss", r"\angle(\mathrm{linear\ MD})_{R}", deep=True
    ),
    _angle("angle_svm", "angle to the SVM", r"\angle(\mathrm{SVM})"),
    _angle("angle_logreg", "angle to logistic regression", r"\angle(\mathrm{logreg})"),
    Metric("flow_time", "flow time", r"\sum_t s_t", low=0.0),
    Metric("log_flow_time", "logarithm of the flow time", r"\log\sum_t s_t"),
    Metric("norm_balance", "norm balance (max/min over layers)", r"B", better="low", deep=True, low=1 - 1e-9),
    Metric("norm_balance_frobenius", "Frobenius norm balance", r"B_F", better="low", deep=True, low=1 - 1e-9),
    Metric("balance_drift", "drift of the invariant", r"\mathrm{drift}", better="low", deep=True, low=0.0),
    Metric("layer_alignment", "layer alignment", r"\mathrm{align}", better="high", deep=True, low=0, high=1 + 1e-6),
    Metric("stable_rank", "stable rank of the layers", r"\mathrm{srank}", better="low", deep=True, low=1 - 1e-6),
    Metric("participation", "participating hidden neurons", r"\mathrm{PR}", deep=True, low=1 - 1e-6),
]
_FINAL = [
    Metric("exact_margin", "exact margin", r"\gamma_p^\star", separable=True),
    Metric("exact_margin_gap", "duality gap of the exact margin", r"\mathrm{gap}(\gamma_p^\star)", separable=True),
    _angle(
        "exact_angle_bound", "certified bound of the exact reference's own angle", r"\angle^{\le}_\star", separable=True
    ),
    Metric("exact_margin_kkt", "KKT residual of the exact margin", r"\mathrm{KKT}(\gamma_p^\star)", separable=True),
    Metric("gamma_bound", "certified upper bound of the margin", r"\|A^\top\lambda\|_q", separable=True),
    Metric("separability_value", "points the separability LP satisfies", r"\sum s_n", low=-1e-6),
    Metric("steps", "steps run", r"t", low=0.0),
    Metric("seconds", "computing time", "", "s", low=0.0),
]
# Paired differences, one per deep cell (or per cell with a potential other than the reference one) and seed.
EFFECT_METRICS = ("margin_ratio", "gap", "angle_max_margin", "angle_svm", "angle_logreg", "test_accuracy")
EFFECTS = {
    "depth_effect": ("deep minus linear, equal steps", EFFECT_METRICS),
    "depth_effect_equal_loss": ("deep minus linear, equal loss", EFFECT_METRICS),
    "potential_effect": ("minus the reference potential, equal steps", EFFECT_METRICS),
}
ANGLE_POTENTIAL = _angle(
    "angle_reference_potential",
    "angle to the reference potential's direction",
    r"\angle(\mathrm{reference\ potential})",
)
ANGLE_ENDS = _angle(
    "angle_linear_md_ends", "angle to linear MD's end point", r"\angle(\mathrm{linear\ MD})_{\mathrm{end}}", deep=True
)

HISTORY = [m.name for m in _HISTORY]
FINAL_NUMBERS = [m.name for m in _FINAL]
METRICS: dict[str, Metric] = {m.name: m for m in _HISTORY + _FINAL + [ANGLE_POTENTIAL, ANGLE_ENDS]}
for _prefix, (_what, _names) in EFFECTS.items():
    for _name in _names:
        _of = METRICS[_name]
        METRICS[f"{_prefix}_{_name}"] = Metric(
            f"{_prefix}_{_name}", f"{_of.title}: {_what}", rf"\Delta {_of.symbol}", _of.unit, separable=_of.separable
        )
SEPARABLE_ONLY = [m.name for m in METRICS.values() if m.separable]
# Columns of final.parquet that are words or sizes, not metrics.
WORDS = ["status", "separability", "reference_unique", "svm_kind", "logreg_kind", "preprocessing", "message"]
WORDS += ["data_sha256"]
SIZES = ["limit_p", "n_train", "n_test", "dim"]


_OWN: dict[str, Metric] = {}  # metrics of the user's own, as the run that was read last declares them


def declare(name: str, words: Mapping[str, str]) -> None:
    """What a run says of a metric of the user's own: its label, else its name; its unit; which values are better."""
    title = words.get("label") or name.removeprefix(METRIC).replace("_", " ")
    _OWN[name] = Metric(name, title, unit=words.get("unit", ""), better=words.get("better", ""))


def metric(name: str) -> Metric:
    """The Metric of a column."""
    return METRICS.get(name) or _OWN.get(name) or Metric(name, name.removeprefix(METRIC).replace("_", " "))
