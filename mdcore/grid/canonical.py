"""One combination of settings to the canonical configuration of a cell, with the checks that need two keys.

Each part (data, network, step, …) is worked out once for each different set of settings it depends on and
is then shared between cells, so that a grid of many thousand cells costs a few dictionary look-ups a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mdcore.grid.errors import Problems, nearest, one_of
from mdcore.grid.potential_spec import for_depth, mathematics
from mdcore.grid.readers import INVALID
from mdcore.grid.schema import DATASET_KEYS, LEAVES, REQUIRED, STEP_KEYS, Setting

Combination = Mapping[str, Setting]
SIMPLE = ("loss", "epochs", "log_points", "svm_C", "logreg_C", "dtype")
KEYS = (
    "dataset",
    "digits",
    "pca",
    "potential",
    "depth",
    "width",
    "init",
    "loss",
    "step",
    "epochs",
    "stop",
    "log_points",
    "seed",
    "svm_C",
    "logreg_C",
    "dtype",
    "metrics",
)
IMAGES_A_DIGIT = 500  # of source bundled


def value_of(combination: Combination, leaf: str) -> Any:
    """The value a combination gives a leaf, else the default; INVALID and REQUIRED pass through."""
    setting = combination.get(leaf)
    if setting is not None:
        return setting.value
    default = LEAVES[leaf].default if leaf in LEAVES else None
    return default(lambda other: value_of(combination, other)) if callable(default) else default


class Canonical:
    """Turns combinations into configurations; what is wrong with one goes to `problems` and gives None."""

    def __init__(self, leaves: set[str], problems: Problems, place: str):
        self.problems, self.place = problems, place
        data = sorted(leaf for leaf in leaves if leaf.startswith("dataset."))
        self._parts: list[tuple[tuple[str, ...], Callable[[Combination], dict | None], dict]] = [
            ((*data, "digits", "pca"), self._data, {}),
            (("potential", "depth", "width", "init.scale", "init.distribution"), self._network, {}),
            (("step.rule", "step.eta", "step.decay", "step.anneal", "depth"), self._step, {}),
            (("stop.gap", "metrics", *SIMPLE), self._rest, {}),
            (("seed",), self._seed, {}),
        ]
        self._shared: dict[str, dict] = {}
        self.mathematics: dict[tuple, dict[str, Setting]] = {}  # function of the layers -> its names in this grid

    def config(self, combination: Combination) -> tuple[tuple, dict[str, Any]] | None:
        """(key, configuration), or None if refused; the same configuration has the same key."""
        found: dict[str, Any] = {}
        parts = []
        get = combination.get
        for leaves, build, cache in self._parts:
            settings = tuple([get(leaf) for leaf in leaves])
            part = cache.get(settings, cache)  # the cache itself stands for "not yet worked out"
            if part is cache:
                part = build(combination)
                cache[settings] = part = part and self._shared.setdefault(repr(part), part)
            parts.append(part)
        if None in parts:
            return None
        for part in parts:
            found.update(part)
        return tuple(map(id, parts)), {key: found[key] for key in KEYS if key in found}

    def _value(self, combination: Combination, leaf: str) -> Any:
        """value_of, with a missing required leaf told once."""
        value = value_of(combination, leaf)
        if value is REQUIRED:
            self.problems.add(self.place, leaf, f"missing; expected {LEAVES[leaf].expected} under fixed, vary or zip")
            return INVALID
        return value

    def _misplaced(self, combination: Combination, leaf: str, why: str) -> None:
        combination[leaf].complain(self.problems, why)

    def _data(self, combination: Combination) -> dict | None:
        name = self._value(combination, "dataset.name")
        if name is INVALID:
            return None
        good = True
        known = DATASET_KEYS.get(name)
        dataset: dict[str, Any] = {"name": name}
        for leaf, setting in combination.items():
            if not leaf.startswith("dataset.") or leaf == "dataset.name":
                continue
            part = leaf.split(".", 1)[1]
            if setting.value is INVALID:
                good = False
            elif known is None and part == "seed":
                self._misplaced(
                    combination,
                    leaf,
                    f"a data set of one's own gets the grid's seed as its argument seed; got another one, "
                    f"{setting.value!r}; expected a parameter of another name, or the key seed",
                )
                good = False
            elif known is None:
                dataset[part] = setting.value
            elif part not in known:
                owners = [other for other, keys in DATASET_KEYS.items() if part in keys]
                of = (
                    f": {part} is of dataset {owners[0]}; remove it or name it under only_if"
                    if owners
                    else nearest(part, known)
                )
                self._misplaced(
                    combination,
                    leaf,
                    f"unknown key {part[:60]!r} of dataset {name}; expected {one_of(known)}{of}",
                )
                good = False
        if known is not None:
            dataset.update({part: value_of(combination, f"dataset.{part}") for part in known})
            good &= not any(value is INVALID for value in dataset.values())
        if name != "mnist":
            for leaf in ("digits", "pca"):
                given = value_of(combination, leaf)
                if leaf in combination and given not in (None, INVALID):
                    self._misplaced(
                        combination,
                        leaf,
                        f"got {given} for dataset {name}; expected no {leaf}: it is of dataset "
                        "mnist; remove it or name it under only_if",
                    )
                    good = False
            if known is None:
                dataset = {"name": name} | {part: dataset[part] for part in sorted(dataset.keys() - {"name"})}
            return {"dataset": dataset, "digits": None, "pca": None} if good else None
        digits, pca = self._value(combination, "digits"), value_of(combination, "pca")
        good &= digits is not INVALID and pca is not INVALID
        return (
            {"dataset": dataset, "digits": digits, "pca": pca}
            if self._mnist(combination, dataset, pca) and good
            else None
        )

    def _mnist(self, combination: Combination, dataset: dict, pca: Any) -> bool:
        source, path, fraction = dataset["source"], dataset["path"], dataset["test_fraction"]
        if source == "bundled" and path not in (None, INVALID):
            self._misplaced(
                combination,
                "dataset.path",
                f"got {path!r} with source bundled; expected no path: it belongs to source full",
            )
            return False
        if source == "full" and path is None:
            self._misplaced(
                combination,
                "dataset.source",
                "got 'full' without a path; expected path: DIRECTORY, where the "
                "four MNIST IDX files are or shall be downloaded to",
            )
            return False
        if source == "bundled" and isinstance(fraction, float):
            train = 2 * (IMAGES_A_DIGIT - round(fraction * IMAGES_A_DIGIT))
            if train < 2:
                self._misplaced(
                    combination,
                    "dataset.test_fraction",
                    f"got {fraction}, which leaves no image to train on; expected a smaller fraction",
                )
                return False
            if isinstance(pca, int) and pca > train - 1:
                self._misplaced(
                    combination,
                    "pca",
                    f"got {pca} components, but {train} images train; expected at most {train - 1}",
                )
                return False
        return True

    def _network(self, combination: Combination) -> dict | None:
        depth, potential = value_of(combination, "depth"), self._value(combination, "potential")
        width, scale = value_of(combination, "width"), value_of(combination, "init.scale")
        distribution = value_of(combination, "init.distribution")
        good = not any(value is INVALID for value in (depth, potential, width, scale, distribution))
        if depth is INVALID:
            return None
        if potential is not INVALID:
            potential, wrong = for_depth(potential, depth)
            if wrong:
                combination["potential"].complain(
                    self.problems, f"{wrong}: move them together with zip, or exclude the pair"
                )
                good = False
        if depth >= 2 and scale == 0.0:
            combination["init.scale"].complain(
                self.problems,
                f"got 0 at depth {depth}; expected a number > 0 at depth ≥ 2: zero is a saddle, the gradient "
                "is zero for ever",
            )
            good = False
        if depth >= 2 and width is None:
            combination["width"].complain(
                self.problems, f"got nothing (null) at depth {depth}; expected an integer ≥ 1"
            )
            good = False
        if not good:
            return None
        names = self.mathematics.setdefault((depth, mathematics(potential, depth)), {})
        names.setdefault(repr(potential), combination["potential"])
        return {
            "potential": potential,
            "depth": depth,
            "width": width if depth > 1 else None,
            "init": {"scale": scale, "distribution": distribution if scale else "normal"},
        }

    def _step(self, combination: Combination) -> dict | None:
        rule, depth = self._value(combination, "step.rule"), value_of(combination, "depth")
        if rule is INVALID:
            return None
        good = True
        if rule == "loss_scaled" and depth is not INVALID and depth > 1:
            self._misplaced(
                combination,
                "step.rule",
                f"got 'loss_scaled' at depth {depth}; expected one of constant, "
                "normalized, adaptive: loss_scaled diverges at depth ≥ 2",
            )
            good = False
        for part in ("eta", "decay", "anneal"):
            if f"step.{part}" in combination and part not in STEP_KEYS[rule]:
                self._misplaced(
                    combination,
                    f"step.{part}",
                    f"unknown key {part!r} of rule {rule}; expected {part} only with "
                    f"rule normalized: remove it or name it under only_if",
                )
                good = False
        values = {part: value_of(combination, f"step.{part}") for part in STEP_KEYS[rule]}
        good &= not any(value is INVALID for value in values.values())
        return {"step": {"rule": rule, **values}} if good else None

    def _seed(self, combination: Combination) -> dict | None:
        seed = value_of(combination, "seed")
        return None if seed is INVALID else {"seed": seed}

    def _rest(self, combination: Combination) -> dict | None:
        out = {key: self._value(combination, key) for key in SIMPLE}
        gap, metrics = value_of(combination, "stop.gap"), value_of(combination, "metrics")
        out["stop"] = None if gap is None else {"gap": gap}
        if metrics is not None:
            out["metrics"] = metrics
        return None if gap is INVALID or any(value is INVALID for value in out.values()) else out
