"""The keys of a grid file: type, range and default of each.

A key is a leaf (`depth`, `step.eta`) or a group of leaves (`step`). Whatever fixed, vary, zip or --set sets
becomes leaves with typed values, so that {step: {eta: 1}} and step.eta: 1 are the same request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mdcore.grid.errors import Problems, nearest, one_of
from mdcore.grid.potential_spec import read_potential
from mdcore.grid.readers import (
    INVALID,
    REFERENCE,
    Reader,
    choice,
    free_value,
    integer,
    real,
    refuse,
    refuse_name,
)
from mdcore.grid.yaml_tree import Node

REQUIRED = type("Required", (), {"__repr__": lambda self: "REQUIRED"})()
GEOMETRIES = ("planted", "gaussian")
SOURCES = ("bundled", "full")
RULES = ("constant", "normalized", "adaptive", "loss_scaled")
LOSSES = ("logistic", "exponential")
INITS = ("normal", "uniform")
DTYPES = ("float64", "float32")
DATASET_KEYS = {
    "synthetic": ("geometry", "dim", "n", "separation", "noise"),
    "mnist": ("source", "path", "test_fraction"),
}
STEP_KEYS = {
    "constant": ("eta",),
    "normalized": ("eta", "decay", "anneal"),
    "adaptive": ("eta",),
    "loss_scaled": ("eta",),
}
PIXELS = 784
SYNONYMS = {
    "lr": "step.eta",
    "learning_rate": "step.eta",
    "steps": "epochs",
    "layers": "depth",
    "precision": "dtype",
    "optimizer": "step.rule",
    "data": "dataset.name",
    "seeds": "seed",
}
EXAMPLES = {
    "p": "{lp: {p: 1.5}}",
    "alpha": "{layer_scaled: {alpha: [1, 4]}}",
    "beta": "{hypentropy: {beta: 0.1}}",
}


class Setting:
    """The typed value of a leaf with its place; `key` as shown. Compared by identity: caches hang on it."""

    __slots__ = ("key", "leaf", "node", "value")

    def __init__(self, leaf: str, value: Any, node: Node, key: str):
        self.leaf, self.value, self.node, self.key = leaf, value, node, key

    def complain(self, problems: Problems, message: str) -> None:
        problems.add(self.node.place, self.key, message)


def _dataset_name(node: Node, key: str, problems: Problems) -> Any:
    if node.kind == "str" and (node.value in DATASET_KEYS or REFERENCE.fullmatch(node.value)):
        return node.value
    expected = one_of(DATASET_KEYS) + ", or a plug-in as my_file:MyData (my_file.py beside the grid file)"
    return refuse_name(node, key, problems, expected, DATASET_KEYS)


def _digits(node: Node, key: str, problems: Problems) -> Any:
    if node.kind == "list" and len(node.value) == 2:
        pair = [item.value for item in node.value]
        if all(item.kind in ("int", "float") and item.value in range(10) for item in node.value) and pair[0] != pair[1]:
            return [int(digit) for digit in pair]
    return refuse(node, key, problems, "two different digits from 0 to 9: [3, 5]")


def _path(node: Node, key: str, problems: Problems) -> Any:
    if node.kind == "null" or (node.kind == "str" and node.value.strip() and node.value.isprintable()):
        return node.value
    return refuse(node, key, problems, "the directory of the IDX files, a non-empty string, or null (download)")


def _metrics(node: Node, key: str, problems: Problems) -> Any:
    references = [item.value for item in node.value] if node.kind == "list" else []
    good = all(item.kind == "str" and REFERENCE.fullmatch(item.value) for item in node.value) if references else False
    if good and len(set(references)) == len(references):
        return references
    return refuse(node, key, problems, "a list of different plug-ins: [my_file:my_metric]")


@dataclass(frozen=True)
class Leaf:
    """`default`: a value, REQUIRED, or a function of `get(leaf)`, for defaults that hang on other keys."""

    read: Reader
    default: Any
    expected: str


def _init_default(get: Callable[[str], Any]) -> float:
    return 0.0 if get("depth") == 1 else 0.3


def _eta_default(get: Callable[[str], Any]) -> float:
    return 0.1 if get("step.rule") == "constant" else 1.0


def _dim_default(get: Callable[[str], Any]) -> int:
    return 2 if get("dataset.geometry") == "planted" else 20


LEAVES: dict[str, Leaf] = {
    "dataset.name": Leaf(_dataset_name, REQUIRED, "dataset: {name: synthetic, …} or {name: mnist, …}"),
    "dataset.geometry": Leaf(choice(GEOMETRIES), "gaussian", one_of(GEOMETRIES)),
    "dataset.dim": Leaf(integer(2, 100_000), _dim_default, "an integer ≥ 2"),
    "dataset.n": Leaf(integer(2, 10_000_000), 60, "an integer ≥ 2"),
    "dataset.separation": Leaf(real(0, 1e6, "a number > 0, at most 1e6", high_in=True), 2.5, "a number > 0"),
    "dataset.noise": Leaf(real(0, 1e6, "a number ≥ 0, at most 1e6", low_in=True, high_in=True), 1.0, "a number ≥ 0"),
    "dataset.source": Leaf(choice(SOURCES), "bundled", one_of(SOURCES)),
    "dataset.path": Leaf(_path, None, "a directory or null"),
    "dataset.test_fraction": Leaf(real(0, 1, "a number in [0, 1); 0: all points train", low_in=True), 0.2, "in [0, 1)"),
    "digits": Leaf(_digits, REQUIRED, "two different digits for mnist: [3, 5]"),
    "pca": Leaf(integer(1, PIXELS, "no PCA"), None, f"an integer from 1 to {PIXELS} or null"),
    "potential": Leaf(read_potential, REQUIRED, "a potential: quadratic, {lp: {p: 1.5}}, …"),
    "depth": Leaf(integer(1, 1000), 1, "an integer ≥ 1"),
    "width": Leaf(integer(1, 100_000, "depth 1 has no hidden layer"), 50, "an integer ≥ 1"),
    "init.scale": Leaf(
        real(0, 1e6, "a number ≥ 0, at most 1e6", low_in=True, high_in=True), _init_default, "a number ≥ 0"
    ),
    "init.distribution": Leaf(choice(INITS), "normal", one_of(INITS)),
    "loss": Leaf(choice(LOSSES), "logistic", one_of(LOSSES)),
    "step.rule": Leaf(choice(RULES), REQUIRED, "step: {rule: …}, the rule " + one_of(RULES)),
    "step.eta": Leaf(real(0, 1e12, "a number > 0, at most 1e12", high_in=True), _eta_default, "a number > 0"),
    "step.decay": Leaf(
        real(0, 10, "an exponent from 0 to 10", low_in=True, high_in=True), 1.0, "an exponent from 0 to 10"
    ),
    "step.anneal": Leaf(
        real(0, 100, "an exponent from 0 to 100", low_in=True, high_in=True), 0.0, "an exponent from 0 to 100"
    ),
    "epochs": Leaf(integer(1, 10**9), REQUIRED, "an integer ≥ 1"),
    "stop.gap": Leaf(real(0, 1, "a number in (0, 1)", null=True), None, "{gap: a number in (0, 1)} or null"),
    "log_points": Leaf(integer(2, 100_000), 120, "an integer ≥ 2"),
    "seed": Leaf(integer(0, 2**53), 0, "an integer ≥ 0"),
    "svm_C": Leaf(real(0, 1e12, "a number > 0, at most 1e12", high_in=True), 1.0, "a number > 0"),
    "logreg_C": Leaf(real(0, 1e12, "a number > 0, at most 1e12", high_in=True), 1.0, "a number > 0"),
    "dtype": Leaf(choice(DTYPES), "float64", one_of(DTYPES)),
    "metrics": Leaf(_metrics, None, "a list of plug-ins"),
}
GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(leaf.split(".")[1] for leaf in LEAVES if leaf.startswith(group + "."))
    for group in ("dataset", "init", "step", "stop")
}
KEYS = (*GROUPS, *LEAVES)


def leaves_of(key: str, present: Any = ()) -> list[str]:
    """The leaves a key stands for; for a plug-in's dataset also those among `present`."""
    if key not in GROUPS:
        return [key]
    names = [f"{key}.{part}" for part in GROUPS[key]]
    return names + [leaf for leaf in present if leaf.startswith(key + ".") and leaf not in names]


def read_key(key: str, node: Node, shown: str, problems: Problems, place: str, plugin_data: bool) -> dict[str, Setting]:
    """Leaves set by `key: node`. `shown` is the key in messages, `place` where it stands; `plugin_data`: the
    grid names a user's own dataset, which may have keys that are not known here."""
    if key in LEAVES:
        return {key: Setting(key, LEAVES[key].read(node, shown, problems), node, shown)}
    if key in GROUPS:
        return _read_group(key, node, shown, problems, plugin_data)
    if plugin_data and key.startswith("dataset.") and key.count(".") == 1 and key.split(".")[1].isidentifier():
        return {key: Setting(key, free_value(node, shown, problems), node, shown)}
    problems.add(place, shown, unknown_key(key))
    return {}


def unknown_key(key: str) -> str:
    """What is wrong with a key that is none, and what may have been meant."""
    names = one_of(name for name in KEYS if "." not in name)
    if key in ("p", "alpha", "beta"):
        return f"unknown key {key!r}; it belongs to a potential: write potential: {EXAMPLES[key]}"
    meant = f"; did you mean '{SYNONYMS[key.lower()]}'?" if key.lower() in SYNONYMS else nearest(key, KEYS)
    return f"unknown key {key[:80]!r}; expected {names}{meant}"


def _read_group(group: str, node: Node, shown: str, problems: Problems, plugin_data: bool) -> dict[str, Setting]:
    if group == "stop" and node.kind == "null":
        return {"stop.gap": Setting("stop.gap", None, node, shown)}
    if group == "dataset" and node.kind == "str" and ":" in node.value:
        return {"dataset.name": Setting("dataset.name", _dataset_name(node, shown, problems), node, shown)}
    if node.kind != "map" or not node.value:
        example = {
            "dataset": "{name: mnist, source: bundled}",
            "init": "{scale: 0.3}",
            "step": "{rule: adaptive}",
            "stop": "{gap: 0.01} or null",
        }[group]
        problems.add(node.place, shown, f"got {node.got()}; expected a mapping: {example}")
        # the key is set, though not to anything: its leaves are not missing
        leaf = f"{group}.{GROUPS[group][0]}"
        return {leaf: Setting(leaf, INVALID, node, shown)}
    name = node.value.get("name")
    name = name.value if group == "dataset" and name is not None and name.kind == "str" else ""
    own = bool(REFERENCE.fullmatch(name))
    parts = ("name", *DATASET_KEYS[name]) if name in DATASET_KEYS and not own else GROUPS[group]
    out: dict[str, Setting] = {}
    for part, item in node.value.items():
        leaf, inner = f"{group}.{part}", f"{shown}.{part}"
        if part in parts and (part == "name" or not own):
            out[leaf] = Setting(leaf, LEAVES[leaf].read(item, inner, problems), item, inner)
        elif own or (plugin_data and not name and group == "dataset"):
            out[leaf] = Setting(leaf, free_value(item, inner, problems), item, inner)
        else:
            of = f" of dataset {name}" if parts is not GROUPS[group] else ""
            problems.add(
                node.key_place(part),
                inner,
                f"unknown key {part[:80]!r}{of}; expected {one_of(parts)}" + nearest(part, parts),
            )
    return out
