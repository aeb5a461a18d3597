"""What the compiled loops compute, as a digest a case: a process of its own for `test_jit.py`.

python bits_of_runs.py first|last: the order in which the cases run, and with them the order in which code is compiled.
"""

import hashlib
import itertools
import sys

import torch

from mdcore.math.engine.plans import CellPlan, StackPlan
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Lp, Quadratic
from mdcore.math.step_rules import StepRule

CASES = list(
    itertools.product((1, 2, 3, 20, 300), ("constant", "normalized", "adaptive"), (torch.float64, torch.float32))
)


def bits(d: int, rule: str, dtype: torch.dtype) -> str:
    """Of all that a pass and a step leave after 30 steps of nine cells, depths 1 to 3, on 203 points."""
    generator = torch.Generator().manual_seed(d)
    A = (torch.randn(203, d, generator=generator, dtype=torch.float64) + 0.6).to(dtype)
    potentials = [(phi,) * depth for phi in (Quadratic(), Lp(3.0), Lp(1.5)) for depth in (1, 2, 3)]
    trainer = StackTrainer(A, [CellPlan(p, 1, 6) for p in potentials], StackPlan(StepRule(rule, 0.05), 30, (30,)))
    trainer.advance()
    tensors = [*trainer.now.tensors().values(), *(part for block in trainer.blocks for part in (*block.Z, *block.W))]
    return hashlib.sha256(b"".join(t.contiguous().numpy().tobytes() for t in tensors)).hexdigest()[:12]


if __name__ == "__main__":
    for case in CASES if sys.argv[1] == "first" else reversed(CASES):
        print(*case, bits(*case))
