"""YAML text to its tree. PyYAML (safe, in C where built) gives the events; the tree is built here without
recursion, so that depth, aliases and size are bounded while reading, and duplicate keys are seen.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import yaml

from mdcore.grid.errors import GridError, Problems
from mdcore.grid.yaml_tree import DEEPEST, Node, flow, scalar

LARGEST_FILE = 8_000_000  # bytes
MOST_VALUES = 300_000  # values in one file, aliases counted as often as they are used
MOST_ALIASED = 20_000  # values that aliases may repeat, in all: more is an alias bomb, not a grid
TAGS = {"tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "seq", "map")}


def read_file(path: str | Path, problems: Problems) -> Node | None:
    """The tree of a YAML file; None, with the reasons in `problems`, when there is none to be had."""
    text = text_of(path, problems)
    return None if text is None else parse(text, str(path), problems)


def text_of(path: str | Path, problems: Problems) -> str | None:
    """The text of a YAML file of bounded size, read as UTF-8; None, with the reason in `problems`."""
    path, source = Path(path), str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            problems.add(source, "", "is no regular file; expected a grid file")
            return None
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
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(f"{source}:{line}", "", f"byte 0x{data[error.start]:02x} is not UTF-8 text; expected a YAML file")
        return None


def parse(text: str, source: str, problems: Problems, lines: bool = True) -> Node | None:
    """The tree of YAML text. `source` names the place; `lines=False` leaves line numbers out (--set)."""
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
                path = [str(pending[0][0].value)[:80] for _, _, pending in stack[:-1] if pending]
                self.attach(stack[-1][0], stack[-1][2], node, line, path)
                if len(stack) + node.depth > DEEPEST:
                    self.stop(line, f"nested more than {DEEPEST} levels deep; a grid needs about six")
            else:
                root = node
        return root if root is not None else Node("null", None, self.source, 1 if self.lines else None)

    def attach(self, parent: Node, pending: list, node: Node, line: int, path: list[str]) -> None:
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
            name = key.value if key.kind == "str" else flow(key, 0)
            if name in parent.value:
                where = f"{self.source}:{key_line}" if self.lines else self.source
                first = f" (first in line {parent.key_lines[name]})" if self.lines else ""
                shown = ".".join([*path, name[:80]])
                self.problems.add(where, shown, f"key given twice{first}; expected once: remove one of the two")
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
        if event.tag not in (None, "!") and event.tag not in TAGS:
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
