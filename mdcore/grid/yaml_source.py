"""YAML text to a tree in which every value keeps its line, and back to text.

Scalars follow the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema): 1e-3 is a number, 010 is
ten, yes/no/on/off and 1_000 are strings. PyYAML (safe, C where built) gives the event stream; the tree is built here without
recursion, so that depth, aliases and size are bounded while reading.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from mdcore.grid.errors import GridError, Problems

DEEPEST = 40                # levels of nesting; a grid needs six
LARGEST_FILE = 8_000_000    # bytes
MOST_VALUES = 1_500_000     # values in one file, aliases counted as often as they are used
MOST_ALIASED = 20_000       # values that aliases may repeat, in all: more is an alias bomb, not a grid

_NULL = re.compile(r"(?:null|Null|NULL|~)?")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?(?:\.inf|\.Inf|\.INF)")
_NAN = re.compile(r"\.nan|\.NaN|\.NAN")
_TAGS = {"tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_NAMES = {"map": "a mapping", "list": "a list", "null": "nothing", "bool": "true/false", "int": "an integer",
          "float": "a number", "str": "a string"}


class Node:
    """One value with its place. `kind`: map, list, null, bool, int, float or str; `value` the Python value,
    for a list Nodes, for a map {key: Node} with the lines of the keys in `key_lines`."""

    __slots__ = ("kind", "value", "source", "line", "size", "depth", "key_lines")

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
        text = _flow(self, 0)
        text = text if len(text) <= 70 else text[:67] + "…"
        return f"{text} (a string)" if self.kind == "str" and _looks_numeric(self.value) else text

    def kind_name(self) -> str:
        return _NAMES[self.kind]

    def plain(self) -> Any:
        """The Python value without places."""
        if self.kind == "map":
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if self.kind == "list" else self.value


def _flow(node: Node, level: int) -> str:
    if node.kind in ("map", "list") and level > 3:
        return "…"
    if node.kind == "map":
        inner = [f"{key}: {_flow(value, level + 1)}" for key, value in list(node.value.items())[:8]]
        return "{" + ", ".join(inner) + "}"
    if node.kind == "list":
        return "[" + ", ".join(_flow(value, level + 1) for value in node.value[:12]) + "]"
    if node.kind == "str":
        return repr(node.value[:200])
    if node.kind == "float" and not math.isfinite(node.value):
        return "nan" if math.isnan(node.value) else "inf" if node.value > 0 else "-inf"
    if node.kind == "int" and abs(node.value) > 10**60:
        return "an integer of more than 60 digits"
    return {None: "nothing (null)", True: "true", False: "false"}.get(node.value, repr(node.value)) \
        if node.kind in ("null", "bool") else repr(node.value)


def _looks_numeric(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?[0-9.][0-9._,]*(?:[eE][-+]?[0-9]*)?", text.strip()))


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


def read_file(path: str | Path, problems: Problems) -> Node | None:
    """The tree of a YAML file; None, with the reasons in `problems`, when there is none to be had."""
    path, source = Path(path), str(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        folder = path.parent
        others = sorted(str(other) for other in folder.glob("*.yaml"))[:12] if folder.is_dir() else []
        there = f"; there are {', '.join(others)}" if others else f"; {folder} holds no *.yaml file"
        problems.add(source, "", "no such file; expected a grid file" + there)
        return None
    except IsADirectoryError:
        problems.add(source, "", "is a directory; expected a grid file: name the .yaml file in it")
        return None
    except (OSError, ValueError) as error:
        problems.add(source, "", f"cannot be read ({error}); expected a readable grid file")
        return None
    if len(data) > LARGEST_FILE:
        problems.add(source, "", f"is larger than {LARGEST_FILE} bytes; expected a grid file")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(f"{source}:{line}", "", f"byte 0x{data[error.start]:02x} is not UTF-8 text; expected a YAML file")
        return None
    return parse(text, source, problems)


def parse(text: str, source: str, problems: Problems, lines: bool = True) -> Node | None:
    """The tree of YAML text. `source` names the place; `lines=False` leaves line numbers out (command line)."""
    try:
        text.encode("utf-8")
        return _Builder(source, problems, lines).build(text)
    except GridError as error:  # a limit of this reader, already placed
        problems.add(error.problems[0], "", error.problems[1])
    except UnicodeEncodeError:
        problems.add(source, "", "holds characters that are not Unicode text; expected UTF-8")
    except yaml.reader.ReaderError as error:
        where = f"{source}:{text.count(chr(10), 0, error.position) + 1}" if lines else source
        problems.add(where, "", f"not YAML: character {error.character!r} is not allowed")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if lines and mark else source
        detail = ": ".join(part for part in (error.context, error.problem) if part)
        problems.add(where, "", f"not YAML: {detail}; expected a mapping with question, fixed, vary")
    except yaml.YAMLError as error:
        problems.add(source, "", f"not YAML: {error}")
    return None


class _Builder:
    """Builds the tree from PyYAML's events with a stack of its own."""

    def __init__(self, source: str, problems: Problems, lines: bool):
        self.source, self.problems, self.lines = source, problems, lines
        self.anchors: dict[str, Node | None] = {}
        self.aliased = 0

    def stop(self, line: int, message: str) -> None:
        raise GridError([f"{self.source}:{line}" if self.lines else self.source, message])

    def build(self, text: str) -> Node | None:
        root: Node | None = None
        stack: list[tuple[Node, str | None, list]] = []  # (collection, anchor, [pending key])
        documents = 0
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.stop(line, "a second document begins ('---'); expected one YAML document")
                continue
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
                self.check_tag(event, line)
                if len(stack) >= DEEPEST:
                    self.stop(line, f"nested more than {DEEPEST} levels deep; a grid needs about six")
                node = Node(kind, {} if kind == "map" else [], self.source, line if self.lines else None)
                if event.anchor:
                    self.anchors[event.anchor] = None  # open: an alias to it would be circular
                stack.append((node, event.anchor, []))
                continue
            if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                node, anchor, _ = stack.pop()
                if anchor:
                    self.anchors[anchor] = node
            elif isinstance(event, yaml.AliasEvent):
                node = self.alias(event.anchor, line)
            elif isinstance(event, yaml.ScalarEvent):
                node = self.scalar_node(event, line)
                if event.anchor:
                    self.anchors[event.anchor] = node
            else:
                continue
            if stack:
                self.attach(stack[-1][0], stack[-1][2], node, line)
                if len(stack) + node.depth > DEEPEST:
                    self.stop(line, f"nested more than {DEEPEST} levels deep through aliases")
            else:
                root = node
        return root if root is not None else Node("null", None, self.source, 1 if self.lines else None)

    def attach(self, parent: Node, pending: list, node: Node, line: int) -> None:
        """Put a finished value where it belongs; in a mapping the first of two is the key."""
        if parent.kind == "list":
            parent.value.append(node)
        elif not pending:
            pending.append((node, line))
            return
        else:
            key, key_line = pending.pop()
            if key.kind in ("map", "list"):
                self.problems.add(key.place, "", f"got the key {key.shown()}; expected a name as key")
                return
            name = key.value if key.kind == "str" else _flow(key, 0)
            if name in parent.value:
                where = f"{self.source}:{key_line}" if self.lines else self.source
                first = f" (first in line {parent.key_lines[name]})" if self.lines else ""
                self.problems.add(where, name, f"key given twice{first}; expected once: remove one of the two")
                return
            parent.value[name] = node
            parent.key_lines[name] = key_line
            if not self.lines:
                parent.key_lines.clear()
        parent.size += node.size
        parent.depth = max(parent.depth, 1 + node.depth)
        if parent.size > MOST_VALUES:
            self.stop(line, f"holds more than {MOST_VALUES} values")

    def alias(self, name: str, line: int) -> Node:
        node = self.anchors.get(name)
        if node is None:
            self.stop(line, f"alias *{name} has no finished anchor &{name} before it; write the value out")
        self.aliased += node.size
        if self.aliased > MOST_ALIASED:
            self.stop(line, f"aliases repeat more than {MOST_ALIASED} values; write the values out")
        return node

    def check_tag(self, event: Any, line: int) -> None:
        if event.tag not in (None, "!") and event.tag not in _TAGS:
            shown = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.stop(line, f"got the tag {shown[:60]!r}, which is not safe to read; expected plain values")

    def scalar_node(self, event: Any, line: int) -> Node:
        self.check_tag(event, line)
        if event.implicit[0] and event.tag is None:
            kind, value = scalar(event.value)
        elif event.tag in (None, "!", "tag:yaml.org,2002:str"):
            kind, value = "str", event.value
        else:
            kind, value = scalar(event.value)
            wanted = event.tag.rsplit(":", 1)[1]
            if (wanted, kind) == ("float", "int"):
                kind, value = "float", float(value)
            if kind != wanted:
                self.stop(line, f"{event.value[:60]!r} is not of its tag's type !!{wanted}")
        return Node(kind, value, self.source, line if self.lines else None)


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


_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar(
    "tag:yaml.org,2002:float", repr(value)))


def dump(value: Any) -> str:
    """YAML text that parse reads back to the same values: floats by repr, order kept, short lists in one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True)
