"""The keys of a grid file with their types and defaults; and what a section sets, as typed settings.

What a potential, a step rule or a data source takes is declared on its class, and the types are built from the
declarations. A key is a leaf (`depth`, `step.eta`) or a group of leaves (`step`); whatever sets one becomes leaves with
typed values, so that {step: {eta: 1}} and step.eta: 1 are the same request. Where the user's own class is chosen for a
group (a data set or a step rule named my_file:Name), the group takes any further key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from mdcore.config.errors import Spot, got, nearest_key, one_of
from mdcore.config.values import (
    FORMS,
    POTENTIAL,
    REFERENCE,
    TAKES,
    Free,
    Potential,
    Reference,
    checked,
    kind_of,
    whole,
    worded,
)
from mdcore.math.losses import LOSSES
from mdcore.math.parameters import REQUIRED, Choice, Integer, Number, Parameter
from mdcore.math.potentials import BUILTIN
from mdcore.math.step_rules import RULES
from mdcore.problems.sources import SOURCES

INVALID = type("Invalid", (), {"__repr__": lambda self: "INVALID", "__slots__": ()})()
PIXELS = 784
SYNONYMS = {
    "lr": "step.eta", "learning_rate": "step.eta", "steps": "epochs", "layers": "depth", "precision": "dtype",
    "optimizer": "step.rule", "data": "dataset.name", "seeds": "seed",
}  # fmt: skip
CHOOSE = {"dataset": "name", "step": "rule"}  # groups that are a choice among classes, and the key that names the class
CLASSES: dict[str, Mapping[str, Any]] = {"dataset": SOURCES, "step": RULES}


def _class_name(classes: Iterable[str], example: str) -> Any:
    words = f"{one_of(classes)}, or a plug-in as my_file:{example} (my_file.py beside the grid file)"
    return Annotated[Union[Literal[tuple(classes)], Reference], *worded(words, classes)]  # noqa: UP007


_Digit = Annotated[int, Field(ge=0, le=9), BeforeValidator(whole)]
_Digits = Annotated[
    list[_Digit],
    Field(min_length=2, max_length=2),
    checked(lambda pair: pair[0] != pair[1]),
    *worded("two different digits from 0 to 9: [3, 5]"),
]
_Metrics = Annotated[
    list[Reference],
    Field(min_length=1),
    checked(lambda names: len(set(names)) == len(names)),
    *worded("a list of different plug-ins: [my_file:my_metric]"),
]


@dataclass(eq=False)
class Leaf:
    """A key with one value: its type, its default, and what is expected.

    `others` is what it is for the data sets or step rules that declare it differently.
    """

    kind: Any
    default: Any = REQUIRED
    expected: str = ""
    others: dict[str, Leaf] = field(default_factory=dict)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.kind, config=ConfigDict(strict=True))

    def read(self, value: Any, spot: Spot, name: str = "") -> Any:
        """The typed value, or INVALID with the reasons told. `name`: of the data set or step rule, where known."""
        for leaf in (self.others.get(name, self),) if name else (*self.others.values(), self):
            try:
                return leaf._adapter.validate_python(value)
            except ValidationError as error:
                reason = error
        spot.report(reason, TAKES)
        return INVALID


def _leaf(declared: Parameter) -> Leaf:
    return Leaf(kind_of(declared), declared.default, declared.expected)


def _of_classes(group: str) -> dict[str, Leaf]:
    """The parameters that the classes of a group declare; where two declare one differently, both are kept."""
    out: dict[str, Leaf] = {}
    first: dict[str, Parameter] = {}
    for name, cls in CLASSES[group].items():
        for part, declared in cls.parameters.items():
            leaf = out.setdefault(f"{group}.{part}", _leaf(declared))
            kind = replace(declared, default=None)
            if first.setdefault(part, kind) != kind:
                leaf.others[name] = _leaf(declared)
    return out


_POSITIVE = Number(above=0, most=1e12, default=1.0)
LEAVES: dict[str, Leaf] = {  # every key with one value, in the order in which configurations list them
    "dataset.name": Leaf(_class_name(SOURCES, "MyData"), expected="dataset: {name: synthetic, …} or {name: mnist, …}"),
    **_of_classes("dataset"),
    "digits": Leaf(_Digits, expected="two different digits from 0 to 9: [3, 5]"),
    "pca": _leaf(Integer(1, PIXELS, default=None, null="no PCA")),
    "potential": Leaf(Potential, expected=POTENTIAL),
    "depth": _leaf(Integer(1, 1000, default=1)),
    "width": _leaf(Integer(1, 100_000, default=50, null="depth 1 has no hidden layer")),
    "init.scale": _leaf(Number(least=0, most=1e6)),  # its default hangs on the depth, see value_of
    "init.distribution": _leaf(Choice(("normal", "uniform"), default="normal")),
    "loss": _leaf(Choice(LOSSES, default="logistic")),
    "step.rule": Leaf(_class_name(RULES, "MyRule"), expected=f"step: {{rule: …}}, the rule {one_of(RULES)}"),
    **_of_classes("step"),
    "epochs": _leaf(Integer(1, 10**9)),
    "stop.gap": _leaf(Number(above=0, below=1, default=None, words="a number in (0, 1)", null=True)),
    "log_points": _leaf(Integer(2, 100_000, default=120)),
    "seed": _leaf(Integer(0, 2**53, default=0)),
    "svm_C": _leaf(_POSITIVE),
    "logreg_C": _leaf(_POSITIVE),
    "dtype": _leaf(Choice(("float64", "float32"), default="float64")),
    "metrics": Leaf(_Metrics, None, "a list of different plug-ins: [my_file:my_metric]"),
}
GROUPS = {
    group: tuple(leaf.split(".")[1] for leaf in LEAVES if leaf.startswith(group + "."))
    for group in ("dataset", "init", "step", "stop")
}
EXAMPLES = {
    "dataset": "{name: mnist, source: bundled}",
    "init": "{scale: 0.3}",
    "step": "{rule: adaptive}",
    "stop": "{gap: 0.01} or null",
}
KEYS = (*GROUPS, *LEAVES)
FORM_WITH = {name: FORMS[cls.name] for cls in BUILTIN.values() for name in cls.parameters}  # of each parameter
PARAMETER_LEAVES = {  # keys of conditions only
    name: _leaf(declared)
    for cls in BUILTIN.values()
    for name, declared in cls.parameters.items()
    if not declared.per_layer
}


@dataclass(eq=False, slots=True)
class Setting:
    """The typed value of a leaf and where it is set. Compared by identity: caches hang on it."""

    leaf: str
    value: Any
    spot: Spot


def leaves_of(key: str, present: Iterable[str] = ()) -> list[str]:
    """The leaves a key stands for; for a plug-in's dataset also those among `present`."""
    if key not in GROUPS:
        return [key]
    names = [f"{key}.{part}" for part in GROUPS[key]]
    return names + [leaf for leaf in present if leaf.startswith(key + ".") and leaf not in names]


def read_key(key: str, value: Any, spot: Spot, user_groups: Collection[str]) -> dict[str, Setting]:
    """Leaves set by `key: value`. `user_groups`: those for which the grid names a class of the user's own."""
    group, _, part = key.partition(".")
    if key in LEAVES:
        return {key: Setting(key, LEAVES[key].read(value, spot), spot)}
    if key in GROUPS:
        return _read_group(key, value, spot, user_groups)
    if group in user_groups and part.isidentifier():
        return {key: Setting(key, FREE.read(value, spot), spot)}
    spot.tell(unknown_key(key), of_key=True)
    return {}


FREE = Leaf(Free, expected="what JSON can hold")


def unknown_key(key: str) -> str:
    """What is wrong with a key that is none, and what may have been meant."""
    names = one_of(name for name in KEYS if "." not in name)
    if key in FORM_WITH:
        return f"unknown key {key!r}; it belongs to a potential: write potential: {FORM_WITH[key]}"
    meant = f"; did you mean '{SYNONYMS[key.lower()]}'?" if key.lower() in SYNONYMS else nearest_key(key, KEYS)
    return f"unknown key {key[:80]!r}; expected {names}{meant}"


def _read_group(group: str, value: Any, spot: Spot, user_groups: Collection[str]) -> dict[str, Setting]:
    first, choose = f"{group}.{GROUPS[group][0]}", CHOOSE.get(group, "")
    if group == "stop" and value is None:
        return {first: Setting(first, None, spot)}
    if choose and isinstance(value, str) and ":" in value:
        return {first: Setting(first, LEAVES[first].read(value, spot), spot)}
    if not isinstance(value, dict) or not value:
        spot.tell(f"got {got(value)}; expected a mapping: {EXAMPLES[group]}")
        return {first: Setting(first, INVALID, spot)}  # set, though not to anything: its leaves are not missing
    name = value.get(choose)
    is_user_class = isinstance(name, str) and bool(REFERENCE.fullmatch(name))
    source = SOURCES.get(name) if group == "dataset" and isinstance(name, str) else None
    parts = GROUPS[group] if source is None else (choose, *source.parameters)
    out: dict[str, Setting] = {}
    for part, item in value.items():
        leaf, inner = f"{group}.{part}", spot.at(part)
        if part in parts and (part == choose or not is_user_class):
            out[leaf] = Setting(leaf, LEAVES[leaf].read(item, inner), inner)
        elif is_user_class or (name is None and group in user_groups):
            out[leaf] = Setting(leaf, FREE.read(item, inner), inner)
        else:
            of = "" if source is None else f" of dataset {name}"
            message = f"unknown key {part[:80]!r}{of}; expected {one_of(parts)}" + nearest_key(part, parts)
            inner.tell(message, of_key=True)
    return out


def value_of(combination: Mapping[str, Setting], leaf: str) -> Any:
    """The value a combination gives a leaf, else its default. INVALID passes through; None: no such key here.

    A required key that is not set is `REQUIRED`.
    """
    if leaf in combination:
        return combination[leaf].value
    if leaf == "init.scale":
        return 0.0 if value_of(combination, "depth") == 1 else 0.3
    group, _, part = leaf.partition(".")
    if group not in CHOOSE or part == CHOOSE[group]:
        return LEAVES[leaf].default
    chosen = value_of(combination, f"{group}.{CHOOSE[group]}")
    if chosen not in CLASSES[group]:
        return None
    parameters = CLASSES[group][chosen].parameters
    default = parameters[part].default if part in parameters else None
    if not callable(default):
        return default
    return default({name: value_of(combination, f"{group}.{name}") for name in parameters if name != part})
