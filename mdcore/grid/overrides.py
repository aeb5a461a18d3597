"""--set key=value: what the command line changes in a grid.

A value fixes the key. A list of values for a key that varies replaces its list; another key then varies.
Where a value is itself a list (digits, metrics, a potential per layer) a list of lists is a list of values.
"""

from __future__ import annotations

from collections.abc import Iterable

from mdcore.grid.errors import Problems
from mdcore.grid.layout import Axis, Layout, Row, names_plugin_dataset, typed
from mdcore.grid.schema import KEYS, leaves_of, read_key, unknown_key
from mdcore.grid.yaml_source import parse
from mdcore.grid.yaml_tree import Node


def apply_overrides(layout: Layout, overrides: Iterable[str], problems: Problems) -> None:
    """Change `layout` in place. Each problem names its override: "--set depth=zwei: depth: got 'zwei' …"."""
    seen: dict[str, str] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        key, place = key.strip(), f"--set {text[:120]}"
        if not equals or not key:
            problems.add(place, "", "expected key=value: --set depth=2")
            continue
        node = parse(value, place, problems, lines=False)
        if node is None:
            continue
        if key == "question":
            if node.kind == "str" and node.value.strip():
                layout.question = node.value.strip()
            else:
                problems.add(place, key, f"got {node.shown()}; expected a non-empty string")
            continue
        layout.plugin_data |= names_plugin_dataset(Node("map", {key: node}, place))
        known = key in KEYS or (layout.plugin_data and key.startswith("dataset."))
        if not known:
            problems.add(place, key[:80], unknown_key(key))
            continue
        names = set(leaves_of(key, layout.leaves()))
        for leaf in sorted(names & seen.keys()):
            problems.add(place, key, f"{leaf} is set already by --set {seen[leaf]}; expected it once")
        seen.update(dict.fromkeys(names, text[:120]))
        _apply(layout, key, names, node, place, problems)


def _apply(layout: Layout, key: str, names: set[str], node: Node, place: str, problems: Problems) -> None:
    axis = next((axis for axis in layout.axes if key in axis.keys), None)
    if not _is_several(key, node, axis is not None):
        settings = read_key(key, node, key, problems, place, layout.plugin_data)
        _remove(layout, names | settings.keys(), place, problems)
        layout.fixed.update(settings)
        return
    if not node.value:
        problems.add(place, key, "got an empty list; expected at least one value")
        return
    if key == "dataset.path" and not layout.plugin_data:
        problems.add(place, key, "cannot vary: where the files lie is no part of a cell; expected one directory")
        return
    values = [read_key(key, item, key, problems, place, layout.plugin_data) for item in node.value]
    if axis is not None and len(axis.keys) > 1:
        if len(values) != len(axis.rows):
            problems.add(
                place,
                key,
                f"got {len(values)} values; expected {len(axis.rows)}: {key} moves together with "
                + ", ".join(other for other in axis.keys if other != key),
            )
            return
        for row, settings in zip(axis.rows, values, strict=True):
            row[key] = settings
        return
    rows: list[Row] = [{key: settings} for settings in values]
    if len({typed(row) for row in rows}) < len(rows):
        problems.add(place, key, "got a value twice; expected every value once")
    if axis is not None:
        replaced = Axis(axis.section, rows)
        layout.axes[layout.axes.index(axis)] = replaced
        _remove(layout, names, place, problems, keep=replaced)
        return
    _remove(layout, names, place, problems)
    last = sum(other.section == "vary" for other in layout.axes)  # zip comes after vary, as in the file
    layout.axes.insert(last, Axis("vary", rows))


def _is_several(key: str, node: Node, varied: bool) -> bool:
    """Whether a list is a list of values rather than one value that is a list."""
    if node.kind != "list":
        return False
    if key in ("digits", "metrics"):
        return bool(node.value) and all(item.kind == "list" for item in node.value)
    own = key.startswith("dataset.") and key not in KEYS
    return varied if key == "potential" or own else True


def _remove(layout: Layout, leaves: Iterable[str], place: str, problems: Problems, keep: Axis | None = None) -> None:
    """Take leaves out of wherever they are set; axes left without keys go, values made equal become one."""
    leaves = set(leaves)
    for leaf in leaves:
        layout.fixed.pop(leaf, None)
    axes = []
    for axis in layout.axes:
        if axis is keep or not any(leaves & settings.keys() for row in axis.rows for settings in row.values()):
            axes.append(axis)
            continue
        rows: dict[str, Row] = {}
        for row in axis.rows:
            left = {
                key: {leaf: setting for leaf, setting in settings.items() if leaf not in leaves}
                for key, settings in row.items()
            }
            left = {key: settings for key, settings in left.items() if settings}
            rows.setdefault(typed(left), left)
        kept = list(rows.values())
        if len({tuple(row) for row in kept}) > 1:  # some values of a mapping would be left with nothing
            group = next(iter(axis.rows[0]))
            problems.add(place, "", f"{group} varies as a whole; expected all of it: --set '{group}={{…}}'")
        elif kept[0]:
            axes.append(Axis(axis.section, kept))
    layout.axes = axes
