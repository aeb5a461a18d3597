"""The report's sentences, each built from numbers by a function of its own, with the uncertainty of the numbers."""

from __future__ import annotations

import math
import re

import pandas as pd

from mdcore.analysis.conditions import pretty_potential
from mdcore.analysis.numbers import angle, with_interval
from mdcore.analysis.results import Results
from mdcore.analysis.verdicts import SAME, Estimate, Verdict, changed


def plural(n: int, one: str, many: str = "") -> str:
    """ "1 run", "3 runs"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(items: list[str], most: int = 4) -> str:
    """ "a, b and c"; beyond `most` items "a, b, c, d and 3 more"."""
    items = list(dict.fromkeys(items))
    if len(items) > most + 1:
        return ", ".join(items[:most]) + f" and {len(items) - most} more"
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"


def degrees(e: Estimate) -> str:
    """ "0.31° (95 % interval 0.28° to 0.35°, n = 3)"; one run, and runs that are all the same, are said to be that."""
    if not e.known:
        return "not measured"
    if e.n == 1:
        return f"{angle(e.mean)} (one run, so no interval)"
    if max(e.mean, e.high) < 1e-6:
        return f"{angle(e.mean)} (n = {e.n})"
    if e.high - e.low <= 1e-9 * e.mean:
        return f"{angle(e.mean)} (the same in all {e.n} runs)"
    decimals = min(9, max(2, 3 - math.floor(math.log10(abs(e.mean))))) if e.mean else 9  # four digits say enough
    m, low, high = (v.replace("-", "−") for v in with_interval(e.mean, e.low, e.high, decimals))
    return f"{m}° (95 % interval {low}° to {high}°, n = {e.n})"


def distinct(verdicts: list[Verdict]) -> list[Verdict]:
    """Each condition once, also where it stands in several facets."""
    return list({v.condition.id: v for v in verdicts}.values())


def _named(verdicts: list[Verdict]) -> str:
    names = [f"{v.name} on {v.facet}" for v in verdicts]
    return "; ".join(names if len(names) <= 4 else [*names[:3], f"and {len(names) - 3} more"])


def depth_head(verdicts: list[Verdict]) -> str:
    """Whether depth changes the limit direction, over deep conditions with a linear companion in the grid."""
    by = {k: [v for v in verdicts if v.limit_changed == k] for k in ("no", "yes", "open")}
    total = plural(len(verdicts), "deep condition")
    same = "all deep and linear runs have settled at one and the same exact reference"
    waiting = (
        f"; {len(by['open'])} {'is' if len(by['open']) == 1 else 'are'} open, as not all their deep and linear "
        "runs have reached a limit"
        if by["open"]
        else ""
    )
    if by["yes"]:
        kept = f" It keeps it in {len(by['no'])}{waiting}." if by["no"] or waiting else ""
        return f"Depth changes the limit direction in {len(by['yes'])} of {total}: {_named(by['yes'])}.{kept}"
    if len(by["no"]) == len(verdicts):
        return f"Depth does not change the limit direction: in {'all ' if len(verdicts) > 1 else ''}{total} {same}."
    if by["no"]:
        return (
            f"Depth does not change the limit direction wherever a limit is reached: in {len(by['no'])} of {total} "
            f"{same}{waiting}."
        )
    return (
        f"Whether depth changes the limit direction is open: in none of {total} have deep and linear runs all reached "
        "a limit."
    )


def depth_sentences(verdicts: list[Verdict]) -> list[str]:
    """Whether depth changes the limit, how far apart the ends are, and how far apart the paths at equal loss."""
    deep = [v for v in distinct(verdicts) if v.condition.depth > 1 and v.depth_equal_steps.known]
    if not deep and any(v.condition.depth > 1 and v.used for v in verdicts):
        return ["Whether depth changes the direction is open: no angle to linear mirror descent was measured."]
    paired = [v for v in deep if v.limit_changed]
    out = [depth_head(paired)] if paired else []
    same = [v for v in paired if v.limit_changed == "no"]
    if same:
        worst = max(same, key=lambda v: v.depth_equal_steps.mean)
        out.append(
            f"Where the limit is the same, the end points of deep and linear runs are on average at most "
            f"{degrees(worst.depth_equal_steps)} apart, for {worst.name} on {worst.facet}."
        )
    known = [v for v in deep if v.depth_equal_loss.n == v.used]
    if known:
        worst = max(known, key=lambda v: v.depth_equal_loss.mean)
        differ = [v for v in known if v.depth_changed == "yes"]
        text = f"{degrees(worst.depth_equal_loss)}, for {worst.name} on {worst.facet}"
        if differ:
            out.append(
                f"On the way depth matters: compared at equal loss, deep and linear directions differ by more than "
                f"{SAME:g}° in {len(differ)} of {plural(len(known), 'deep condition')}, at most by {text}. Such "
                "a difference is of the path; it can vanish in the limit."
            )
        else:
            out.append(f"Compared at equal loss, deep and linear directions differ by at most {text}.")
    apart = [v for v in deep if v.depth_equal_loss.n < v.used]
    if apart:
        out.append(
            f"In {plural(len(apart), 'deep condition')} ({_named(apart)}) some runs and their linear companions have "
            "no loss in common at which both can be read: a step leaps past it, or their ranges do not meet. They are "
            "left out of the comparison at equal loss."
        )
    return out


def limit_sentences(verdicts: list[Verdict]) -> list[str]:
    """Whether each potential goes to its own max-margin direction, by the certificate and by the exact angle."""
    separable = [v for v in distinct(verdicts) if v.separability == "separable" and v.used]
    own = [v for v in separable if v.angles["angle_max_margin"].known]
    if not own:
        return []
    settled = [v for v in own if v.converged]
    out = []
    if settled:
        good = [v for v in settled if v.angles["angle_max_margin"].max <= SAME]
        worst = max(settled, key=lambda v: v.angles["angle_max_margin"].mean)
        whole = plural(len(settled), "condition") + " whose every run is certified"
        near = f"within {SAME:g}° of the exact lp max-margin direction"
        every = f"{'all' if len(settled) > 1 else 'the'} {whole}"
        if len(good) == len(settled):
            text = f"Potentials reach the max-margin direction of their own norm: in {every}, each run ends {near}"
        elif all(v.nearest[0] == "angle_max_margin" for v in settled):
            text = (
                f"Potentials go to the max-margin direction of their own norm: it is the nearest exact reference in "
                f"{every}, and in {len(good)} of them each run ends within {SAME:g}° of it"
            )
        elif good:
            text = f"In {len(good)} of {whole}, each run ends {near}"
        else:
            text = f"None of the {whole} ends {near}"
        where = f"for {worst.name} on {worst.facet}"
        out.append(f"{text}; the largest mean angle is {degrees(worst.angles['angle_max_margin'])}, {where}.")
    waiting = [v for v in own if not v.converged]
    if waiting:
        nearer = [v for v in waiting if v.nearest and v.nearest[0] == "angle_max_margin"]
        out.append(
            f"{plural(len(waiting), 'condition')} on separable "
            f"data {'has' if len(waiting) == 1 else 'have'} runs that are not certified yet; in {len(nearer)} of "
            "them the max-margin direction is the nearest reference so far. Their end points are no limits."
        )
    return out


def overlap_sentences(verdicts: list[Verdict]) -> list[str]:
    """On overlapping data: no margin, and how near the logistic minimiser is."""
    over = [v for v in distinct(verdicts) if v.overlap and v.used]
    if not over:
        return []
    data = listed(sorted({v.facet for v in over}))
    known = [v for v in over if v.angles["angle_logreg"].known]
    out = f"The data overlap for {data}: no margin exists there, and none is shown."
    if known:
        worst = max(known, key=lambda v: v.angles["angle_logreg"].mean)
        near = [v for v in known if v.angles["angle_logreg"].max <= SAME]
        out += (
            f" In {len(near)} of {plural(len(known), 'condition')} all runs end within {SAME:g}° of the logistic "
            f"minimiser; the largest mean angle is {degrees(worst.angles['angle_logreg'])}, for {worst.name}."
        )
    return [out]


def quasi_sentences(verdicts: list[Verdict]) -> list[str]:
    """On quasi-separable data: what that means, and which reference is nearest."""
    quasi = [v for v in distinct(verdicts) if v.separability == "quasi-separable" and v.used]
    if not quasi:
        return []
    text = (
        f"The data are quasi-separable for {listed(sorted({v.facet for v in quasi}))}: some points can be classified "
        "strictly, the others only with margin zero. No margin exists there, and none is shown."
    )
    near = [(v, v.nearest) for v in quasi if v.nearest]
    if near:
        v, (column, found) = min(near, key=lambda item: item[1][1].mean)
        text += f" The nearest reference, for {v.name}, is the {v.reference_names[column]} at {degrees(found)}."
    return [text]


def potential_sentences(results: Results, summary: pd.DataFrame) -> list[str]:
    """How far apart the directions of different potentials end, for cells that share data and seed."""
    rows = summary.set_index("condition_id")
    if "angle_reference_potential_n" not in rows:
        return []
    best: dict[str, tuple] = {}
    all_of: list[tuple] = []
    for facet in results.facets:
        for c in facet.conditions:
            row, reference = rows.loc[c.id], facet.reference(c.depth)
            if row["angle_reference_potential_n"] > 0:
                e = Estimate(
                    *(float(row[f"angle_reference_potential_{s}"]) for s in ("mean", "ci_low", "ci_high")),
                    int(row["angle_reference_potential_n"]),
                )
                other = pretty_potential(reference.label, reference.flat)
                all_of.append((c.depth, e, other))
                if c.depth > min(d.depth for d in facet.conditions):
                    continue
                if c.label not in best or e.mean > best[c.label][0].mean:
                    best[c.label] = (e, facet.title, other, c)
    if not best:
        return []
    far = max(best.values(), key=lambda b: b[0].mean)
    near = min(best.values(), key=lambda b: b[0].mean)
    text = (
        f"The learned directions differ between potentials by up to {degrees(far[0])}, "
        f"between {pretty_potential(far[3].label, far[3].flat)} and {far[2]} on {far[1]}, L = {far[3].depth}."
    )
    if len(all_of) > 1:
        differ = sum(changed(e) == "yes" for _, e, _ in all_of)
        depths = listed([str(d) for d in sorted({d for d, *_ in all_of})])
        text += (
            f" They differ by more than {SAME:g}° in {differ} of {len(all_of)} comparisons with "
            f"{listed([k for *_, k in all_of])} at the same depth, L = {depths}."
        )
    if near is not far and near[0].mean < SAME:
        both = f"{pretty_potential(near[3].label, near[3].flat)} and {near[2]}"
        text += f" {both} share their direction at L = {near[3].depth}: at most {degrees(near[0])}."
    return [text]


def depth_is_asked_first(question: str) -> bool:
    """Whether the question speaks of depth before it speaks of potentials or norms."""
    depth = re.search(r"\b(depth|deep|layers?)\b", question, re.I)
    other = re.search(r"\b(potentials?|norms?|mirror maps?|l_?\d|p ?=)", question, re.I)
    return depth is not None and (other is None or depth.start() < other.start())


def answer(results: Results, verdicts: list[Verdict], summary: pd.DataFrame) -> list[str]:
    """The answer to the grid's question, first sentence first; says so when there is none."""
    used = [v for v in verdicts if v.used]
    whole, absent = len(results.cells), sum(status == "missing" for status in results.status.values())
    if not verdicts:
        return ["The run has no cells, so there is no answer."]
    if not used:
        totals: dict[str, int] = {}
        for v in distinct(verdicts):
            for s, k in v.counts.items():
                totals[s] = totals.get(s, 0) + int(k)
        words = listed([f"{k} {'not run' if s == 'missing' else s}" for s, k in sorted(totals.items())])
        return [f"There is no answer: no run came through ({words}). See below why."]
    depth, limits = depth_sentences(verdicts), limit_sentences(verdicts)
    others = potential_sentences(results, summary)
    asked = depth_is_asked_first(results.question)
    if asked and not any(v.limit_changed for v in used) and not "".join(depth).startswith("Whether"):
        deep = any(v.condition.depth > 1 for v in verdicts)
        why = "no deep run has a linear companion to compare it with" if deep else "the grid has no depth above 1"
        depth = [f"Whether depth changes the limit direction cannot be said: {why}.", *depth]
    parts = (
        depth + limits + others
        if asked
        else others + limits + depth
        if "differ" in results.question.lower()
        else limits + others + depth
    )
    parts += overlap_sentences(verdicts) + quasi_sentences(verdicts)
    if parts and absent:
        parts[0] = f"Preliminary, with {whole - absent:,} of {whole:,} runs: {parts[0][0].lower()}{parts[0][1:]}"
    return parts or ["The runs have ended, but none left a number that answers the question; see the tables below."]
