"""The sections on conditions one by one: what has not converged, and the verdict on each."""

from __future__ import annotations

from mdcore.analysis import certainty, sentences
from mdcore.analysis.columns import STATUSES
from mdcore.analysis.conditions import pretty_potential
from mdcore.analysis.document import Section, Table, Text
from mdcore.analysis.numbers import DASH, angle, percent, share
from mdcore.analysis.verdicts import Verdict, changed


def waiting_section(found: list[Verdict]) -> Section:
    """What has not converged and what it would take; what failed, diverged or was not run, and why."""
    found, blocks = sentences.distinct(found), []
    waiting = [v for v in found if v.counts.get("transient", 0)]
    if waiting:
        rows = [
            [
                v.name,
                v.facet,
                f"{v.counts['transient']} of {v.n}",
                percent(v.gap.mean),
                percent(v.gap.max),
                certainty.forecast_sentence(v.forecast),
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
                "These end points are transients, not limits. The last column extrapolates the slowest run's gap "
                "along a straight line in log-log over its last decade of steps; it is an estimate."
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
                sentences.listed(v.messages, 2) if v.messages else DASH,
            ]
            for v in lost
        ]
        blocks += [
            Text("Runs without a usable end:"),
            Table(["condition", "data", "failed", "diverged", "not run", "why"], rows),
        ]
    if not blocks:
        some = any(v.separability == "separable" for v in found)
        words = "Nothing: every run on separable data carries its certificate, and none failed or diverged."
        blocks = [Text(words if some else "No run failed or diverged. A certificate exists on separable data only.")]
    return Section("waiting", "What has not converged", blocks)


def _direction(v: Verdict) -> str:
    near = v.nearest
    if near is None:
        return "no usable run" if not v.used else "not measured"
    words = f"{v.reference_names[near[0]]} ({angle(near[1].mean)})"
    if v.reached:
        return words
    return f"{'transient; ' if not (v.converged or v.overlap) else ''}nearest: {words}"


def _depth(v: Verdict) -> tuple[str, str]:
    """(did depth change the limit, did it at equal loss), in words with numbers."""
    if v.condition.depth == 1:
        return DASH, DASH
    limit = {"no": "no", "yes": "yes", "open": "open", "": "no linear runs in the grid"}[v.limit_changed]
    if not v.depth_equal_loss.known:
        return limit, "not measured"
    return limit, f"{changed(v.depth_equal_loss)}: {sentences.degrees(v.depth_equal_loss)}"


def verdict_section(found: list[Verdict]) -> Section:
    """A row per condition: which direction, certified gap, margin ratio, whether depth changed it at equal loss."""
    rows, keys = [], []
    for v in found:
        status = ", ".join(f"{int(v.counts[s])} {s}" for s in STATUSES if v.counts.get(s))
        gap = DASH
        if v.gap.known:
            gap, largest = percent(v.gap.mean), percent(v.gap.max)
            gap = gap if v.n == 1 or largest == gap else f"{gap} (≤ {largest})"
        near = v.nearest
        rows.append(
            [
                v.facet,
                pretty_potential(v.condition.label, v.condition.flat),
                str(v.condition.depth),
                status,
                _direction(v),
                gap,
                share(v.ratio.mean) if v.ratio.known else DASH,
                angle(v.depth_equal_steps.mean) if v.depth_equal_steps.known else DASH,
                *_depth(v),
            ]
        )
        nan = float("nan")
        keys.append(
            [
                rows[-1][0],
                rows[-1][1],
                float(v.condition.depth),
                status,
                near[1].mean if near else nan,
                v.gap.mean,
                v.ratio.mean,
                v.depth_equal_steps.mean,
                rows[-1][-2],
                v.depth_equal_loss.mean,
            ]
        )
    head = [
        "data",
        "potential",
        "L",
        "runs",
        "direction reached",
        "certified gap",
        "share of exact margin",
        "angle to linear MD, equal steps",
        "limit changed by depth",
        "direction changed by depth at equal loss",
    ]
    caption = (
        "A direction counts as a reference when every run lies within 1° of it, or is certified and at most half as "
        "far from its max-margin direction as from any other reference. The limit is not changed by depth when deep "
        "and linear runs all count as the same reference. At equal loss: yes "
        "when the 95 % interval of the angle to linear MD lies above 1°, no when below, else open (one run: its "
        "value); that is a difference of paths, not of limits. A click on a head sorts."
    )
    return Section(
        "verdicts",
        "Verdict per condition",
        [Table(head, rows, keys, caption)] if rows else [Text("The run has no conditions.")],
    )
