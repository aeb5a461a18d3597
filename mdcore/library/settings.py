"""The keywords of `fit` are the keys of grid files: checked by the same rules, with defaults that need no tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from mdcore.config.cell import PARAMETERS
from mdcore.config.errors import GridError
from mdcore.config.grid import cell_from_config
from mdcore.config.plugins.conformance import check_potential
from mdcore.config.plugins.loading import potentials_for
from mdcore.config.schema import SYNONYMS
from mdcore.library.arrays import python_values
from mdcore.math.engine.plans import CellPlan, StackPlan
from mdcore.math.parameters import nearest, one_of
from mdcore.math.potentials import BUILTIN, Hypentropy, Lp, Potential

PotentialEntry = str | Mapping | Potential | Sequence

HORIZONS = (2_000, 16_000, 128_000)  # steps that are tried one after the other, until the gap is reached
MOST_WORK = 3e11  # steps × points × features beyond which a longer horizon is not tried: some minutes
EPOCHS = 20_000  # with a step rule of one's own
ETA, ANNEAL = 1000.0, 5.0  # of the default step, for points of length LENGTH
LENGTH = 10.0
ETA_HYPENTROPY = 0.3  # W = β sinh(Z) grows exponentially in Z
STOP = {"gap": 0.01}


class Keys(TypedDict, total=False):
    """Keys of a grid file that `fit` takes, and the parameters of a potential that is given by its name."""

    p: float
    alpha: list[float]
    beta: float
    width: int
    init: dict[str, Any]
    loss: str
    step: dict[str, Any]
    epochs: int
    stop: dict[str, float] | None
    log_points: int
    seed: int
    dtype: str


@dataclass(frozen=True)
class Settings:
    """A checked request: the cell, what is shared with no other, and the numbers of steps to try in turn."""

    cell: CellPlan
    config: dict[str, Any]
    horizons: tuple[int, ...]

    def plan(self, epochs: int, separable: bool) -> StackPlan:
        """What the trainer takes beside the cell."""
        from mdcore.training.stack import stack_plan

        return stack_plan({**self.config, "epochs": epochs}, separable, "cpu")

    @property
    def gap(self) -> float | None:
        """The certified gap at which a run ends; None: it takes all its steps."""
        return (self.config["stop"] or {}).get("gap")


def read(potential: PotentialEntry, depth: int, keys: Keys, A: np.ndarray) -> Settings:
    """The settings for signed data A (n, d). ValueError: a value is wrong; TypeError: there is no such keyword."""
    known = Keys.__annotations__
    if unknown := [key for key in keys if key not in known]:
        meant = SYNONYMS.get(unknown[0].lower(), "")
        hint = f"; did you mean {meant.split('.')[0]!r}?" if meant else nearest(unknown[0], known)
        raise TypeError(f"unknown keyword {unknown[0]!r}; expected {one_of(known)}{hint}")
    given = {key: python_values(value) for key, value in keys.items()}
    entry = _entry(potential, {key: given.pop(key) for key in PARAMETERS if key in given})
    with_rule = given.get("step") is not None
    horizons = (given["epochs"],) if "epochs" in given else (EPOCHS,) if with_rule else _horizons(A)
    config = {
        "dataset": {"name": "synthetic"},  # unused: the data are at hand
        "potential": entry if _by_name(entry) else "quadratic",
        "depth": depth,
        "stop": STOP,
        **given,
        "epochs": horizons[0],
        "step": given["step"] if with_rule else {"rule": "normalized", "anneal": ANNEAL},
    }
    try:
        config = cell_from_config(config).config
        phis = tuple(potentials_for(config)) if _by_name(entry) else _users_layers(entry, config["depth"])
    except GridError as error:
        raise ValueError("\n".join(line.removeprefix("configuration: ") for line in error.problems)) from None
    if not with_rule:
        config["step"]["eta"] = default_eta(phis, A)
    init = config["init"]
    cell = CellPlan(phis, config["seed"], config["width"], init["scale"], init["distribution"])
    return Settings(cell, config, horizons)


def default_eta(phis: Sequence[Potential], A: np.ndarray) -> float:
    """η of the default step, so that data of another scale are trained alike.

    Where the data are c times as long and all weights c^{−1/L} times as large, the margins are the same; with l_p
    potentials Z is then c^{−(p−1)/L} times as large, and so is η. Other potentials take the p of their limit.
    """
    if isinstance(phis[0], Hypentropy):
        return ETA_HYPENTROPY
    p = phis[0].limit_p or 2.0
    length = float(np.linalg.norm(A, axis=1).max()) / LENGTH
    return float(np.clip(ETA * length ** (-(min(p, 4.0) - 1.0) / len(phis)), 1e-9, 1e12))


def _horizons(A: np.ndarray) -> tuple[int, ...]:
    return tuple(steps for steps in HORIZONS if steps == HORIZONS[0] or steps * A.size <= MOST_WORK)


def _entry(potential: PotentialEntry, parameters: dict[str, Any]) -> Any:
    """The potential as a grid file has it, or the user's own objects. l_p without p is l_2."""
    if not isinstance(potential, str) or potential not in BUILTIN:
        if parameters:
            hint = nearest(potential, BUILTIN) if isinstance(potential, str) else ""
            what = f"potential {python_values(potential)!r} was given with {one_of(parameters)}"
            raise ValueError(f"{what}; expected {one_of(BUILTIN)}{hint}")
        return python_values(potential)
    declared = BUILTIN[potential].parameters
    if potential == Lp.name:
        parameters = {"p": 2.0} | parameters
    wrong = [key for key in parameters if key not in declared]
    if wrong:
        takes = one_of(declared) if declared else "no parameter"
        raise ValueError(f"potential {potential}: got the parameter {wrong[0]}; expected {takes}")
    return {potential: parameters} if parameters else potential


def _by_name(entry: Any) -> bool:
    return not any(isinstance(each, Potential) for each in (entry if isinstance(entry, list) else [entry]))


def _users_layers(entry: Any, depth: int) -> tuple[Potential, ...]:
    """One potential a layer, each of the user's own tried out first."""
    from mdcore.math.potentials import potential

    layers = tuple(map(potential, entry)) if isinstance(entry, list) else (entry,) * depth
    if len(layers) != depth:
        raise ValueError(f"potential: got {len(layers)} potentials at depth {depth}; expected one per layer")
    for phi in layers:
        if type(phi) not in BUILTIN.values():
            check_potential(phi, type(phi).__name__)
    return layers
