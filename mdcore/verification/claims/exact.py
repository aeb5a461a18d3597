"""Claims that need no training: inverse maps, angles, references, closed forms (theory 5.4)."""

from __future__ import annotations

import math

import numpy as np
import torch

from mdcore.math import metrics
from mdcore.math.potentials import BUILTIN, Cosh, Hypentropy, LayerScaled, Lp, Quadratic, Scaled
from mdcore.problems.baselines import soft_margin
from mdcore.problems.datasets import load_dataset
from mdcore.problems.references import solve_references
from mdcore.verification.claim import ClaimFigure, Measurement, Register, at_most, bars, curves, is_quick, largest
from mdcore.verification.claims.shipped import SOLVED, residual_figure, second_opinion
from mdcore.verification.independent import degrees, least_factorisation, soft_margin_svm

CLAIMS = Register()
G20 = {"name": "synthetic", "geometry": "gaussian", "dim": 20, "n": 60, "separation": 2.5, "noise": 1.0}
MNIST = {"name": "mnist", "source": "bundled", "path": None, "test_fraction": 0.0}
POTENTIALS = (Quadratic(), LayerScaled(4.0), Lp(1.1), Lp(1.5), Lp(3), Lp(10), Scaled(), Hypentropy(0.1), Cosh(1.0))


@CLAIMS.add(
    "inverse mirror maps",
    "theory 2.2",
    "z = ±1e-300 … ±1e100 where the weight is a double, every potential",
    "∇φ((∇φ)^{-1}(z)) = z, odd; ψ_10(1e-15) = 1e-15^{1/9} = 0.0215",
    "1e-9, relative",
)
def inverse_maps(evidence) -> Measurement:
    off = {}
    for phi in POTENTIALS:
        low, high = _range(phi)
        size = 10.0 ** np.linspace(low, high, 200)
        z = torch.tensor(np.concatenate([size, -size]))
        back = phi.mirror_map(phi.inverse_mirror_map(z))
        odd = (phi.inverse_mirror_map(-z) + phi.inverse_mirror_map(z)).abs().max()
        off[repr(phi)] = float(((back - z) / z).abs().max()) if float(odd) == 0 else math.inf
    small = float(Lp(10).inverse_mirror_map(torch.tensor([1e-15], dtype=torch.float64)))
    good = (
        at_most(off.values(), 1e-9)
        and abs(small - 0.0215443469) < 1e-9
        and {p.name for p in POTENTIALS} == set(BUILTIN)
    )
    figure = bars(list(off), list(off.values()), "relative error", {"tolerance": 1e-9}, "log")
    return Measurement(f"{largest(off.values()):.1e}; ψ_10(1e-15) = {small:.4f}", good, figure)


def _range(phi) -> tuple[float, float]:
    """log10 of the z whose weights a double can hold."""
    if phi.name == "lp":
        share = min(1.0, phi.p - 1.0)
        return -300 * share, 100 * share
    return {"hypentropy": (-100, 2.5), "cosh": (-300, 50)}.get(phi.name, (-300, 100))


@CLAIMS.add(
    "angles are signed and resolved",
    "theory 7.1",
    "pairs of vectors in R^20 at known angles",
    "180° for the opposite vector; 1e-9° … 179.9° as made, and as by another formula",
    "1e-6, relative",
)
def signed_angles(evidence) -> Measurement:
    rng = np.random.default_rng(0)
    u = rng.standard_normal(20)
    v = rng.standard_normal(20)
    v -= (u @ v) / (u @ u) * u
    v *= np.linalg.norm(u) / np.linalg.norm(v)
    made = np.array([1e-6, 1e-3, 1.0, 45.0, 90.0, 135.0, 179.9, 180.0])
    pairs = [(u, np.cos(np.radians(a)) * u + np.sin(np.radians(a)) * v) for a in made]
    measured = [float(metrics.angle(torch.tensor(a), torch.tensor(b))) for a, b in pairs]
    other = [degrees(a, b) for a, b in pairs]
    off = [max(abs(x / a - 1), abs(y / a - 1)) for x, y, a in zip(measured, other, made, strict=True)]
    series = curves(made, {"metrics.angle": measured}, {"equal": made})
    figure = ClaimFigure("angle made (°)", "angle measured (°)", series, "log", "log")
    return Measurement(f"off by {largest(off):.1e}; opposite {measured[-1]:.1f}°", at_most(off, 1e-6), figure)


@CLAIMS.add(
    "recipe of G20",
    "theory 9.1",
    "seed 0, exact references",
    "γ_2 = 1.09806, γ_1.5 = 0.77135, γ_3 = 1.59028; l1.5–l2 14.65°, l3–l2 13.19°",
    "±0.00001; ±0.01°",
)
def recipe(evidence) -> Measurement:
    exact = solve_references(load_dataset(G20, seed=0), [1.5, 2, 3], 1, 1, None).max_margin
    measured = [exact[p].margin for p in (2.0, 1.5, 3.0)] + [degrees(exact[p].w, exact[2.0].w) for p in (1.5, 3.0)]
    expected = [1.09806, 0.77135, 1.59028, 14.65, 13.19]
    off = [abs(a - b) / t for a, b, t in zip(measured, expected, [1.01e-5] * 3 + [0.0101] * 2, strict=True)]
    names = ["γ_2", "γ_1.5", "γ_3", "l1.5–l2 (°)", "l3–l2 (°)"]
    figure = bars(names, measured, "value", {"expected": expected})
    return Measurement(
        ", ".join(f"{x:.5f}" for x in measured[:3]) + "; " + "°, ".join(f"{x:.2f}" for x in measured[3:]) + "°",
        at_most(off, 1),
        figure,
    )


@CLAIMS.add(
    "MNIST: separability and margins",
    "theory 9.2",
    "500 a digit, all images, population std",
    "γ_2: 0v1/50 0.47989, 0v1/200 0.72857, 3v5/200 0.26358; 3v5/50 not separable",
    "±0.00001",
)
def mnist_margins(evidence) -> Measurement:
    expected = {((0, 1), 50): 0.47989, ((0, 1), 200): 0.72857, ((3, 5), 200): 0.26358, ((3, 5), 50): math.nan}
    margins = {}
    for digits, pca in expected:
        known = solve_references(load_dataset(MNIST, list(digits), pca), [2], 1, 1, None)
        margins[digits, pca] = known.max_margin[2.0].margin if known.separability == "separable" else math.nan
    off = [abs(margins[key] - value) for key, value in expected.items() if value == value]
    names = [f"{a}v{b}/{pca}" for (a, b), pca in expected]
    figure = bars(names, list(margins.values()), "γ_2", {"expected": list(expected.values())})
    summary = ", ".join("not separable" if x != x else f"{x:.5f}" for x in margins.values())
    return Measurement(summary, at_most(off, 1.01e-5) and math.isnan(margins[(3, 5), 50]), figure)


@CLAIMS.add(
    "references are exact",
    "duality gap and KKT residual",
    "every separable cell of the theorem grids",
    "relative gap 0; KKT residual 0",
    "≤ 1e-7; ≤ 1e-6",
)
def reference_gaps(evidence) -> Measurement:
    table = evidence.separable()
    gaps, residuals = table["exact_margin_gap"].abs(), table["exact_margin_kkt"]
    figure = residual_figure("cell", gaps, residuals)
    good = at_most(gaps, 1e-7) and at_most(residuals, 1e-6)
    return Measurement(f"{len(gaps)} cells; gap ≤ {largest(gaps):.1e}, KKT ≤ {largest(residuals):.1e}", good, figure)


@CLAIMS.add(
    "references agree with a second solver",
    "clarabel's power cones; L-BFGS on the SVM's dual",
    "G20 seeds 0–4 (QUICK: 0, 1): l_1.1, l_1.5, l_2, l_3, l_6, hard-margin SVM; MNIST 3v5/50: soft-margin SVM, C=1",
    "angle 0°; no bias anywhere",
    "≤ 0.001°",
)
def second_solver(evidence) -> Measurement:
    ps, angles, names = (1.1, 1.5, 2.0, 3.0, 6.0), [], []
    for seed in range(2 if is_quick(evidence) else 5):
        data = load_dataset(G20, seed=seed)
        known = solve_references(data, ps, 1, 1, None)
        for p in ps:
            w, gap = second_opinion(data.A, known.max_margin[p].w, p)
            if gap < SOLVED:  # where the other one is exact itself
                names.append(f"l{p:g}")
                angles.append(degrees(w, known.max_margin[p].w))
                if p == 2:
                    names.append("SVM")
                    angles.append(degrees(w, known.svm.w))
    A = load_dataset(MNIST, [3, 5], 50).A
    angles.append(degrees(soft_margin(A, 1.0).w, soft_margin_svm(A, 1.0)))
    names.append("soft SVM")
    figure = bars(names, angles, "angle (°)", {"tolerance": 1e-3}, "log")
    good = at_most(angles, 1e-3) and {"l1.5", "l2", "l3", "SVM"} <= set(names)
    return Measurement(f"{len(angles)} pairs; largest {largest(angles):.1e}°", good, figure)


@CLAIMS.add(
    "planted data: the direction is ψ_p(a_0)",
    "closed form, proof in problems.synthetic",
    "planted plane and planted d=20, seeds 0–4, p=1.5, 2, 3",
    "exact reference = ψ_p(a_0)",
    "≤ 1e-4°",
    ours=True,
)
def planted(evidence) -> Measurement:
    angles, names = [], []
    for dim in (2, 20):
        for seed in range(5):
            data = load_dataset({**G20, "geometry": "planted", "dim": dim}, seed=seed)
            a = np.array((data.planted or {})["support"])
            exact = solve_references(data, [1.5, 2, 3], 1, 1, None).max_margin
            angles += [degrees(exact[p].w, np.sign(a) * np.abs(a) ** (1 / (p - 1))) for p in (1.5, 2.0, 3.0)]
            names += [f"d={dim} p={p:g}" for p in (1.5, 2.0, 3.0)]
    figure = bars(names, angles, "angle (°)", {"tolerance": 1e-4}, "log")
    return Measurement(f"{largest(angles):.1e}°", at_most(angles, 1e-4), figure)


@CLAIMS.add(
    "value of the factorisation minimum",
    "theory 5.4",
    "L=2, 3, hidden widths 2 and 3, p=1.2, 1.5, 2, 3, 4; w random in R^4; 8 starts each (QUICK: 3)",
    "min Σ‖W_l‖_p^p s.t. W_L⋯W_1 = w^T is L(‖w‖_p Π k^{−max(0,1−2/p)})^{p/L}: never below, and reached",
    "1e-5, relative",
    ours=True,
)
def factorisation(evidence) -> Measurement:
    w = np.random.default_rng(0).standard_normal(4)
    names, minima, expected = [], [], []
    for p in (1.2, 1.5, 2.0, 3.0, 4.0):
        for widths in ((2,), (3,), (2, 2), (3, 2)):
            depth = len(widths) + 1
            shrink = np.prod([k ** -max(0.0, 1 - 2 / p) for k in widths])
            names.append(f"p={p:g} k={widths}")
            expected.append(depth * (np.sum(np.abs(w) ** p) ** (1 / p) * shrink) ** (p / depth))
            minima.append(least_factorisation(w, p, widths, starts=3 if is_quick(evidence) else 8))
    off = [abs(a / b - 1) for a, b in zip(minima, expected, strict=True)]
    figure = bars(names, minima, "minimum", {"formula": expected})
    return Measurement(f"off by {largest(off):.1e}", at_most(off, 1e-5), figure)
