"""Every file that a run and its analysis leave, and every column in them: what it is, its unit, range and better side.

The one catalogue: what is written, what is demanded when it is read back, titles of tables and axes, and README.md
beside this file (python -m mdcore.store.columns) are made from it. It lies here and not in config/, so that another
title makes no finished cell stale. A metric of the user's own is what its function declares; the manifest keeps it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mdcore.config.cell import COLUMNS, CONDITION_COLUMNS, METRIC, PARAM
from mdcore.store.commits import EXPLORING, NOTEBOOK, RECORD, RESULTS

STATUSES = {
    "converged": "every training point is classified and the certified gap is at most 1 %: the margin is certified",
    "transient": "every training point is classified; the gap is larger, or there is no certificate",
    "overlap": "the data are not separable, so that there is no margin",
    "quasi-separable": "some points lie on every separating hyperplane, so that there is no margin",
    "failed": "a training point is still misclassified, or the cell could not be trained",
    "diverged": "a value was not finite",
    "missing": "not trained yet (in master.csv only)",
}
# Statistics are over these; the others are counted beside the statistics.
USED = ("converged", "transient", "overlap", "quasi-separable")
BASE = list(CONDITION_COLUMNS)


@dataclass(frozen=True)
class Metric:
    """One measured column.

    `better` is "low", "high" or "" (no better or worse); `separable` metrics exist only where a margin does;
    `deep` metrics say nothing at depth 1; `low` and `high` bound the values that can be true.
    """

    name: str
    title: str
    symbol: str = ""  # in LaTeX
    meaning: str = ""
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


_angle = partial(Metric, unit="degrees", better="low", low=0.0, high=180.0)
_margin = partial(Metric, separable=True)
_layers = partial(Metric, deep=True)
# fmt: off
_HISTORY = [
    Metric("loss", "risk R", "R", low=0.0, meaning="the mean loss over the training points"),
    Metric("log_inverse_loss", "log(1/R)", r"\log(1/R)", unit="nats", better="high",
           meaning="kept as a logarithm, which goes on where R is too small for a number"),
    Metric("train_accuracy", "train accuracy", r"\mathrm{acc}_{\mathrm{train}}", better="high", low=0.0, high=1.0,
           meaning="share of the training points with y⟨w, x⟩ > 0"),
    Metric("test_accuracy", "test accuracy", r"\mathrm{acc}_{\mathrm{test}}", better="high", low=0.0, high=1.0,
           meaning="the same of the test points; empty without"),
    Metric("weight_norm", "norm of the predictor", r"\|w\|_2", low=0.0, meaning="‖w‖₂ of the end-to-end predictor w"),
    _margin("margin_l2", "l2 margin", r"\gamma_2(w)", better="high",
            meaning="γ₂(w) = min Aw/‖w‖₂; the rows of A are y_n x_n"),
    _margin("margin_lp", "lp margin", r"\gamma_p(w)", better="high",
            meaning="γ_p(w) = min Aw/‖w‖_p in the norm of the potential's limit"),
    _margin("margin_ratio", "share of the exact margin", r"\gamma_p(w)/\gamma_p^\star", better="high", high=1 + 1e-6,
            meaning="γ_p(w)/γ_p*, the exact margin by the reference solver"),
    _margin("gap", "certified gap", r"\mathrm{gap}", better="low", low=-1e-06,
            meaning="1 − γ_p(w)/‖A^Tλ‖_q for the best λ of the run, rounded outwards: w misses at most this share of "
            "γ_p*"),
    _angle("angle_max_margin", "angle to the lp max-margin", r"\angle(\ell_p\ \mathrm{max\ margin})", separable=True,
           meaning="as measured, to the exact l_p max-margin direction"),
    _angle("angle_linear_md", "angle to linear MD, equal steps", r"\angle(\mathrm{linear\ MD})_{t}", deep=True,
           meaning="to the run of depth 1 with the same data, potential and seed after as many steps"),
    _angle("angle_linear_md_equal_loss", "angle to linear MD, equal loss", r"\angle(\mathrm{linear\ MD})_{R}",
           deep=True,
           meaning="to the run of depth 1 where both have first reached the same log(1/R)"),
    _angle("angle_svm", "angle to the SVM", r"\angle(\mathrm{SVM})",
           meaning="to the hard-margin SVM, or to the soft-margin one where there is no margin (`svm_kind`)"),
    _angle("angle_logreg", "angle to logistic regression", r"\angle(\mathrm{logreg})",
           meaning="to l2-regularised logistic regression, or to the minimiser where the data overlap (`logreg_kind`)"),
    _angle("angle_bound", "certified bound of the angle to the lp max-margin", r"\angle^{\le}", separable=True,
           meaning="proved upper bound of angle_max_margin from the gap, p and the reference; 180: nothing is proved; "
           "empty: the optimum is not proved to be the only one"),
    Metric("flow_time", "flow time", r"\sum_t s_t", low=0.0, meaning="Σ s_t, the time of the mirror flow"),
    Metric("log_flow_time", "logarithm of the flow time", r"\log\sum_t s_t",
           meaning="which stays finite where the sum does not"),
    _layers("norm_balance", "norm balance (max/min over layers)", "B", better="low", low=1 - 1e-9,
            meaning="largest over smallest Σ φ*(Z_l) − φ*(0) of the layers"),
    _layers("norm_balance_frobenius", "Frobenius norm balance", "B_F", better="low", low=1 - 1e-9,
            meaning="largest over smallest ‖W_l‖_F of the layers"),
    _layers("balance_drift", "drift of the invariant", r"\mathrm{drift}", better="low", low=0.0,
            meaning="largest change of the layers' invariant since the start, relative to Σ φ*(Z)"),
    _layers("layer_alignment", "layer alignment", r"\mathrm{align}", better="high", low=0.0, high=1 + 1e-6,
            meaning="mean |⟨v, u⟩| of the leading singular vectors where two layers meet; 1: aligned"),
    _layers("stable_rank", "stable rank of the layers", r"\mathrm{srank}", better="low", low=1 - 1e-6,
            meaning="largest ‖W_l‖_F²/‖W_l‖₂² of the layers; 1: rank one"),
    _layers("participation", "participating hidden neurons", r"\mathrm{PR}", low=1 - 1e-6,
            meaning="(Σc)²/Σc², c_i = ‖W₂[:,i]‖_p ‖W₁[i,:]‖_p: 1 if one neuron carries all, the width if all carry the "
            "same"),
]
_FINAL = [
    _margin("exact_margin", "exact margin", r"\gamma_p^\star", meaning="γ_p* by the reference solver"),
    _margin("exact_margin_gap", "duality gap of the exact margin", r"\mathrm{gap}(\gamma_p^\star)",
            meaning="of the reference, relative to its margin"),
    _angle("exact_angle_bound", "certified bound of the exact reference's own angle", r"\angle^{\le}_\star",
           separable=True,
           meaning="how far the solver's direction may be from the optimum"),
    _margin("exact_margin_kkt", "KKT residual of the exact margin", r"\mathrm{KKT}(\gamma_p^\star)",
            meaning="how far the reference is from the optimality conditions"),
    _margin("gamma_bound", "certified upper bound of the margin", r"\|A^\top\lambda\|_q",
            meaning="‖A^Tλ‖_q of the best λ of the run, at least γ_p*"),
    Metric("separability_value", "points the separability LP satisfies", r"\sum s_n", low=-1e-06,
           meaning="value of the linear program that decides whether the data are separable"),
    Metric("steps", "steps run", "t", low=0.0, meaning="of a diverged cell, the first that was not finite"),
    Metric("seconds", "computing time", "", unit="s", low=0.0,
           meaning="the cell's share of the time that its stack trained"),
]
# fmt: on
# Paired differences, one per deep cell (or per cell with a potential other than the reference one) and seed.
EFFECT_METRICS = ("margin_ratio", "gap", "angle_max_margin", "angle_svm", "angle_logreg", "test_accuracy")
EFFECTS = {
    "depth_effect": "deep minus linear, equal steps",
    "depth_effect_equal_loss": "deep minus linear, equal loss",
    "potential_effect": "minus the reference potential, equal steps",
}
# fmt: off
_PAIRED = [
    _angle("angle_reference_potential", "angle to the reference potential's direction",
           r"\angle(\mathrm{reference\ potential})",
           meaning="between the last predictor and that of the reference potential with the same data, depth and seed"),
    _angle("angle_linear_md_ends", "angle to linear MD's end point", r"\angle(\mathrm{linear\ MD})_{\mathrm{end}}",
           deep=True,
           meaning="between the last predictor and that of the run of depth 1"),
]
# fmt: on
METRICS: dict[str, Metric] = {m.name: m for m in _HISTORY + _FINAL + _PAIRED}
for _prefix, _what in EFFECTS.items():
    for _of in (METRICS[name] for name in EFFECT_METRICS):
        _name, _title, _symbol = f"{_prefix}_{_of.name}", f"{_of.title}: {_what}", rf"\Delta {_of.symbol}"
        METRICS[_name] = Metric(_name, _title, _symbol, unit=_of.unit, separable=_of.separable)
HISTORY = [m.name for m in _HISTORY]
FINAL_NUMBERS = [m.name for m in _FINAL]
PAIRED = [m.name for m in METRICS.values() if m.name not in (*HISTORY, *FINAL_NUMBERS)]
SEPARABLE_ONLY = [m.name for m in METRICS.values() if m.separable]

# Columns of final.parquet that are words or sizes, not metrics.
WORDS = {
    "status": "one of the words below",
    "separability": "of the training points: separable, quasi-separable or overlapping",
    "reference_unique": "whether the l_p max-margin direction is proved to be the only one",
    "svm_kind": "which SVM `angle_svm` is taken to",
    "logreg_kind": "which logistic regression `angle_logreg` is taken to",
    "preprocessing": "JSON: how the data were split, scaled and projected",
    "message": "empty, or what is to be known of the status",
    "data_sha256": "sha256 of the numbers that the cell was trained on",
}
SIZES = {
    "limit_p": "p of the norm whose margin the potential maximises; empty where none is known",
    "n_train": "training points",
    "n_test": "test points",
    "dim": "dimension d of the points",
}


_OWN: dict[str, Metric] = {}  # metrics of the user's own, as the run that was read last declares them


def declare(name: str, words: Mapping[str, str]) -> None:
    """What a run says of a metric of the user's own: its label, else its name; its unit; which values are better."""
    title = words.get("label") or name.removeprefix(METRIC).replace("_", " ")
    _OWN[name] = Metric(name, title, unit=words.get("unit", ""), better=words.get("better", ""))


def metric(name: str) -> Metric:
    """The Metric of a column."""
    return METRICS.get(name) or _OWN.get(name) or Metric(name, name.removeprefix(METRIC).replace("_", " "))


_RUN_FILES = {
    "grid.yaml": "the grid as resolved, overrides included; the plug-ins that it names lie beside it",
    "manifest.json": "the cells and their configurations, sha256 of their data, commit, versions, processor, BLAS",
    "grid.log": "the progress with times",
    "references/": "exact max-margin, SVM, logistic and separability solutions, one file each",
    f"stacks/<stack>/{NOTEBOOK}": "the notebook that trained the stack, as executed",
    f"stacks/<stack>/{RESULTS[0]}": "a row for each cell and logged epoch",
    f"stacks/<stack>/{RESULTS[1]}": "a row for each cell: the last row of its history, its configuration and verdict",
    f"stacks/<stack>/{RESULTS[2]}": "`cell_id` (K,) and the last predictors `w` (K, d) in the order of final.parquet; "
    "on separable data also the certificates z = A^Tλ (K, d) and their rounding κ (K,)",
    f"stacks/<stack>/{EXPLORING}": "unless the grid says `keep: false`: predictors `w` (R, d) at the logged epochs "
    "`epoch` (R,) of the cells `cell` (R,), positions in `cell_id` (K,); the layers as they ended, flat `layers` (S,), "
    "and of each `layer_shape` (N, 3): cell, rows, columns; how the coordinates were made of the D features: `mean` "
    "(D,), `axes` (d, D) or the numbers of those that were kept (d,), `scale` (d,), `names`, shape of the `image`",
    f"stacks/<stack>/{RECORD}": "cells, statuses, messages, seconds, versions and the checksums of the files above",
}
_ANALYSIS_FILES = {
    "master.csv": "a row for each cell: its condition, seed, status, final metrics and paired differences",
    "summary.csv": "a row for each condition: counts by status, and of each metric `_n`, `_mean`, `_std`, `_min`, "
    "`_max`, `_ci_low`, `_ci_high` (95 %, Student's t) over the cells that have not failed or diverged",
    "conditions/*.json": "one for each condition: configuration, cells, statistics, pairs, a grid that runs it again",
    "tables/*.tex": "the LaTeX tables",
    "figures/*.png, *.pdf": "the figures",
    "results.tex": "a macro for each number of the report's sentences",
    "paper/": "a Results section in two columns, with its bibliography",
    "report.md, report.html, report.ipynb": "the report",
    "style.yaml, *.py": "the style file that the figures were made with, and the files of its own figures",
    "provenance.json": "what the analysis read and which code wrote it",
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in lines)


def _metrics(names: Iterable[str]) -> str:
    rows = (METRICS[name] for name in names)
    return _table(
        ("column", "title", "unit", "what it is"), ((f"`{m.name}`", m.title, m.unit or "1", m.meaning) for m in rows)
    )


def _words(head: str, meanings: dict[str, str]) -> str:
    return _table((head, "what it is"), ((f"`{name}`", meaning) for name, meaning in meanings.items()))


def page() -> str:
    """README.md of this folder."""
    effects = ", ".join(f"`{prefix}_*` ({what})" for prefix, what in EFFECTS.items())
    parts = [
        "# What a run and its analysis leave\n\nMade from `mdcore/store/columns.py` by\n"
        "`python -m mdcore.store.columns`: change it there. Angles are in degrees, 0 to 180. An empty entry (NaN)\n"
        "means that the number does not exist, for example a margin where the data overlap.",
        "## A run: `runs_out/<date>_<tag>/`\n\n" + _words("file", _RUN_FILES),
        "## An analysis: `analysis_results/<tag>/`\n\n" + _words("file", _ANALYSIS_FILES),
        "## history.parquet\n\n`cell_id`, `epoch` (steps taken), and of the predictor after that many steps:\n\n"
        + _metrics(HISTORY),
        "## final.parquet\n\nThe last row of the history, `condition_id`, and:\n\n" + _metrics(FINAL_NUMBERS),
        _words("column", WORDS | SIZES),
        "### Status\n\n" + _words("status", STATUSES),
        f"### Configuration\n\nThe keys of the grid, flattened: {', '.join(f'`{name}`' for name in COLUMNS)}. The loss "
        f"function is `loss_function`, since `loss` is the risk. Parameters of your own classes are `{PARAM}<name>`, "
        f"and your own metrics, here and in the history, `{METRIC}<name>`.",
        "## master.csv\n\nOf final.parquet the columns of the condition (the six "
        + ", ".join(f"`{name}`" for name in BASE)
        + " and whatever else the grid varies), the seed, the status and the numbers; besides, paired by data and seed:"
        + "\n\n"
        + _metrics(["angle_reference_potential", "angle_linear_md_ends"]),
        f"and the differences {effects} of {', '.join(f'`{name}`' for name in EFFECT_METRICS)}.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("README.md").write_text(page(), encoding="utf-8")
    sys.stdout.write("mdcore/store/README.md\n")
