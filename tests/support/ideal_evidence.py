"""Runs of the theorem grids as theory has them, made without training: what the claims must pass on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mdcore.config.cell import make_cell
from mdcore.config.plugins.loading import potentials_for
from mdcore.problems.references import solve_references
from mdcore.verification.claims.limits import TRANSIENT
from mdcore.verification.evidence import GRIDS, Evidence
from mdcore.verification.independent import least_potential

DATA: dict = {}  # the data sets and the unspoiled tables and weights of the parts, made once for all tests
MADE: dict[str, tuple[pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]] = {}
ANGLES = {"constant": ([1e3, 1e4, 1e5], [16, 12, 9.4]), "loss_scaled": ([1e3, 1e4, 3e4], [1.0, 0.12, 0.046])}


class IdealEvidence(Evidence):
    """The quick suite's evidence; `tables[part]` = [final, history], `weights[cell_id]`, all free to be spoiled."""

    def __init__(self, cache):
        super().__init__(cache, quick=True)
        self.cache, self._data = cache, DATA
        self.tables: dict[str, list[pd.DataFrame]] = {}
        self.weights: dict[str, np.ndarray] = {}

    def final(self, part):
        return self._made(part)[0]

    def history(self, part):
        return self._made(part)[1]

    def w(self, part, cell_id):
        self._made(part)
        return self.weights[cell_id]

    def references(self, part, cell_id, ps):
        return solve_references(self.data(part, cell_id), ps, 1.0, 1.0, self.cache)

    def _made(self, part):
        if part not in self.tables:
            if part not in MADE:
                cells = [self._cell(part, cell_id, config) for cell_id, config in self.configs(part).items()]
                rows, paths, weights = zip(*cells, strict=True)
                MADE[part] = pd.DataFrame(rows), pd.concat(paths), dict(zip(self.configs(part), weights, strict=True))
            final, history, weights = MADE[part]
            self.tables[part] = [final.copy(), history.copy()]
            self.weights |= weights
        return self.tables[part]

    def _cell(self, part, cell_id, config):
        cell = make_cell(config)
        p = potentials_for(config, GRIDS)[0].limit_p
        known = self.references(part, cell_id, [p])
        exact = known.max_margin.get(p)
        eta, depth = config["step"]["eta"], config["depth"]
        row = {
            "cell_id": cell_id, **cell.flat(), "limit_p": p, "separability": known.separability,
            "angle_linear_md": TRANSIENT[p][depth - 2] if p in TRANSIENT and depth > 1 else 0.0,
            "angle_max_margin": 0.0, "stable_rank": 1.0, "layer_alignment": 1.0, "norm_balance": 1.0,
            "norm_balance_frobenius": 2.0, "balance_drift": 0.1 * eta,
            "participation": {1.5: 1.0, 2.0: 4.0, 3.0: 10.0}.get(p, 1.0),
        }  # fmt: skip
        if exact is not None:
            row |= {
                "exact_margin": exact.margin, "exact_margin_gap": exact.gap, "exact_margin_kkt": exact.kkt,
                "margin_lp": 0.99 * exact.margin, "gamma_bound": 1.01 * exact.margin,
            }  # fmt: skip
        w = self._predictor(part, cell_id, config, known, exact)
        return row, self._path(cell_id, config, known, exact, p), w

    def _predictor(self, part, cell_id, config, known, exact):
        if part == "quasi":
            return 10 * known.quasi.ray + known.quasi.offset
        if config["potential"] == {"cosh": {"beta": 1.0}}:
            return 40 * least_potential(self.data(part, cell_id).A, 40.0)
        return known.logreg.w if exact is None else exact.w

    def _path(self, cell_id, config, known, exact, p):
        t = np.unique(np.r_[np.geomspace(1, config["epochs"], 60), 1e3, 1e4])
        t = t[t <= config["epochs"]]
        step = config["step"]
        table = pd.DataFrame({"cell_id": cell_id, "epoch": t, "loss": 1 / t})
        if step["rule"] in ANGLES:
            at, angles = ANGLES[step["rule"]]
            table["angle_max_margin"] = np.exp(np.interp(np.log(t), np.log(at), np.log(angles)))
        if exact is not None:
            table["log_inverse_loss"] = step["eta"] * exact.margin**2 * t
        growth = step.get("decay", 1.0) * config["depth"] / (p - 1) if p not in (1, math.inf) else 1.0
        table["weight_norm"] = t**growth
        if known.quasi is not None:
            ray, offset = (float(np.linalg.norm(v)) for v in (known.quasi.ray, known.quasi.offset))
            table["weight_norm"] = np.hypot(ray * (5 + np.log(t)), offset)
        return table
