"""Words that sentences are built from: counts, lists, angles with their intervals, and what a sentence speaks of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from mdcore.analysis.report.findings.macros import stated
from mdcore.analysis.report.findings.verdicts import Estimate, Verdict
from mdcore.analysis.tables import latex
from mdcore.analysis.tables.numbers import angle, with_interval


def plural(n: int, one: str, many: str = "") -> str:
    """ "1 run", "3 runs"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(items: list[str], most: int = 4) -> str:
    """ "a, b and c"; beyond `most` items "a, b, c, d and 3 more"."""
    items = list(dict.fromkeys(items))
    if len(items) > most + 1:
        return ", ".join(items[:most]) + f" and {len(items) - most} more"
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"


def counted(n: int, name: str, one: str, meaning: str = "") -> str:
    """ "3 runs", the number stated."""
    noun = plural(n, one)
    return stated(name, noun.split(" ")[0], meaning or f"number of {one}s") + noun[noun.index(" ") :]


def in_degrees(text: str, name: str, meaning: str) -> str:
    """ "0.31°" with the number stated."""
    return stated(name, text.removesuffix("°"), f"{meaning}, degrees") + "°"


def degrees(e: Estimate, name: str, meaning: str) -> str:
    """ "0.31° (mean of 3 runs, 95 % interval 0.28° to 0.35°)"; one run, and runs that agree, are said to be that.

    The interval of an angle's mean is cut at 0°, below which no mean can lie. Stated: <name>, its Low, High and Runs.
    """
    if not e.known:
        return "not measured"
    runs = stated(f"{name}Runs", e.n, f"runs behind the {meaning}")
    if e.n == 1:
        return f"{in_degrees(angle(e.mean), name, meaning)} (one run)"
    if max(e.mean, e.high) < 1e-6:
        return f"{in_degrees(angle(e.mean), name, meaning)} (mean of {runs} runs)"
    if e.high - e.low <= 1e-9 * e.mean:
        return f"{in_degrees(angle(e.mean), name, meaning)} (identical in all {runs} runs)"
    decimals = max(2, 3 - math.floor(math.log10(max(e.mean, 1e-6))))  # four digits say enough
    m, low, high = (v.replace("-", "−") for v in with_interval(e.mean, max(0.0, e.low), e.high, decimals))
    low, high = (in_degrees(v, name + k, f"95 % interval of the {meaning}") for v, k in ((low, "Low"), (high, "High")))
    return f"{in_degrees(m, name, meaning)} (mean of {runs} runs, 95 % interval {low} to {high})"


def distinct(verdicts: list[Verdict]) -> list[Verdict]:
    """Each condition once, also where it stands in several facets."""
    return list({v.condition.id: v for v in verdicts}.values())


def whose(v: Verdict) -> str:
    """ "l1.5 at L = 2 on Gaussian (d = 20)"."""
    return f"{potential_of(v)} at L = {v.condition.depth} on {data_listed([v.facet])}"


def named(verdicts: list[Verdict], most: int = 4) -> str:
    names = list(map(whose, verdicts))
    return "; ".join(names if len(names) <= most else [*names[: most - 1], f"and {len(names) - most + 1} more"])


def scope(verdicts: list[Verdict], of: Iterable[Verdict] = ()) -> str:
    """Which conditions a sentence speaks of: "quadratic and l3 at L = 2 and 3 on Gaussian (d = 20)".

    Potentials that were seen at the same depths on the same data stand together. Where that does not make it short,
    the few of the conditions `of` that are not meant are named, "all but …"; else the first that are, one by one.
    """
    words = _together(verdicts)
    if len(words) <= 3:
        return "; ".join(words)
    meant = {v.condition.id for v in verdicts}
    others = [v for v in of if v.condition.id not in meant]
    but = _together(others)
    return f"all but {'; '.join(but)}" if 0 < len(but) <= 3 and len(others) < len(meant) else named(verdicts)


def _together(verdicts: list[Verdict]) -> list[str]:
    """The conditions in as few phrases as there are pairs of depths and data with the same potentials."""
    seen: dict[tuple, dict[str, None]] = {}  # (potential, depth): data
    for v in verdicts:
        seen.setdefault((potential_of(v), depth_of(v)), {})[v.facet] = None
    depths: dict[tuple, list[str]] = {}  # (potential, data): depths
    for (potential, depth), data in seen.items():
        depths.setdefault((potential, tuple(data)), []).append(depth)
    groups: dict[tuple, list[str]] = {}  # (depths, data): potentials
    for (potential, data), some in depths.items():
        groups.setdefault((listed(sorted(some, key=int), 8), data_listed(data)), []).append(potential)
    return [f"{listed(potentials, 8)} at L = {some} on {data}" for (some, data), potentials in groups.items()]


def potential_of(v: Verdict) -> str:
    """ "l1.5", "hypentropy with β = 0.1": a name without a comma, which stands in a list."""
    return latex.short_norm(v.potential).replace(", ", " with ", 1)


def data_listed(titles: Iterable[str]) -> str:
    """ "MNIST 0 vs 1 (PCA 50 and PCA 200) and Planted (d = 2)": what begins alike stands together."""
    alike: dict[str, list[str]] = {}
    for title in titles:
        first, _, rest = title.partition(", ")
        alike.setdefault(first, []).extend([rest] if rest else [])
    return listed([f"{first} ({listed(rest, 8)})" if rest else first for first, rest in alike.items()], 8)


def depth_of(v: Verdict) -> str:
    return str(v.condition.depth)


def is_or_are(n: int) -> str:
    return "is" if n == 1 else "are"


def largest(verdicts: list[Verdict], of: Callable[[Verdict], Estimate]) -> tuple[Estimate, str] | None:
    """(the largest mean, `whose` it is) among those that are known."""
    known = [v for v in verdicts if of(v).known]
    worst = max(known, key=lambda v: of(v).mean, default=None)
    return (of(worst), whose(worst)) if worst else None
