"""YAML text to plain values, every one of which can still be found in its line; and back to text.

PyYAML parses (in C where it is built so) and composes its nodes, which carry the lines. Here they are bounded in depth,
size and aliases while they are composed, duplicate keys are seen, and scalars follow the core schema of YAML 1.2
(https://yaml.org/spec/1.2.2/#103-core-schema): 1e-3 is a number, 010 is ten, yes/no/on/off and 1_000 are strings.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from mdcore.math.parameters import nearest

DEEPEST = 40  # levels of nesting; a grid needs six
LARGEST_FILE = 8_000_000  # bytes
MOST_VALUES = 300_000  # values in one file, aliases counted as often as they are used
MOST_ALIASED = 20_000  # values that aliases may repeat, in all: more is an alias bomb, not a grid
TAGS = {"tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_BASES = (Composer, yaml.CSafeLoader) if yaml.__with_libyaml__ else (yaml.SafeLoader,)

Tell = Callable[[str, str, str], None]  # takes a problem: its place, its key, the message
Node = Any  # of PyYAML, with its value as `data`, of `size` values and `depth` levels


class GridError(Exception):
    """A grid, override, filter or plug-in is refused. `problems`: one line each; str() is all of them."""

    def __init__(self, problems: str | Iterable[str]):
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


@dataclass(frozen=True, eq=False)
class Document:
    """`data` are plain Python values, `root` the nodes that know their lines (None: lines mean nothing here)."""

    name: str
    data: Any
    root: Node = None

    def place(self, path: Iterable[str | int] = (), of_key: bool = False) -> str:
        """ "file:line" of the value at a path of keys and positions, as far as it leads; or of its last key."""
        node, line = self.root, None
        if node is None:
            return self.name
        for step in path:
            line = None
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                continue
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            matching = [pair for pair in pairs if _key(pair[0]) == step]
            if not matching:
                break
            line, node = matching[0][0].start_mark.line, matching[0][1]
        return f"{self.name}:{(line if of_key and line is not None else node.start_mark.line) + 1}"


def read_document(path: str | Path, tell: Tell) -> Document | None:
    """The document of a YAML file; None, with the reason told as (place, key, message), when there is none."""
    try:
        text = _read(Path(path))
    except _Stop as stop:
        tell(str(path) if stop.line < 0 else f"{path}:{stop.line + 1}", "", str(stop))
        return None
    return parse(text, str(path), tell)


def _read(path: Path) -> str:
    """The text of a file of bounded size, read as UTF-8."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise _Stop(-1, "is no regular file; expected a grid file")
        with open(path, "rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        folder = path.parent
        others = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
        there = f"; there are {', '.join(map(str, others[:12]))}" if others else f"; {folder} holds no *.yaml file"
        there += nearest(path.stem, [other.stem for other in others])
        raise _Stop(-1, "no such file; expected a grid file" + there) from None
    except IsADirectoryError:
        raise _Stop(-1, "is a directory; expected a grid file: name the .yaml file in it") from None
    except (OSError, ValueError) as error:
        raise _Stop(-1, f"cannot be read ({error}); expected a readable grid file") from None
    if len(data) > LARGEST_FILE:
        raise _Stop(-1, f"is larger than {LARGEST_FILE} bytes; expected a grid file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"byte 0x{data[error.start]:02x} is not UTF-8 text; expected a YAML file"
        raise _Stop(data.count(b"\n", 0, error.start), message) from None


def parse(text: str, source: str, tell: Tell, lines: bool = True) -> Document | None:
    """The document of YAML text. `source` names the place; `lines=False` leaves line numbers out (--set)."""

    def at(line: int) -> str:
        return f"{source}:{line + 1}" if lines else source

    try:
        text.encode("utf-8")
        loader = _Loader(text, lambda line, key, message: tell(at(line), key, message), lines)
        try:
            root = loader.document()
        finally:
            loader.dispose()
        start = yaml.ScalarNode("", "", yaml.Mark("", 0, 0, 0, None, 0))  # of an empty text
        return Document(source, root.data if root else None, (root or start) if lines else None)
    except _Stop as stop:
        tell(at(stop.line), "", str(stop))
    except UnicodeEncodeError:
        tell(source, "", "holds characters that are not Unicode text; expected UTF-8")
    except yaml.reader.ReaderError as error:
        tell(at(text.count("\n", 0, error.position)), "", f"not YAML: character {error.character!r} is not allowed")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = ": ".join(part for part in (error.context, error.problem) if part)
        message = f"not YAML: {detail}; expected a mapping with question, fixed, vary"
        tell(at(mark.line) if mark else source, "", message)
    except yaml.YAMLError as error:
        tell(source, "", f"not YAML: {error}")
    return None


class _Stop(Exception):
    """What ends the reading: in a line from 0 on; -1: not in any."""

    def __init__(self, line: int, message: str):
        super().__init__(message)
        self.line = line


class _Loader(*_BASES):  # type: ignore[misc]  # in C where PyYAML is built so
    """PyYAML's composer, bounded; every node gets its value as `data`, with `size` values and `depth` levels."""

    def __init__(self, text: str, tell: Callable[[int, str, str], None], lines: bool):
        _BASES[-1].__init__(self, text)
        self.tell, self.lines = tell, lines
        self.anchors: dict[str, Node] = {}
        self.names: list[str] = []  # keys on the way to here
        self.level = self.values = self.aliased = 0

    def document(self) -> Node:
        self.get_event()
        if self.check_event(yaml.StreamEndEvent):
            return None
        node = self.compose_document()
        if not self.check_event(yaml.StreamEndEvent):
            line = self.get_event().start_mark.line
            raise _Stop(line, "a second document begins ('---'); expected one YAML document")
        return node

    def compose_document(self) -> Node:
        self.get_event()
        node = self.compose_node(None, None)
        self.get_event()
        return node

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return ""  # the values are taken from the events

    def compose_node(self, parent: Any, index: Any) -> Node:
        event = self.peek_event()
        line, anchor = event.start_mark.line, event.anchor
        if isinstance(event, yaml.AliasEvent):
            self.get_event()
            node = self.anchors.get(anchor)
            if node is None:
                raise _Stop(line, f"alias *{anchor} has no finished anchor &{anchor} before it; write the value out")
            self.aliased += node.size
            if self.aliased > MOST_ALIASED:
                raise _Stop(line, f"aliases repeat more than {MOST_ALIASED} values; write the values out")
        else:
            if event.tag not in (None, "!") and event.tag not in TAGS:
                tag = event.tag.replace("tag:yaml.org,2002:", "!!")[:60]
                raise _Stop(line, f"got the tag {tag!r}, which is not safe to read; expected plain values")
            if anchor:
                self.anchors[anchor] = None  # open: an alias to it would be circular
            node = self._compose(event, index)
            if anchor:
                self.anchors[anchor] = node
        self.values += node.size if isinstance(event, yaml.AliasEvent) else 1
        if self.values > MOST_VALUES:
            raise _Stop(line, f"holds more than {MOST_VALUES} values")
        if self.level + node.depth > DEEPEST:
            raise _Stop(line, f"nested more than {DEEPEST} levels deep; a grid needs about six")
        return node

    def _compose(self, event: Any, index: Any) -> Node:
        line = event.start_mark.line
        if isinstance(event, yaml.ScalarEvent):
            node = self.compose_scalar_node(None)
            node.data, node.size, node.depth = _value(event), 1, 1
            return node
        if self.level >= DEEPEST:
            raise _Stop(line, f"nested more than {DEEPEST} levels deep; a grid needs about six")
        self.names.append(_key(index)[:80] if index is not None and not isinstance(index, int) else "")
        self.level += 1
        if isinstance(event, yaml.SequenceStartEvent):
            node = self.compose_sequence_node(None)
            node.data = [item.data for item in node.value]
            parts = node.value
        else:
            node = self.compose_mapping_node(None)
            node.data = self._mapping(node)
            parts = [part for pair in node.value for part in pair]
        self.level -= 1
        self.names.pop()
        node.size = 1 + sum(part.size for part in parts)
        node.depth = 1 + max((part.depth for part in parts), default=0)
        return node

    def _mapping(self, node: Node) -> dict[str, Any]:
        out: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line
            if not isinstance(key, yaml.ScalarNode):
                self.tell(line, "", f"got the key {flow(key.data)[:70]}; expected a name as key")
                continue
            name = _key(key)
            if name in out:
                where = f" (first in line {first[name] + 1})" if self.lines else ""
                path = ".".join([*filter(None, self.names), name[:80]])
                self.tell(line, path, f"key given twice{where}; expected once: remove one of the two")
                continue
            out[name], first[name] = value.data, line
        return out


def _key(node: Node) -> str:
    return node.data if isinstance(node.data, str) else flow(node.data)


_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}
_INT = re.compile(r"[-+]?[0-9]+")
_OCT_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def scalar(text: str) -> Any:
    """The value of an unquoted scalar by the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        # int() refuses more than 4,300 digits; nothing in a grid needs 400
        return int(text) if len(text) < 400 else -math.inf if text[0] == "-" else math.inf
    if _OCT_HEX.fullmatch(text) and len(text) < 400:
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def _value(event: Any) -> Any:
    """The value of a scalar with its quotes and its tag."""
    if event.implicit[0] and event.tag is None:
        return scalar(event.value)
    if event.tag in (None, "!", "tag:yaml.org,2002:str"):
        return event.value
    value, wanted = scalar(event.value), event.tag.rsplit(":", 1)[1]
    value = float(value) if wanted == "float" and type(value) is int else value
    if {"NoneType": "null"}.get(type(value).__name__, type(value).__name__) != wanted:
        raise _Stop(event.start_mark.line, f"{event.value[:60]!r} is not of its tag's type !!{wanted}")
    return value


def flow(value: Any, level: int = 0) -> str:
    """A value in one line, shortened, as errors show it."""
    if isinstance(value, (dict, list)) and level > 3:
        return "…"
    if isinstance(value, dict):
        parts = [f"{str(key)[:40]}: {flow(item, level + 1)}" for key, item in list(value.items())[:8]]
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item, level + 1) for item in value[:12]) + "]"
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) > 10**60:
        return "an integer of more than 60 digits"
    return repr(value[:200] if isinstance(value, str) else value)


class _Dumper(yaml.SafeDumper):
    """Writes strings that YAML 1.1 or 1.2 would take for something else in quotes, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0] and not isinstance(parsed := scalar(value), str):
            return "tag:yaml.org,2002:" + ("null" if parsed is None else type(parsed).__name__)
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # PyYAML's own

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", repr(value)))


def dump(value: Any) -> str:
    """YAML text that parse reads back to the same values: floats by repr, order kept."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True)
