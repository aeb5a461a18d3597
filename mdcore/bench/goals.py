"""The goals, and what a run of the benchmark found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mdcore.bench.timing import Spread


@dataclass(frozen=True)
class Goal:
    """`what` is to be at least (or, with `most`, at most) `value`, in `unit`."""

    key: str
    what: str
    value: float
    unit: str = "×"
    most: bool = False

    def words(self, value: float) -> str:
        """A value of this goal with its unit."""
        if self.unit == "%":
            return f"{100 * value:.0f} %"
        digits = 2 if abs(value) < 10 else 0
        return f"{value:.{digits}f}{self.unit}" if self.unit == "×" else f"{value:.{digits}f} {self.unit}"

    @property
    def asked(self) -> str:
        """The goal in words: ≥ 50×."""
        return ("≤ " if self.most else "≥ ") + self.words(self.value)


GOALS = (
    Goal("dense_18", "dense phase, n = 10,000, d = 200, width 50, 18 cells: over the baseline", 50),
    Goal("dense_36", "the same, 36 cells or more: share of the dgemm rate, 4·n·d flops a cell and step", 0.70, "%"),
    Goal("planted", "planted 2-D, n = 400, width 50, depths 1–4, 80 cells: over the baseline", 100),
    Goal("jax_18", "n = 10,000, d = 200, 18 cells: over batched JAX", 3),
    Goal("jax_72", "the same, 72 cells", 2),
    Goal("jax_800", "n = 800, d = 200, 18 cells: over batched JAX", 3),
    Goal("jax_planted", "planted 2-D, n = 400, 84 cells: over batched JAX", 5),
    Goal("jax_deep", "depth 4, width 200: over batched JAX", 1.5),
    Goal("jax_wide", "depth 6, width 500: over batched JAX", 1.5),
    Goal("late", "late phase, MNIST 3v5 PCA 200, lp 1.5 and quadratic, depth 2, adaptive: active set over dense", 8),
    Goal("command", "make grid GRID=mnist_pairs: over the baseline's time for the same cells and steps", 30),
    Goal("overhead", "share of notebooks, kernels and files in that run's wall time", 0.15, "%", most=True),
    Goal("workers", "two workers over one", 1.8),
    Goal("reference", "one exact reference, n = 12,000, d = 200", 20, "s", most=True),
    Goal("grid_seconds", "10,000 cells expand, validate and are found done", 3, "s", most=True),
    Goal("grid_memory", "memory of that", 500, "MB", most=True),
    Goal("analysis_seconds", "analysis of 10,000 finished cells", 60, "s", most=True),
    Goal("analysis_memory", "memory of that", 1500, "MB", most=True),
    Goal("runner_memory", "make grid GRID=mnist_pairs: memory of the runner", 500, "MB", most=True),
    Goal("kernel_memory", "of the largest of its kernels", 1000, "MB", most=True),
    Goal("analysing_memory", "make analysis of it: memory of the largest process", 1000, "MB", most=True),
    Goal("large_memory", "training on n = 60,000, d = 784, float64, 18 cells: memory", 2000, "MB", most=True),
)


@dataclass
class Finding:
    """What was measured for a goal, and what bounds it."""

    goal: Goal
    measured: Spread
    bound: str
    setting: str  # how this differs from the goal's own workload; empty: it is the same

    @property
    def verdict(self) -> str:
        """Whether the median reaches the goal; a smaller workload answers none."""
        if self.setting:
            return "not asked"
        value, asked = self.measured.median, self.goal.value
        return "reached" if (value <= asked if self.goal.most else value >= asked) else "not reached"


@dataclass
class Bench:
    """All rows and findings of one run of the benchmark."""

    quick: bool
    rows: list[dict] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)  # by the keys of their goals
    curves: dict[str, np.ndarray] = field(default_factory=dict)  # samples that a figure draws
    notes: list[str] = field(default_factory=list)

    def row(self, workload: str, contender: str, seconds, ratio=(np.nan,), flops=np.nan, dgemm=np.nan, clock="cpu"):
        """A contender's samples: seconds and flops a cell and step, ratios to the baseline, dgemm rates."""
        spread, against, rate = Spread.of(seconds), Spread.of(ratio), flops / np.asarray(seconds)
        self.rows.append({
            "workload": workload,
            "contender": contender,
            "seconds_per_cell_step": spread.median,
            "ratio_to_baseline": against.median,
            "gflops": float(np.median(rate)) / 1e9,
            "fraction_of_dgemm": float(np.median(rate / dgemm)),
            "seconds_low": spread.low,
            "seconds_high": spread.high,
            "ratio_low": against.low,
            "ratio_high": against.high,
            "repeats": spread.count,
            "clock": clock,
        })  # fmt: skip

    def find(self, key: str, values, bound: str = "", quick: str = "a smaller workload") -> None:
        """Record what was measured for a goal; `quick`: how the quick form differs from the goal's own workload."""
        goal = next(goal for goal in GOALS if goal.key == key)
        self.findings[key] = Finding(goal, Spread.of(values), bound, f"quick form: {quick}" if self.quick else "")

    def table(self) -> pd.DataFrame:
        """bench.csv."""
        return pd.DataFrame(self.rows)

    def goals_table(self) -> pd.DataFrame:
        """goals.csv: every goal, measured or not."""
        not_measured = Spread(np.nan, np.nan, np.nan, 0)
        rows = []
        for goal in GOALS:
            finding = self.findings.get(goal.key)
            spread = finding.measured if finding else not_measured
            rows.append({
                "goal": goal.key,
                "what": goal.what,
                "asked": goal.asked,
                "measured": spread.median,
                "low": spread.low,
                "high": spread.high,
                "repeats": spread.count,
                "verdict": finding.verdict if finding else "not measured",
                "setting": finding.setting if finding else "",
                "bound": finding.bound if finding else "",
            })  # fmt: skip
        return pd.DataFrame(rows)

    def write(self, output_dir: str | Path) -> None:
        """bench.csv and goals.csv."""
        place = Path(output_dir)
        place.mkdir(parents=True, exist_ok=True)
        self.table().to_csv(place / "bench.csv", index=False)
        self.goals_table().to_csv(place / "goals.csv", index=False)


def table_text(output_dir: str | Path) -> str:
    """goals.csv as lines for a terminal: goal, asked, measured, verdict."""
    table = pd.read_csv(Path(output_dir) / "goals.csv", keep_default_na=False)
    goals = {goal.key: goal for goal in GOALS}
    lines = []
    for row in table.to_dict("records"):
        measured = goals[row["goal"]].words(float(row["measured"])) if row["measured"] != "" else "–"
        lines.append(f"{row['verdict']:13}{measured:>9} ({row['asked']})  {row['what']}")
    return "\n".join(lines)
