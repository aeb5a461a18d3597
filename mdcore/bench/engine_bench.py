"""The engine beside the baseline and beside the machine's own rates, by turns."""

from __future__ import annotations

import numpy as np

from mdcore.bench import timing
from mdcore.bench.goals import Bench
from mdcore.bench.workloads import LatePhase, Workload, dense_workloads, gaussian, mnist_pair

QUICK = "quick form: a smaller workload"


def measure_engine(bench: Bench, repeats: int) -> None:
    """Every dense workload: baseline, engine, dgemm, rates of the roofline. Of 36 cells or more the best counts."""
    shares = {}
    for work in dense_workloads(bench.quick):
        share, bound = measure(bench, work, repeats)
        if work.key.startswith("dense") and len(work.cells) >= 36:
            shares[len(work.cells)] = (share, bound)
    best = max(shares, key=lambda cells: np.median(shares[cells][0]))
    every = ", ".join(f"{cells} cells {100 * np.median(share):.0f} %" for cells, (share, _) in shares.items())
    said = f"{every}. At {best} cells: {shares[best][1]}"
    bench.find("dense_36", shares[best][0], said, QUICK if bench.quick else "")


def measure(bench: Bench, work: Workload, repeats: int) -> tuple[np.ndarray, str]:
    """One workload, by turns; its shares of the matrix rate, and what bounds it."""
    cells, (n, d) = len(work.cells), work.data.X_train.shape
    found = timing.by_turns(
        {
            "baseline": work.baseline_seconds,
            "engine": work.engine_seconds,
            "dgemm": timing.dgemm_rate,
            "shaped": lambda: timing.shaped_rate(cells, n, d),
            "compiled": lambda: timing.compiled_rate(cells, n, d),
            "copy": timing.copy_rate,
            "exp": timing.exponential_rate,
        },
        repeats,
    )
    base, engine, dgemm = found["baseline"], found["engine"], found["dgemm"]
    flops = work.pass_flops
    bench.row(work.title, "baseline", base, base / base)
    bench.row(work.title, "engine", engine, base / engine, flops, dgemm)
    bench.row(work.title, "dgemm at its full rate", flops / dgemm, base * dgemm / flops, flops, dgemm)
    shaped = found["shaped"]
    bench.row(work.title, "dgemm in the pass's shape", flops / shaped, base * shaped / flops, flops, dgemm)
    setting = QUICK if bench.quick else ""
    own = found["compiled"]
    bench.row(work.title, "compiled products, in the cache", flops / own, base * own / flops, flops, dgemm)
    bound = roofline(work, *(float(np.median(found[name])) for name in ("engine", "compiled", "copy", "exp", "shaped")))
    if work.key in ("dense_18", "planted"):
        bench.find(work.key, base / engine, bound, setting)
    else:
        bench.notes.append(f"{work.title}: {bound}")
    return flops / engine / dgemm, bound


def layer_entries(work: Workload) -> float:
    """Entries of all layers of a cell, mean over the stack."""
    d = work.data.X_train.shape[1]
    return float(np.mean([d if c.depth == 1 else c.width * (d + (c.depth - 2) * c.width + 1) for c in work.cells]))


def roofline(work: Workload, seconds: float, own: float, copy: float, exponentials: float, shaped: float) -> str:
    """Where a cell's step goes: counted flops, bytes and exponentials over the machine's own rates.

    Data pass: 4·n·d flops at the rate of its products in the cache, A read once a step for all cells, n exponentials.
    Layers: 8 flops and 56 bytes an entry: Z read and written, W written by the inverse map and read twice, for the
    products from left and right, and what of it was written comes back from memory.
    """
    n, entries = work.data.X_train.shape[0], layer_entries(work)
    a_share = 8.0 * work.data.X_train.size / copy / len(work.cells)
    floors = {
        f"products {work.pass_flops / 1e6:.2f} Mflop at {own / 1e9:.0f} Gflop/s, as the compiled loops reach in the "
        f"cache (a BLAS with {len(work.cells)} rows: {shaped / 1e9:.0f})": work.pass_flops / own,
        f"{8e-6 * work.data.X_train.size:.1f} MB of A, read once by all cells": a_share,
        f"{n:,} exponentials": n / exponentials,
        f"layers {entries:,.0f} entries, {56e-3 * entries:.0f} kB and {8e-3 * entries:.0f} kflop": 56 * entries / copy,
    }
    told = "; ".join(f"{what}: {1e6 * floor:.1f} µs" for what, floor in floors.items())
    rest = seconds - sum(floors.values())
    small = f"the rest, calls of torch and small work: {1e6 * rest:.1f} µs"
    return f"{1e6 * seconds:.1f} µs a cell and step. {told}; {small}."


def measure_late(bench: Bench, windows: int) -> None:
    """Active set against the dense engine, window by window of the same epochs."""
    first, last = (300, 600) if bench.quick else (10_000, 20_000)
    window = (last - first) // windows
    settings = [("MNIST 3v5 PCA 200", mnist_pair(), 3, window)]
    if not bench.quick:  # a pair of the full 70,000 images has about this size, which is not at hand offline
        settings.append(("Gaussian, n = 12,000, d = 200", gaussian(12_000, 200, 5.0), 3, window // 2))
    for number, (name, data, seeds, steps) in enumerate(settings):
        late = LatePhase(data, seeds, first if number == 0 else 4_000)
        found = timing.by_turns(late.contenders(steps), windows)
        fast, dense = found["active set"], found["dense engine"]
        title = f"late phase, {name}, {len(late.work.cells)} cells"
        bench.row(title, "dense engine", dense, flops=late.work.pass_flops)
        bench.row(title, "active set", fast)
        active = late.active.data_pass.active
        points = len(active.points) if active is not None else late.work.data.X_train.shape[0]
        saved = late.passes_saved / (steps * windows)
        bound = (
            f"{100 * saved:.0f} % of the passes went over the active set, {points} of {len(data.y_train):,} points at "
            f"the end; {1e6 * np.median(fast):.0f} µs a cell and step. The layers, {layer_entries(late.work):,.0f} "
            "entries a cell, and the calls of torch cost the same with and without an active set."
        )
        bench.curves[title] = np.stack([fast, dense])
        if number == 0:
            bench.find("late", dense / fast, bound, QUICK if bench.quick else "")
        else:
            bench.notes.append(f"{title}: ×{np.median(dense / fast):.1f}. {bound}")
