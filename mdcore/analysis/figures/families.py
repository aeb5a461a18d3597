"""The kinds of curves: which metrics stand together in a figure, and what there is to see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One kind of figure: its name, what it shows, (metric, short panel title) rows, and what to see in it."""

    name: str
    what: str
    rows: tuple[tuple[str, str], ...]
    see: str
    log: bool = True
    target: tuple[float, str] | None = None
    deep_only: bool = False


FAMILIES = {
    "angles": Family(
        "angles",
        "Angle of the learned predictor to",
        (
            ("angle_linear_md", "linear MD"),
            ("angle_max_margin", "lp max-margin"),
            ("angle_svm", "SVM"),
            ("angle_logreg", "logistic regression"),
        ),
        "A curve that falls along a straight line in logarithmic axes is still on its way to the reference; one that "
        "levels off goes elsewhere, or its steps have become too short to go on.",
    ),
    "margins": Family(
        "margins",
        "Margin as a share of the exact optimum",
        (("margin_ratio", "margin / exact margin"),),
        "1 is the exact lp max-margin; below 0 some training point is misclassified.",
        log=False,
        target=(1.0, "exact optimum"),
    ),
    "gap": Family(
        "gap",
        "Certified gap",
        (("gap", "certified gap"),),
        "The gap bounds, without any solver, how much margin is still missing; at or below 1 % a cell counts as "
        "converged: its margin is certified, not its direction.",
        target=(0.01, "1 %"),
    ),
    "structure": Family(
        "structure",
        "Layers and hidden neurons of the deep networks",
        (
            ("layer_alignment", "layer alignment"),
            ("stable_rank", "stable rank"),
            ("participation", "participating neurons"),
            ("balance_drift", "drift of invariant"),
        ),
        "Alignment 1 and stable rank 1: the layers have become rank one and aligned. The drift is what finite steps "
        "add to a quantity that the flow conserves.",
        log=False,
        deep_only=True,
    ),
}


def own_family(names: list[str]) -> Family:
    """A family for metrics of the user's own."""
    return Family(
        "own_metrics",
        "Metrics of the user's own: " + ", ".join(names),
        tuple((n, n) for n in names),
        "They are drawn as they were returned.",
        log=True,
    )
