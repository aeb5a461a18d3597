"""The baseline of every ratio: what a researcher writes by hand. One cell at a time, autograd, one thread."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mdcore.math.engine.plans import CellPlan
from mdcore.math.models import initial_weights, layer_shapes
from mdcore.math.optimizer import MirrorDescent
from mdcore.math.step_rules import StepRule


def train_by_hand(
    X: Tensor, y: Tensor, cell: CellPlan, rule: StepRule, steps: int, clock: Callable[[], float]
) -> tuple[nn.Sequential, float]:
    """Train one cell for `steps` full-batch steps; returns (model, seconds a step by `clock`).

    X (n, d) and y (n,) of −1 and +1, float64. One further step goes before the clock starts: it makes the state.
    """
    shapes = layer_shapes(cell.depth, cell.width, X.shape[1])
    model = nn.Sequential(*[nn.Linear(inputs, outputs, bias=False, dtype=X.dtype) for outputs, inputs in shapes])
    for layer, weight in zip(model, initial_weights(cell.seed, shapes, cell.init_scale), strict=True):
        layer.get_parameter("weight").data.copy_(weight)
    loss = nn.BCEWithLogitsLoss()
    target = (y > 0).to(X)
    optimizer = MirrorDescent(
        model.parameters(),
        cell.potentials,
        rule.eta,
        rule.rule,
        decay=rule.decay,
        anneal=rule.anneal,
        horizon=rule.horizon,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        risk = loss(model(X).squeeze(1), target)
        risk.backward()
        return risk

    for step in range(steps + 1):
        if step == 1:
            start = clock()
        optimizer.step(closure)
    return model, (clock() - start) / steps
