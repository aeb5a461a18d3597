"""Claims about data that no hyperplane separates: theory 5.7, and quasi-separable data."""

from __future__ import annotations

import numpy as np

from mdcore.verification.claim import ClaimFigure, Measurement, Register, Series, at_most, bars, largest, within
from mdcore.verification.independent import degrees, newton_logistic

CLAIMS = Register()
SETTING = "MNIST 3v5, 500 a digit, PCA 50, standardised, 30k steps"


@CLAIMS.add(
    "overlap: the logistic minimiser",
    "theory 9.2",
    SETTING.replace(", 30k steps", ""),
    "not separable; ‖w‖ = 9.687, loss 0.08800; Newton's method of the suite's own gives the same w",
    "±0.0005; ±0.000005; 0.001°",
)
def minimiser(evidence) -> Measurement:
    row = next(evidence.each("overlap"))
    A, references = evidence.data("overlap", row["cell_id"]).A, evidence.references("overlap", row["cell_id"], [])
    w = references.logreg.w
    size, loss = float(np.linalg.norm(w)), float(np.logaddexp(0, -A @ w).mean())
    apart = degrees(w, newton_logistic(A))
    good = references.separability == "overlapping" and abs(size - 9.687) <= 5e-4 and abs(loss - 0.088) <= 5e-6
    summary = f"{references.separability}; ‖w‖ = {size:.4f}, loss {loss:.6f}; {apart:.1e}° to Newton"
    return Measurement(
        summary,
        good and apart <= 1e-3,
        bars(["‖w‖/10", "loss"], [size / 10, loss], "value", {"expected ‖w‖/10": 0.9687, "expected loss": 0.088}),
    )


@CLAIMS.add(
    "overlap: deep gradient descent finds it",
    "theory 5.7",
    SETTING + ", constant η=0.1, quadratic, L=2, 3",
    "angle to the minimiser 0°; ‖w‖ = 9.687",
    "< 0.001°; ±0.0005",
    ours=True,
)
def deep_overlap(evidence) -> Measurement:
    rows = [row for row in evidence.each("overlap", potential="quadratic") if row["depth"] > 1]
    return _to_minimiser(evidence, rows, 0.001, {2, 3})


@CLAIMS.add(
    "overlap: every p and depth find it",
    "Ji & Telgarsky 2019 (L=1, p=2); theory 5.7",
    SETTING + ", p=1.5, 2, 3, L=1 (constant η=1), 2, 3 (η=0.1)",
    "angle to the minimiser 0°",
    "< 0.15° (slowest: p=3, L=1)",
    ours=True,
)
def every_overlap(evidence) -> Measurement:
    return _to_minimiser(evidence, list(evidence.each("overlap")), 0.15, {1, 2, 3})


def _to_minimiser(evidence, rows, bound, depths) -> Measurement:
    w = {row["cell_id"]: evidence.w("overlap", row["cell_id"]) for row in rows}
    exact = evidence.references("overlap", rows[0]["cell_id"], []).logreg.w
    angles = [degrees(each, exact) for each in w.values()]
    names = [f"{row['potential_label']} L={row['depth']}" for row in rows]
    figure = bars(names, angles, "angle to the minimiser (°)", {"tolerance": bound}, "log")
    good = at_most(angles, bound) and {row["depth"] for row in rows} == depths
    sizes = [float(np.linalg.norm(each)) for each in w.values()]
    good &= bound > 0.001 or within(sizes, 9.687, 5e-4)
    summary = f"{largest(angles):.2g}°; ‖w‖ {min(sizes):.4f} … {max(sizes):.4f}"
    return Measurement(summary, good, figure)


@CLAIMS.add(
    "quasi-separable: a ray and a finite offset",
    "Ji & Telgarsky 2019 (COLT), nonseparable data",
    "8 points in R^3 by hand, gradient descent, constant η=1, 30k steps",
    "part in span(rest) → offset; direction of the other part → ray; its norm grows by ‖ray‖·log t",
    "1e-4; < 10°, 1/log t; slope 1 ± 0.1",
)
def quasi(evidence) -> Measurement:
    (row,) = evidence.each("quasi")
    known = evidence.references("quasi", row["cell_id"], []).quasi
    data, w = evidence.data("quasi", row["cell_id"]), evidence.w("quasi", row["cell_id"])
    rest = data.A[~known.strict]
    V = np.linalg.svd(rest)[2][: np.linalg.matrix_rank(rest)].T
    inside = V @ (V.T @ w)
    off = float(np.linalg.norm(inside - known.offset))
    apart = degrees(w - inside, known.ray)
    path = evidence.history("quasi")
    outside = np.sqrt(np.maximum(path["weight_norm"] ** 2 - np.linalg.norm(known.offset) ** 2, 1e-300))
    late = path["epoch"] >= 1e3
    growth = float(np.polyfit(np.log(path["epoch"][late]), outside[late] / np.linalg.norm(known.ray), 1)[0])
    t = np.geomspace(1, path["epoch"].iloc[-1], 30)
    line = outside.iloc[-1] + np.linalg.norm(known.ray) * np.log(t / t[-1])
    figure = ClaimFigure(
        "steps t",
        "norm off span(rest)",
        (Series("gradient descent", path["epoch"], outside), Series("‖ray‖·log t", t, line, "prediction")),
        "log",
        "linear",
    )
    good = row["separability"] == "quasi-separable" and off <= 1e-4 and apart < 10 and abs(growth - 1) <= 0.1
    size = np.linalg.norm(known.offset)
    summary = f"offset off by {off:.1e} of {size:.3f}; {apart:.2f}° to the ray; slope {growth:.3f}"
    return Measurement(summary, good, figure)
