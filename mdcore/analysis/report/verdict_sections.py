"""The sections on conditions one by one: what has not converged, and the verdict on each."""

from __future__ import annotations

from collections import Counter

from mdcore.analysis.data.columns import STATUSES
from mdcore.analysis.data.directions import NO, OPEN, SAME, YES, norm_name, reference_name
from mdcore.analysis.report.document import Section, Table, Text
from mdcore.analysis.report.findings.certainty import forecast_sentence
from mdcore.analysis.report.findings.macros import plain_text
from mdcore.analysis.report.findings.verdicts import Verdict
from mdcore.analysis.report.findings.wording import degrees, distinct, listed
from mdcore.analysis.tables.numbers import DASH, angle, angle_at_most, percent, share


def waiting_section(found: list[Verdict]) -> Section:
    """What has not converged and what it would take; what failed, diverged or was not run, and why."""
    found, blocks = distinct(found), []
    waiting = [v for v in found if v.counts.get("transient", 0)]
    if waiting:
        rows = [
            [
                v.name,
                v.facet,
                f"{v.counts['transient']} of {v.n}",
                percent(v.gap.mean),
                percent(v.gap.max),
                forecast_sentence(v.forecast),
            ]
            for v in waiting
        ]
        keys = [
            [
                r[0],
                r[1],
                float(v.counts["transient"]),
                v.gap.mean,
                v.gap.max,
                v.forecast.steps if v.forecast else float("nan"),
            ]
            for v, r in zip(waiting, rows, strict=True)
        ]
        blocks += [
            Text(
                "The margins of these runs are not certified, so that their end points are no limits. The last column "
                "extrapolates the slowest run's gap along a straight line in log-log over its last decade of steps; it "
                "is an estimate."
            ),
            Table(["condition", "data", "transient runs", "mean gap", "largest gap", "to a gap of 1 %"], rows, keys),
        ]
    lost = [v for v in found if v.used < v.n]
    if lost:
        rows = [
            [
                v.name,
                v.facet,
                *(str(int(v.counts.get(s, 0))) for s in ("failed", "diverged", "missing")),
                listed(v.messages, 2) if v.messages else DASH,
            ]
            for v in lost
        ]
        blocks += [
            Text("Runs without a usable end:"),
            Table(["condition", "data", "failed", "diverged", "not run", "why"], rows),
        ]
    if not blocks:
        some = any(v.separability == "separable" for v in found)
        words = "Nothing: the margin of every run on separable data is certified, and none failed or diverged."
        blocks = [Text(words if some else "No run failed or diverged. A certificate exists on separable data only.")]
    return Section("waiting", "What has not converged", blocks)


def _direction(v: Verdict) -> str:
    """The exact direction that every run has reached, with the bound; else why none is, and how near it ended."""
    if not v.used:
        return "no usable run"
    if v.reached:
        e = v.ends[0]
        near = f"within {angle_at_most(v.bound)}" if e.certified else f"measured: {angle_at_most(v.bound)}"
        return f"{reference_name(e.reference)}, {near}"
    why = v.why or f"the bound is wider than {SAME:g}°"
    if not v.angle.known:
        return f"not determined: {why}"
    target = "logistic minimiser" if v.overlap else f"{norm_name(v.limit_p)} max-margin"
    return f"not determined: {why}; {'' if v.unique else 'one '}{target} at up to {angle(v.angle.max)}, as measured"


def _bound(v: Verdict) -> str:
    """The largest bound of the angle to the own max-margin direction; where one run has none, that it has none."""
    if v.overlap or not any(e.known for e in v.ends):
        return "none"
    whole = [e.bound for e in v.ends if e.known]
    some = "" if len(whole) == len(v.ends) else f" in {len(whole)} of {len(v.ends)} runs"
    return f"≤ {angle_at_most(max(whole))}{some}"


_LIMIT = {NO: "same", YES: "different", OPEN: OPEN}


def _limit(v: Verdict) -> str:
    """Is the limit that of depth 1, in words: with the pairs that disagree where it is open."""
    if v.condition.depth == 1:
        return DASH
    if not v.linear:
        return "no linear runs in the grid"
    said = Counter(v.limit_pairs)
    some = [f"{_LIMIT[k]} in {said[k]} of {len(v.limit_pairs)} pairs" for k in (YES, NO) if said[k]]
    return _LIMIT[v.limit_changed] + (f" ({', '.join(some)})" if v.limit_changed == OPEN and some else "")


def _path(v: Verdict) -> str:
    """How far deep and linear predictors are apart on the way, and in how many runs by more than SAME."""
    if v.condition.depth == 1:
        return DASH
    if not v.equal_loss.known:
        return "no common loss"
    far = f"; over {SAME:g}° in {v.path_pairs.count(YES)} of {len(v.path_pairs)} runs" if v.path_changed == OPEN else ""
    return plain_text(degrees(v.equal_loss, "Angle", "")) + far


def verdict_section(found: list[Verdict]) -> Section:
    """A row per condition: which direction, how sure that is, share of the margin, did depth change limit and path."""
    rows, keys = [], []
    for v in found:
        status = ", ".join(f"{int(v.counts[s])} {s}" for s in STATUSES if v.counts.get(s))
        gap = DASH
        if v.gap.known:
            gap, largest = percent(v.gap.mean), percent(v.gap.max)
            gap = gap if v.n == 1 or largest == gap else f"{gap} (≤ {largest})"
        row = [
            v.facet,
            v.potential,
            str(v.condition.depth),
            status,
            _direction(v),
            gap,
            _bound(v),
            share(v.ratio.mean) if v.ratio.known else DASH,
            angle(v.linear_ends.mean) if v.linear_ends.known else DASH,
            _limit(v),
            _path(v),
        ]
        numbers = [v.gap.mean, v.bound, v.ratio.mean, v.linear_ends.mean]
        rows.append(row)
        keys.append([*row[:2], float(v.condition.depth), status, v.angle.mean, *numbers, row[-2], v.equal_loss.mean])
    head = [
        "data",
        "potential",
        "depth L",
        "runs",
        "direction reached",
        "certified gap",
        "bound of the angle",
        "share of exact margin",
        "end: angle to the linear run",
        "limit direction, compared with L = 1",
        "on the way: angle to the linear run at equal loss",
    ]
    caption = (
        f"A direction counts as reached when every run of the condition lies within {SAME:g}° of it: on separable data "
        "the max-margin direction of the potential's own norm, where that is unique, by the certified bound of the "
        "angle; on overlapping data the logistic minimiser, as measured, without a certificate. The limit direction is "
        "the same as at L = 1 where all deep and linear runs have reached the same direction, or their bounds prove "
        f"limits at most {SAME:g}° apart; different where they prove more in every pair; open otherwise. The last "
        "column is not about the limit: both predictors are read at the smallest mean loss R that both runs have "
        "reached, which one of them had reached long before its end. Click a heading to sort."
    )
    return Section(
        "verdicts",
        "Verdict per condition",
        [Table(head, rows, keys, caption)] if rows else [Text("The run has no conditions.")],
    )
