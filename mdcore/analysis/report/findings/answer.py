"""The report's sentences, each built from numbers by a function of its own, with the uncertainty of the numbers.

Every number is `stated` (report/macros.py), so that results.tex has a macro for it; names of potentials and data, the
depths, and the tolerance of 1° are not numbers of the run.
"""

from __future__ import annotations

import re

import pandas as pd

from mdcore.analysis.data.directions import NO, OPEN, SAME, YES, norm_name, over_runs
from mdcore.analysis.data.pairs import pairings
from mdcore.analysis.data.results import Results
from mdcore.analysis.report.findings.macros import macro_name, stated
from mdcore.analysis.report.findings.verdicts import Estimate, Verdict, angles_of, answers, estimate, known_ends
from mdcore.analysis.report.findings.wording import (
    counted,
    data_listed,
    degrees,
    distinct,
    in_degrees,
    is_or_are,
    largest,
    listed,
    potential_of,
    scope,
    whose,
)
from mdcore.analysis.tables.numbers import angle_at_most

MOST_BOUNDS = 6  # in one sentence
LEAST = 1e-6  # degrees: a largest angle below it is rounding, of which no sentence speaks


def _evidence(verdicts: list[Verdict]) -> str:
    """What it rests on that these conditions have reached their directions."""
    certified, measured = ([v for v in verdicts if v.overlap is o] for o in (False, True))
    if certified and measured:
        return "as certified bounds prove and, on overlapping data, measurements show"
    return "as certified bounds prove" if certified else "the logistic minimiser, as measured, without a certificate"


def _these(verdicts: list[Verdict], of: list[Verdict]) -> str:
    """The sentence that names the conditions of the one before."""
    return f"{'This is' if len(verdicts) == 1 else 'These are'} {scope(verdicts, of)}."


def _of_total(n: int, total: str, several: str) -> str:
    """Which of the n that `total` counts: `several` says it where there is more than one."""
    return f"the {total}" if n == 1 else several


def depth_head(verdicts: list[Verdict]) -> tuple[str, list[str]]:
    """(whether depth changes the limit direction, what is open), over deep conditions with a linear companion."""
    by = {k: [v for v in verdicts if v.limit_changed == k] for k in (NO, YES, OPEN)}
    total = counted(len(verdicts), "DeepConditions", "deep condition", "deep conditions with a linear companion")
    kept, changed, undecided = (
        stated(name, len(by[k]), f"deep conditions {what}")
        for k, name, what in (
            (NO, "SameLimit", "whose limit direction is that of depth 1"),
            (YES, "ChangedLimit", "whose limit direction is another than at depth 1"),
            (OPEN, "OpenLimit", "in which it is open whether depth changes the limit direction"),
        )
    )
    same = f"the deep and the linear run end within {SAME:g}° of the same exact direction, {_evidence(by[NO])}"
    rest = []
    if by[OPEN] and (by[YES] or by[NO]):
        rest = [
            f"Whether depth changes the limit direction remains open in {undecided} of {total}, where the bounds do "
            f"not determine the directions of all runs: {scope(by[OPEN])}."
        ]
    if by[YES]:
        tail = f" It does not in {kept}." if by[NO] else ""
        where = _of_total(len(verdicts), total, f"{changed} of {total}")
        return (
            f"Depth changes the limit direction in {where}: in every run, the limits of deep and linear "
            f"mirror descent are proved to be more than {SAME:g}° apart ({scope(by[YES], verdicts)}).{tail}"
        ), rest
    if by[NO]:
        where = _of_total(len(verdicts), total, f"{kept} of {total}" if by[OPEN] else f"any of the {total}")
        return f"Depth does not change the limit direction in {where}: {same}. {_these(by[NO], verdicts)}", rest
    where = _of_total(len(verdicts), total, f"any of the {total}")
    return (
        f"Whether depth changes the limit direction is open: in {where} ({scope(verdicts)}), the bounds do not "
        "determine the directions of all deep and linear runs."
    ), rest


def depth_sentences(verdicts: list[Verdict]) -> tuple[list[str], list[str]]:
    """(whether depth changes the limit, how far apart the ends are, and the paths at equal loss; the exceptions)."""
    deep = [v for v in distinct(verdicts) if v.condition.depth > 1 and v.used]
    if not deep:
        return [], []
    paired = [v for v in deep if v.linear]
    head, rest = depth_head(paired) if paired else ("", [])
    out = [head] if head else []
    same = [v for v in paired if v.limit_changed == NO]
    worst = largest(same, lambda v: v.linear_ends)
    if worst and worst[0].mean >= LEAST:
        far = degrees(worst[0], "EndAngle", "largest mean angle between the end predictors of deep and linear runs")
        out.append(f"Where the limit is the same, deep and linear end points differ most for {worst[1]}, by {far}.")
    known = [v for v in deep if v.equal_loss.n == v.used]
    if worst := largest(known, lambda v: v.equal_loss):
        differ = [v for v in known if v.path_changed == YES]
        far = degrees(worst[0], "EqualLossAngle", "largest mean angle between deep and linear predictors at equal loss")
        if differ:
            apart = stated(
                "PathsApart", len(differ), "deep conditions whose paths are apart at equal loss in every run"
            )
            total = counted(len(known), "PathsCompared", "deep condition", "deep conditions compared at equal loss")
            out.append(
                "The path to the limit does depend on depth: at equal loss R, the mean loss over the training points, "
                f"deep and linear predictors are more than {SAME:g}° apart in every run of {apart} of {total}, most "
                f"for {worst[1]}, by {far}. This concerns the paths and not the limits: one of the two runs had "
                "reached that loss long before its end."
            )
        else:
            out.append(
                "At equal loss R, the mean loss over the training points, deep and linear predictors differ most for "
                f"{worst[1]}, by {far}."
            )
    unread = [v for v in deep if v.equal_loss.n < v.used]
    if unread:
        total = counted(len(unread), "NotAtEqualLoss", "deep condition", "deep conditions without a common loss")
        rest.append(
            f"Not compared at equal loss: {total}, in which some runs share no loss with their linear companions at "
            f"which both can be read ({scope(unread)})."
        )
    return out, rest


def limit_sentences(verdicts: list[Verdict]) -> tuple[list[str], list[str]]:
    """(whether each potential goes to its own max-margin direction, by the bound; where that is not proved)."""
    separable = [v for v in distinct(verdicts) if v.separability == "separable" and v.used]
    if not separable:
        return [], []
    total = counted(len(separable), "SeparableConditions", "condition", "conditions on separable data")
    total += " on separable data"
    reached = [v for v in separable if v.reached]
    margin = [v for v in separable if not v.reached and v.converged]
    rest = [v for v in separable if not v.reached and not v.converged]
    out, open_ones = [], []
    if reached:
        arrived = stated("DirectionProved", len(reached), "conditions whose every run is proved to be at its direction")
        every = f"{'All' if len(separable) > 1 else 'The'} {total}"
        if len(reached) < len(separable):
            every = f"{arrived} of {total}"
        out.append(
            f"{every} {'reaches' if len(reached) == 1 else 'reach'} the exact max-margin direction of the potential's "
            f"own norm, with every run within {SAME:g}° of it: {scope(reached, separable)}. {_widest_bounds(reached)}"
        )
    else:
        where = _of_total(len(separable), total, f"any of the {total}")
        out.append(
            f"It is not proved in {where} that every run ends within {SAME:g}° of the max-margin direction of the "
            "potential's own norm."
        )
    wide = [v for v in margin if v.unique]
    if wide:
        some = counted(
            len(wide),
            "MarginOnly",
            "condition",
            "conditions with certified margins and a bound wider than the tolerance",
        )
        text = (
            f"In {some} ({scope(wide)}) the margins are certified but the directions are not, as the bound of the "
            f"angle is wider than {SAME:g}°."
        )
        if worst := largest(wide, lambda v: v.angle):
            far = degrees(worst[0], "MarginOnlyAngle", "largest mean angle to the max-margin direction among these")
            text += f" The measured angle is largest for {worst[1]}, {far}."
        open_ones.append(text)
    several = [v for v in margin if not v.unique]
    if several:
        meaning = "conditions whose max-margin direction is not known to be unique"
        some = counted(len(several), "NotUnique", "condition", meaning)
        norms = listed(sorted({norm_name(v.limit_p) for v in several}))
        text = (
            f"In {some} ({scope(several)}) the margins are certified, but the {norms} max-margin direction is not "
            "known to be unique, so that no limit direction is determined."
        )
        if worst := largest(several, lambda v: v.angle):
            far = degrees(worst[0], "NotUniqueAngle", "largest mean angle to the optimum that the solver found")
            text += f" The angle to the optimum that the solver found is largest for {worst[1]}, {far}."
        open_ones.append(text)
    if rest:
        some = counted(len(rest), "NotCertified", "condition", "conditions with runs whose margin is not certified")
        open_ones.append(
            f"{some} on separable data ({scope(rest)}) "
            f"{'has' if len(rest) == 1 else 'have'} runs whose margin is not certified, or that failed or diverged; "
            "their end points are no limits."
        )
    return out, open_ones


def _widest_bounds(reached: list[Verdict]) -> str:
    """The widest bound of each potential, of at most MOST_BOUNDS of them: those that are widest."""
    widest = {v.potential: v for v in sorted(reached, key=lambda v: v.bound)}
    shown = sorted(widest.values(), key=lambda v: v.bound)[-MOST_BOUNDS:]
    words = [
        in_degrees(
            angle_at_most(v.bound),
            macro_name("MaxAngle", v.potential),
            f"widest certified bound of the angle to the max-margin direction, {v.potential}",
        )
        + f" for {potential_of(v)}"
        for v in shown
    ]
    others = " and smaller for the others" * (len(widest) > len(shown))
    return f"The certified bound of the angle is at most {listed(words, MOST_BOUNDS)}{others}."


def overlap_sentences(verdicts: list[Verdict]) -> list[str]:
    """On overlapping data: no margin, and how near the logistic minimiser is."""
    over = [v for v in distinct(verdicts) if v.overlap and v.used]
    if not over:
        return []
    data = data_listed(sorted({v.facet for v in over}))
    out = f"On {data} the classes overlap, so that there is no margin."
    near = stated("OverlapReached", len([v for v in over if v.reached]), "overlapping conditions at the minimiser")
    total = counted(len(over), "OverlapConditions", "condition", "conditions on overlapping data")
    if worst := largest(over, lambda v: v.angle):
        far = degrees(worst[0], "OverlapAngle", "largest mean angle to the logistic minimiser")
        out += (
            f" In {near} of {total} there, every run ends within {SAME:g}° of the logistic minimiser, as measured and "
            f"without a certificate; the mean angle is largest for {worst[1]}, {far}."
        )
    several = [v for v in over if not v.unique]
    if several:
        some = stated("OverlapNotUnique", len(several), "overlapping conditions whose minimiser may not be unique")
        out += (
            f" In {some} of them the minimiser is not known to be the only one, so that no limit direction is "
            "determined."
        )
    return [out]


def quasi_sentences(verdicts: list[Verdict]) -> list[str]:
    """On quasi-separable data: what that means, and that no limit is named."""
    quasi = [v for v in distinct(verdicts) if v.separability == "quasi-separable" and v.used]
    if not quasi:
        return []
    return [
        f"On {data_listed(sorted({v.facet for v in quasi}))} the data are quasi-separable: some points can be "
        "classified strictly, the others only with margin zero. No limit direction is determined there, as there is "
        "neither a margin nor an exact direction to measure against."
    ]


def potential_sentences(
    results: Results, master: pd.DataFrame, summary: pd.DataFrame, verdicts: list[Verdict]
) -> list[str]:
    """Whether the limits of different potentials differ, and how far apart the ends are: same data, depth and seed."""
    by_id = {v.condition.id: v for v in verdicts}
    rows = {r["condition_id"]: r for r in summary.to_dict("records")}
    ends, angles = known_ends(master.to_dict("records")), angles_of(master, "angle_reference_potential")
    pairs = []
    for kind, c, other in pairings(results):
        distance = estimate(rows[c.id], "angle_reference_potential") if kind == "potential" else Estimate()
        if distance.known:
            pairs.append((by_id[c.id], by_id[other.id], distance, over_runs(answers(c, other, ends, angles))))
    if not pairs:
        return []
    by_answer = {k: [pair for pair in pairs if pair[3] == k] for k in (YES, NO, OPEN)}
    apart, alike, undecided = (
        stated(name, len(by_answer[k]), f"comparisons of two potentials whose limit directions {what}")
        for k, name, what in (
            (YES, "PotentialsApart", "are proved to differ"),
            (NO, "PotentialsAlike", "are the same within the tolerance"),
            (OPEN, "PotentialsOpen", "are not both determined"),
        )
    )
    others = listed(list(dict.fromkeys(potential_of(o) for _, o, *_ in pairs)))
    total = counted(len(pairs), "PotentialPairs", "comparison", "comparisons of two potentials at one depth")
    total += f" with {others}, on the same data and at the same depth"
    named = {k: [v for v, *_ in some] for k, some in by_answer.items()}
    if by_answer[YES]:
        where = _of_total(len(pairs), total, f"{apart} of {total}")
        head = (
            f"Different potentials end in different directions: in {where}, the limits are proved in every "
            f"run to be more than {SAME:g}° apart: {scope(named[YES])}."
        )
    elif by_answer[OPEN]:
        head = (
            f"Whether different potentials end in different directions is open: in none of {total}, are the limits "
            f"proved in every run to be more than {SAME:g}° apart."
        )
    else:
        where = _of_total(len(pairs), total, f"all {total}")
        head = f"Different potentials end in the same direction, within {SAME:g}°, in {where}: {scope(named[NO])}."
    if by_answer[NO] and (by_answer[YES] or by_answer[OPEN]):
        head += f" In {alike}, they are the same within {SAME:g}°: {scope(named[NO])}."
    if by_answer[OPEN] and by_answer[YES]:
        head += f" {undecided} {is_or_are(len(by_answer[OPEN]))} open, as the bounds do not determine both directions."
    v, o, far, _ = max(pairs, key=lambda pair: pair[2].mean)
    words = degrees(far, "PotentialsAngle", "largest mean angle between the end predictors of two potentials")
    farthest = f" The end points are farthest apart for {whose(v)}: {words} from {potential_of(o)}."
    return [head + farthest * (far.mean >= LEAST)]


def depth_is_asked_first(question: str) -> bool:
    """Whether the question speaks of depth before it speaks of potentials or norms."""
    depth = re.search(r"\b(depth|deep|layers?)\b", question, re.I)
    other = re.search(r"\b(potentials?|norms?|mirror maps?|l_?\d|p ?=)", question, re.I)
    return depth is not None and (other is None or depth.start() < other.start())


def answer(results: Results, verdicts: list[Verdict], master: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """The answer to the grid's question, the most important sentence first, the exceptions last."""
    used = [v for v in verdicts if v.used]
    whole, absent = len(results.cells), sum(status == "missing" for status in results.status.values())
    if not verdicts:
        return ["The run has no cells, so there is no answer."]
    if not used:
        totals: dict[str, int] = {}
        for v in distinct(verdicts):
            for s, k in v.counts.items():
                totals[s] = totals.get(s, 0) + int(k)
        words = listed(
            [
                stated(macro_name("Runs", s), k, f"runs that are {s}") + f" {'not run' if s == 'missing' else s}"
                for s, k in sorted(totals.items())
            ]
        )
        return [f"There is no answer: no run came through ({words}). See below why."]
    (depth, depth_open), (limits, limits_open) = depth_sentences(verdicts), limit_sentences(verdicts)
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
    parts += overlap_sentences(verdicts) + depth_open + limits_open + quasi_sentences(verdicts)
    if parts and absent:
        ended = stated("RunsEnded", f"{whole - absent:,}", "runs that have ended")
        of = stated("Runs", f"{whole:,}", "runs of the grid")
        parts[0] = f"Preliminary, with {ended} of {of} runs: {parts[0][0].lower()}{parts[0][1:]}"
    first = next((number for number, text in enumerate(parts) if "at L = " in text), None)
    if first is not None:  # L is said to be the depth where it is first met
        parts[first] = parts[first].replace("at L = ", "at depth L = ", 1)
    return parts or ["The runs have ended, but none left a number that answers the question; see the tables below."]
