"""The engine beside the baseline and beside the machine's own rates, by turns."""

from __future__ import annotations

import numpy as np
import torch

from mdcore.bench import timing
from mdcore.bench.goals import Bench
from mdcore.bench.workloads import LatePhase, Workload, dense_workloads, gaussian, mnist_pair
from mdcore.math.models import layer_shapes


def measure_engine(bench: Bench, repeats: int) -> None:
    """Every dense workload: baseline, engine, dgemm, rates of the roofline. Of 36 cells or more the best counts."""
    shares = {}
    for work in dense_workloads(bench.quick):
        share, bound = measure(bench, work, repeats)
        if work.key.startswith("dense") and len(work.cells) >= 36:
            shares[len(work.cells)] = (share, bound)
    best = max(shares, key=lambda cells: np.median(shares[cells][0]))
    every = ", ".join(f"{cells} cells {100 * np.median(share):.0f} %" for cells, (share, _) in shares.items())
    summary = f"{every}. At {best} cells: {shares[best][1]}"
    bench.find("dense_36", shares[best][0], summary)


def measure(bench: Bench, work: Workload, repeats: int) -> tuple[np.ndarray, str]:
    """One workload, by turns; its shares of the matrix rate, and what bounds it."""
    cells, (n, d) = len(work.cells), work.data.X_train.shape
    contenders = {
        "baseline": work.baseline_seconds,
        "engine": work.engine_seconds,
        "dgemm": timing.dgemm_rate,
        "shaped": lambda: timing.shaped_rate(cells, n, d),
        "compiled": lambda: timing.compiled_rate(cells, n, d),
        "data": lambda: timing.copy_rate(8 * n * d),
        "layers": lambda: timing.copy_rate(16 * cells * layer_entries(work)),
        "weights": lambda: timing.weights_rate(cells, n),
    }
    if torch.cuda.is_available():
        contenders["gpu"] = work.gpu_seconds
    samples = timing.by_turns(contenders, repeats)
    base, engine, dgemm = samples["baseline"], samples["engine"], samples["dgemm"]
    flops = work.pass_flops
    bench.row(work.title, "baseline", base, base / base)
    bench.row(work.title, "engine", engine, base / engine, flops, dgemm)
    rates = {
        "dgemm at its full rate": dgemm,
        "dgemm in the pass's shape": samples["shaped"],
        "compiled products, in the cache": samples["compiled"],
    }
    for name, rate in rates.items():
        bench.row(work.title, name, flops / rate, base * rate / flops, flops, dgemm)
    if "gpu" in samples:
        bench.row(work.title, "engine, device cuda", samples["gpu"], base / samples["gpu"], flops, clock="wall")
    bound = roofline(work, {name: float(np.median(values)) for name, values in samples.items()})
    if work.key in ("dense_18", "planted"):
        bench.find(work.key, base / engine, bound)
    else:
        bench.notes.append(f"{work.title}: {bound}")
    return flops / engine / dgemm, bound


def layer_entries(work: Workload) -> float:
    """Entries of all layers of a cell, mean over the stack."""
    d = work.data.X_train.shape[1]
    shapes = [layer_shapes(cell.depth, cell.width, d) for cell in work.cells]
    return float(np.mean([sum(rows * columns for rows, columns in each) for each in shapes]))


def roofline(work: Workload, rate: dict[str, float]) -> str:
    """Where a cell's step goes: counted flops, bytes and weights over the machine's own rates.

    Data pass: 4·n·d flops at the rate of its products in the cache, A read once a step for all cells, n weights.
    Layers: 8 flops and 32 bytes an entry: Z read and written, W written, and read for the products from the right;
    those from the left find it in the cache.
    """
    n, entries, cells = work.data.X_train.shape[0], layer_entries(work), len(work.cells)
    floors = {
        f"products {work.pass_flops / 1e6:.2f} Mflop at {rate['compiled'] / 1e9:.0f} Gflop/s, as the compiled loops "
        f"reach in the cache (a BLAS with {cells} rows: {rate['shaped'] / 1e9:.0f})": (
            work.pass_flops / rate["compiled"]
        ),
        f"{8e-6 * work.data.X_train.size:.2g} MB of A, read once by all cells": (
            8.0 * work.data.X_train.size / rate["data"] / cells
        ),
        f"{n:,} weights": n / rate["weights"],
        f"layers {entries:,.0f} entries, {32e-3 * entries:.0f} kB at {rate['layers'] / 1e9:.0f} GB/s, as a copy of "
        f"their size reaches, and {8e-3 * entries:.0f} kflop": 32 * entries / rate["layers"],
    }
    bounds = "; ".join(f"{what}: {1e6 * floor:.2g} µs" for what, floor in floors.items())
    rest = rate["engine"] - sum(floors.values())
    small = f"the rest, square roots, short rows, calls and small work: {1e6 * rest:.2g} µs"
    return f"{1e6 * rate['engine']:.3g} µs a cell and step. {bounds}; {small}."


def measure_late(bench: Bench, windows: int) -> None:
    """Active set against the dense engine, window by window of the same epochs."""
    first, last = (300, 600) if bench.quick else (10_000, 20_000)
    window = (last - first) // windows
    settings = [("MNIST 3v5 PCA 200", mnist_pair(), 9, window)]
    if not bench.quick:  # a pair of the full 70,000 images has about this size, which is not at hand offline
        settings.append(("Gaussian, n = 12,000, d = 200", gaussian(12_000, 200, 5.0), 3, window // 2))
    for number, (name, data, seeds, steps) in enumerate(settings):
        late = LatePhase(data, seeds, first if number == 0 else 4_000)
        samples = timing.by_turns(late.contenders(steps), windows)
        fast, dense, alone = samples["active set"], samples["dense engine"], samples["layers alone"]
        title = f"late phase, {name}, {len(late.work.cells)} cells"
        bench.row(title, "dense engine", dense, flops=late.work.pass_flops)
        bench.row(title, "active set", fast)
        bench.row(title, "layers alone", alone)
        active = late.active.data_pass.active
        points = len(active.points) if active is not None else late.work.data.X_train.shape[0]
        saved = late.passes_saved / (steps * windows)
        bound = (
            f"{100 * saved:.0f} % of the passes went over the active set, {points} of {len(data.y_train):,} points at "
            f"the end: {1e6 * np.median(fast):.1f} µs a cell and step, {1e6 * np.median(dense):.1f} dense. The layers, "
            f"{layer_entries(late.work):,.0f} entries a cell, cost the same with and without an active set: "
            f"{1e6 * np.median(alone):.1f} µs without any pass, so no choice of points could gain more than "
            f"×{np.median(dense / alone):.1f}."
        )
        bench.curves[title] = np.stack([fast, dense])
        if number == 0:
            bench.find("late", dense / fast, bound)
        else:
            bench.notes.append(f"{title}: ×{np.median(dense / fast):.1f}. {bound}")
