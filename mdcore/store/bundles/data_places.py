"""Where the data files of a run lie, whether they are still what was trained on, and a grid with its data elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from mdcore.config.cell import is_user_defined, located
from mdcore.config.yaml_lines import dump, parse
from mdcore.problems.sources import SOURCES
from mdcore.store.commits import Committed


@dataclass
class DataPlace:
    """A file, or a directory of IDX files, that cells of a run read. `name` is its own, without a directory."""

    dataset: dict[str, Any]  # as configured, its place absolute
    given: str  # its place as the grid gives it
    path: Path
    digests: dict[str, str] = field(default_factory=dict)  # {name: sha256} of what was trained on; {}: nothing was
    cells: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    def files(self) -> list[Path]:
        return SOURCES[self.dataset["name"]].lie(self.dataset)

    def words(self) -> str:
        """What it is: "the file my_data.csv, labels in passed"."""
        return SOURCES[self.dataset["name"]].read(
            {"dataset": self.dataset}, {"source": f"the IDX files in {self.name}/"}
        )

    def wrong(self) -> str:
        """What is there now against what was trained on: "", or in words what is gone or changed."""
        from mdcore.problems.datasets import DataError

        try:
            now = SOURCES[self.dataset["name"]].files(self.dataset)
        except DataError as error:
            return str(error).removeprefix("dataset.path: ")
        changed = [name for name in now if self.digests and now[name] != self.digests.get(name)]
        differing = [f"{name} (sha256 {self.digests.get(name, '')[:8]} then, {now[name][:8]} now)" for name in changed]
        return f"{self.path} has changed since the run: {', '.join(differing)}" if differing else ""


def data_places(run_dir: Path, manifest: dict[str, Any], state: Committed) -> list[DataPlace]:
    """The places of data that the cells of a run name, in the order of the cells."""
    data_dir = data_dir_of(manifest["grid_yaml"], run_dir)
    places: dict[str, DataPlace] = {}
    for cell in manifest["cells"]:
        config = located(cell["config"], data_dir)
        for key in places_of(config["dataset"]):
            given, path = cell["config"]["dataset"][key], config["dataset"][key]
            place = places.setdefault(given, DataPlace(config["dataset"], given, Path(path)))
            if record := state.newest.get(cell["cell_id"]):
                place.digests |= record.data.get("files", {})
            place.cells.append(cell["cell_id"])
    return list(places.values())


def places_of(dataset: dict[str, Any]) -> list[str]:
    """The keys of a data set that name files or directories."""
    if is_user_defined(dataset["name"]):
        return []
    return [key for key in SOURCES[dataset["name"]].path_keys if dataset.get(key)]


def sections_of(grid_yaml: str) -> dict[str, Any]:
    """The sections of a resolved grid; {} where its text cannot be read."""
    document = parse(grid_yaml, "grid.yaml", lambda *_: None, lines=False)
    return document.data if document and isinstance(document.data, dict) else {}


def data_dir_of(grid_yaml: str, run_dir: Path) -> str | None:
    """Where the relative paths of a run's grid start; None where it reads no file."""
    data_dir = sections_of(grid_yaml).get("data_dir") if "data_dir" in grid_yaml else None
    return str(run_dir / data_dir) if isinstance(data_dir, str) else None


def moved_grid(grid_yaml: str, data_dir: str | None, moves: dict[str, str]) -> str:
    """The text of a resolved grid with its data elsewhere: `data_dir` (None: not said), paths as `moves` maps them."""
    sections = sections_of(grid_yaml) if "data_dir" in grid_yaml else {}
    if "data_dir" not in sections:
        return grid_yaml
    data = {key: data_dir if key == "data_dir" else _moved(value, key, moves) for key, value in sections.items()}
    head = "".join(f"{line}\n" for line in grid_yaml.splitlines() if line.startswith("#"))
    return head + dump({key: value for key, value in data.items() if value is not None})


def without_places(grid_yaml: str, cells: list[dict[str, Any]]) -> str:
    """The text of a resolved grid as a reader sees it: files by their names, no directory of a machine."""
    given = {cell["config"]["dataset"][key] for cell in cells for key in places_of(cell["config"]["dataset"])}
    return moved_grid(grid_yaml, None, {path: PurePath(path).name for path in given})


def _moved(value: Any, key: str, moves: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _moved(each, f"{key}.{name}", moves) for name, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, key, moves) for each in value]
    return moves.get(value, value) if key.endswith("dataset.path") and isinstance(value, str) else value
