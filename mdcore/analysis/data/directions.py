"""What is known of the direction in which a run ended, and the one rule that compares two directions.

Every sentence, table and colour that says whether two directions are the same asks `decide`, or `differ` where both are
measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mdcore.problems.proofs.directions import NOTHING

SAME = 1.0  # degrees: directions nearer than this count as the same
ROUNDING = 1e-9  # degrees: more than the rounding errors of an angle between two predictors in float64
YES, NO, OPEN = "yes", "no", "open"
MAX_MARGIN, MINIMISER = "max-margin", "logistic minimiser"


@dataclass(frozen=True)
class End:
    """Where a run ended: its end predictor lies within `bound` degrees of the one direction `reference`.

    reference: ("max-margin", p), the unique l_p max-margin direction of the run's data, or ("logistic minimiser",);
    () where nothing is known, and `why` then says in words what is missing. certified: `bound` is proved by a
    certificate; False on overlapping data, where it is the measured angle to a solver's minimiser.
    """

    bound: float = NOTHING
    reference: tuple = ()
    certified: bool = False
    why: str = ""

    @property
    def known(self) -> bool:
        return bool(self.reference) and 0 <= self.bound < NOTHING

    @property
    def reached(self) -> bool:
        """Whether the end predictor is within SAME of the reference, by the bound."""
        return self.known and self.bound <= SAME


def norm_name(p: float) -> str:
    """ "l2", "l1.5", "l∞"; "lp" where p is not known."""
    return "l∞" if p == np.inf else f"l{p:g}" if p == p else "lp"


def reference_name(reference: tuple) -> str:
    """An exact direction in words: "l1.5 max-margin"."""
    if reference == (MAX_MARGIN, 2.0):
        return "l2 max-margin (hard-margin SVM)"
    return f"{norm_name(reference[1])} max-margin" if reference[0] == MAX_MARGIN else reference[0]


def is_unique(row: Mapping) -> bool | None:
    """`reference_unique` of a row of master.csv; None where it is empty, so that it is not known."""
    return {"True": True, "1": True, "1.0": True, "False": False, "0": False, "0.0": False}.get(
        str(row.get("reference_unique", ""))
    )


def end_of(row: Mapping) -> End:
    """The End of a run from its row of master.csv; nothing is known of a run that is transient, failed or diverged.

    On separable data: certified gap of at most 1 % (status converged), an optimum proved to be unique, and
    `angle_bound` below 180. On overlapping data: the angle to the unregularised logistic minimiser, which must be
    unique (A of full column rank). A column that is absent or empty counts as not known.
    """
    status = row.get("status")
    if status == "converged":
        p, bound = float(row.get("limit_p", np.nan)), float(row.get("angle_bound", np.nan))
        if not p >= 1:
            return End(why="the potential names no limit")
        if not is_unique(row):
            return End(why=f"the {norm_name(p)} optimum is not known to be unique")
        if not 0 <= bound < NOTHING:
            return End(why="the certificate says nothing of the direction")
        return End(bound, (MAX_MARGIN, p), True)
    if status == "overlap":
        bound = float(row.get("angle_logreg", np.nan))
        if row.get("logreg_kind") != "unregularised" or not 0 <= bound < NOTHING:
            return End(why="no exact minimiser to compare with")
        if not is_unique(row):
            return End(why="the logistic minimiser is not known to be unique")
        return End(bound, (MINIMISER,))
    return End(why="not run" if status == "missing" else str(status or "no status"))


def decide(angle: float, one: End, other: End, tolerance: float = SAME) -> str:
    """ "yes", the limit directions of two runs on the same data differ by more than `tolerance`; "no"; or "open".

    angle: θ between the two end predictors w_1 and w_2, degrees. Each limit u_i lies within b_i = `bound` of w_i.

    The angle between unit vectors is a metric on the sphere (its geodesic distance), in any dimension and up to 180°.
    The triangle inequality along u_1, w_1, w_2, u_2, and along w_1, u_1, u_2, w_2, gives

        θ − b_1 − b_2  ≤  ∠(u_1, u_2)  ≤  θ + b_1 + b_2.

    Hence "yes" where θ − b_1 − b_2 > tolerance and "no" where θ + b_1 + b_2 ≤ tolerance. Both bounds are attained, by
    four points on one great circle, so nothing sharper follows from θ and b_i alone. Where both have the same
    reference, u_1 = u_2: "no" where both have arrived there, b_1 ≤ tolerance and b_2 ≤ tolerance, and never "yes".
    Then θ ≤ b_1 + b_2 must hold as well; where it does not, a bound is false and nothing follows: "open".

    That u_i, the optimum, is the limit of run i is what the theory says of it; what is proved here without it is that
    w_i has come within b_i of u_i. NaN, a bound of 180 and an End of which nothing is known leave it "open".
    `tolerance` absorbs no rounding: ROUNDING is added to the bounds.
    """
    if not (one.known and other.known):
        return OPEN
    reach = one.bound + other.bound + ROUNDING
    if one.reference == other.reference:
        return NO if max(one.bound, other.bound) <= tolerance and angle <= reach else OPEN
    return YES if angle - reach > tolerance else NO if angle + reach <= tolerance else OPEN


def differ(angle: float, tolerance: float = SAME) -> str:
    """`decide` for two predictors that are both measured, not limits: they lie at distance 0 from themselves."""
    return decide(angle, End(0.0, ("one",)), End(0.0, ("other",)), tolerance)


def over_runs(answers: Iterable[str]) -> str:
    """The answer on a condition: what all of its runs say; "open" where they do not agree or there are none."""
    answers = set(answers)
    return answers.pop() if len(answers) == 1 else OPEN
