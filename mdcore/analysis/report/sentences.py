"""The report's sentences, each built from numbers by a function of its own, with the uncertainty of the numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pandas as pd

from mdcore.analysis.data.directions import NO, OPEN, SAME, YES, norm_name, over_runs
from mdcore.analysis.data.pairs import pairings
from mdcore.analysis.data.results import Results
from mdcore.analysis.report.verdicts import Estimate, Verdict, angles_of, answers, estimate, known_ends
from mdcore.analysis.tables.numbers import angle, angle_at_most, with_interval


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
    """ "0.31° (mean of 3 runs, 95 % t interval 0.28° to 0.35°)"; one run, and runs that agree, are said to be that.

    The interval of an angle's mean is cut at 0°, below which no mean can lie.
    """
    if not e.known:
        return "not measured"
    if e.n == 1:
        return f"{angle(e.mean)} (one run, so no interval)"
    if max(e.mean, e.high) < 1e-6:
        return f"{angle(e.mean)} (mean of {e.n} runs)"
    if e.high - e.low <= 1e-9 * e.mean:
        return f"{angle(e.mean)} (identical in all {e.n} runs, so no interval)"
    decimals = min(9, max(2, 3 - math.floor(math.log10(abs(e.mean))))) if e.mean else 9  # four digits say enough
    m, low, high = (v.replace("-", "−") for v in with_interval(e.mean, max(0.0, e.low), e.high, decimals))
    return f"{m}° (mean of {e.n} runs, 95 % t interval {low}° to {high}°)"


def distinct(verdicts: list[Verdict]) -> list[Verdict]:
    """Each condition once, also where it stands in several facets."""
    return list({v.condition.id: v for v in verdicts}.values())


def _named(verdicts: list[Verdict], most: int = 4) -> str:
    names = [f"{v.name} on {v.facet}" for v in verdicts]
    return "; ".join(names if len(names) <= most else [*names[: most - 1], f"and {len(names) - most + 1} more"])


def scope(verdicts: list[Verdict]) -> str:
    """Which conditions a sentence speaks of: "quadratic and lp with p = 3 at L = 2 and 3 on Gaussian, d = 20".

    Potentials that were seen at the same depths on the same data stand together; where that does not make it shorter,
    the first conditions are named one by one.
    """
    seen: dict[str, list[Verdict]] = {}
    for v in verdicts:
        seen.setdefault(_potential(v), []).append(v)
    groups: dict[tuple, list[str]] = {}
    for potential, some in seen.items():
        depths, data = sorted({_depth(v) for v in some}), list(dict.fromkeys(_facet(v) for v in some))
        if len(depths) * len(data) != len(some) or len(data) > 4:
            return _named(verdicts)
        groups.setdefault((listed(depths, 8), listed(data, 4)), []).append(potential)
    words = [f"{listed(potentials, 8)} at L = {depths} {data}" for (depths, data), potentials in groups.items()]
    return "; ".join(words) if len(words) <= 3 else _named(verdicts)


def _potential(v: Verdict) -> str:
    return v.potential.replace(", ", " with ", 1)  # "lp with p = 3": a name without a comma stands in a list


def _depth(v: Verdict) -> str:
    return str(v.condition.depth)


def _facet(v: Verdict) -> str:
    return f"on {v.facet}"


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _largest(verdicts: list[Verdict], of: Callable[[Verdict], Estimate]) -> tuple[Estimate, str] | None:
    """(the largest mean, whose it is) among those that are known."""
    known = [v for v in verdicts if of(v).known]
    worst = max(known, key=lambda v: of(v).mean, default=None)
    return (of(worst), f"for {worst.name} on {worst.facet}") if worst else None


def _evidence(verdicts: list[Verdict]) -> str:
    """What it rests on that these conditions have reached their directions."""
    certified, measured = ([v for v in verdicts if v.overlap is o] for o in (False, True))
    words = ["proved by the bound on each run's angle to it"] if certified else []
    if measured:
        where = "on the overlapping data " if certified else ""
        words.append(f"{where}by the measured angle to the exact logistic minimiser, without a certificate")
    return " and ".join(words)


def depth_head(verdicts: list[Verdict]) -> str:
    """Whether depth changes the limit direction, over deep conditions with a linear companion in the grid."""
    by = {k: [v for v in verdicts if v.limit_changed == k] for k in (NO, YES, OPEN)}
    total = plural(len(verdicts), "deep condition")
    same = (
        f"each deep run and its linear companion end within {SAME:g}° of one and the same exact direction, "
        f"{_evidence(by[NO])}"
    )
    waiting = f" {len(by[OPEN])} {_is(len(by[OPEN]))} open: {_named(by[OPEN])}." if by[OPEN] else ""
    if by[YES]:
        kept = f" It does not in {len(by[NO])}." if by[NO] else ""
        return (
            f"Depth changes the limit direction in {len(by[YES])} of {total}, {scope(by[YES])}: in every run the "
            f"limits of deep and linear mirror descent are proved to be more than {SAME:g}° apart.{kept}{waiting}"
        )
    if by[NO] and not waiting:
        every = "in all " if len(verdicts) > 1 else "in the "
        return f"Depth does not change the limit direction of {scope(by[NO])}: {every}{total}, {same}."
    if by[NO]:
        return (
            f"Depth does not change the limit direction wherever it is determined, in {len(by[NO])} of {total} "
            f"({scope(by[NO])}): {same}.{waiting}"
        )
    return (
        f"Whether depth changes the limit direction is open: in none of {total} ({scope(verdicts)}) do the bounds of "
        "all deep and linear runs determine their directions."
    )


def depth_sentences(verdicts: list[Verdict]) -> list[str]:
    """Whether depth changes the limit, how far apart the ends are, and how far apart the paths at equal loss."""
    deep = [v for v in distinct(verdicts) if v.condition.depth > 1 and v.used]
    if not deep:
        return []
    paired = [v for v in deep if v.linear]
    out = [depth_head(paired)] if paired else []
    same = [v for v in paired if v.limit_changed == NO]
    if worst := _largest(same, lambda v: v.linear_ends):
        out.append(
            "Where the limit is the same, the end predictors of deep and linear runs are on average at most "
            f"{degrees(worst[0])} apart, {worst[1]}."
        )
    known = [v for v in deep if v.equal_loss.n == v.used]
    if worst := _largest(known, lambda v: v.equal_loss):
        differ = [v for v in known if v.path_changed == YES]
        if differ:
            out.append(
                "The way to the limit is another question: read at the smallest loss that both have reached, which one "
                f"of them reached before its end, deep and linear predictors are more than {SAME:g}° apart in every "
                f"run of {len(differ)} of {plural(len(known), 'deep condition')}. The largest mean is "
                f"{degrees(worst[0])}, {worst[1]}. This is a difference of paths, which can vanish in the limit."
            )
        else:
            out.append(
                f"Read at equal loss, deep and linear predictors are at most {degrees(worst[0])} apart, {worst[1]}."
            )
    unread = [v for v in deep if v.equal_loss.n < v.used]
    if unread:
        out.append(
            f"In {plural(len(unread), 'deep condition')} ({_named(unread)}) some runs and their linear companions have "
            "no loss in common at which both can be read: a step leaps past it, their ranges do not meet, or nothing "
            "was measured. They are left out of the comparison at equal loss."
        )
    return out


def limit_sentences(verdicts: list[Verdict]) -> list[str]:
    """Whether each potential goes to its own max-margin direction: by the bound, the measured angle beside it."""
    separable = [v for v in distinct(verdicts) if v.separability == "separable" and v.used]
    if not separable:
        return []
    total = f"{plural(len(separable), 'condition')} on separable data"
    reached = [v for v in separable if v.reached]
    margin = [v for v in separable if not v.reached and v.converged]
    rest = [v for v in separable if not v.reached and not v.converged]
    out = []
    if reached:
        widest = max(reached, key=lambda v: v.bound)
        out.append(
            f"In {len(reached)} of {total} ({scope(reached)}) every run ends within {SAME:g}° of the exact max-margin "
            f"direction of its own norm, proved by the bound on its angle; the widest is "
            f"{angle_at_most(widest.bound)}, for {widest.name} on {widest.facet}."
        )
    else:
        out.append(
            f"In none of {total} do the bounds of all runs prove that they end within {SAME:g}° of the "
            "max-margin direction of their own norm."
        )
    wide = [v for v in margin if v.unique]
    if wide:
        text = (
            f"In {len(wide)} ({_named(wide)}) every margin is certified but not the direction: the bound on its angle "
            f"is wider than {SAME:g}°"
        )
        if worst := _largest(wide, lambda v: v.angle):
            text += "; the measured angle to the max-margin direction is on average at most "
            text += f"{degrees(worst[0])}, {worst[1]}"
        out.append(text + ".")
    several = [v for v in margin if not v.unique]
    if several:
        norms = listed(sorted({norm_name(v.limit_p) for v in several}))
        text = (
            f"In {len(several)} ({_named(several)}) every margin is certified, but the {norms} max-margin direction is "
            "not known to be unique, so that no limit direction is determined"
        )
        if worst := _largest(several, lambda v: v.angle):
            text += "; angles are to the one optimum that the solver found, on average at most "
            text += f"{degrees(worst[0])}, {worst[1]}"
        out.append(text + ".")
    if rest:
        out.append(
            f"{plural(len(rest), 'condition')} on separable data ({_named(rest)}) "
            f"{'has' if len(rest) == 1 else 'have'} runs whose margin is not certified, or that failed or diverged. "
            "Their end points are no limits."
        )
    return out


def overlap_sentences(verdicts: list[Verdict]) -> list[str]:
    """On overlapping data: no margin, and how near the logistic minimiser is."""
    over = [v for v in distinct(verdicts) if v.overlap and v.used]
    if not over:
        return []
    data = listed(sorted({_facet(v) for v in over}))
    out = f"The data overlap {data}: no margin exists there, and none is shown."
    near = [v for v in over if v.reached]
    text = (
        f" In {len(near)} of {plural(len(over), 'condition')} all runs end within {SAME:g}° of the logistic minimiser"
    )
    if worst := _largest(over, lambda v: v.angle):
        out += f"{text}, as measured; the largest mean angle is {degrees(worst[0])}, {worst[1]}. No certificate exists."
    several = [v for v in over if not v.unique]
    if several:
        out += (
            f" In {len(several)} of them the minimiser is not known to be the only one, so that no limit direction is "
            "determined."
        )
    return [out]


def quasi_sentences(verdicts: list[Verdict]) -> list[str]:
    """On quasi-separable data: what that means, and that no limit is named."""
    quasi = [v for v in distinct(verdicts) if v.separability == "quasi-separable" and v.used]
    if not quasi:
        return []
    return [
        f"The data are quasi-separable {listed(sorted({_facet(v) for v in quasi}))}: some points can be classified "
        "strictly, the others only with margin zero. No margin exists there, and none is shown; the direction reached "
        "is not determined, as no exact limit is measured against."
    ]


def potential_sentences(
    results: Results, master: pd.DataFrame, summary: pd.DataFrame, found: list[Verdict]
) -> list[str]:
    """Whether the limits of different potentials differ, and how far apart the ends are: same data, depth and seed."""
    by_id = {v.condition.id: v for v in found}
    rows = {r["condition_id"]: r for r in summary.to_dict("records")}
    ends, angles = known_ends(master), angles_of(master, "angle_reference_potential")
    pairs = []
    for kind, c, other in pairings(results):
        apart = estimate(rows[c.id], "angle_reference_potential") if kind == "potential" else Estimate()
        if apart.known:
            pairs.append((by_id[c.id], by_id[other.id], apart, over_runs(answers(c, other, ends, angles))))
    if not pairs:
        return []
    said = {k: [pair for pair in pairs if pair[3] == k] for k in (YES, NO, OPEN)}
    others = listed(list(dict.fromkeys(o.potential for _, o, *_ in pairs)))
    depths = listed(sorted({_depth(v) for v, *_ in pairs}))
    total = plural(len(pairs), "comparison")
    scope_words = f"with {others} on the same data at the same depth, L = {depths}"
    if said[YES]:
        head = (
            f"The limit directions of different potentials differ: by more than {SAME:g}°, proved for every run, in "
            f"{len(said[YES])} of {total} {scope_words}"
        )
    elif said[OPEN]:
        head = (
            f"Whether the limit directions of different potentials differ is open: in none of {total} {scope_words} "
            f"is it proved that they are more than {SAME:g}° apart"
        )
    else:
        head = f"The limit directions of different potentials do not differ in {total} {scope_words}"
    if said[NO] and (said[YES] or said[OPEN]):
        same = scope([v for v, *_ in said[NO]])
        head += f"; in {len(said[NO])} they are the same within {SAME:g}° ({same})"
    if said[OPEN] and said[YES]:
        head += f"; {len(said[OPEN])} {_is(len(said[OPEN]))} open, as the bounds do not determine both directions"
    v, o, far, _ = max(pairs, key=lambda pair: pair[2].mean)
    return [
        f"{head}. The end predictors are farthest apart, {degrees(far)}, between {v.potential} and {o.potential} on "
        f"{v.facet}, L = {v.condition.depth}."
    ]


def depth_is_asked_first(question: str) -> bool:
    """Whether the question speaks of depth before it speaks of potentials or norms."""
    depth = re.search(r"\b(depth|deep|layers?)\b", question, re.I)
    other = re.search(r"\b(potentials?|norms?|mirror maps?|l_?\d|p ?=)", question, re.I)
    return depth is not None and (other is None or depth.start() < other.start())


def answer(results: Results, verdicts: list[Verdict], master: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
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
    others = potential_sentences(results, master, summary, verdicts)
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
