"""Sentences on how sure the answer is, and on what it would take to be surer."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from mdcore.analysis.data.directions import NOTHING, SAME
from mdcore.analysis.data.results import Results
from mdcore.analysis.report.findings.macros import macro_name, stated
from mdcore.analysis.report.findings.verdicts import Forecast, Verdict
from mdcore.analysis.report.findings.wording import counted, distinct, in_degrees, listed, scope
from mdcore.analysis.tables.numbers import (
    angle_at_most,
    count,
    duration,
    is_number,
    number_as_text,
    percent,
    rounded_up,
)
from mdcore.problems.proofs.directions import CONVERGED_GAP
from mdcore.store.columns import USED

# What is known of the limit of each potential on separable data (theory 2 and 5): words, names.
_SHALLOW = (
    ("a theorem for small enough steps (Sun et al. 2022)", ("lp", "quadratic", "layer_scaled")),
    ("a theorem for the mirror flow (Pesme et al. 2024)", ("cosh", "hypentropy")),
    ("a numerical observation", ("scaled",)),
)
_DEEP = (
    ("derived for this project and checked numerically", ("lp", "quadratic", "layer_scaled")),
    ("a numerical observation", ("cosh", "hypentropy", "scaled")),
)


def certainty_sentences(results: Results, master: pd.DataFrame) -> list[str]:
    """How sure: the share of certified runs, the size of the gaps, how exact the references are."""
    counts = master["status"].value_counts()
    ran = master[master["status"].isin(USED)]
    separable = ran[ran["separability"] == "separable"]
    out = []
    if len(separable):
        gap = separable["gap"].to_numpy(float)
        good = (separable["status"] == "converged").to_numpy()
        certified = stated("CertifiedRuns", f"{int(good.sum()):,}", "runs on separable data with a certified margin")
        text = (
            f"{certified} of {counted(len(separable), 'SeparableRuns', 'run', 'runs on separable data')} on separable "
            f"data ({in_percent(good.mean(), 'CertifiedShare', 'share of certified runs')}) "
            f"{'carries' if len(separable) == 1 else 'carry'} a certificate, computed without a solver, that at most "
            f"{in_percent(CONVERGED_GAP, 'ConvergedGap', 'certified gap at which a run counts as converged')} of the "
            "largest possible margin is missing; it concerns the margin, not the direction."
        )
        for which, name, what in (
            (good, "", "of these runs"),
            (~good, "Transient", "of the others, which are still in transit,"),
        ):
            some = gap[which & np.isfinite(gap)]
            if some.size:
                middle = in_percent(float(np.median(some)), f"{name}GapMedian", f"median certified gap {what}")
                most = in_percent(rounded_up(float(some.max())), f"{name}GapMax", f"largest certified gap {what}")
                text += f" The median certified gap {what} is {middle}, the largest {most}."
        out.append(text)
        trio = separable[["margin_lp", "exact_margin", "gamma_bound"]].dropna().to_numpy(float)
        if len(trio):
            ok = int(((trio[:, 0] <= trio[:, 1] * (1 + 1e-6)) & (trio[:, 1] <= trio[:, 2] * (1 + 1e-6))).sum())
            worst = float(np.nanmax(separable["exact_margin_gap"].to_numpy(float), initial=0.0))
            reached = number_as_text(rounded_up(worst), digits=2)
            agree = stated("SolverAgrees", f"{ok:,}", "runs whose certificate brackets the solver's exact margin")
            out.append(
                "The exact margin of an independent solver lies between a run's margin and its certified bound in "
                f"{agree} of {counted(len(trio), 'SolverRuns', 'run', 'runs with an exact margin')}. The relative "
                f"duality gap of this solver is at most "
                f"{stated('SolverGap', reached, 'largest relative duality gap of the solver')}"
                f"{_exact_angles(separable)}."
            )
    seeds = {len(c.cells) for c in results.conditions}
    if seeds == {1} and len(ran):
        out.append("Every condition has a single seed, so nothing here has a standard deviation or an interval.")
    elif len(ran):
        many = stated("Seeds", max(seeds), "seeds of a condition, at most")
        if len(seeds) > 1:
            many = f"{stated('SeedsLeast', min(seeds), 'seeds of a condition, at least')} to {many}"
        out.append(
            f"Intervals are 95 % Student's t intervals of the mean over {many} seeds; where values are skewed they "
            "contain it less often (88 % for exponential values at n = 3)."
        )
    same = identical_conditions(ran)
    if same:
        out.append(
            f"In {counted(same, 'IdenticalConditions', 'condition', 'conditions with identical seeds')} the runs of "
            "all seeds agree to the last bit, as nothing in them depends on the seed: the data are fixed, and the "
            "start is zero. They count as one run, and their spread of zero measures no uncertainty."
        )
    bad = [
        f"{stated(macro_name('Runs', s), counts[s], f'runs that {w}')} {w}"
        for s, w in (("failed", "failed"), ("diverged", "diverged"), ("missing", "were not run"))
        if counts.get(s, 0)
    ]
    if bad:
        out.append(
            f"Of {counted(len(master), 'Runs', 'run', 'runs of the grid')} of the grid {listed(bad)}; they are counted "
            "in every table and are in no mean."
        )
    return out


def _exact_angles(separable: pd.DataFrame) -> str:
    """How far the exact directions may themselves be from the unique optimum, where that is known."""
    if "exact_angle_bound" not in separable:
        return ""
    bounds = separable["exact_angle_bound"].to_numpy(float)
    bounds = bounds[np.isfinite(bounds)]
    if not bounds.size:
        return ", from which nothing is known of the directions it found"
    blind = bounds >= NOTHING
    text = ""
    if (~blind).any():
        most = in_degrees(angle_at_most(bounds[~blind].max()), "SolverAngle", "bound of the solver's own angle")
        text = f", which puts its directions within {most} of the exact ones"
    some = counted(int(blind.sum()), "SolverOpen", "run", "runs in which nothing bounds the solver's own angle")
    return text + (f" and leaves them open in {some}" if blind.any() else "")


def in_percent(share: float, name: str, meaning: str) -> str:
    """ "0.41 %" with the number stated."""
    return stated(name, percent(share).removesuffix(" %"), f"{meaning}, percent") + " %"


def _reason(why: str) -> str:
    """A verdict's reason as the end of a sentence: how many runs it concerns is in the table of verdicts."""
    status = r"(?:^|(?<=; ))(\d+ of \d+ runs: )?(transient|failed|diverged)(?=;|$)"
    why = re.sub(status, lambda m: f"{'some' if m[1] else 'all'} runs {'are ' * (m[2] == 'transient')}{m[2]}", why)
    return re.sub(r"\d+ of \d+ runs: ([^;]*)", r"\1 in some runs", why)


def direction_sentences(verdicts: list[Verdict]) -> list[str]:
    """Of which conditions the direction is proved, of which it is not and why, by name; what the limits rest on."""
    verdicts = [v for v in distinct(verdicts) if v.used]
    separable = [v for v in verdicts if v.separability == "separable"]
    out = []
    if separable:
        proved = [v for v in separable if v.reached]
        reached = stated("DirectionProved", len(proved), "conditions whose every run is proved to be at its direction")
        total = counted(len(separable), "SeparableConditions", "condition", "conditions on separable data")
        text = (
            f"A direction counts as proved where its angle to the unique max-margin direction is bounded by {SAME:g}°; "
            "the bound is the smaller of what the certified gap and what the exact solution with its own gap allow in "
            f"that norm. It is met by all runs of {reached} of {total} on separable data"
        )
        if proved:
            widest = angle_at_most(max(v.bound for v in proved))
            words = in_degrees(widest, "MaxAngle", "widest bound among the directions that are proved")
            text += f", the widest bound being {words}"
        out.append(text + ".")
    reasons: dict[str, list[Verdict]] = {}
    for v in verdicts:
        if not v.reached:
            wide = "the angle is not within" if v.overlap else "the bound is wider than"
            reasons.setdefault(_reason(v.why) or f"{wide} {SAME:g}°", []).append(v)
    out += [f"The direction is not determined for {scope(some)}: {why}." for why, some in reasons.items()]
    return out + theory_sentences(verdicts)


def theory_sentences(verdicts: list[Verdict]) -> list[str]:
    """That a run's exact direction is its limit: theorem, derivation or observation, for the conditions there are."""
    separable = [v for v in verdicts if v.separability == "separable"]
    parts = []
    for deep, kinds in ((False, _SHALLOW), (True, _DEEP)):
        names = {v.condition.flat["potential"] for v in separable if (v.condition.depth > 1) == deep}
        words = [f"{what} for {listed(some)}" for what, which in kinds if (some := sorted(names & set(which)))]
        rest = sorted(names - {name for _, which in kinds for name in which})
        words += [f"what is observed here for {listed(rest)}"] if rest else []
        parts += [f"at depth {'2 and more' if deep else '1'}, {listed(words)}"] if words else []
    out = []
    if parts:
        out.append(f"That the limit is the max-margin direction of the potential's own norm is, {'; '.join(parts)}.")
    over = {v.condition.depth > 1 for v in verdicts if v.overlap}
    if over:
        text = (
            "On overlapping data there is no certificate; how far a run has come shows in its measured angle to the "
            "logistic minimiser. That this is the limit is a theorem at depth 1 (Ji & Telgarsky 2019)"
        )
        out.append(text + (" and a numerical observation at depth 2 and more." if True in over else "."))
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
