"""Sentences on how sure the answer is, and on what it would take to be surer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mdcore.analysis.columns import USED
from mdcore.analysis.numbers import count, duration, is_number, percent, plain
from mdcore.analysis.results import Results
from mdcore.analysis.sentences import listed, plural
from mdcore.analysis.verdicts import GAP, Forecast


def certainty_sentences(results: Results, master: pd.DataFrame) -> list[str]:
    """How sure: the share of certified runs, the size of the gaps, how exact the references are."""
    counts = master["status"].value_counts()
    ran = master[master["status"].isin(USED)]
    separable = ran[ran["separability"] == "separable"]
    out = []
    if len(separable):
        gap = separable["gap"].to_numpy(float)
        gap = gap[np.isfinite(gap)]
        sure = int((separable["status"] == "converged").sum())
        text = (
            f"{sure:,} of {plural(len(separable), 'run')} on separable data ({percent(sure / len(separable))}) "
            f"carry a certificate, computed without a solver, that at most {percent(GAP)} of the largest possible "
            "margin is missing"
        )
        out.append(
            text
            + (
                f"; the median certified gap is {percent(float(np.median(gap)))} and the largest "
                f"{percent(float(gap.max()))}."
                if gap.size
                else "."
            )
        )
        trio = separable[["margin_lp", "exact_margin", "gamma_bound"]].dropna().to_numpy(float)
        if len(trio):
            ok = int(((trio[:, 0] <= trio[:, 1] * (1 + 1e-6)) & (trio[:, 1] <= trio[:, 2] * (1 + 1e-6))).sum())
            worst = float(np.nanmax(separable["exact_margin_gap"].to_numpy(float), initial=0.0))
            out.append(
                f"The certificate brackets the exact margin of an independent solver in {ok:,} of "
                f"{plural(len(trio), 'run')}; the exact margins themselves have relative duality gaps of at most "
                f"{plain(worst, digits=2)}."
            )
    if (ran["status"] == "overlap").any():
        out.append(
            "On overlapping data there is no certificate; how far a run has come shows in its angle to the logistic "
            "minimiser, the limit of every potential and depth."
        )
    seeds = {len(c.cells) for c in results.conditions}
    if seeds == {1} and len(ran):
        out.append("Every condition has a single seed, so nothing here has a standard deviation or an interval.")
    elif len(ran):
        many = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else f"{min(seeds)}"
        out.append(
            f"Intervals are Student's t intervals of the mean over {many} seeds: they hold it in 95 % of all cases "
            "where values are normal, and less often where they are skewed (88 % for exponential ones at n = 3)."
        )
    same = identical_conditions(ran)
    if same:
        out.append(
            f"In {plural(same, 'condition')} the runs of all seeds are one and the same to the last bit, as nothing in "
            "them depends on the seed (data that do not change, a start at zero): a spread of zero there is no "
            "uncertainty."
        )
    bad = [
        f"{counts[s]} {w}"
        for s, w in (("failed", "failed"), ("diverged", "diverged"), ("missing", "not run"))
        if counts.get(s, 0)
    ]
    if bad:
        out.append(
            f"Of {plural(len(master), 'run')} of the grid {listed(bad)}; they are counted in every table and are "
            "in no mean."
        )
    return out


def identical_conditions(ran: pd.DataFrame) -> int:
    """How many conditions have two seeds or more whose end points agree to the last bit."""
    columns = ["log_inverse_loss", "weight_norm", "angle_svm", "angle_logreg"]
    groups = ran.groupby("condition_id")
    same = (groups[columns].nunique(dropna=False) == 1).all(axis=1) & ran["weight_norm"].notna().groupby(
        ran["condition_id"]
    ).all()
    return int((same & (groups.size() > 1)).sum())


def forecast_sentence(f: Forecast | None) -> str:
    """What it would take to converge; always said to be an estimate."""
    if f is None:
        return "no curve to judge from"
    if not is_number(f.exponent):
        return "too few logged points for a forecast"
    if f.exponent <= 0.02 or not is_number(f.steps):
        return "the gap is not falling: more steps of this rule will not do; change the step rule"
    power = f"the gap falls like the number of steps to the power −{f.exponent:.2f}"
    if f.factor > 1e4:
        return f"{power}: about {count(f.factor, 2)} times as many steps, which is out of reach; change the step rule"
    time = f", {duration(f.seconds)} a run" if is_number(f.seconds) else ""
    factor = count(f.factor, 2) if f.factor > 10 else f"{f.factor:.1f}"
    return f"{power}: about {count(f.steps, 2)} steps in all, {factor} times as many{time}"
