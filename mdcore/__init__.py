"""mdcore: the implicit bias of mirror descent in deep linear networks, run as grids of experiments.

    fit(X, y, "lp", p=1.5, depth=2)        mirror descent on data of one's own, with its certificate
    load_data({"name": "mnist"}, [3, 5])   the data of a grid's entry
    separability(X, y)                     is there a margin? with the proof
    max_margin(X, y, p)                    the exact largest l_p margin
    certificate(w, X, y, p)                the share of it that any predictor misses
    MirrorDescentClassifier                the same as an estimator of scikit-learn
    MirrorDescent                          a torch optimizer for any module
    potential("lp", p=1.5), potentials     potentials by name
    run_grid, load_run, analyse            grids of experiments

Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdcore.library.arrays import load_data as load_data
    from mdcore.library.classifier import MirrorDescentClassifier as MirrorDescentClassifier
    from mdcore.library.exact import angle as angle
    from mdcore.library.exact import certificate as certificate
    from mdcore.library.exact import max_margin as max_margin
    from mdcore.library.exact import separability as separability
    from mdcore.library.fitting import fit as fit
    from mdcore.library.runs import analyse as analyse
    from mdcore.library.runs import load_run as load_run
    from mdcore.library.runs import run_grid as run_grid
    from mdcore.math.optimizer import MirrorDescent as MirrorDescent
    from mdcore.math.potentials import BUILTIN as potentials  # noqa: F401
    from mdcore.math.potentials import potential as potential

__version__ = "0.1.0"
_HOMES = {
    "MirrorDescentClassifier": "library.classifier",
    "angle": "library.exact",
    "certificate": "library.exact",
    "max_margin": "library.exact",
    "separability": "library.exact",
    "fit": "library.fitting",
    "load_data": "library.arrays",
    "analyse": "library.runs",
    "load_run": "library.runs",
    "run_grid": "run_grid",
    "MirrorDescent": "math.optimizer",
    "potential": "math.potentials",
    "potentials": "math.potentials",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """PEP 562: what is used is imported then, and stays."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mdcore' has no attribute {name!r}; it offers {', '.join(_HOMES)}")
    home = import_module(f"mdcore.{_HOMES[name]}")
    if name == "run_grid":  # its module, which can be called
        return home
    globals()[name] = value = getattr(home, "BUILTIN" if name == "potentials" else name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
