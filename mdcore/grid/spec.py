"""Grid files: read, validated, expanded to cells. Everything wrong is refused at once, before anything runs.

    grid = load_grid("grids/mnist_pairs.yaml", ["epochs=100"])
    cells = select(grid.cells, ["depth=2,potential=lp"])

The keys are in schema.py, the sections in layout.py, --set in overrides.py, --only in selection.py,
identities in identity.py.
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
from mdcore.grid.identity import (
    COLUMNS,
    CONDITION_COLUMNS,
    PARAM,
    Cell,
    flatten,
    grid_hash,
    identity,
    make_cell,
    names_in_both,
)
from mdcore.grid.layout import Layout, read_layout
from mdcore.grid.overrides import apply_overrides
from mdcore.grid.resolved import resolved
from mdcore.grid.schema import read_key
from mdcore.grid.selection import select
from mdcore.grid.yaml_source import read_file
from mdcore.grid.yaml_tree import dump, from_python

__all__ = [
    "COLUMNS",
    "CONDITION_COLUMNS",
    "Cell",
    "Grid",
    "GridError",
    "cell_from_config",
    "grid_hash",
    "identity",
    "load_grid",
    "select",
]


@dataclass
class Grid:
    """A validated grid. `varied`: the flat columns it varies, seed aside; `raw`: the resolved sections."""

    question: str
    path: Path
    cells: list[Cell]
    raw: dict[str, Any]
    varied: list[str]
    plugins: list[str] = field(default_factory=list)  # "my_file:Name", sorted
    plugin_dir: str | None = None  # where their files lie

    @cached_property
    def grid_hash(self) -> str:
        """Equal iff two grids have the same cells, whatever their order, file or question."""
        return grid_hash(self.cells)

    def resolved_yaml(self) -> str:
        """Text of a grid file with the same cells: overrides applied, shared defaults written out."""
        name = "".join(letter if letter.isprintable() else "?" for letter in self.path.name)
        return f"# {name} as resolved: overrides applied, defaults written out; {len(self.cells)} cells.\n" + dump(
            self.raw
        )


def load_grid(path: str | Path, overrides: Iterable[str] = ()) -> Grid:
    """Read, validate and expand a grid file. Raises GridError with everything that is wrong, all at once."""
    problems = Problems()
    root = read_file(path, problems)
    if root is not None and (root.kind != "map" or not root.value):
        what = "an empty file" if root.kind == "null" else f"{root.got()}"
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
    named, folder = plugins.check(layout.settings(), layout.plugin_dir, Path(path).parent, problems)
    problems.raise_if_any()
    raw = resolved(layout, cells, folder if named else None)
    return Grid(layout.question, Path(path), cells, raw, _varied(layout, cells), named, folder if named else None)


def cell_from_config(config: dict[str, Any]) -> Cell:
    """The cell of a configuration, validated like a grid; missing keys take defaults. Imports no plug-in.

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
            problems.add(
                "configuration",
                key[:80],
                f"unknown key; expected {one_of(CONFIG_KEYS)}" + nearest(key, CONFIG_KEYS),
            )
        elif not (key == "digits" and item.kind == "null"):
            settings.update(read_key(key, item, key, problems, "configuration", own))
    canonical = Canonical(set(settings), problems, "configuration")
    outcome = canonical.config(settings)
    problems.raise_if_any()
    return make_cell(outcome[1])


def _refuse_idle_excludes(layout: Layout, problems: Problems) -> None:
    for condition in layout.exclude:
        if not condition.used:
            problems.add(
                condition.node.place,
                "exclude",
                f"{condition.node.shown()} matches no combination; expected one that exists: correct or remove it",
            )


def _varied(layout: Layout, cells: list[Cell]) -> list[str]:
    """The columns of the keys the grid varies, where its cells really differ; condition columns first."""
    leaves = {
        leaf
        for axis in layout.axes
        if len(axis.rows) > 1
        for row in axis.rows
        for part in row.values()
        for leaf in part
    }
    columns = {"dataset" if leaf == "dataset.name" else leaf.replace(".", "_") for leaf in leaves} - {"seed"}
    if "potential" in columns:
        columns |= {"p", "alpha", "beta", "potential_label"}
    in_both = names_in_both(cell.config for cell in cells)
    flats = [flatten(cell.config, in_both) for cell in cells]
    own = sorted({column for flat in flats for column in flat if column.startswith(PARAM)})
    numbers = ("potential", "p", "alpha", "beta", *own)
    labels: dict[tuple, set] = {}
    for flat in flats if "potential" in columns else ():
        labels.setdefault(tuple(repr(flat.get(column)) for column in numbers), set()).add(flat["potential_label"])
    needs_label = any(len(seen) > 1 for seen in labels.values())
    return [
        column
        for column in dict.fromkeys((*CONDITION_COLUMNS, *COLUMNS, *own))
        if (column in columns or column in own)
        and len({repr(flat.get(column)) for flat in flats}) > 1
        and (column != "potential_label" or needs_label)
    ]
