"""What a bundle holds, by name in the archive: a run, its analysis, its data, the code; or why there can be none."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

from mdcore.config.cell import is_user_defined
from mdcore.config.plugins.loading import references, source_files
from mdcore.files import sealed
from mdcore.math.parameters import first_of, nearest
from mdcore.store.bundles.data_places import DataPlace, data_dir_of, data_places, moved_grid, places_of
from mdcore.store.bundles.readme import readme
from mdcore.store.commits import RECORD, Committed, committed
from mdcore.store.drafts import LISTING, listing
from mdcore.store.fingerprint import PACKAGE, PROCESSOR, SOURCE_ROOT, changes, code_parts, installed, sha256
from mdcore.store.locations import shipped
from mdcore.store.provenance import required_packages
from mdcore.store.runs import RunError, read_manifest, read_run, run_of

FORMAT = 1
INDEX = "bundle.json"
DATA = "data"
NOTEBOOKS = ("train_cell", "aggregate", "figures", "report", "explore")
BESIDE = ("pyproject.toml", "setup.py", "Makefile", "LICENSE", "CITATION.cff")  # the package; as far as they are there
SUFFIXES = (".py", ".md", ".json", ".j2", ".yaml", ".ipynb")
MB = 1_000_000


@dataclass(frozen=True)
class BundleRequest:
    """What is asked of `run_bundle`. leave_out: NAME or NAME=WHERE IT IS FROM, data that do not travel; add: files."""

    tag: str
    runs_dir: str = "runs_out"
    input_dir: str = ""  # the analysis; "": analysis_results/<tag>
    output: str = ""  # the archive; "": analysis_results/<tag>.tar.gz
    leave_out: tuple[str, ...] = ()
    largest_mb: float = 100.0
    add: tuple[str, ...] = ()
    as_it_is: bool = False

    @property
    def analysis(self) -> Path:
        return Path(self.input_dir or Path("analysis_results", self.tag))

    @property
    def archive(self) -> Path:
        return Path(self.output or Path("analysis_results", f"{self.tag}.tar.gz"))


@dataclass
class Bundle:
    """root: the one directory of the archive. files: {name in it: the file, or its content}. index: bundle.json."""

    root: str
    files: dict[str, Path | bytes]
    index: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def gather(request: BundleRequest) -> Bundle:
    """Everything that a bundle of the run holds. RunError where it cannot be made, with what to do."""
    run_dir = run_of(Path(request.runs_dir), request.tag)
    manifest, state = read_manifest(run_dir), committed(run_dir)
    if not isinstance(manifest.get("grid_yaml"), str):
        raise RunError(f"{run_dir}: its manifest holds no grid; `make grid` on it writes one")
    reservations = unfinished(manifest, state) + of_other_code(run_dir, manifest, state)
    if reservations and not request.as_it_is:
        raise RunError(
            "\n".join(f"{run_dir}: {each}" for each in reservations)
            + f"\nGo on with the run (make plan GRID={run_dir}/grid.yaml TAG={request.tag} says what is left, and "
            "--rerun stale trains anew what is stale), or bundle it as it is with --as_it_is."
        )
    files = analysis_files(request, run_dir)
    base = data_dir_of(manifest["grid_yaml"], run_dir)
    travelling, moves, data = data_files(request, data_places(run_dir, manifest, state), base)
    files |= travelling | run_files(run_dir, manifest, state, moves) | code_files()
    custom = sorted(
        {c["config"]["dataset"]["name"] for c in manifest["cells"] if is_user_defined(c["config"]["dataset"]["name"])}
    )
    notes = [f"left out: {each['place']}: {each['why']}" for each in data if each["why"]]
    if custom and not request.add:
        notes += [f"{', '.join(custom)}: what it reads beside its own source is not known: name such files with --add"]
    index: dict[str, Any] = {
        "format": FORMAT,
        "tag": request.tag,
        "run": run_dir.name,
        "reservations": reservations,
        "data": data,
    }
    files["README.md"] = readme(index, manifest, sum(cell["cell_id"] in state.newest for cell in manifest["cells"]))
    if base is not None:  # a directory in which a data set of one's own is called, also without files
        files[f"{DATA}/README.md"] = b"The data files that the run reads. ../README.md says what belongs here.\n"
    index["files"] = {name: _sum(files[name]) for name in sorted(files)}
    return Bundle(f"mdcore-{request.tag}", files, index, notes)


def unfinished(manifest: dict[str, Any], state: Committed) -> list[str]:
    """In words, how many cells have no result."""
    lacking = [cell["cell_id"] for cell in manifest["cells"] if cell["cell_id"] not in state.newest]
    return [f"{len(lacking)} of {len(manifest['cells'])} cells have no result"] if lacking else []


def of_other_code(run_dir: Path, manifest: dict[str, Any], state: Committed) -> list[str]:
    """In words, what decides numbers and is not what the results were made with. Another processor is none of it."""
    now = code_parts(plugin_files(run_dir, manifest))
    words: dict[str, None] = {}
    for record in {r.path: r for r in state.newest.values() if r.has_tables}.values():
        words |= dict.fromkeys(changes(record.code_parts | {PROCESSOR: now[PROCESSOR]}, now))
    return [f"since it was trained: {first_of(list(words), 6)}"] if words else []


def plugin_files(run_dir: Path, manifest: dict[str, Any]) -> list[Path]:
    """The sources of the plug-ins that the run holds. RunError where one is not there."""
    named = {reference for cell in manifest["cells"] for reference in references(cell["config"])}
    files = sorted({f"{reference.split(':')[0]}.py" for reference in named})
    if lacking := [name for name in files if not (run_dir / name).is_file()]:
        raise RunError(
            f"{run_dir} does not hold its plug-in {first_of(lacking)}; `make grid` on its grid writes it there"
        )
    return source_files(named, run_dir)


def run_files(
    run_dir: Path, manifest: dict[str, Any], state: Committed, moves: dict[str, str]
) -> dict[str, Path | bytes]:
    """The run directory, its data in the archive's own: `moves` maps the places that the grid gives."""
    text = moved_grid(manifest["grid_yaml"], f"../../{DATA}", moves)
    cells = []
    for cell in manifest["cells"]:
        dataset = cell["config"]["dataset"]
        moved = {key: moves[dataset[key]] for key in places_of(dataset)}
        cells.append({**cell, "config": {**cell["config"], "dataset": dataset | moved}})
    files: dict[str, Path | bytes] = {
        "grid.yaml": text.encode(),
        "manifest.json": sealed(manifest | {"cells": cells, "grid_yaml": text}).encode(),
    }
    for path in (*plugin_files(run_dir, manifest), *(run_dir / "references").glob("*.npz")):
        files[path.relative_to(run_dir).as_posix()] = path
    for record in state.newest.values():
        files |= {f"stacks/{record.path.name}/{name}": record.path / name for name in (RECORD, *record.files)}
    return {f"runs_out/{run_dir.name}/{name}": content for name, content in files.items()}


def analysis_files(request: BundleRequest, run_dir: Path) -> dict[str, Path | bytes]:
    """The results of the run's analysis. RunError where there is none, or it does not show the run as it is now."""
    place, again = request.analysis, f"analyse it: make analysis TAG={request.tag}"
    listed = listing(place)
    if listed is None:
        raise RunError(f"{place} holds no analysis of {run_dir}; {again}")
    if edited := [name for name in listed if not (place / name).is_file() or sha256(place / name) != listed[name]]:
        raise RunError(
            f"{place}: {first_of(edited)} was edited or removed since the analysis; move yours, then {again}"
        )
    if not _shows(place, run_dir):
        raise RunError(f"{place} does not show the results that {run_dir} holds now; {again}")
    return {f"analysis_results/{request.tag}/{name}": place / name for name in (*listed, LISTING)}


def _shows(place: Path, run_dir: Path) -> bool:
    """Whether master.csv has the numbers that the run holds now."""
    import pandas as pd

    columns = ["cell_id", "status", "log_inverse_loss", "weight_norm"]
    held = read_run(run_dir).final.reindex(columns=columns).to_csv(index=False)
    try:
        tables = [pd.read_csv(table, dtype=str) for table in (place / "master.csv", io.StringIO(held))]
        shown, now = (table[columns].dropna(subset="weight_norm").sort_values("cell_id") for table in tables)
        run = json.loads((place / "provenance.json").read_bytes())["run"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(run == run_dir.name and shown.to_csv(index=False) == now.to_csv(index=False))


def data_files(
    request: BundleRequest, places: list[DataPlace], data_dir: str | None
) -> tuple[dict[str, Path | bytes], dict[str, str], list[dict[str, Any]]]:
    """(files that travel, {place that the grid gives: place below data/}, what bundle.json says of each).

    RunError for data that are gone or have changed since the run, unless they are left out.
    """
    left = {name: where for name, _, where in (each.partition("=") for each in request.leave_out)}
    if unknown := [name for name in left if name not in {place.name for place in places}]:
        there = [place.name for place in places]
        raise RunError(
            f"--leave_out: got {unknown[0]!r}; expected {first_of(there) if there else 'none: the run reads no file'}"
            + nearest(unknown[0], there)
        )
    inside: dict[Path, str] = {}
    files: dict[str, Path | bytes] = {}
    data, wrong = [], []
    for place in places:
        if place.path in inside:
            continue
        names = (str(PurePosixPath(folder, place.name)) for folder in chain([""], map(str, count(2))))
        at = inside[place.path] = next(name for name in names if name not in inside.values())
        why = "left out on request" if place.name in left else ""
        if not why and (fault := place.wrong()):
            wrong.append(
                f"{fault}; put it back, train again (--rerun stale), or leave it out: --leave_out {place.name}"
            )
            continue
        packed = [] if why else place.files()
        if sum(file.stat().st_size for file in packed) > request.largest_mb * MB:
            why, packed = f"larger than {request.largest_mb:g} MB (--largest_mb)", []
        files |= {f"{DATA}/{at}" if file == place.path else f"{DATA}/{at}/{file.name}": file for file in packed}
        words = f"{place.words()}{'; ' * bool(left.get(place.name))}{left.get(place.name, '')}"
        data.append({"name": place.name, "place": f"{DATA}/{at}", "what": words, "sha256": place.digests, "why": why})
    for name in request.add:
        file, base = Path(name).resolve(), Path(data_dir or ".").resolve()
        if not file.is_file():
            wrong.append(f"--add: {name} is no file; expected one that a data set of your own reads")
        at = file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name
        files[f"{DATA}/{at}"] = file
    if wrong:
        raise RunError("\n".join(wrong))
    return files, {place.given: inside[place.path] for place in places}, data


def code_files() -> dict[str, Path | bytes]:
    """The package, the notebooks that its commands execute, and what builds its environment."""
    sources = [p for p in PACKAGE.rglob("*") if p.suffix in SUFFIXES and "__pycache__" not in p.parts and p.is_file()]
    files: dict[str, Path | bytes] = {f"mdcore/{path.relative_to(PACKAGE).as_posix()}": path for path in sources}
    files |= {f"notebooks/{name}.ipynb": shipped("notebooks") / f"{name}.ipynb" for name in NOTEBOOKS}
    files |= {name: SOURCE_ROOT / name for name in BESIDE if (SOURCE_ROOT / name).is_file()}
    needed = SOURCE_ROOT / "requirements.txt"
    pinned = "".join(f"{name}=={installed(name)}\n" for name in required_packages())
    files["requirements.txt"] = needed if needed.is_file() else pinned.encode()
    if (SOURCE_ROOT / "README.md").is_file():
        files["README-mdcore.md"] = SOURCE_ROOT / "README.md"
    return files


def _sum(content: Path | bytes) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return {"sha256": sha256(content), "size": content.stat().st_size}
