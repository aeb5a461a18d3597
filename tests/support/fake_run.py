"""Run directories for the tests of the analysis: the exact on-disk format, plausible curves, no training.

`write_run(place, cells)` writes one; `grid_cells(...)` makes the configurations of a grid of any shape; `spoil`
arguments make hostile ones: diverged, failed, overlapping, missing cells, NaN everywhere.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mdcore.config.cell import condition_id, flatten, make_cell
from mdcore.files import sealed
from mdcore.store.columns import HISTORY
from mdcore.store.fingerprint import sha256

POTENTIALS = ["quadratic", {"lp": {"p": 1.5}}, {"lp": {"p": 3.0}}]
GAUSSIAN = {"name": "synthetic", "geometry": "gaussian", "dim": 20, "n": 60, "separation": 2.5, "noise": 1.0}
PLANTED = {"name": "synthetic", "geometry": "planted", "dim": 2, "n": 20, "separation": 2.0, "noise": 1.0}
MESSAGES = {"failed": "training accuracy 0.96 at the end", "diverged": "not finite at epoch 8000"}
MNIST = {"name": "mnist", "source": "bundled", "path": None, "test_fraction": 0.2}


def config(potential="quadratic", depth=1, seed=0, dataset=None, digits=None, pca=None, **more) -> dict:
    """One canonical configuration."""
    init = {"scale": 0.0 if depth == 1 else 0.3, "distribution": "normal"}
    return {
        "dataset": dict(dataset or GAUSSIAN), "digits": digits, "pca": pca, "potential": potential, "depth": depth,
        "width": None if depth == 1 else 50, "init": init, "loss": "logistic",
        "step": {"rule": "adaptive", "eta": 1.0}, "epochs": 10000, "stop": None, "log_points": 60, "seed": seed,
        "svm_C": 1.0, "logreg_C": 1.0, "dtype": "float64",
    } | more  # fmt: skip


def grid_cells(potentials=POTENTIALS, depths=(1, 2), seeds=(0, 1, 2), datasets=({},), **more) -> list[dict]:
    """The Cartesian product; `datasets` are dicts of keyword arguments of `config` (dataset, digits, pca, width …)."""
    cells = {}
    for data, potential, depth, seed in itertools.product(datasets, potentials, depths, seeds):
        one = config(potential, depth, seed, **{**more, **data})
        one |= {"width": None} if depth == 1 else {}
        cells[make_cell(one).cell_id] = one
    return [{"cell_id": cell_id, "config": one} for cell_id, one in cells.items()]


def mnist_cells(seeds=(0, 1, 2)) -> list[dict]:
    """The shape of mnist_pairs: 72 cells."""
    data = [{"dataset": MNIST, "digits": d, "pca": p} for d in ([0, 1], [3, 5]) for p in (50, 200)]
    return grid_cells(datasets=data, seeds=seeds)


def _limit_p(flat: dict) -> float:
    known = {"quadratic": 2.0, "scaled": 2.0, "layer_scaled": 2.0, "hypentropy": 1.0, "cosh": np.inf}
    return (known | {"lp": flat["p"] or np.nan}).get(flat["potential"].split("+")[0], np.nan)


def unique(flat: dict) -> bool:
    """Whether the l_p optimum is the only one: it is where the norm is strictly convex."""
    return bool(1 < _limit_p(flat) < np.inf)


def curves(config: dict, separability: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Every history column of one cell, with shapes like the real ones."""
    flat, n = flatten(config), int(config["log_points"])
    depth, p = flat["depth"], _limit_p(flat) if np.isfinite(_limit_p(flat)) else 2.0
    t = np.unique(np.round(np.geomspace(1, config["epochs"], n))).astype(float)
    rate = {True: 0.55}.get(p > 2, 0.95) * rng.uniform(0.97, 1.03)
    gap = np.clip(1.6 * t**-rate * rng.uniform(0.8, 1.2), 1e-9, None)
    exact = 1.1 * 0.7 ** (2 - p if p < 2 else 0) * rng.uniform(0.9, 1.1)
    ratio = 1 - gap * 0.9
    far = 12.0 * abs(p - 2) ** 0.5
    to_limit = 40 * t ** -(rate * 0.8) * rng.uniform(0.8, 1.2)
    deep = 35 * t ** -(0.5 * rate) * rng.uniform(0.8, 1.2) if depth > 1 else np.zeros_like(t)
    one = np.ones_like(t)
    out = {
        "epoch": t,
        "log_inverse_loss": 0.4 + 0.02 * t * rng.uniform(0.9, 1.1) ** depth,
        "train_accuracy": np.clip(1 - 0.2 * t**-0.7, 0, 1),
        "test_accuracy": np.clip(0.97 - 0.2 * t**-0.5, 0, 1),
        "weight_norm": 0.1 * t**0.8,
        "margin_l2": exact * ratio * 0.9,
        "margin_lp": exact * ratio,
        "margin_ratio": ratio,
        "gap": gap,
        "angle_max_margin": to_limit,
        "angle_bound": np.clip(1.5 * to_limit + 0.01, 0, 180) if unique(flat) else np.full_like(t, np.nan),
        "flow_time": 0.7 * t,
        "log_flow_time": np.log(0.7 * t),
        "angle_linear_md": deep,
        "angle_linear_md_equal_loss": 0.3 * deep,
        "angle_svm": np.hypot(far, to_limit),
        "angle_logreg": np.hypot(far + 4, to_limit),
        "norm_balance": 1 + 0.5 / (1 + t / 40) if depth > 1 else one,
        "norm_balance_frobenius": 1 + 2.0 / (1 + t / 40) if depth > 1 else one,
        "balance_drift": 1e-3 * (1 - 1 / t) if depth > 1 else 0 * one,
        "layer_alignment": 1 - 0.6 / (1 + t / 20) if depth > 1 else one,
        "stable_rank": 1 + 4 / (1 + t / 15) if depth > 1 else one,
        "participation": 3 + 30 / (1 + t / 30) if depth > 1 else one,
    }
    out["loss"] = np.exp(-out["log_inverse_loss"])
    if separability != "separable":
        for column in ("margin_l2", "margin_lp", "margin_ratio", "gap", "angle_max_margin", "angle_bound"):
            out[column] = np.full_like(t, np.nan)
        out["train_accuracy"] = np.clip(0.93 - 0.2 * t**-0.7, 0, 1)
        out["log_inverse_loss"] = 2.4 - 2 * t**-0.6
        out["loss"] = np.exp(-out["log_inverse_loss"])
        out["angle_logreg"] = to_limit
    return {"epoch": t} | {k: out[k] for k in HISTORY}


def planted_direction(config: dict, p: float) -> np.ndarray:
    """The l_p max-margin direction of planted data: ψ_p(a_0); p = 1 and inf as limits."""
    from mdcore.problems.datasets import load_dataset

    a = np.asarray(load_dataset(config["dataset"], None, None, config["seed"]).planted["support"])
    s = 200.0 if p == 1 else 0.0 if np.isinf(p) else 1 / (p - 1)
    z = np.sign(a) * (np.abs(a) / np.abs(a).max()) ** s
    return z / np.linalg.norm(z)


def end_predictor(config: dict, dim: int, final: dict, rng: np.random.Generator) -> np.ndarray:
    """A predictor at the angle that the row says from the exact direction, which data, seed and limit decide."""
    separable = final["separability"] == "separable"
    shared = json.dumps([config["dataset"], config["digits"], config["pca"], config["seed"]], sort_keys=True)
    shared += repr(final["limit_p"]) if separable else ""
    of_limit = np.random.default_rng(int(hashlib.sha256(shared.encode()).hexdigest()[:12], 16))
    limit, side = of_limit.standard_normal(dim), rng.standard_normal(dim)
    limit /= np.linalg.norm(limit)
    side -= (side @ limit) * limit
    angle = np.radians(final["angle_max_margin" if separable else "angle_logreg"])
    return 7 * (np.cos(angle) * limit + np.sin(angle) * side / np.linalg.norm(side))


def cell_result(cell: dict, status: str | None, separability: str, user_metrics: dict | None = None):
    """(history columns, final row, predictor) of one cell. `status` None: what the curves say."""
    config, identity = cell["config"], cell["cell_id"]
    rng = np.random.default_rng(int(hashlib.sha256(identity.encode()).hexdigest()[:12], 16))
    h, flat = curves(config, separability, rng), flatten(config)
    if status is None:
        ended = "converged" if h["gap"][-1] <= 0.01 else "transient"
        status = {"overlapping": "overlap", "separable": ended}.get(separability, "quasi-separable")
    if status == "failed":
        h["train_accuracy"] = np.minimum(h["train_accuracy"], 0.96)
    if status == "diverged":
        for k in HISTORY:
            h[k][-max(1, len(h[k]) // 4) :] = np.nan
    for name, value in (user_metrics or {}).items():
        h[name] = np.full_like(h["epoch"], value)
    separable, n = separability == "separable", len(h["epoch"])
    dim = config["dataset"].get("dim") or config["pca"] or 784
    final = {k: v[-1] for k, v in h.items()} | flat
    exact = h["margin_lp"][0] / h["margin_ratio"][0] if separable else np.nan
    final |= {
        "cell_id": identity,
        "condition_id": condition_id(config),
        "status": status,
        "separability": separability,
        "separability_value": 60.0 if separable else 0.0,
        "limit_p": _limit_p(flat),
        "exact_margin": exact,
        "exact_margin_gap": 3e-9 if separable else np.nan,
        "exact_angle_bound": 0.004 if separable and unique(flat) else np.nan,
        "reference_unique": (unique(flat) if not np.isnan(_limit_p(flat)) else None) if separable else True,
        "exact_margin_kkt": 2e-9 if separable else np.nan,
        "gamma_bound": h["margin_lp"][-1] / (1 - h["gap"][-1]) if separable else np.nan,
        "svm_kind": "hard-margin" if separable else "soft-margin",
        "logreg_kind": "l2" if separable else "unregularised",
        "n_train": 60,
        "n_test": 0,
        "dim": dim,
        "seconds": 0.8,
        "steps": config["epochs"],
        "preprocessing": json.dumps(_record(config)),
        "message": MESSAGES.get(status, ""),
    }
    predictor = end_predictor(config, min(int(dim), 50), final, rng)
    if config["dataset"].get("geometry") == "planted" and np.isfinite(_limit_p(flat)):
        predictor = planted_direction(config, _limit_p(flat)) * 7 + 0.002 * rng.standard_normal(dim)
    if status == "diverged":
        predictor = np.full_like(predictor, np.nan)
    return {"cell_id": np.repeat(identity, n), **h}, final, predictor


def _record(config: dict) -> dict:
    data = config["dataset"]
    record = {"source": "MNIST, 70,000 images" if data.get("source") == "full" else "fake", "seed": 0}
    return record | ({} if data.get("standardize", True) else {"standardisation": "none"})


def write_run(
    place: Path,
    cells: list[dict],
    question: str = "Does depth change the limit direction?",
    status: dict[str, str] | str | None = None,
    overlap=lambda config: False,
    missing=(),
    nan_columns=(),
    user_metrics: dict | None = None,
    per_stack: int = 24,
    git: str = "0123abc",
) -> Path:
    """Write a run directory at `place` (…/20250319_tag) and return it.

    status: for all cells or by cell_id, else as the curves say; overlap(config): data that overlap; missing: cell ids
    that left nothing; nan_columns: columns of NaN; user_metrics: metrics of the user's own, name -> value.
    """
    place = Path(place)
    (place / "stacks").mkdir(parents=True)
    provenance = {
        "commit": git, "dirty": False, "packages": {"torch": "2.13.0", "numpy": "2.4.6"}, "python": "3.12.0",
        "platform": "Linux-x86_64", "cpu": "a CPU", "cores": 2, "blas": {"name": "openblas", "version": "0.3"},
        "threads": {"OMP_NUM_THREADS": 1},
    }  # fmt: skip
    text = yaml.safe_dump({"question": question, "fixed": {}}, allow_unicode=True)
    manifest = {"cells": cells, "provenance": provenance, "grid_yaml": text}
    (place / "manifest.json").write_text(json.dumps(manifest, indent=1))
    (place / "grid.yaml").write_text(manifest["grid_yaml"])
    done = [c for c in cells if c["cell_id"] not in set(missing)]
    for number, start in enumerate(range(0, len(done), per_stack)):
        parts = []
        for cell in done[start : start + per_stack]:
            its = status.get(cell["cell_id"]) if isinstance(status, dict) else status
            parts.append(
                cell_result(cell, its, "overlapping" if overlap(cell["config"]) else "separable", user_metrics)
            )
        history = pd.concat([pd.DataFrame(h) for h, _, _ in parts], ignore_index=True)
        final = pd.DataFrame([f for _, f, _ in parts])
        history[list(nan_columns)] = final[list(nan_columns)] = np.nan
        width = max(len(w) for _, _, w in parts)
        w = np.array([np.pad(w, (0, width - len(w))) for _, _, w in parts])
        write_stack(place / "stacks" / f"stack-{number:03d}", history, final, w, number)
    return place


def write_stack(folder: Path, history: pd.DataFrame, final: pd.DataFrame, w: np.ndarray, serial: int) -> None:
    """One committed stack with its sealed stack.json."""
    folder.mkdir(parents=True)
    columns = ["cell_id", "epoch", *(c for c in history if c not in ("cell_id", "epoch"))]
    history[columns].to_parquet(folder / "history.parquet", index=False)
    final.to_parquet(folder / "final.parquet", index=False)
    ids = list(final["cell_id"])
    np.savez(folder / "predictors.npz", cell_id=np.array(ids, dtype=str), w=w)
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    record = {
        "cells": ids, "status": dict(zip(ids, final["status"], strict=True)), "messages": {}, "files": files,
        "code": "fake", "code_parts": {}, "seconds": {"train": 1.0}, "blas": [], "serial": serial,
    }  # fmt: skip
    (folder / "stack.json").write_text(sealed(record))
