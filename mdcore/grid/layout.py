"""The sections of a grid file (fixed, vary, zip, only_if, exclude) as typed settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mdcore.grid.conditions import Condition, read_condition
from mdcore.grid.errors import Problems, nearest, one_of
from mdcore.grid.readers import INVALID
from mdcore.grid.schema import GROUPS, KEYS, Setting, leaves_of, read_key
from mdcore.grid.yaml_tree import Node

SECTIONS = ("question", "fixed", "vary", "zip", "only_if", "exclude", "plugin_dir")
Row = dict[str, dict[str, Setting]]  # key as written -> the leaves it sets


@dataclass
class Axis:
    """Values taken one after the other. `section` vary: one key; zip: keys that move together."""

    section: str
    rows: list[Row]

    @property
    def keys(self) -> list[str]:
        return list(self.rows[0]) if self.rows else []


@dataclass
class Layout:
    """A grid before its expansion."""

    question: str = ""
    fixed: dict[str, Setting] = field(default_factory=dict)
    axes: list[Axis] = field(default_factory=list)
    only_if: dict[str, Condition] = field(default_factory=dict)
    exclude: list[Condition] = field(default_factory=list)
    plugin_dir: str | None = None
    plugin_data: bool = False  # the grid names a dataset of the user's own
    place: str = ""

    def settings(self) -> Iterator[Setting]:
        """Every setting of the grid."""
        yield from self.fixed.values()
        for axis in self.axes:
            for row in axis.rows:
                for leaves in row.values():
                    yield from leaves.values()

    def leaves(self) -> set[str]:
        """Every leaf that the grid sets somewhere."""
        return {setting.leaf for setting in self.settings()}


def read_layout(root: Node, problems: Problems) -> Layout:
    """The layout of a grid file's tree; wrong values are told to `problems`, their settings are INVALID."""
    layout = Layout(place=root.place, plugin_data=names_plugin_dataset(root))
    sections = root.value
    for name in sections:
        if name not in SECTIONS:
            hint = ": put it under fixed or vary" if name.split(".")[0] in {key.split(".")[0] for key in KEYS} else ""
            hint = hint or (
                ": merge keys are not YAML 1.2; write the values out" if name == "<<" else nearest(name, SECTIONS)
            )
            problems.add(root.key_place(name), name[:80], f"unknown key; expected {one_of(SECTIONS)}{hint}")
    _read_question(root, layout, problems)
    if "plugin_dir" in sections:
        node = sections["plugin_dir"]
        if node.kind != "str" or not node.value.strip() or not node.value.isprintable():
            problems.add(node.place, "plugin_dir", f"got {node.shown()}; expected the directory of the plug-in files")
        else:
            layout.plugin_dir = node.value
    taken: dict[str, Setting] = {}
    for key, node in _mapping(root, "fixed", problems):
        leaves = read_key(key, node, f"fixed.{key}", problems, sections["fixed"].key_place(key), layout.plugin_data)
        _claim([leaves], taken, problems)
        layout.fixed.update(leaves)
    for key, node in _mapping(root, "vary", problems):
        axis = _read_axis("vary", [(key, node)], sections["vary"], layout, taken, problems)
        layout.axes.extend([axis] if axis else [])
    for entry in _mappings(root, "zip", problems):
        axis = _read_axis("zip", list(entry.value.items()), entry, layout, taken, problems)
        layout.axes.extend([axis] if axis else [])
    _read_conditions(root, layout, taken, problems)
    return layout


def _read_question(root: Node, layout: Layout, problems: Problems) -> None:
    node = root.value.get("question")
    if node is None:
        problems.add(root.place, "question", "missing; expected the question this grid answers, a non-empty string")
    elif node.kind != "str" or not node.value.strip():
        problems.add(node.place, "question", f"got {node.got()}; expected a non-empty string")
    else:
        layout.question = node.value.strip()


def names_plugin_dataset(root: Node) -> bool:
    """True when some value of dataset or dataset.name, anywhere in the tree, names a user's own file."""
    stack, found = [root], False
    while stack:
        node = stack.pop()
        if node.kind == "list":
            stack.extend(item for item in node.value if item.kind in ("map", "list"))
        elif node.kind == "map":
            for key, item in node.value.items():
                if key in ("dataset", "dataset.name", "name"):
                    names = item.value if item.kind == "list" else [item]
                    found |= any(name.kind == "str" and ":" in name.value for name in names)
                stack.append(item)
    return found


def _mapping(root: Node, section: str, problems: Problems) -> list[tuple[str, Node]]:
    node = root.value.get(section)
    if node is None:
        return []
    if node.kind != "map" or not node.value:
        problems.add(
            node.place,
            section,
            f"got {node.got()}; expected a mapping of keys to values; remove it if there is none",
        )
        return []
    return list(node.value.items())


def _mappings(root: Node, section: str, problems: Problems) -> list[Node]:
    node = root.value.get(section)
    if node is None:
        return []
    if node.kind != "list" or not node.value:
        problems.add(
            node.place,
            section,
            f"got {node.got()}; expected a list of mappings, each opened by '- '; remove it if there is none",
        )
        return []
    good = []
    for entry in node.value:
        if entry.kind == "map" and entry.value:
            good.append(entry)
        else:
            problems.add(entry.place, section, f"got {entry.got()}; expected a mapping of keys")
    return good


def _claim(columns: list[dict[str, Setting]], taken: dict[str, Setting], problems: Problems) -> None:
    """Drop, and tell, the leaves that another key has set: a leaf has one place, fixed or vary or zip."""
    mine: dict[str, Setting] = {}
    for settings in columns:
        for leaf in list(settings):
            if leaf in taken:
                first = taken[leaf]
                settings.pop(leaf).complain(
                    problems,
                    f"{leaf} is set already as {first.key} ({first.node.place}); expected it in one place",
                )
            else:
                mine.setdefault(leaf, settings[leaf])
    taken.update(mine)


def _poison(layout: Layout, taken: dict[str, Setting], key: str, node: Node, shown: str) -> None:
    """Note that a key is set, though to nothing usable, so that it is not told as missing too."""
    if key in KEYS:
        leaf = leaves_of(key)[0]
        setting = Setting(leaf, INVALID, node, shown)
        layout.fixed.setdefault(leaf, setting)
        taken.setdefault(leaf, setting)


def _read_axis(
    section: str,
    items: list[tuple[str, Node]],
    parent: Node,
    layout: Layout,
    taken: dict[str, Setting],
    problems: Problems,
) -> Axis | None:
    columns: dict[str, list[dict[str, Setting]]] = {}
    for key, node in items:
        shown = f"{section}.{key[:80]}"
        if node.kind != "list":
            problems.add(
                node.place,
                shown,
                f"got {node.got()}; expected a list of values; write a single value under fixed",
            )
        elif not node.value:
            problems.add(node.place, shown, "got an empty list; expected at least one value")
        else:
            if key == "dataset.path" and not layout.plugin_data:
                problems.add(
                    node.place,
                    shown,
                    "cannot vary: where the files lie is no part of a cell; write it under fixed",
                )
            columns[key] = read_values(key, node.value, shown, layout, problems, parent.key_place(key))
            _claim(columns[key], taken, problems)
            continue
        _poison(layout, taken, key, node, shown)
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        problems.add(
            parent.place,
            section,
            f"lists that move together differ in length: {shown}; expected equal lengths",
        )
        for key, node in items:
            _poison(layout, taken, key, node, f"{section}.{key[:80]}")
        return None
    if not columns:
        return None
    rows: list[Row] = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    _refuse_duplicates(section, rows, problems)
    return Axis(section, rows)


def read_values(
    key: str, nodes: list[Node], shown: str, layout: Layout, problems: Problems, place: str
) -> list[dict[str, Setting]]:
    """The leaves that each of several values of a key sets."""
    return [read_key(key, node, shown, problems, place, layout.plugin_data) for node in nodes]


def typed(row: Row) -> str:
    """A row's values, equal for equal values: 1 and 1.0 have been read as the same already."""
    return repr(sorted((leaf, repr(setting.value)) for leaves in row.values() for leaf, setting in leaves.items()))


def _refuse_duplicates(section: str, rows: list[Row], problems: Problems) -> None:
    seen: dict[str, Row] = {}
    for row in rows:
        settings = [setting for leaves in row.values() for setting in leaves.values()]
        if not settings or any(setting.value is INVALID for setting in settings):
            continue
        values = typed(row)
        if values in seen:
            key = f"{section}.{next(iter(row))}"
            shown = ", ".join(_shown(row, name) for name in row if row[name])
            problems.add(settings[0].node.place, key, f"got {shown} twice; expected every value once")
        seen[values] = row


def _shown(row: Row, key: str) -> str:
    text = str(written(key, row[key]))
    return text if len(text) < 80 else text[:77] + "…"


def _read_conditions(root: Node, layout: Layout, taken: dict[str, Setting], problems: Problems) -> None:
    for key, node in _mapping(root, "only_if", problems):
        place = root.value["only_if"].key_place(key)
        if not any(leaf in taken for leaf in (key, *leaves_of(key, taken))):
            settable = sorted({setting.key.split(".", 1)[1] for setting in taken.values()})
            problems.add(
                place,
                f"only_if.{key[:80]}",
                "the grid does not set this key; expected a key of fixed, vary or zip" + nearest(key, settable),
            )
        condition = read_condition(node, f"only_if.{key[:80]}", layout.plugin_data, problems)
        if condition:
            layout.only_if[key] = condition
    for node in _mappings(root, "exclude", problems):
        condition = read_condition(node, "exclude", layout.plugin_data, problems)
        if condition:
            layout.exclude.append(condition)


def written(key: str, leaves: dict[str, Setting]) -> Any:
    """The value of a key as a grid file writes it."""
    if key not in GROUPS:
        return leaves[key].value
    if key == "stop" and leaves["stop.gap"].value is None:
        return None
    return {leaf.split(".", 1)[1]: setting.value for leaf, setting in leaves.items()}
