"""Claims about how fast: theory 5.6, and the growth of loss and norms."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mdcore.verification.claim import ClaimFigure, Measurement, Register, Series, at_most, largest, within

CLAIMS = Register()
CONSTANT = "G20, 5 seeds (QUICK: 1), L=1, p=2, constant η=1, logistic, zero start"
SCALED = "G20, 5 seeds (QUICK: 1), L=1, p=2, loss-scaled η=0.1"


def _paths(evidence, rule: str) -> dict[int, pd.DataFrame]:
    """{seed: history of its cell} of the rates grid."""
    rows = {row["cell_id"]: row["seed"] for row in evidence.each("rates", step_rule=rule)}
    history = evidence.history("rates")
    return {seed: history[history["cell_id"] == cell] for cell, seed in rows.items()}


def _at(path, column: str, epochs) -> np.ndarray:
    """A column at given epochs, interpolated in log-log."""
    return np.exp(np.interp(np.log(epochs), np.log(path["epoch"]), np.log(path[column])))


def slope(path, column: str, since: float) -> float:
    """d log(column)/d log t, fitted from epoch `since` on."""
    late = path[path["epoch"] >= since]
    return float(np.polyfit(np.log(late["epoch"]), np.log(late[column]), 1)[0])


def _angles(paths, epochs, expected, extra=()) -> ClaimFigure:
    data = [
        Series(f"seed {seed}", path["epoch"][path["epoch"] >= 100], path["angle_max_margin"][path["epoch"] >= 100])
        for seed, path in paths.items()
    ]
    return ClaimFigure(
        "steps t",
        "angle to exact (°)",
        (*data, Series("expected at seed 0", epochs, expected, "prediction"), *extra),
        "log",
        "log",
    )


def _angles_at(paths, expected: dict[float, float], tolerances) -> Measurement:
    """The angles of seed 0 at the epochs of `expected`."""
    epochs, known = list(expected), list(expected.values())
    angles = _at(paths[0], "angle_max_margin", epochs)
    good = bool((np.abs(angles - known) <= tolerances).all())
    return Measurement("/".join(f"{x:.3g}" for x in angles) + "°", good, _angles(paths, epochs, known))


@CLAIMS.add(
    "constant step is log-slow",
    "Soudry et al. 2018",
    CONSTANT.replace("5 seeds (QUICK: 1)", "seed 0"),
    "16°, 12°, 9.3° at 1e3, 1e4, 1e5 steps",
    "±1°",
)
def constant_step(evidence) -> Measurement:
    return _angles_at(_paths(evidence, "constant"), {1e3: 16, 1e4: 12, 1e5: 9.3}, (1, 1, 1))


@CLAIMS.add(
    "constant step: angle ~ 1/log t",
    "Soudry et al. 2018",
    CONSTANT,
    "the angle at 1e5 steps over that at 1e3 is log 1e3/log 1e5 = 0.6, or still above it (four of five seeds)",
    "seed 0: ±0.08; every seed: 0.52 … 0.85",
)
def angle_rate(evidence) -> Measurement:
    paths = _paths(evidence, "constant")
    ratios = [float(np.divide(*_at(path, "angle_max_margin", (1e5, 1e3)))) for path in paths.values()]
    t = np.geomspace(1e2, 1e5, 30)
    line = _at(paths[0], "angle_max_margin", [1e4])[0] * np.log(1e4) / np.log(t)
    figure = _angles(paths, [], [], [Series("∝ 1/log t", t, line, "prediction")])
    return Measurement(
        f"{min(ratios):.3f} … {max(ratios):.3f}", within(ratios[:1], 0.6, 0.08) and within(ratios, 0.685, 0.165), figure
    )


@CLAIMS.add(
    "constant step: loss ~ 1/t", "Soudry et al. 2018", CONSTANT, "log-log slope of the loss −1 from 1e3 steps", "±0.05"
)
def loss_rate(evidence) -> Measurement:
    paths = _paths(evidence, "constant")
    slopes = [slope(path, "loss", 1e3) for path in paths.values()]
    t = np.geomspace(1e2, 1e5, 30)
    data = [Series(f"seed {s}", p["epoch"], p["loss"]) for s, p in paths.items()]
    line = Series("∝ 1/t", t, _at(paths[0], "loss", [1e4])[0] * 1e4 / t, "prediction")
    figure = ClaimFigure("steps t", "loss", (*data, line), "log", "log")
    return Measurement(f"{min(slopes):.3f} … {max(slopes):.3f}", within(slopes, -1, 0.05), figure)


@CLAIMS.add(
    "loss-scaled step is fast",
    "Ji & Telgarsky 2021",
    SCALED.replace("5 seeds (QUICK: 1)", "seed 0"),
    "1.0°, 0.13°, 0.048° at 1e3, 1e4, 3e4 steps",
    "±10 %",
)
def loss_scaled(evidence) -> Measurement:
    return _angles_at(_paths(evidence, "loss_scaled"), {1e3: 1.0, 1e4: 0.13, 3e4: 0.048}, (0.1, 0.013, 0.0048))


@CLAIMS.add(
    "loss-scaled step: angle ~ 1/t", "Ji & Telgarsky 2021", SCALED, "log-log slope −1 from 1e3 steps, mean", "±0.15"
)
def loss_scaled_rate(evidence) -> Measurement:
    paths = _paths(evidence, "loss_scaled")
    slopes = [slope(path, "angle_max_margin", 1e3) for path in paths.values()]
    t = np.geomspace(1e2, 3e4, 30)
    line = Series("∝ 1/t", t, _at(paths[0], "angle_max_margin", [1e4])[0] * 1e4 / t, "prediction")
    summary = f"mean {np.mean(slopes):.3f} (single {min(slopes):.3f} … {max(slopes):.3f})"
    return Measurement(summary, within([float(np.mean(slopes))], -1, 0.15), _angles(paths, [], [], [line]))


@CLAIMS.add(
    "loss-scaled step: log(1/R) grows by ηγ² a step",
    "w = ηt·A^Tλ, ‖A^Tλ‖ → γ (Ji & Telgarsky 2021)",
    SCALED,
    "log(1/R)/(ηγ²t) → 1 at 3e4 steps",
    "±0.01",
    ours=True,
)
def loss_scaled_growth(evidence) -> Measurement:
    rows = {row["seed"]: row for row in evidence.each("rates", step_rule="loss_scaled")}
    data, ratios = [], []
    for seed, path in _paths(evidence, "loss_scaled").items():
        gamma = rows[seed]["exact_margin"]
        ratio = path["log_inverse_loss"] / (0.1 * gamma**2 * path["epoch"])
        data.append(Series(f"seed {seed}", path["epoch"], ratio))
        ratios.append(float(ratio.iloc[-1]))
    line = Series("prediction", [1, 3e4], [1, 1], "prediction")
    figure = ClaimFigure("steps t", "log(1/R)/(ηγ²t)", (*data, line), "log", "linear")
    return Measurement(f"{min(ratios):.4f} … {max(ratios):.4f}", within(ratios, 1, 0.01), figure)


@CLAIMS.add(
    "norms grow like t^{aL/(p−1)}",
    "theory 4, normalised steps η t^{a−1}",
    "limits grid: lp 1.5, 2 (a=1), L=1..4, from 1e3 to 1e4 steps",
    "log-log slope of ‖w‖ is aL/(p−1)",
    "3 %",
    ours=True,
)
def growth(evidence) -> Measurement:
    history = evidence.history("limits")
    slopes, predicted = [], []
    for row in evidence.each("limits"):
        if row["step_anneal"]:
            continue  # its steps end at 0
        path = history[history["cell_id"] == row["cell_id"]]
        predicted.append(row["step_decay"] * row["depth"] / (row["limit_p"] - 1))
        slopes.append(slope(path, "weight_norm", 1e3))
    off = [abs(a / b - 1) for a, b in zip(slopes, predicted, strict=True)]
    line = Series("equal", sorted(predicted), sorted(predicted), "prediction")
    figure = ClaimFigure("aL/(p−1)", "slope of ‖w‖", (Series("cells", predicted, slopes), line))
    return Measurement(f"off by {100 * largest(off):.2f} % at most", at_most(off, 0.03), figure)
