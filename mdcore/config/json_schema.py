"""The JSON Schema of grid files, from the models: with it editors complete keys and check values.

python -m mdcore.config.json_schema grids/grid.schema.json      (make schema)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Union

from pydantic import ConfigDict, Field, TypeAdapter, create_model

from mdcore.config.expansion.sections import DIRECTORIES
from mdcore.config.schema import CHOOSE, CLASSES, EXAMPLES, GROUPS, LEAVES
from mdcore.config.values import Model, Reference, model_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_USER_CLASSES = {  # group -> (name, description) of its classes of the user's own, which take any parameter
    "dataset": ("own_data", "A data set of one's own, my_file:my_data, with its parameters."),
    "step": ("own_rule", "A step rule of one's own, my_file:MyRule, with its parameters."),
}


def _group(group: str) -> Any:
    """A group as a mapping: what one of the classes takes, or some of its keys where the others stand elsewhere."""
    choose = CHOOSE.get(group, "")
    parts: dict[str, Any] = {part: (_type(f"{group}.{part}"), None) for part in GROUPS[group] if part != choose}
    kinds: list[Any] = [model_of(cls, choose) for cls in CLASSES.get(group, {}).values()]
    kinds.append(create_model(f"some_of_{group}", __base__=Model, **parts))
    if choose:
        name, words = _USER_CLASSES[group]
        chosen: dict[str, Any] = {choose: (Reference, ...)}
        kinds += [create_model(name, __config__=ConfigDict(extra="allow"), __doc__=words, **chosen), Reference]
    if group == "stop":
        kinds.append(None)
    return Annotated[Union[tuple(kinds)], Field(description=f"for example {EXAMPLES[group]}")]  # noqa: UP007


def _type(leaf: str) -> Any:
    return Annotated[LEAVES[leaf].kind, Field(description=LEAVES[leaf].expected)]


def _list_of(kind: Any) -> Any:
    values: Any = GenericAlias(list, kind)
    return Annotated[values, Field(min_length=1)]


def grid_file_schema() -> dict[str, Any]:
    """The JSON Schema of a grid file: its sections, and in each every key with its values."""
    keys = {group: _group(group) for group in GROUPS} | {leaf: _type(leaf) for leaf in LEAVES}
    free: Any = {"patternProperties": {r"^(dataset|step)\.[A-Za-z_][A-Za-z0-9_]*$": {}}}  # keys of one's own class

    def section(name: str, of: Callable[[Any], Any]) -> Any:
        fields: dict[str, Any] = {
            key.replace(".", "__"): (of(kind), Field(None, alias=key)) for key, kind in keys.items()
        }
        base = ConfigDict(extra="forbid", protected_namespaces=(), json_schema_extra=free)
        return create_model(name, __config__=base, **fields)

    many: Any = section("lists", _list_of)
    wanted: Any = Annotated[dict[str, Any], Field(description="{depth: [2, 3], potential: lp}; all keys must hold")]
    text: Any = Annotated[str, Field(min_length=1, description="the question this grid answers")]
    grid: Any = create_model(  # type: ignore[call-overload]  # pydantic's types know no fields by ** beside others
        "grid",
        __base__=Model,
        __doc__="A grid of mirror-descent experiments.",
        question=(text, ...),
        fixed=(section("values", lambda kind: kind), Field(None, description="keys with one value")),
        vary=(many, Field(None, description="keys with a list of values; all combinations are run")),
        zip=(list[many], Field(None, description="entries of keys whose lists move together")),
        only_if=(dict[str, wanted], Field(None, description="a key takes its default where its condition fails")),
        exclude=(list[wanted], Field(None, description="combinations to leave out")),
        timeout=(float, Field(None, gt=0, description="seconds without a step, after which a stack counts as hung")),
        keep=(bool, Field(True, description="whether to keep layers, predictors along training and the basis")),
        **{name: (str, Field(None, description=words)) for name, words in DIRECTORIES.items()},
    )
    return {"$schema": DIALECT, **TypeAdapter(grid).json_schema(by_alias=True)}


def main(arguments: list[str]) -> int:
    """Write the schema to the file that is named, or to the standard output."""
    text = json.dumps(grid_file_schema(), indent=1, ensure_ascii=False) + "\n"
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
