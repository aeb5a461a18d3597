"""What a value may be, as pydantic annotations: numbers, choices, parameters of plug-ins, potentials.

Each carries its description, which is what a refusal says is expected and what the JSON Schema says of the key. The
types of potentials are built from what their classes declare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WrapValidator,
    create_model,
)

from mdcore.config.errors import Accepts, one_of, unexpected
from mdcore.math.parameters import REQUIRED, Choice, Flag, Integer, Names, Number, Parameter
from mdcore.math.potentials import BUILTIN

REFERENCE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*:[A-Za-z_][A-Za-z0-9_]*")  # my_file:MyPotential
PLUGIN = "the file my_file.py beside the grid file or in the working directory (no directories, no dots)"
MOST_LAYERS = 1000


class Model(BaseModel):
    """No unknown keys; "2" is no number; 2.0 is an integer, true is not."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


def worded(words: str, names: Iterable[str] = (), most: str = "") -> tuple[Any, ...]:
    """Annotations: the description of the values, and the error that gives it as what is expected."""
    names = tuple(names)

    def wrap(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            too_large = bool(most) and error.errors(include_url=False)[0]["type"] == "less_than_equal"
            raise unexpected(most if too_large else words, names) from None

    return WrapValidator(wrap), Field(description=words)


def whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _float(value: Any) -> Any:
    """An int as the float it is, and -0.0 as 0.0."""
    if type(value) is int:
        return float(value) if abs(value) < 10**308 else math.inf
    return value + 0.0 if isinstance(value, float) else value


def checked(check: Callable[[Any], bool]) -> AfterValidator:
    def validate(value: Any) -> Any:
        if not check(value):
            raise ValueError("not as expected")
        return value

    return AfterValidator(validate)


def kind_of(declared: Parameter) -> Any:
    """The type of a declared parameter."""
    if isinstance(declared, Integer):
        whole_number = Annotated[int, Field(ge=declared.least, le=declared.most), BeforeValidator(whole)]
        too_large = f"an integer from {declared.least} to {declared.most}"
        return Annotated[_or_null(whole_number, declared.null), *worded(declared.expected, most=too_large)]
    if isinstance(declared, Choice):
        return Annotated[Literal[declared.names], *worded(declared.expected, declared.names)]
    if isinstance(declared, Flag):
        return Annotated[bool, *worded(declared.expected)]
    if isinstance(declared, Number):
        return _kind_of_number(declared)
    kind: Any = Annotated[str, checked(lambda value: bool(value.strip()) and value.isprintable())]
    if isinstance(declared, Names):
        name = Annotated[kind, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
        size = Field(min_length=declared.count or 1, max_length=declared.count)
        kind = Annotated[list[name], size, checked(lambda names: len(set(names)) == len(names))]
    return Annotated[_or_null(kind, declared.default is not REQUIRED), *worded(declared.words)]


def _or_null(kind: Any, allowed: object) -> Any:
    return Union[kind, None] if allowed else kind  # noqa: UP007


def _kind_of_number(declared: Number) -> Any:
    """A finite float in the range of a declaration, or null where that is allowed; or one for each layer."""
    limits = Field(allow_inf_nan=False, gt=declared.above, ge=declared.least, lt=declared.below, le=declared.most)
    bounded: Any = Annotated[float, limits, BeforeValidator(_float)]
    kind: Any = Annotated[_or_null(bounded, declared.null), *worded(declared.expected)]
    if not declared.per_layer:
        return kind
    words = f"a list of numbers{declared.expected.removeprefix('a number')}, one per layer: {declared.example}"
    size = Field(min_length=1, max_length=MOST_LAYERS)
    return Annotated[list[kind], size, WrapValidator(_list_of(words)), Field(description=words)]


def _list_of(words: str) -> Callable[[Any, Callable[[Any], Any]], Any]:
    def wrap(value: Any, handler: Callable[[Any], Any]) -> Any:
        if not isinstance(value, list) or not value:
            raise unexpected(words)
        if len(value) > MOST_LAYERS:
            raise unexpected(f"at most {MOST_LAYERS} layers")
        return handler(value)

    return wrap


def model_of(owner: Any, choose: str = "") -> type[Model]:
    """The model of a class with `name` and `parameters`; `choose` is the key that holds its name, if any."""
    fields: dict[str, Any] = {choose: (Literal[owner.name], ...)} if choose else {}
    for name, declared in owner.parameters.items():
        default = {"default_factory": declared.default} if callable(declared.default) else {"default": declared.default}
        fields[name] = (kind_of(declared), Field(**default))
    return create_model(owner.name, __base__=Model, __doc__=(owner.__doc__ or "").split("\n")[0], **fields)


def free(value: Any) -> Any:
    """A parameter of a plug-in: what JSON has, without NaN; 1.0 becomes 1, so that both are one identity."""
    if isinstance(value, dict):
        return {name: free(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [free(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise unexpected("a finite number")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


Free = Annotated[Any, AfterValidator(free)]
Reference = Annotated[str, Field(pattern=f"^{REFERENCE.pattern}$")]


# ---------------------------------------------------------------- potentials

FORMS = {
    name: f"{{{name}: {{{', '.join(f'{key}: {declared.example}' for key, declared in cls.parameters.items())}}}}}"
    if cls.parameters
    else name
    for name, cls in BUILTIN.items()
}
TAKES = {name: Accepts(FORMS[name], tuple(cls.parameters)) for name, cls in BUILTIN.items()}


def _entry_model(name: str) -> Any:
    """{name: {parameter: value}}; null stands for no parameters."""
    parameters: Any = model_of(BUILTIN[name])
    inner: Any = Annotated[parameters, BeforeValidator(lambda value: {} if value is None else value)]
    fields: dict[str, Any] = {name: (inner, ...)}
    entry: Any = create_model(f"{name}_entry", __base__=Model, **fields)
    return Annotated[entry, Tag(f"<{name}>")]


def _prepared(value: Any) -> Any:
    """The entry, its kind known to `_tag`; the name alone of what takes parameters is that without parameters."""
    name = (
        value if isinstance(value, str) else next(iter(value)) if isinstance(value, dict) and len(value) == 1 else None
    )
    if name is None:
        raise unexpected(f"a name or {{name: {{parameter: value}}}}, the name {one_of(BUILTIN)}")
    if ":" in name or "/" in name:
        if not REFERENCE.fullmatch(name):
            raise unexpected(f"a plug-in as my_file:MyPotential, {PLUGIN}")
    elif name not in BUILTIN:
        raise unexpected(f"{one_of(BUILTIN)}, or a plug-in my_file:MyPotential", BUILTIN)
    elif isinstance(value, str) and BUILTIN[name].parameters:
        return {name: {}}
    return value


def _tag(value: Any) -> str:
    """Which kind of entry a prepared value is."""
    if isinstance(value, str):
        return "<name>" if value in BUILTIN else "<reference>"
    name = next(iter(value), "") if isinstance(value, dict) else ""
    return f"<{name}>" if name in BUILTIN else "<own>"


def _canonical(value: Any) -> Any:
    entry = value.model_dump() if isinstance(value, Model) else value
    if isinstance(entry, str):
        return entry
    ((name, parameters),) = entry.items()
    return {name: parameters} if parameters else name


_BareName: Any = Literal[tuple(name for name, cls in BUILTIN.items() if not cls.parameters)]
_CLOSED: Any = {"additionalProperties": False}
_Parameters: Any = Annotated[
    Union[dict[str, Free], None],  # noqa: UP007
    WrapValidator(lambda value, handler: handler({} if value is None else _mapping(value))),
    AfterValidator(lambda given: dict(sorted(given.items()))),
]


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise unexpected("a mapping of its parameters")
    return value


_Entry: Any = Annotated[
    Annotated[
        Union[
            Annotated[_BareName, Tag("<name>")],
            Annotated[Reference, Tag("<reference>")],
            Annotated[dict[Reference, _Parameters], Field(json_schema_extra=_CLOSED), Tag("<own>")],
            *(_entry_model(name) for name in BUILTIN),
        ],
        Discriminator(_tag),
    ],
    BeforeValidator(_prepared),
    AfterValidator(_canonical),
]
_Layers: Any = Annotated[list[_Entry], WrapValidator(_list_of("one potential per layer, input layer first"))]
POTENTIAL = "a potential, or a list of them, input layer first: quadratic, {lp: {p: 1.5}}"
Potential: Any = Annotated[
    Union[Annotated[_Entry, Tag("<one>")], Annotated[_Layers, Tag("<list>")]],  # noqa: UP007
    Discriminator(lambda value: "<list>" if isinstance(value, list) else "<one>"),
    Field(description=POTENTIAL),
]
