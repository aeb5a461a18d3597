"""Grid files: read, validated, expanded to cells. Everything wrong is refused at once, before anything runs.

    grid = load_grid("grids/mnist_pairs.yaml", ["epochs=100"])
    cells = select(grid.cells, ["depth=2,potential=lp"])

The grammar is in DESIGN's table; the keys are in schema.py, the sections in layout.py, --set in overrides.py, --only in
selection.py, identities in identity.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mdcore.grid import plugins
from mdcore.grid.canonical import KEYS as CONFIG_KEYS
from mdcore.grid.canonical import Canonical
from mdcore.grid.errors import GridError, Problems, nearest, one_of
from mdcore.grid.expand import expand
from mdcore.grid.identity import COLUMNS, CONDITION_COLUMNS, Cell, grid_hash, identity, make_cell
from mdcore.grid.layout import Layout, fixed_mapping, read_layout, written
from mdcore.grid.overrides import apply_overrides
from mdcore.grid.schema import LEAVES, leaves_of, read_key
from mdcore.grid.selection import select
from mdcore.grid.yaml_source import dump, from_python, read_file

__all__ = ["COLUMNS", "CONDITION_COLUMNS", "Cell", "Grid", "GridError", "cell_from_config", "grid_hash", "identity",
           "load_grid", "select"]


@dataclass
class Grid:
    """A validated grid. `varied`: the flat columns it varies, besides the seed; `raw`: the sections as resolved."""

    question: str
    path: Path
    cells: list[Cell]
    raw: dict[str, Any]
    varied: list[str]
    plugins: list[str] = field(default_factory=list)  # "my_file:Name", sorted
    plugin_dir: str | None = None                     # where their files lie

    @cached_property
    def grid_hash(self) -> str:
        """Equal iff two grids have the same cells, whatever their order, file or question."""
        return grid_hash(self.cells)

    def resolved_yaml(self) -> str:
        """Text of a grid file with the same cells: overrides applied, defaults that all cells share written out."""
        return (f"# {self.path.name} as resolved: overrides applied, defaults written out; {len(self.cells)} cells.\n"
                + dump(self.raw))


def load_grid(path: str | Path, overrides: Iterable[str] = ()) -> Grid:
    """Read, validate and expand a grid file. Raises GridError with everything that is wrong, all at once."""
    problems = Problems()
    root = read_file(path, problems)
    if root is not None and (root.kind != "map" or not root.value):
        what = "an empty file" if root.kind == "null" else f"{root.shown()}, {root.kind_name()}"
        problems.add(root.place, "", f"got {what}; expected a mapping with question, fixed, vary")
        root = None
    if root is None:
        problems.raise_if_any()
        raise GridError(f"{path}: holds nothing; expected a mapping with question, fixed, vary")
    layout = read_layout(root, problems)
    apply_overrides(layout, overrides, problems)
    cells = expand(layout, problems)
    if not problems and not overrides:
        _refuse_idle_excludes(layout, problems)
    named, folder = plugins.check(cells, layout.plugin_dir, Path(path).parent, layout.place, problems)
    problems.raise_if_any()
    raw = _resolved(layout, cells, folder if named else None)
    return Grid(layout.question, Path(path), cells, raw, _varied(layout, cells), named, folder if named else None)


def cell_from_config(config: dict[str, Any]) -> Cell:
    """The cell of a configuration, validated like a grid; missing keys take their defaults. Imports no plug-in.

    Raises GridError, all problems at once: a manifest may have been written by hand.
    """
    problems = Problems()
    node = from_python(config, "configuration")
    if node.kind != "map":
        raise GridError(f"configuration: got {node.shown()}; expected a mapping")
    settings = {}
    name = node.value["dataset"].value.get("name") if getattr(node.value.get("dataset"), "kind", "") == "map" else None
    own = name is not None and name.kind == "str" and ":" in name.value
    for key, item in node.value.items():
        if key not in CONFIG_KEYS:
            problems.add("configuration", key[:80], f"unknown key; expected {one_of(CONFIG_KEYS)}" + nearest(key, CONFIG_KEYS))
        elif not (key == "digits" and item.kind == "null"):
            settings.update(read_key(key, item, key, problems, "configuration", own))
    canonical = Canonical(set(settings), problems, "configuration")
    outcome = canonical.config(settings)
    problems.raise_if_any()
    return make_cell(outcome[1])


def _refuse_idle_excludes(layout: Layout, problems: Problems) -> None:
    for condition in layout.exclude:
        if not condition.used:
            problems.add(condition.node.place, "exclude", f"{condition.node.shown()} matches no combination; expected one that "
                                                          "exists: correct or remove it")


def _varied(layout: Layout, cells: list[Cell]) -> list[str]:
    """The columns of the keys the grid varies, where its cells really differ; condition columns first."""
    leaves = {leaf for axis in layout.axes if len(axis.rows) > 1 for row in axis.rows for part in row.values() for leaf in part}
    columns = {"dataset" if leaf == "dataset.name" else leaf.replace(".", "_") for leaf in leaves} - {"seed"}
    if "potential" in columns:
        columns |= {"p", "alpha", "beta", "potential_label"}
    order = [column for column in (*CONDITION_COLUMNS, *COLUMNS) if column in columns]
    values: dict[str, set] = {column: set() for column in order}
    labels: dict[tuple, str] = {}
    needs_label = False
    for cell in cells if order else ():
        flat = cell.flat()
        for column, seen in values.items():
            seen.add(flat[column])
        numbers = (flat["potential"], flat["p"], flat["alpha"], flat["beta"])
        needs_label |= labels.setdefault(numbers, flat["potential_label"]) != flat["potential_label"]
    return [column for column in dict.fromkeys(order)
            if len(values[column]) > 1 and (column != "potential_label" or needs_label)]


def _resolved(layout: Layout, cells: list[Cell], plugin_dir: str | None) -> dict[str, Any]:
    """The sections of a grid file that expands to the same cells."""
    raw: dict[str, Any] = {"question": layout.question}
    if plugin_dir is not None:
        raw["plugin_dir"] = plugin_dir
    fixed = {leaf: setting.value for leaf, setting in layout.fixed.items()}
    fixed.update(_shared_defaults(layout, cells))
    raw["fixed"] = fixed_mapping((leaf, fixed[leaf]) for leaf in (*LEAVES, *(fixed.keys() - LEAVES)) if leaf in fixed)
    vary = [axis for axis in layout.axes if axis.section == "vary"]
    together = [axis for axis in layout.axes if axis.section == "zip"]
    if vary:
        raw["vary"] = {axis.keys[0]: [written(axis.keys[0], row[axis.keys[0]]) for row in axis.rows] for axis in vary}
    if together:
        raw["zip"] = [{key: [written(key, row[key]) for row in axis.rows] for key in axis.keys} for axis in together]
    present = layout.leaves()
    only_if = {key: condition.plain for key, condition in layout.only_if.items() if present & set(leaves_of(key, present))}
    if only_if:
        raw["only_if"] = only_if
    exclude = [condition.plain for condition in layout.exclude if condition.used]
    if exclude:
        raw["exclude"] = exclude
    return {section: value for section, value in raw.items() if value not in ({}, [])}


def _shared_defaults(layout: Layout, cells: list[Cell]) -> dict[str, Any]:
    """Defaults that no section sets and every cell has with one value: another release's defaults change nothing then."""
    present, out = layout.leaves(), {}
    for leaf in LEAVES:
        group, _, part = leaf.partition(".")
        if leaf in present or leaf == "metrics":
            continue
        values = {_at(cell.config, group, part) for cell in cells if not (leaf == "width" and cell.config["depth"] == 1)}
        if len(values) == 1 and (value := values.pop()) is not _ABSENT:
            out[leaf] = value
    return out


_ABSENT = object()


def _at(config: dict, group: str, part: str) -> Any:
    value = config[group]
    if not part:
        return _ABSENT if group in ("digits", "pca") and value is None else value
    return (None if group == "stop" else _ABSENT) if value is None else value.get(part, _ABSENT)
