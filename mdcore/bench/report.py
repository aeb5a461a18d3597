"""Figures and the sections of the benchmark's report."""

from __future__ import annotations

import platform
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from mdcore.analysis.figures import style
from mdcore.analysis.figures.axes import ticks_without_mathtext
from mdcore.analysis.report.document import Bullets, Code, Figure, Section, Table, Text
from mdcore.bench.goals import GOALS, Bench
from mdcore.store.provenance import provenance

BLUE, ORANGE = "#0072B2", "#D55E00"


def goals_section(bench: Bench) -> Section:
    """Each goal: asked, measured with its spread, reached or not, what bounds it."""
    rows = []
    for goal, row in zip(GOALS, bench.goals_table().to_dict("records"), strict=True):
        median, low, high = (goal.words(row[name]) for name in ("measured", "low", "high"))
        measured = [median, f"{low} to {high}" if row["repeats"] > 1 else "one run"] if row["repeats"] else ["–", "–"]
        rows.append([goal.what, goal.asked, *measured, row["verdict"], row["setting"]])
    verdicts = [row[4] for row in rows]
    reached = verdicts.count("reached")
    asked = reached + verdicts.count("not reached")
    lead = f"{reached} of {asked} goals measured at their full size are reached."
    if not asked:
        lead = "The quick form measures smaller workloads: it shows that the benchmark works and answers no goal."
    head = ["workload", "goal", "measured (median)", "quartiles", "verdict", "differs from the goal in"]
    return Section("goals", "Goals", [Text(lead, lead=True), Table(head, rows)])


def bounds_section(bench: Bench) -> Section:
    """What bounds each: counted flops and bytes over measured rates."""
    bounds = [f"{finding.goal.what}: {finding.bound}" for finding in bench.findings.values() if finding.bound]
    besides = [Text("Besides:"), Bullets(bench.notes)] if bench.notes else []
    return Section("bounds", "What bounds it", [Bullets(bounds), *besides])


def figures_section(bench: Bench, output_dir: str | Path) -> Section:
    """Draw and show: ratios to the baseline, shares of the matrix rate, the late phase."""
    style.use()
    place = Path(output_dir) / "figures"
    place.mkdir(parents=True, exist_ok=True)
    engine = bench.table().query("contender == 'engine'").dropna(subset="ratio_to_baseline")
    labels = [title.replace(", ", "\n", 1) for title in engine["workload"]]
    ratios, shares = engine["ratio_to_baseline"], engine["fraction_of_dgemm"]
    whiskers = np.abs(np.stack([ratios - engine["ratio_low"], engine["ratio_high"] - ratios]))
    drawn = [
        (
            _bars(place / "ratios", labels, ratios, "times faster than the baseline", whiskers),
            "Times by which a cell's step is faster in a stack than by hand; whiskers: quartiles of paired repeats.",
        ),
        (
            _bars(place / "shares", labels, shares, "share of the dgemm rate (4nd flops)"),
            "Share of the matrix rate measured in the same rounds; only 4nd flops a cell and step are counted.",
        ),
    ]
    for number, (title, (fast, dense)) in enumerate(bench.curves.items()):
        text = f"{title}: each point is a window of steps, both engines by turns."
        drawn.append((_windows(place / f"late_{number}", fast, dense), text))
    blocks = [Figure(path, text, text, number) for number, (path, text) in enumerate(drawn, 1)]
    return Section("figures", "Figures", blocks)


def _bars(stem: Path, labels, values, axis: str, whiskers=None) -> Path:
    figure, axes = plt.subplots(figsize=(2 * style.COLUMN, 0.42 * len(labels) + 0.7), layout="constrained")
    axes.barh(range(len(labels)), values, xerr=whiskers, color=BLUE, height=0.6, error_kw={"linewidth": 0.8})
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel(axis)
    style.save(figure, stem)
    return stem.with_suffix(".png")


def _windows(stem: Path, fast: np.ndarray, dense: np.ndarray) -> Path:
    figure, axes = plt.subplots(figsize=(2 * style.COLUMN, 2.0), layout="constrained")
    for values, name, colour in ((dense, "dense engine", ORANGE), (fast, "active set", BLUE)):
        axes.semilogy(1e6 * values, marker="o", markersize=2.5, color=colour, label=name)
    ticks_without_mathtext(axes)
    axes.set_xlabel("window")
    axes.set_ylabel("µs a cell and step")
    axes.legend()
    style.save(figure, stem)
    return stem.with_suffix(".png")


def numbers_section(bench: Bench) -> Section:
    """bench.csv as a table."""
    table = bench.table()
    keys = [[row[c] for c in table.columns] for row in table.to_dict("records")]
    rows = [[f"{v:.4g}" if isinstance(v, float) and v == v else "–" if v != v else str(v) for v in row] for row in keys]
    caption = "bench.csv. Medians; low and high: quartiles. clock cpu: CPU seconds of the one thread; wall: elapsed."
    return Section("numbers", "Numbers", [Table(list(table.columns), rows, keys, caption)])


def device_section() -> Section:
    """Whether a GPU was there."""
    if torch.cuda.is_available():
        text = (
            f"torch finds {torch.cuda.get_device_name()}: rows 'engine, device cuda' are the same stacks on it, in "
            "float64, two steps a captured graph, by the wall clock. The goals are about the processor."
        )
    else:
        text = (
            "torch finds no CUDA device on this machine: nothing about device cuda was measured. "
            "Where there is one, its rows stand beside those of the processor."
        )
    return Section("device", "GPU", [Text(text)])


def method_section(bench: Bench) -> Section:
    """How it was measured, and where."""
    made = provenance()
    machine = [[key, str(made.get(key))] for key in ("commit", "cpu", "cores", "blas") if made.get(key)]
    machine += [["python", platform.python_version()], ["torch", torch.__version__]]
    return Section("method", "How it was measured", [
        Text("Baseline: one cell at a time, bias-free torch.nn.Sequential of Linear layers, BCEWithLogitsLoss, "
             "autograd, MirrorDescent.step(), one thread, float64; mdcore/bench/baseline.py. Batched torch, JAX: the "
             "cells of one potential and depth at once, end-to-end product, normalised steps; bench/opponents.py "
             "and programs/by_jax.py, JAX in an environment that the benchmark builds. Contenders run by turns, "
             "a value of each in every round; ratios are taken within a round. One thread is timed by its CPU seconds, "
             "as others share the machine; whole commands by the wall clock, the baseline's steps beside them."),
        Table(["what", "value"], machine),
        Code("make bench" + (" QUICK=1" if bench.quick else ""), "sh"),
    ])  # fmt: skip
