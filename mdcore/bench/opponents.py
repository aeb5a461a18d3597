"""Two better ways to write it by hand than one cell at a time: batched torch, and JAX in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdcore.bench import timing
from mdcore.bench.goals import Bench
from mdcore.bench.timing import cpu_seconds
from mdcore.bench.workloads import POTENTIALS, Workload, gaussian, planted, stack
from mdcore.math.engine.plans import CellPlan
from mdcore.math.models import initial_weights, layer_shapes
from mdcore.math.step_rules import StepRule
from mdcore.problems.datasets import Dataset

JAX = "jax==0.10.2"
PROGRAM = Path(__file__).parent / "programs" / "by_jax.py"


def batches(work: Workload) -> list[tuple[float, list[Tensor]]]:
    """(p, [W_1 … W_L], each (K, out, in)) of the cells of one potential and shape, as they start."""
    alike: dict[tuple[float, int, int | None], list[CellPlan]] = {}
    for cell in work.cells:
        alike.setdefault((cell.limit_p or 2.0, cell.depth, cell.width), []).append(cell)
    batched = []
    for (p, depth, width), cells in alike.items():
        shapes = layer_shapes(depth, width, work.data.X_train.shape[1])
        starts = [initial_weights(cell.seed, shapes, cell.init_scale) for cell in cells]
        batched.append((p, [torch.stack(layers) for layers in zip(*starts, strict=True)]))
    return batched


def train_batched(A: Tensor, p: float, W: list[Tensor], rule: StepRule, steps: int) -> tuple[list[Tensor], float]:
    """torch with bmm and autograd: K cells at once, normalised l_p steps.

    Returns the layers, each (K, out, in), and the CPU seconds of a step. One further step goes before the clock
    starts: it makes the buffers.
    """
    q, Z, start = p / (p - 1.0), [w.sign() * w.abs() ** (p - 1.0) for w in W], cpu_seconds()
    for step in range(1, steps + 2):
        if step == 2:
            start = cpu_seconds()
        W = [w.detach().requires_grad_() for w in W]
        v = W[-1]
        for layer in W[-2::-1]:
            v = torch.bmm(v, layer)
        risk = torch.nn.functional.softplus(-(v[:, 0] @ A.T)).mean(dim=1).sum()
        G = torch.autograd.grad(risk, W)
        norm = sum((g.abs() ** q).sum(dim=(1, 2), keepdim=True) for g in G) ** (1.0 / q)
        Z = [z - rule.eta * step ** (rule.decay - 1.0) / norm * g for z, g in zip(Z, G, strict=True)]
        W = Z if p == 2 else [z.sign() * z.abs() ** (1.0 / (p - 1.0)) for z in Z]
    return W, (cpu_seconds() - start) / steps


def batched_seconds(work: Workload, steps: int) -> float:
    """CPU seconds a cell and step of batched torch, one batch after the other."""
    spent = sum(train_batched(work.A, p, W, work.rule, steps)[1] for p, W in batches(work))
    return spent / len(work.cells)


def jax_python(place: Path) -> tuple[Path | None, str]:
    """The interpreter of an environment with JAX, built in `place` when needed; or None and why it cannot be."""
    python = place / "bin" / "python"
    try:
        if not (place / JAX).exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True, capture_output=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", JAX]
            subprocess.run(install, check=True, capture_output=True, encoding="utf-8", timeout=900)
            (place / JAX).touch()
        return python, ""
    except (OSError, subprocess.SubprocessError) as error:
        lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return None, f"{JAX} could not be installed ({lines[-1] if lines else type(error).__name__})"


class JaxProcess:
    """A workload in a process of its own that has JAX, compiled, one step done."""

    def __init__(self, python: Path, work: Workload):
        self.cells, batched = len(work.cells), batches(work)
        layers = {f"W{i}_{j:02d}": w.numpy() for i, (_, W) in enumerate(batched) for j, w in enumerate(W)}
        rule = [work.rule.eta, work.rule.decay]
        self.folder = tempfile.TemporaryDirectory(prefix="mdcore-jax-")
        self.file = Path(self.folder.name) / "workload.npz"
        np.savez(self.file, A=work.A.numpy(), p=[p for p, _ in batched], rule=rule, **layers)  # type: ignore[arg-type]  # numpy's stub takes no names here
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        env = os.environ | {"JAX_PLATFORMS": "cpu"}
        self.process = subprocess.Popen([python, PROGRAM, self.file], encoding="utf-8", env=env, **pipes)
        self.seconds(1)

    def seconds(self, steps: int) -> float:
        """CPU seconds a cell and step of the next `steps` steps; RuntimeError when the process has ended."""
        print(steps, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"the JAX process ended with status {self.process.wait()}")
        return float(line) / (steps * self.cells)

    def close(self) -> dict[str, np.ndarray]:
        """End the process; the layers where it stopped, by batch and layer: W0_00 (K, out, in)…"""
        self.process.communicate()
        with np.load(self.file.with_suffix(".end.npz")) as arrays:
            layers = dict(arrays)
        self.folder.cleanup()
        return layers


def opponents_workloads(quick: bool) -> list[tuple[str, Workload]]:
    """(key of its goal, workload): many points, few points, the plane, deep and wide networks, images without PCA."""
    rule, share = StepRule("normalized", 1.0), 10 if quick else 1
    large, small = gaussian(10_000 // share, 200, 8.0), gaussian(800 // share, 200, 8.0)
    shallow = stack(POTENTIALS, (1, 2), 32, 72)

    def wide(depth: int, width: int) -> tuple[CellPlan, ...]:
        return tuple(CellPlan((phi,) * depth, seed, width, 0.3) for phi in POTENTIALS for seed in range(2))

    def work(title: str, data: Dataset, cells: tuple[CellPlan, ...], steps: int) -> Workload:
        n, d = data.X_train.shape
        return Workload("opponents", f"{title}, n = {n:,}, d = {d}, {len(cells)} cells", data, cells, rule, steps, 0)

    workloads = [
        ("jax_18", work("many points", large, shallow[:18], 20)),
        ("jax_72", work("many points", large, shallow, 10)),
        ("jax_800", work("few points", small, shallow[:18], 200)),
        ("jax_planted", work("planted 2-D", planted(400), stack(POTENTIALS, (1, 2, 3, 4), 7, 84), 200)),
        ("jax_deep", work("depth 4, width 200", small, wide(4, 200), 20)),
        ("jax_wide", work("depth 6, width 500", small, wide(6, 500), 4)),
        ("", work("the size of MNIST 0v1 without PCA", gaussian(12_000 // share, 784, 8.0), shallow[:18], 4)),
    ]
    return workloads[:1] + workloads[3:5] if quick else workloads


def measure_opponents(bench: Bench, repeats: int, place: Path) -> None:
    """The engine, batched torch and JAX by turns; `place`: where the environment with JAX is, or is built."""
    python, why = jax_python(place)
    if python is None:
        bench.notes.append(f"JAX was not measured: {why}.")
    for key, work in opponents_workloads(bench.quick):
        measure_one(bench, key, work, python, repeats)


def measure_one(bench: Bench, key: str, work: Workload, python: Path | None, repeats: int) -> None:
    """One workload: rows of all contenders, and what was found for the goal `key`, where there is one."""
    contenders: dict[str, Callable[[], float]] = {
        "engine": work.engine_seconds,
        "torch, batched, autograd": partial(batched_seconds, work, max(2, work.steps // 4)),
        "dgemm": timing.dgemm_rate,
    }
    jax = JaxProcess(python, work) if python else None
    if jax is not None:
        contenders["JAX, batched, jit"] = partial(jax.seconds, work.steps)
    samples = timing.by_turns(contenders, repeats)
    dgemm = samples.pop("dgemm")
    for name, seconds in samples.items():
        bench.row(work.title, name, seconds, flops=work.pass_flops, dgemm=dgemm)
    if jax is not None:
        jax.close()
        ratio, engine = samples["JAX, batched, jit"] / samples["engine"], np.median(samples["engine"])
        share = work.pass_flops / engine / np.median(dgemm)
        bound = f"{1e6 * engine:.3g} µs a cell and step, the pass alone at {100 * share:.0f} % of the dgemm rate"
        if key:
            bench.find(key, ratio, bound)
        else:
            bench.notes.append(f"{work.title}: ×{np.median(ratio):.1f} over JAX; {bound}.")
