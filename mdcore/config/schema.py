"""The keys of a grid file and their defaults, as pydantic models; and what a section sets, as typed settings.

What a potential, a step rule or a data source takes is declared on its class; the models of these are built here from
the declarations. A key is a leaf (`depth`, `step.eta`) or a group of leaves (`step`); whatever sets one becomes leaves
with typed values, so that {step: {eta: 1}} and step.eta: 1 are the same request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mdcore.config.errors import Spot, got, nearest, one_of
from mdcore.config.values import (
    FORMS,
    REFERENCE,
    TAKES,
    Free,
    Model,
    Potential,
    Reference,
    checked,
    choice,
    integer,
    model_of,
    real,
    whole,
    worded,
)
from mdcore.math.losses import LOSSES
from mdcore.math.parameters import REQUIRED, Number
from mdcore.math.potentials import BUILTIN
from mdcore.math.step_rules import RULES
from mdcore.problems.sources import SOURCES

INVALID = type("Invalid", (), {"__repr__": lambda self: "INVALID", "__slots__": ()})()
PIXELS = 784
SYNONYMS = {
    "lr": "step.eta", "learning_rate": "step.eta", "steps": "epochs", "layers": "depth", "precision": "dtype",
    "optimizer": "step.rule", "data": "dataset.name", "seeds": "seed",
}  # fmt: skip


MODELS: dict[str, dict[str, type[Model]]] = {  # group -> name -> what it takes
    "dataset": {name: model_of(source, "name") for name, source in SOURCES.items()},
    "step": {name: model_of(rule, "rule") for name, rule in RULES.items()},
}
CHOOSE = {"dataset": "name", "step": "rule"}
_OWN_DATA = ", or a plug-in as my_file:MyData (my_file.py beside the grid file)"
_NAME = Annotated[
    str,
    checked(lambda name: name in SOURCES or bool(REFERENCE.fullmatch(name))),
    *worded(one_of(SOURCES) + _OWN_DATA, SOURCES),
]
_Digit = Annotated[int, Field(ge=0, le=9), BeforeValidator(whole)]


class Init(Model):
    """Entries scale·N(0,1)/√fan_in, or uniform with the same scale. Depth 1 starts at zero unless told otherwise."""

    scale: real(Number(least=0, most=1e6)) = None  # 0 at depth 1, 0.3 deeper
    distribution: choice(("normal", "uniform")) = "normal"


class Stop(Model):
    """A cell ends when its certified gap is at most this."""

    gap: real(Number(above=0, below=1, words="a number in (0, 1)"), null=True) = None


class Settings(Model):
    """The keys of a cell that are not a choice among classes."""

    digits: Annotated[
        list[_Digit],
        Field(min_length=2, max_length=2),
        checked(lambda pair: pair[0] != pair[1]),
        *worded("two different digits from 0 to 9: [3, 5]"),
    ]
    pca: integer(1, PIXELS, "no PCA") = None
    potential: Potential
    depth: integer(1, 1000) = 1
    width: integer(1, 100_000, "depth 1 has no hidden layer") = 50
    init: Init = Init()
    loss: choice(LOSSES) = "logistic"
    epochs: integer(1, 10**9)
    stop: Stop | None = None
    log_points: integer(2, 100_000) = 120
    seed: integer(0, 2**53) = 0
    svm_C: real(Number(above=0, most=1e12)) = 1.0
    logreg_C: real(Number(above=0, most=1e12)) = 1.0
    dtype: choice(("float64", "float32")) = "float64"
    metrics: Annotated[
        list[Reference],
        Field(min_length=1),
        checked(lambda names: len(set(names)) == len(names)),
        *worded("a list of different plug-ins: [my_file:my_metric]"),
    ] = None


class Leaf:
    """A key with one value: its field as pydantic has it. `others` are what it is for other data sets or step rules."""

    def __init__(self, field: FieldInfo, expected: str = ""):
        self.field, self.expected = field, expected or field.description
        self.others: dict[str, Leaf] = {}

    @cached_property
    def _adapter(self) -> TypeAdapter:
        return TypeAdapter(Annotated[self.field.annotation, *self.field.metadata], config=ConfigDict(strict=True))

    def read(self, value: Any, spot: Spot, name: str = "") -> Any:
        """The typed value, or INVALID with the reasons told. `name`: of the data set or step rule, where known."""
        for leaf in (self.others.get(name, self),) if name else (*self.others.values(), self):
            try:
                return leaf._adapter.validate_python(value)
            except ValidationError as error:
                reason = error
        spot.report(reason, TAKES)
        return INVALID


def _leaves() -> dict[str, Leaf]:
    """Every key with one value, groups taken apart, in the order in which configurations list them."""
    data = Leaf(FieldInfo.from_annotation(_NAME), "dataset: {name: synthetic, …} or {name: mnist, …}")
    rule = Leaf(FieldInfo.from_annotation(choice(RULES)), f"step: {{rule: …}}, the rule {one_of(RULES)}")
    out = {"dataset.name": data, **_of_classes("dataset", SOURCES)}
    for key, field in Settings.model_fields.items():
        group = {"init": Init, "stop": Stop}.get(key)
        parts = group.model_fields if group else {"": field}
        out |= {f"{key}.{part}" if part else key: Leaf(each) for part, each in parts.items()}
        if key == "loss":
            out |= {"step.rule": rule, **_of_classes("step", RULES)}
    return out


def _of_classes(group: str, classes: Mapping[str, Any]) -> dict[str, Leaf]:
    """The parameters that the classes of a group declare; where two declare one differently, both are kept."""
    out: dict[str, Leaf] = {}
    first: dict[str, Any] = {}
    for name, cls in classes.items():
        for part, declared in cls.parameters.items():
            new, kind = Leaf(MODELS[group][name].model_fields[part]), replace(declared, default=None)
            leaf = out.setdefault(f"{group}.{part}", new)
            if first.setdefault(part, kind) != kind:
                leaf.others[name] = new
    return out


LEAVES = _leaves()
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
PARAMETERS = {name: FORMS[cls.name] for cls in BUILTIN.values() for name in cls.parameters}
PARAMETER_LEAVES = {  # keys of conditions only
    name: Leaf(FieldInfo.from_annotation(real(declared)))
    for cls in BUILTIN.values()
    for name, declared in cls.parameters.items()
    if not declared.per_layer
}


class Setting:
    """The typed value of a leaf and where it is set. Compared by identity: caches hang on it."""

    __slots__ = ("leaf", "spot", "value")

    def __init__(self, leaf: str, value: Any, spot: Spot):
        self.leaf, self.value, self.spot = leaf, value, spot


def leaves_of(key: str, present: Iterable[str] = ()) -> list[str]:
    """The leaves a key stands for; for a plug-in's dataset also those among `present`."""
    if key not in GROUPS:
        return [key]
    names = [f"{key}.{part}" for part in GROUPS[key]]
    return names + [leaf for leaf in present if leaf.startswith(key + ".") and leaf not in names]


def read_key(key: str, value: Any, spot: Spot, own_data: bool) -> dict[str, Setting]:
    """Leaves set by `key: value`. `own_data`: the grid names a user's own data set, which has keys of its own."""
    if key in LEAVES:
        return {key: Setting(key, LEAVES[key].read(value, spot), spot)}
    if key in GROUPS:
        return _read_group(key, value, spot, own_data)
    if own_data and key.startswith("dataset.") and key.count(".") == 1 and key.split(".")[1].isidentifier():
        return {key: Setting(key, FREE.read(value, spot), spot)}
    spot.tell(unknown_key(key), of_key=True)
    return {}


FREE = Leaf(FieldInfo.from_annotation(Free), "what JSON can hold")


def unknown_key(key: str) -> str:
    """What is wrong with a key that is none, and what may have been meant."""
    names = one_of(name for name in KEYS if "." not in name)
    if key in PARAMETERS:
        return f"unknown key {key!r}; it belongs to a potential: write potential: {PARAMETERS[key]}"
    meant = f"; did you mean '{SYNONYMS[key.lower()]}'?" if key.lower() in SYNONYMS else nearest(key, KEYS)
    return f"unknown key {key[:80]!r}; expected {names}{meant}"


def _read_group(group: str, value: Any, spot: Spot, own_data: bool) -> dict[str, Setting]:
    first = f"{group}.{GROUPS[group][0]}"
    if group == "stop" and value is None:
        return {first: Setting(first, None, spot)}
    if group == "dataset" and isinstance(value, str) and ":" in value:
        return {first: Setting(first, LEAVES[first].read(value, spot), spot)}
    if not isinstance(value, dict) or not value:
        spot.tell(f"got {got(value)}; expected a mapping: {EXAMPLES[group]}")
        return {first: Setting(first, INVALID, spot)}  # set, though not to anything: its leaves are not missing
    name = value.get("name") if group == "dataset" else None
    own = isinstance(name, str) and bool(REFERENCE.fullmatch(name))
    known = isinstance(name, str) and name in SOURCES
    parts = tuple(MODELS["dataset"][name].model_fields) if known else GROUPS[group]
    out: dict[str, Setting] = {}
    for part, item in value.items():
        leaf, inner = f"{group}.{part}", spot.at(part)
        if part in parts and (part == "name" or not own):
            out[leaf] = Setting(leaf, LEAVES[leaf].read(item, inner), inner)
        elif own or (own_data and name is None and group == "dataset"):
            out[leaf] = Setting(leaf, FREE.read(item, inner), inner)
        else:
            of = f" of dataset {name}" if known else ""
            message = f"unknown key {part[:80]!r}{of}; expected {one_of(parts)}" + nearest(part, parts)
            inner.tell(message, of_key=True)
    return out


def field_of(leaf: str, chosen: str | None) -> FieldInfo | None:
    """The field of a leaf; None where the chosen data set or step rule has no such key."""
    group, _, part = leaf.partition(".")
    model = MODELS.get(group, {}).get(chosen or "")
    if model is not None:
        return model.model_fields.get(part)
    return LEAVES[leaf].field if leaf in LEAVES else None


def value_of(combination: Mapping[str, Setting], leaf: str) -> Any:
    """The value a combination gives a leaf, else its default. INVALID passes through; None: no such key here.

    A required key that is not set is `REQUIRED`.
    """
    if leaf in combination:
        return combination[leaf].value
    if leaf == "init.scale":
        return 0.0 if value_of(combination, "depth") == 1 else 0.3
    group, _, part = leaf.partition(".")
    choose = CHOOSE.get(group) if part else None
    if part == choose:
        return REQUIRED if part else _default(LEAVES[leaf].field, {})
    chosen = value_of(combination, f"{group}.{choose}") if choose else None
    field = field_of(leaf, chosen if isinstance(chosen, str) else None)
    if field is None:
        return None
    if field.default_factory is None:
        return _default(field, {})
    given = {
        name: value_of(combination, f"{group}.{name}") for name in MODELS[group][chosen].model_fields if name != part
    }
    return _default(field, given)


def _default(field: FieldInfo, given: dict[str, Any]) -> Any:
    value = field.get_default(call_default_factory=True, validated_data=given)
    return REQUIRED if value is PydanticUndefined else value
