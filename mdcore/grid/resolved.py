"""The sections of a grid file as resolved: overrides applied, defaults that all cells share written out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mdcore.grid.identity import Cell
from mdcore.grid.layout import Layout, written
from mdcore.grid.schema import LEAVES, leaves_of

_ABSENT = object()


def resolved(layout: Layout, cells: list[Cell], plugin_dir: str | None) -> dict[str, Any]:
    """The sections of a grid file that expands to the same cells."""
    raw: dict[str, Any] = {"question": layout.question}
    if plugin_dir is not None:
        raw["plugin_dir"] = plugin_dir
    fixed = {leaf: setting.value for leaf, setting in layout.fixed.items()}
    fixed.update(_shared_defaults(layout, cells))
    raw["fixed"] = _fixed_mapping((leaf, fixed[leaf]) for leaf in (*LEAVES, *(fixed.keys() - LEAVES)) if leaf in fixed)
    vary = [axis for axis in layout.axes if axis.section == "vary"]
    together = [axis for axis in layout.axes if axis.section == "zip"]
    if vary:
        raw["vary"] = {axis.keys[0]: [written(axis.keys[0], row[axis.keys[0]]) for row in axis.rows] for axis in vary}
    if together:
        raw["zip"] = [{key: [written(key, row[key]) for row in axis.rows] for key in axis.keys} for axis in together]
    present = layout.leaves()
    only_if = {
        key: condition.plain for key, condition in layout.only_if.items() if present & set(leaves_of(key, present))
    }
    if only_if:
        raw["only_if"] = only_if
    exclude = [condition.plain for condition in layout.exclude if condition.used]
    if exclude:
        raw["exclude"] = exclude
    return {section: value for section, value in raw.items() if value not in ({}, [])}


def _shared_defaults(layout: Layout, cells: list[Cell]) -> dict[str, Any]:
    """Defaults that no section sets and all cells share: another release's defaults then change nothing."""
    present, out = layout.leaves(), {}
    for leaf in LEAVES:
        group, _, part = leaf.partition(".")
        if leaf in present or leaf == "metrics":
            continue
        values = {
            _at(cell.config, group, part) for cell in cells if not (leaf == "width" and cell.config["depth"] == 1)
        }
        if len(values) == 1 and (value := values.pop()) is not _ABSENT:
            out[leaf] = value
    return out


def _at(config: dict, group: str, part: str) -> Any:
    value = config[group]
    if not part:
        return _ABSENT if group in ("digits", "pca") and value is None else value
    return (None if group == "stop" else _ABSENT) if value is None else value.get(part, _ABSENT)


def _fixed_mapping(settings: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """{leaf: value} pairs nested as a grid file has them."""
    out: dict[str, Any] = {}
    for leaf, value in settings:
        group, _, part = leaf.partition(".")
        if not part:
            out[group] = value
        elif leaf == "stop.gap" and value is None:
            out["stop"] = None
        else:
            out.setdefault(group, {})[part] = value
    return out
