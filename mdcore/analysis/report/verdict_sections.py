"""The sections on conditions one by one: what has not converged, and the verdict on each."""

from __future__ import annotations

from collections import Counter

from mdcore.analysis.data.directions import NO, OPEN, SAME, YES, norm_name, reference_name
from mdcore.analysis.report.document import Bullets, Section, Table, Text
from mdcore.analysis.report.findings.certainty import forecast_sentence
from mdcore.analysis.report.findings.verdicts import Estimate, Verdict
from mdcore.analysis.report.findings.wording import distinct, listed
from mdcore.analysis.tables.numbers import DASH, aligned, angle, angle_at_most, percent, readable, rounded_up
from mdcore.store.columns import STATUSES


def waiting_section(verdicts: list[Verdict]) -> Section:
    """What has not converged and what it would take; what failed, diverged or was not run, and why."""
    verdicts, blocks = distinct(verdicts), []
    waiting = [v for v in verdicts if v.counts.get("transient", 0)]
    if waiting:
        rows = [
            [
                v.name,
                v.facet,
                f"{v.counts['transient']} of {v.n}",
                percent(v.gap.mean),
                percent(rounded_up(v.gap.max)),
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
    lost = [v for v in verdicts if v.used < v.n]
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
        some = any(v.separability == "separable" for v in verdicts)
        words = "Nothing: the margin of every run on separable data is certified, and none failed or diverged."
        blocks = [Text(words if some else "No run failed or diverged. A certificate exists on separable data only.")]
    return Section("waiting", "What has not converged", blocks)


def _direction(v: Verdict) -> str:
    """The exact direction that every run has reached; else why none is, and how near it ended."""
    if not v.used:
        return "no usable run"
    if v.reached:
        e = v.ends[0]
        return reference_name(e.reference) + ("" if e.certified else f", measured to within {angle_at_most(v.bound)}")
    why = v.why or f"the bound is wider than {SAME:g}°"
    if not v.angle.known:
        return f"not determined: {why}"
    target = "logistic minimiser" if v.overlap else f"{norm_name(v.limit_p)} max-margin"
    return f"not determined: {why}; {'' if v.unique else 'one '}{target} at up to {angle(v.angle.max)}, as measured"


def _bounds(verdicts: list[Verdict]) -> list[str]:
    """The largest bound of the angle to the own max-margin direction; where one run has none, that it has none."""
    known = [[] if v.overlap else [e.bound for e in v.ends if e.known] for v in verdicts]
    shown = aligned([max(some, default=float("nan")) for some in known], bounds=True)
    return [
        "none" if not some else text + (f" in {len(some)} of {len(v.ends)} runs" if len(some) < len(v.ends) else "")
        for v, some, text in zip(verdicts, known, shown, strict=True)
    ]


def _means(estimates: list[Estimate]) -> list[str]:
    """Means ± half their intervals, with the same decimals."""
    spreads = [(e.high - e.low) / 2 for e in estimates]
    return [readable(text) for text in aligned([e.mean if e.known else float("nan") for e in estimates], spreads)]


_LIMIT = {NO: "same", YES: "different", OPEN: OPEN}


def _limit(v: Verdict) -> str:
    """Is the limit that of depth 1, in words: with the pairs that disagree where it is open."""
    if v.condition.depth == 1:
        return DASH
    if not v.linear:
        return "no linear runs in the grid"
    counts = Counter(v.limit_pairs)
    some = [f"{_LIMIT[k]} in {counts[k]} of {len(v.limit_pairs)} pairs" for k in (YES, NO) if counts[k]]
    return _LIMIT[v.limit_changed] + (f" ({', '.join(some)})" if v.limit_changed == OPEN and some else "")


def _path(v: Verdict, mean: str) -> str:
    """How far deep and linear predictors are apart on the way, and in how many runs by more than SAME."""
    if v.condition.depth == 1:
        return DASH
    if not v.equal_loss.known:
        return "no common loss"
    far = f"; over {SAME:g}° in {v.path_pairs.count(YES)} of {len(v.path_pairs)} runs" if v.path_changed == OPEN else ""
    return mean + far


def verdict_section(verdicts: list[Verdict]) -> Section:
    """A row per condition: which direction, how sure that is, did depth change limit and path."""
    gaps = [100 * v.gap.max for v in verdicts]
    columns = zip(
        verdicts,
        [readable(text) for text in aligned(gaps, bounds=True)],
        _bounds(verdicts),
        _means([v.linear_ends for v in verdicts]),
        _means([v.equal_loss for v in verdicts]),
        strict=True,
    )
    rows = [
        [
            v.facet,
            v.potential,
            str(v.condition.depth),
            ", ".join(f"{int(v.counts[s])} {s}" for s in STATUSES if v.counts.get(s)),
            _direction(v),
            gap,
            bound,
            ends,
            _limit(v),
            _path(v, path),
        ]
        for v, gap, bound, ends, path in columns
    ]
    sizes = [float("nan") if r[6] == "none" else v.bound for v, r in zip(verdicts, rows, strict=True)]
    keys = [
        [*r[:2], float(v.condition.depth), *r[3:5], gap, size, v.linear_ends.mean, r[8], v.equal_loss.mean]
        for v, r, gap, size in zip(verdicts, rows, gaps, sizes, strict=True)
    ]
    head = [
        "data",
        "potential",
        "L",
        "runs",
        "direction reached",
        "certified gap, % (largest)",
        "bound of its angle, degrees",
        "end: angle to the linear run, degrees",
        "limit, compared with L = 1",
        "at equal loss: angle to the linear run, degrees",
    ]
    caption = "L is the depth. Angles to linear runs are means ± half their 95 % intervals. Click a heading to sort."
    rules = [
        f"A direction is reached when every run of the condition lies within {SAME:g}° of it: on separable data the "
        "max-margin direction of the potential's own norm, where that is unique, by the certified bound of the angle; "
        "on overlapping data the logistic minimiser, as measured, without a certificate.",
        "The limit is the same as at L = 1 where all deep and linear runs have reached the same direction, or their "
        f"bounds prove limits at most {SAME:g}° apart; different where they prove more in every pair; open otherwise.",
        "The last column compares paths, not limits: both predictors are read at the smallest mean loss R that both "
        "runs have reached, which one of them had reached long before its end.",
    ]
    return Section(
        "verdicts",
        "Verdict per condition",
        [Table(head, rows, keys, caption), Bullets(rules)] if rows else [Text("The run has no conditions.")],
    )
