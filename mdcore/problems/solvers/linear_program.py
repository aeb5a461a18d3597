"""min ⟨c, x⟩ s.t. Gx ≤ h and bounds, by HiGHS, at the tightest tolerance that it can keep."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

# HiGHS keeps absolute tolerances; at 1e-10 it gives up on some ill-conditioned problems that 1e-7 solves.
ATTEMPTS = (("highs-ds", 1e-10), ("highs", 1e-7), ("highs-ipm", 1e-7))


def solve(c: np.ndarray, G: np.ndarray, h: np.ndarray, bounds) -> tuple[np.ndarray, np.ndarray, float]:
    """x (m,), the multipliers λ ≥ 0 of Gx ≤ h (k,), and the tolerance it was solved to. G is (k, m).

    Raises ArithmeticError where no attempt ends at an optimum; callers ask only for programs that have one.
    """
    for method, tolerance in ATTEMPTS:
        options = {"primal_feasibility_tolerance": tolerance, "dual_feasibility_tolerance": tolerance}
        answer = linprog(c, A_ub=G, b_ub=h, bounds=bounds, method=method, options=options)
        if answer.status == 0:
            return answer.x, np.maximum(0.0, -answer.ineqlin.marginals), tolerance
    raise ArithmeticError(
        f"a linear program of {len(h)} rows was not solved by HiGHS: {answer.message}; "
        "bring the coordinates to one scale, drop duplicate points"
    )
