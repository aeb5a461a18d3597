"""The tree of a YAML file, in which every value keeps its line; YAML 1.2 scalars; and back to text.

Scalars follow the core schema (https://yaml.org/spec/1.2.2/#103-core-schema): 1e-3 is a number, 010 is ten,
yes/no/on/off and 1_000 are strings.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from mdcore.grid.errors import GridError

DEEPEST = 40  # levels of nesting; a grid needs six

_NULL = re.compile(r"(?:null|Null|NULL|~)?")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?(?:\.inf|\.Inf|\.INF)")
_NAN = re.compile(r"\.nan|\.NaN|\.NAN")
_NAMES = {"map": "a mapping", "list": "a list", "bool": "a truth value", "str": "a string"}


class Node:
    """One value with its place. `kind`: map, list, null, bool, int, float or str; `value` the Python value,
    for a list Nodes, for a map {key: Node} with the lines of the keys in `key_lines`."""

    __slots__ = ("depth", "key_lines", "kind", "line", "size", "source", "value")

    def __init__(self, kind: str, value: Any, source: str, line: int | None = None):
        self.kind, self.value, self.source, self.line = kind, value, source, line
        self.size = self.depth = 1
        self.key_lines: dict[str, int] = {}

    @property
    def place(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"

    def key_place(self, key: str) -> str:
        return f"{self.source}:{self.key_lines[key]}" if key in self.key_lines else self.place

    def shown(self) -> str:
        """The value as an error shows it, at most about 70 characters."""
        text = flow(self, 0)
        return text if len(text) <= 70 else text[:69] + "…"

    def got(self) -> str:
        """`shown`, with the kind where that is not plain to see."""
        return f"{self.shown()}, {_NAMES[self.kind]}" if self.kind in _NAMES else self.shown()

    def plain(self) -> Any:
        """The Python value without places."""
        if self.kind == "map":
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if self.kind == "list" else self.value


def flow(node: Node, level: int) -> str:
    """The value in one line, shortened."""
    value = node.value
    if node.kind in ("map", "list") and level > 3:
        return "…"
    if node.kind == "map":
        return "{" + ", ".join(f"{key[:40]}: {flow(item, level + 1)}" for key, item in list(value.items())[:8]) + "}"
    if node.kind == "list":
        return "[" + ", ".join(flow(item, level + 1) for item in value[:12]) + "]"
    if node.kind == "null":
        return "nothing (null)"
    if node.kind == "bool":
        return "true" if value else "false"
    if node.kind == "int" and abs(value) > 10**60:
        return "an integer of more than 60 digits"
    return repr(value[:200] if node.kind == "str" else value)


def scalar(text: str) -> tuple[str, Any]:
    """(kind, value) of an unquoted scalar by the YAML 1.2 core schema."""
    if _NULL.fullmatch(text):
        return "null", None
    if _BOOL.fullmatch(text):
        return "bool", text.lower() == "true"
    if _INT.fullmatch(text):
        # int() refuses more than 4,300 digits; nothing in a grid needs 400
        return ("int", int(text)) if len(text) < 400 else ("float", -math.inf if text[0] == "-" else math.inf)
    if (_OCT.fullmatch(text) or _HEX.fullmatch(text)) and len(text) < 400:
        return "int", int(text, 0)
    if _FLOAT.fullmatch(text):
        return "float", float(text)
    if _INF.fullmatch(text):
        return "float", -math.inf if text[0] == "-" else math.inf
    return ("float", math.nan) if _NAN.fullmatch(text) else ("str", text)


def from_python(value: Any, source: str, level: int = 0) -> Node:
    """The tree of a Python value read from JSON. Raises GridError for what JSON has not, or too deep."""
    if level > DEEPEST:
        raise GridError(f"{source}: nested more than {DEEPEST} levels deep")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise GridError(f"{source}: a mapping has keys that are not strings")
        return Node("map", {key: from_python(item, source, level + 1) for key, item in value.items()}, source)
    if isinstance(value, (list, tuple)):
        return Node("list", [from_python(item, source, level + 1) for item in value], source)
    for kind, type_ in (("bool", bool), ("int", int), ("float", float), ("str", str), ("null", type(None))):
        if isinstance(value, type_):
            return Node(kind, value, source)
    raise GridError(f"{source}: got a {type(value).__name__}; expected what JSON can hold")


class _Dumper(yaml.SafeDumper):
    """Writes strings that YAML 1.1 or 1.2 would take for something else in quotes, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0] and (core := scalar(value)[0]) != "str":
            return f"tag:yaml.org,2002:{core}"
        return super().resolve(kind, value, implicit)

    def increase_indent(self, flow: bool = False, indentless: bool = False):
        return super().increase_indent(flow, False)


_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", repr(value)))


def dump(value: Any) -> str:
    """YAML text that parse reads back to the same values: floats by repr, order kept."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True)
