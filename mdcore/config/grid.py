"""Grid files: read, validated, expanded to cells. Everything wrong is refused at once, before anything runs.

    grid = load_grid("grids/mnist_pairs.yaml", ["epochs=100"])
    cells = select(grid.cells, ["depth=2,potential=lp"])      # of expansion/selection.py

Keys and their values are in schema.py and values.py; the sections of the file, --set, combinations and --only in
expansion/; identities in cell.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mdcore.config.cell import (
    COLUMNS,
    KEYS,
    PARAM,
    PARAMETERS,
    Cell,
    flatten,
    grid_hash,
    is_user_defined,
    make_cell,
    shared_names,
)
from mdcore.config.errors import GridError, Problems, Spot, got, nearest, one_of, shown
from mdcore.config.expansion.cells import Configurations, expand
from mdcore.config.expansion.overrides import apply_overrides
from mdcore.config.expansion.sections import ParsedGrid, read_sections, user_groups, written
from mdcore.config.plugins import loading as plugins
from mdcore.config.schema import CHOOSE, LEAVES, leaves_of, read_key
from mdcore.config.yaml_lines import DEEPEST, Document, dump, read_document
from mdcore.problems.sources import SOURCES


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
    timeout: float | None = None  # seconds without a step, after which a stack counts as hung
    data_dir: str | None = None  # where relative paths start; None: no file is read
    keep: bool = True  # whether the run keeps what exploring needs: layers, predictors along training, the basis

    @cached_property
    def grid_hash(self) -> str:
        """Equal iff two grids have the same cells, whatever their order, file or question."""
        return grid_hash(self.cells)

    @property
    def plugin_files(self) -> list[Path]:
        """The files of the plug-ins and of what they import beside them; their content decides numbers."""
        return plugins.source_files(self.plugins, self.plugin_dir)

    def resolved_yaml(self, beside: bool = False) -> str:
        """Text of a grid file with the same cells: overrides applied, shared defaults written out.

        `beside`: the files of the plug-ins lie beside it, and it does not say where they lay.
        """
        name = "".join(letter if letter.isprintable() else "?" for letter in self.path.name)
        head = f"# {name} as resolved: overrides applied, defaults written out; {len(self.cells)} cells.\n"
        return head + dump({k: v for k, v in self.raw.items() if not (beside and k == "plugin_dir")})


def load_grid(path: str | Path, overrides: Iterable[str] = ()) -> Grid:
    """The grid of a YAML file, each override "key=value" applied. Raises GridError with every problem found."""
    problems, overrides = Problems(), list(overrides)
    document = read_document(path, problems.add) or Document(str(path), None)
    if not isinstance(document.data, dict) or not document.data:
        if not problems:
            what = "an empty file" if document.data is None else got(document.data)
            problems.add(document.place(), "", f"got {what}; expected a mapping with question, fixed, vary")
        problems.raise_if_any()
    parsed = read_sections(document.data, Spot(document, (), "", problems))
    apply_overrides(parsed, overrides)
    cells = expand(parsed)
    if not problems and not overrides:
        for condition in (condition for condition in parsed.exclude if not condition.used):
            message = "matches no combination; expected one that exists: correct or remove it"
            condition.spot.tell(f"{shown(condition.given)} {message}")
    beside, directories = Path(path).parent, parsed.directories
    named, plugin_dir = plugins.check(parsed.settings(), cells, directories.get("plugin_dir"), beside)
    problems.raise_if_any()
    data_dir = str((beside / directories.get("data_dir", "")).resolve()) if any(map(_reads, cells)) else None
    raw = _resolved(parsed, cells, {"plugin_dir": plugin_dir, "data_dir": data_dir})
    columns, timeout, keep = _varied(parsed, cells), parsed.timeout, parsed.keep
    return Grid(parsed.question, Path(path), cells, raw, columns, named, plugin_dir, timeout, data_dir, keep)


def _reads(cell: Cell) -> bool:
    """Whether the data of the cell may come from files."""
    dataset = cell.config["dataset"]
    return is_user_defined(dataset["name"]) or any(dataset.get(key) for key in SOURCES[dataset["name"]].path_keys)


def cell_from_config(config: dict[str, Any]) -> Cell:
    """The cell of a configuration, validated like a grid; missing keys take defaults. Imports no plug-in.

    Raises GridError, all problems at once: a manifest may have been written by hand.
    """
    problems = Problems()
    _refuse_what_json_has_not(config)
    spot = Spot(Document("configuration", config), (), "", problems)
    if not isinstance(config, dict):
        raise GridError(f"configuration: got {shown(config)}; expected a mapping")
    groups = user_groups({group: config.get(group) for group in CHOOSE})
    settings = {}
    for key, value in config.items():
        if key not in KEYS:
            spot.at(key).tell(f"unknown key; expected {one_of(KEYS)}" + nearest(key, KEYS))
        elif not (key == "digits" and value is None):
            settings.update(read_key(key, value, spot.at(key), groups))
    key_and_config = Configurations(set(settings), spot).of(settings)
    problems.raise_if_any()
    assert key_and_config is not None  # else a problem was told
    return make_cell(key_and_config[1])


def _refuse_what_json_has_not(value: Any, level: int = 0) -> None:
    if level > DEEPEST:
        raise GridError(f"configuration: nested more than {DEEPEST} levels deep")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise GridError("configuration: a mapping has keys that are not strings")
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _refuse_what_json_has_not(item, level + 1)
    elif not isinstance(value, (str, int, float, type(None))):
        raise GridError(f"configuration: got a {type(value).__name__}; expected what JSON can hold")


def _varied(parsed: ParsedGrid, cells: list[Cell]) -> list[str]:
    """The columns of the keys the grid varies, where its cells really differ; condition columns first."""
    rows = [row for axis in parsed.axes if len(axis.rows) > 1 for row in axis.rows]
    leaves = {leaf for row in rows for part in row.values() for leaf in part}
    columns = {"dataset" if leaf == "dataset.name" else leaf.replace(".", "_") for leaf in leaves} - {"seed"}
    shared = shared_names(cell.config for cell in cells)
    flats = [flatten(cell.config, shared) for cell in cells]
    user_columns = sorted({column for flat in flats for column in flat if column.startswith(PARAM)})

    def different(*columns: str) -> int:
        """How many different values the cells have in these columns together."""
        return len({tuple(repr(flat.get(column)) for column in columns) for flat in flats})

    if "potential" in columns:
        parameters = ("potential", *PARAMETERS, *user_columns)
        columns |= set(PARAMETERS)
        if different(*parameters, "potential_label") > different(*parameters):  # nothing else tells two apart
            columns.add("potential_label")
    columns.update(user_columns)
    return [c for c in dict.fromkeys((*COLUMNS, *user_columns)) if c in columns and different(c) > 1]


# ---------------------------------------------------------------- the grid as resolved

_ABSENT = object()


def _resolved(parsed: ParsedGrid, cells: list[Cell], directories: dict[str, str | None]) -> dict[str, Any]:
    """The sections of a grid file that expands to the same cells."""
    fixed = {leaf: setting.value for leaf, setting in parsed.fixed.items()}
    fixed.update(_shared_defaults(parsed, cells))
    vary = [axis for axis in parsed.axes if axis.section == "vary"]
    together = [axis for axis in parsed.axes if axis.section == "zip"]
    present = parsed.leaves()
    raw = {
        "question": parsed.question,
        "timeout": parsed.timeout,
        "keep": None if parsed.keep else False,
        **directories,
        "fixed": _nested({leaf: fixed[leaf] for leaf in (*LEAVES, *sorted(fixed.keys() - LEAVES)) if leaf in fixed}),
        "vary": {key: [written(key, row[key]) for row in axis.rows] for axis in vary for key in axis.keys},
        "zip": [{key: [written(key, row[key]) for row in axis.rows] for key in axis.keys} for axis in together],
        "only_if": {
            key: condition.given for key, condition in parsed.only_if.items() if present & set(leaves_of(key, present))
        },
        "exclude": [condition.given for condition in parsed.exclude if condition.used],
    }
    return {section: value for section, value in raw.items() if value not in (None, {}, [])}


def _shared_defaults(parsed: ParsedGrid, cells: list[Cell]) -> dict[str, Any]:
    """Defaults that no section sets and all cells share: another release's defaults then change nothing."""
    present, out = parsed.leaves(), {}
    for leaf in LEAVES:
        if leaf in present or leaf == "metrics":
            continue
        values = {_at(cell.config, leaf) for cell in cells if not (leaf == "width" and cell.config["depth"] == 1)}
        if len(values) == 1 and (value := values.pop()) is not _ABSENT:
            out[leaf] = value
    return out


def _at(config: dict[str, Any], leaf: str) -> Any:
    group, _, part = leaf.partition(".")
    value = config[group]
    if not part:
        return _ABSENT if group in ("digits", "pca") and value is None else value
    return (None if group == "stop" else _ABSENT) if value is None else value.get(part, _ABSENT)


def _nested(settings: dict[str, Any]) -> dict[str, Any]:
    """{leaf: value} nested as a grid file has it."""
    out: dict[str, Any] = {}
    for leaf, value in settings.items():
        group, _, part = leaf.partition(".")
        if not part:
            out[group] = value
        elif leaf == "stop.gap" and value is None:
            out["stop"] = None
        else:
            out.setdefault(group, {})[part] = value
    return out
