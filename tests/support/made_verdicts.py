"""Verdicts by hand: what sentences and sections of the report ask of them, and nothing else."""

from types import SimpleNamespace

from mdcore.analysis.data.directions import MAX_MARGIN
from mdcore.analysis.report.findings.verdicts import Estimate


def verdict(potential="quadratic", depth=1, facet="Gaussian, d = 20", used=3, n=3, separability="separable", **more):
    """What a sentence asks of a Verdict."""
    one = SimpleNamespace(
        condition=SimpleNamespace(id=f"{facet}{potential}{depth}", depth=depth, flat={"potential": potential}),
        potential=potential, facet=facet, used=used, n=n,
        separability=separability, overlap=separability != "separable",
        counts={"converged": used}, reached=True, bound=0.5, why="", unique=True, limit_p=2.0, linear="linear",
        ends=[SimpleNamespace(reference=(MAX_MARGIN, 2.0), certified=True, known=True, bound=0.5)] * 3, messages=[],
        gap=Estimate(0.001, n=3, max=0.002), angle=Estimate(0.3, n=3, max=0.41), forecast=None,
        linear_ends=Estimate(), equal_loss=Estimate(), limit_pairs=[], path_pairs=[], limit_changed="", path_changed="",
    )  # fmt: skip
    one.name = f"{potential}, L = {depth}"
    one.__dict__.update(more)
    return one
