"""Cells trained with a broken engine or measured with broken metrics: the theorem suite fails."""

from __future__ import annotations

import json
from itertools import pairwise

import pandas as pd
import pytest
import torch
from ideal_evidence import IdealEvidence

from mdcore.math import metrics
from mdcore.math.engine.block import Block
from mdcore.math.potentials import Lp
from mdcore.training import stack as training
from mdcore.verification import report
from mdcore.verification.claim import FAIL, PASS
from mdcore.verification.evidence import GRIDS

BY_NAME = {claim.name: claim for claim in report.CLAIMS}


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("references")


@pytest.fixture
def judged(cache, tmp_path):
    """judged(claim, part, where) -> judged claim, the cells of `part` that satisfy `where` really trained."""

    def call(name, part, where, epochs=None):
        evidence = IdealEvidence(cache)
        final, history = evidence.final(part), evidence.history(part)
        stacks: dict[str, list] = {}
        for cell_id, config in evidence.configs(part).items():
            if where(config):
                stacks.setdefault(json.dumps(config["step"]), []).append((cell_id, config))
        for cells in stacks.values():
            configs = [config | ({"epochs": epochs} if epochs else {}) for _, config in cells]
            request = tmp_path / "request.json"
            request.write_text(json.dumps({"cells": configs, "references_dir": str(cache), "plugin_dir": str(GRIDS)}))
            out = training.train_request(request)
            ids = dict(zip(out.cell_ids, [cell_id for cell_id, _ in cells], strict=True))
            rows = out.final.assign(cell_id=out.final["cell_id"].map(ids))
            final = pd.concat([final[~final["cell_id"].isin(rows["cell_id"])], rows], ignore_index=True)
            evidence.weights.update((ids[name], w) for name, w in zip(out.cell_ids, out.w, strict=True))
        evidence.tables[part] = [final, history]
        return BY_NAME[name].judge(evidence)

    return call


def per_layer_step(self, coefficient, out, keep_old=False):
    """Block.step with every layer's gradient brought to the global norm by itself."""
    old_Z = self.Z
    (b, a, _), g = self.factors, torch.as_tensor(self.g)
    left, right = [*b.unbind(1), torch.ones_like(g[:, :1])], [g, *a.unbind(1)]
    factors = [
        torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
        for a, b in zip(right, left, strict=True)
    ]
    whole = torch.stack(factors).square().sum(0).sqrt()
    for layer, (z, w, b, a) in enumerate(zip(old_Z, self.W, left, right, strict=True)):
        length = (torch.as_tensor(coefficient) * whole / factors[layer]).view(-1, 1, 1)
        z += length * b.unsqueeze(2) * a.unsqueeze(1)
        for segment in self.segments:
            segment.potentials[layer].inverse_mirror_map(z[segment.rows], out=w[segment.rows])
    self.end_to_end(out)


def left_left(W, right=metrics.alignment_and_stable_rank):
    """alignment_and_stable_rank with the LEFT vector of both layers where their lengths allow it."""
    if len(W) == 1:
        return right(W)
    tops = [metrics.top_singular_vectors(layer) for layer in W]
    values = [
        (low[0] * (high[0] if high[0].shape == low[0].shape else high[2])).sum(-1).abs() for low, high in pairwise(tops)
    ]
    return torch.stack(values).mean(0), right(W)[1]


def unsigned(self, z, out=None):
    result = z.abs().pow(1.0 / (self.p - 1.0))
    return result if out is None else out.copy_(result)


TRAINED = {  # claim: (part, the cells that are trained, epochs of theirs), (where the defect is, its name, the defect)
    "invariants: one global normalisation keeps them": (
        ("invariants", lambda config: config["step"]["rule"] == "normalized", None),
        (Block, "step", per_layer_step),
    ),
    "layers become rank one and aligned": (
        ("limits", lambda config: config["depth"] == 3 and config["potential"] == "quadratic", 3000),
        (metrics, "alignment_and_stable_rank", left_left),
    ),
    "limit of linear p-MD, p=1.5": (
        ("limits", lambda config: config["depth"] == 1 and config["potential"] == {"lp": {"p": 1.5}}, 5000),
        (Lp, "inverse_mirror_map", unsigned),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("broken", [False, True])
def test_trained_with_a_defect_the_claim_fails(judged, monkeypatch, name, broken):
    cells, defect = TRAINED[name]
    if broken:
        monkeypatch.setattr(*defect)
    claim = judged(name, *cells)
    assert claim.verdict == (FAIL if broken else PASS), claim.measured
