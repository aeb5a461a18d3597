"""Claims about the verdicts of the report: on made-up runs whose limits are known, nothing false is claimed.

A trial is a condition and its companion, a run of each for every seed. Their limits are random unit vectors at a known
angle; the end predictors lie at random angles from the limits, often where the triangle inequality is an equality; the
bounds are honest: never below the true angle, some loose, some saying nothing. Runs that must count for nothing
(transient, failed, diverged, not run, an optimum that is not unique, no exact minimiser) carry a bound of 0, a lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from mdcore.analysis.data import directions
from mdcore.analysis.data.directions import NO, OPEN, SAME, YES
from mdcore.verification.claim import ClaimFigure, Measurement, Register, Series, prediction
from mdcore.verification.independent import degrees

CLAIMS = Register()
COUNT = 200
APART = (0.0, 0.0, 0.3, 0.9, 0.999, 1.001, 1.1, 2.5, 8.0, 40.0, 120.0, 179.0)  # degrees between the limits
VOID: tuple[dict, ...] = (
    *({"status": status} for status in ("transient", "failed", "diverged", "missing", "quasi-separable")),
    {"reference_unique": False},
    {"reference_unique": ""},
    {"limit_p": np.nan},
)


@dataclass(frozen=True)
class Trial:
    """Pairs of runs: the angle between their end predictors, and their rows of master.csv; and the truth.

    truth: degrees between the limits of deep and linear runs. trusted: every row may be believed.
    """

    pairs: tuple[tuple[float, dict, dict], ...]
    truth: float
    trusted: bool

    def verdict(self) -> str:
        """What the report would say of it."""
        ends = [(angle, directions.end_of(one), directions.end_of(other)) for angle, one, other in self.pairs]
        return directions.over_runs(directions.decide(*pair) for pair in ends)

    @property
    def false(self) -> bool:
        """Whether that is false."""
        verdict = self.verdict()
        return (verdict == YES and self.truth <= SAME) or (verdict == NO and self.truth > SAME)


def turned(u: np.ndarray, towards: np.ndarray, angle: float) -> np.ndarray:
    """u (d,) turned by `angle` degrees towards the vector `towards`, on the great circle through both."""
    side = towards - (towards @ u) * u
    side /= np.linalg.norm(side)
    return np.cos(np.radians(angle)) * u + np.sin(np.radians(angle)) * side


def trial(rng: np.random.Generator, tight: bool = False) -> Trial:
    """A random trial. tight: every run is certified within 0.3°, and the limits are the same or 2.5° apart or more."""
    truth = float(rng.choice([x for x in APART if not tight or x in (0.0, *APART[7:])]))
    overlap = truth == 0 and rng.random() < 0.3
    one_norm = truth == 0 and rng.random() < 0.7  # else two norms whose optima lie `truth` apart, 0 included
    trusted = tight or rng.random() < 0.7
    norms = (2.0, 2.0) if one_norm else (1.5, 3.0)
    pairs = []
    for _ in range(int(rng.integers(1, 6))):
        size = int(rng.integers(2, 31))
        u = rng.standard_normal(size)
        u /= np.linalg.norm(u)
        across = rng.standard_normal(size)
        limits = (u, turned(u, across, truth))
        line = rng.choice([-1.0, 1.0, 0.0])  # away from each other, towards each other, or anywhere
        ends, rows = [], []
        for limit, sign, p in zip(limits, (1.0, -1.0), norms, strict=True):
            far = rng.uniform(0, 0.2) if tight else 10 ** rng.uniform(-3, 1.8)
            side = across if line else rng.standard_normal(size)
            end = turned(limit, side, (line or 1.0) * sign * far)
            away = degrees(end, limit)
            loose = away * (1.0 if tight or rng.random() < 0.5 else 10 ** rng.uniform(0, 1))
            bound = loose if tight else float(rng.choice([loose, 180.0, np.nan], p=[0.9, 0.05, 0.05]))
            row: dict[str, object] = {
                "status": "converged",
                "limit_p": p,
                "reference_unique": True,
                "angle_bound": min(bound, 180.0),
            }
            if overlap:  # there is no certificate, but the exact angle to the minimiser
                row = {"status": "overlap", "reference_unique": True, "logreg_kind": "unregularised"}
                row |= {"angle_logreg": away, "limit_p": p}
            ends.append(end)
            rows.append(row)
        first, second = rows
        pairs.append((degrees(*ends), first, second))
    if not trusted:  # one run of one pair, or of all, is not at its limit and lies about it
        which = range(len(pairs)) if rng.random() < 0.5 else [int(rng.integers(len(pairs)))]
        void = VOID[int(rng.integers(len(VOID) - overlap))]  # the minimiser needs no limit_p
        for k in which:
            lie: dict[str, object] = {"angle_bound": 0.0, "angle_logreg": 0.0, **void}
            pairs[k] = (float(rng.uniform(0, 180)), pairs[k][1] | lie, pairs[k][2])
    return Trial(tuple(pairs), truth, trusted)


@cache
def trials(count: int, tight: bool = False, seed: int = 0) -> tuple[Trial, ...]:
    """`count` random trials, the same for the same seed."""
    rng = np.random.default_rng((seed, int(tight)))
    return tuple(trial(rng, tight) for _ in range(count))


@CLAIMS.add(
    "verdicts on directions: none is false",
    "triangle inequality on the sphere",
    f"{COUNT} made-up conditions with known limits, 1 to 5 runs, d = 2 to 30, honest bounds",
    "0 false; open where a run counts for nothing; with bounds below 0.3° all are decided",
    "0; 0; 0",
    ours=True,
)
def no_false_verdict(evidence) -> Measurement:
    loose, tight = trials(COUNT), trials(COUNT, tight=True)
    verdicts = [t.verdict() for t in loose]
    false = sum(t.false for t in (*loose, *tight))
    trusting = sum(v != OPEN and not t.trusted for v, t in zip(verdicts, loose, strict=True))
    undecided = sum(t.verdict() == OPEN for t in tight)
    words = {YES: "changes", NO: "does not change", OPEN: "open"}
    points = []
    for v, word in words.items():
        mine = [t for t, answer in zip(loose, verdicts, strict=True) if answer == v]
        points.append(Series(word, [t.truth for t in mine], [_widest(t) for t in mine]))
    figure = ClaimFigure(
        "true angle between the limits (°)",
        "widest bound of a run (°)",
        (*points, prediction("tolerance", SAME, [0.0, 180.0])),
        "linear",
        "log",
    )
    counts = ", ".join(f"{verdicts.count(v)} {word}" for v, word in words.items())
    return Measurement(
        f"{false} false of {COUNT} ({counts}) and of {COUNT} with tight bounds; {trusting} decided by runs that count "
        f"for nothing; {undecided} of {COUNT} with tight bounds left open",
        false == trusting == undecided == 0 and min(map(verdicts.count, words)) > 0,
        figure,
    )


def _widest(t: Trial) -> float:
    bounds = [directions.end_of(row).bound for _, *rows in t.pairs for row in rows]
    return max(1e-4, *bounds)
