"""Claims about where mirror descent goes on separable data: theory 5.1 and 5.2, and horizon functions."""

from __future__ import annotations

import math

import numpy as np

from mdcore.analysis.tables.norms import norm_at_margin_one
from mdcore.verification.claim import ClaimFigure, Measurement, Register, Series, at_most, bars, curves, largest
from mdcore.verification.independent import degrees, least_potential

CLAIMS = Register()
G20 = "G20, 5 seeds (QUICK: 1)"
LIMIT = {1.5: 0.15, 2.0: 0.15, 3.0: 0.4}  # degrees to the exact direction
LINEAR = {1.5: 0.1, 2.0: 0.1, 3.0: 0.25}  # degrees between deep and linear
TRANSIENT = {1.5: (13, 20, 21), 2.0: (9, 12, 15), 3.0: (6, 8, 12)}  # degrees at L = 2, 3, 4


def exact_angle(evidence, part, row, p=None) -> float:
    """Degrees from a cell's predictor to the exact l_p direction, by this package's own formula."""
    p = row["limit_p"] if p is None else p
    exact = evidence.references(part, row["cell_id"], [p]).max_margin[p]
    return degrees(evidence.w(part, row["cell_id"]), exact.w)


def _to_exact(rows, angles, bound) -> ClaimFigure:
    names = [f"seed {row['seed']}" for row in rows]
    return bars(names, angles, "angle to exact (°)", {"tolerance": bound, "limit": 0.0})


def _setting(p, depths):
    return f"{G20}, lp {p:g}, {depths}, normalized η=1, a={'2, anneal 4' if p == 3 else 1}, 10k steps"


for _p, _bound in LIMIT.items():

    @CLAIMS.add(
        f"limit of linear p-MD, p={_p:g}",
        "Sun et al. 2022",
        _setting(_p, "L=1"),
        f"largest angle to the exact l_{_p:g} direction is 0°",
        f"< {_bound}°",
        p=_p,
        bound=_bound,
    )
    def linear_limit(evidence, p, bound) -> Measurement:
        rows = list(evidence.each("limits", limit_p=p, depth=1))
        angles = [exact_angle(evidence, "limits", row) for row in rows]
        return Measurement(f"{largest(angles):.3f}°", at_most(angles, bound), _to_exact(rows, angles, bound))


for _p, _bound in LIMIT.items():

    @CLAIMS.add(
        f"depth keeps the limit, p={_p:g}",
        "theory 5.2",
        _setting(_p, "L=1..4, width 10"),
        "the exact direction, at every depth",
        f"< {_bound}°; to linear MD ≤ {LINEAR[_p]}°",
        ours=True,
        p=_p,
        bound=_bound,
    )
    def depth_keeps_limit(evidence, p, bound) -> Measurement:
        rows = list(evidence.each("limits", limit_p=p))
        predictors = {(row["seed"], row["depth"]): evidence.w("limits", row["cell_id"]) for row in rows}
        exact = [exact_angle(evidence, "limits", row) for row in rows]
        apart = [degrees(w, predictors[seed, 1]) for (seed, depth), w in predictors.items() if depth > 1]
        depths = [row["depth"] for row in rows]
        figure = ClaimFigure(
            "depth L",
            "angle (°)",
            (
                Series("to the exact direction", depths, exact),
                Series("to linear MD", [depth for _, depth in predictors if depth > 1], apart),
                Series("limit", [1, 4], [0.0, 0.0], "prediction"),
            ),
        )
        good = at_most(exact, bound) and at_most(apart, LINEAR[p]) and set(depths) == {1, 2, 3, 4}
        return Measurement(f"{largest(exact):.3f}°; to linear MD {largest(apart):.3f}°", good, figure)


for _p, _expected in TRANSIENT.items():

    @CLAIMS.add(
        f"transient depth effect, p={_p:g}",
        "measured",
        f"{G20}, L=2/3/4, width 10, constant η=0.05, U(±1/√fan_in), 10k steps",
        "/".join(map(str, _expected)) + "° between deep and linear MD, mean of the seeds",
        "±3° (QUICK: ±4°)",
        ours=_p == 1.5,
        p=_p,
        table=_expected,
    )
    def transient(evidence, p, table) -> Measurement:
        rows = [row for row in evidence.each("transient", limit_p=p) if row["depth"] > 1]
        depths = (2, 3, 4)
        by_depth = [[r["angle_linear_md"] for r in rows if r["depth"] == depth] for depth in depths]
        means = [float(np.mean(values)) for values in by_depth]
        figure = ClaimFigure(
            "depth L",
            "angle deep to linear MD (°)",
            (
                Series("runs", [row["depth"] for row in rows], [row["angle_linear_md"] for row in rows]),
                Series("mean", depths, means),
                Series("expected", depths, table, "prediction"),
            ),
        )
        off = [abs(a - b) for a, b in zip(means, table, strict=True)]
        return Measurement("/".join(f"{x:.1f}" for x in means) + "°", at_most(off, 4 if evidence.quick else 3), figure)


for _name, _p, _bound in (("hypentropy", 1.0, 0.15), ("scaled", 2.0, 0.15)):

    @CLAIMS.add(
        f"horizon of {_name}",
        "Pesme et al. 2024" if _p == 1 else "theory 5.1, 5.2",
        f"{G20}, L=1, 10k steps",
        f"the exact l_{_p:g} direction",
        f"< {_bound}°",
        ours=_p == 2,
        name=_name,
        p=_p,
        bound=_bound,
    )
    def horizon(evidence, name, p, bound) -> Measurement:
        rows = list(evidence.each("horizons", potential=name))
        angles = [exact_angle(evidence, "horizons", row, p) for row in rows]
        return Measurement(f"{largest(angles):.3f}°", at_most(angles, bound), _to_exact(rows, angles, bound))


@CLAIMS.add(
    "horizon of cosh: l∞ is the limit of its path",
    "Pesme et al. 2024",
    "G20, seed 0, argmin Σ cosh w s.t. Aw ≥ m, m = 10 … 1e4",
    "angle to l∞ falls like 1/m",
    "log-log slope −1 ± 0.15, < 0.1° at m = 1e4",
)
def cosh_path(evidence) -> Measurement:
    row = next(evidence.each("horizons", potential="cosh", seed=0))
    A = evidence.data("horizons", row["cell_id"]).A
    limit = evidence.references("horizons", row["cell_id"], [math.inf]).max_margin[math.inf].w
    margins = 10.0 ** np.arange(1, 5)
    angles = [degrees(least_potential(A, m), limit) for m in margins]
    slope = np.polyfit(np.log(margins[1:]), np.log(angles[1:]), 1)[0]
    series = curves(margins, {"path": angles}, {"∝ 1/m": angles[-1] * margins[-1] / margins})
    figure = ClaimFigure("margin m", "angle to l∞ (°)", series, "log", "log")
    good = abs(slope + 1) <= 0.15 and angles[-1] < 0.1
    return Measurement(f"slope {slope:.3f}; {angles[-1]:.4f}° at m = 1e4", good, figure)


@CLAIMS.add(
    "horizon of cosh: training is on its way",
    "theory 5.1 at finite time",
    f"{G20}, cosh β=1, L=1, normalized η=1, 10k steps",
    "near the path argmin φ(w) s.t. Aw ≥ m, at the run's own margin m, and so log-slowly to l∞",
    "half as far from the path as from l∞, or less",
    ours=True,
)
def cosh_run(evidence) -> Measurement:
    rows = list(evidence.each("horizons", potential="cosh"))
    path, limit = [], []
    for row in rows:
        A, w = evidence.data("horizons", row["cell_id"]).A, evidence.w("horizons", row["cell_id"])
        path.append(degrees(w, least_potential(A, float((A @ w).min()))))
        limit.append(exact_angle(evidence, "horizons", row, math.inf))
    seeds = [f"seed {row['seed']}" for row in rows]
    figure = ClaimFigure("", "angle (°)", curves(seeds, {"to the path": path, "to l∞": limit}, {"prediction": 0.0}))
    good = at_most([2 * a - b for a, b in zip(path, limit, strict=True)], 0)
    summary = f"at most {largest(path):.2f}° to the path, {largest(limit):.2f}° to l∞"
    return Measurement(summary, good, figure)


@CLAIMS.add(
    "the input layer's potential decides the direction",
    "theory 5.2: Z_1 = b A^Tλ",
    f"{G20}, L=2, lp 1.5 or lp 3 and quadratic in either order, normalized η=0.05, 30k steps",
    "l_p of the INPUT layer, not of the output layer",
    "< 0.6° to the input's, > 5° to the output's",
    ours=True,
)
def input_layer_decides(evidence) -> Measurement:
    pairs = {
        "lp1.5+quadratic": (1.5, 2.0),
        "quadratic+lp1.5": (2.0, 1.5),
        "lp3+quadratic": (3.0, 2.0),
        "quadratic+lp3": (2.0, 3.0),
    }
    names, near, far = [], [], []
    for label, (first, last) in pairs.items():
        for row in evidence.each("layers", potential_label=label):
            names.append(label)
            near.append(exact_angle(evidence, "layers", row, first))
            far.append(exact_angle(evidence, "layers", row, last))
    measured = {"to the input layer's l_p": near, "to the output layer's": far}
    figure = ClaimFigure("", "angle (°)", curves(names, measured, {"prediction": 0.0}))
    good = set(names) == set(pairs) and at_most(near, 0.6) and min(far) > 5
    return Measurement(f"largest {largest(near):.3f}°; to the output's at least {min(far):.1f}°", good, figure)


@CLAIMS.add(
    "own norm is smallest",
    "Sun et al. 2022, norm table",
    "n=15, d=100, y=sign(Xμ), 30k steps, L=1",
    "‖ŵ‖_r/min margin, p = 1.1, 1.5, 2, 3, 6 by r the same: the diagonal is the least of each column r",
    "strictly",
)
def own_norm(evidence) -> Measurement:
    ps = (1.1, 1.5, 2.0, 3.0, 6.0)
    rows = {row["p"]: row for row in evidence.each("norms")}
    table = np.empty((5, 5))  # [trained p, norm r]
    for i, p in enumerate(ps):
        w = evidence.w("norms", rows[p]["cell_id"])
        margin = float((evidence.data("norms", rows[p]["cell_id"]).A @ w).min())
        table[i] = [norm_at_margin_one(w, r, margin) for r in ps]
    relative = table / np.diag(table)
    least = relative[~np.eye(5, dtype=bool)].min()
    measured = {f"p={p:g}": relative[i] for i, p in enumerate(ps)}
    series = curves([f"r={r:g}" for r in ps], measured, {"least": 1.0})
    figure = ClaimFigure("", "norm over that of p = r", series)
    return Measurement(f"others are {least:.4f} times the diagonal or more", least > 1, figure)
