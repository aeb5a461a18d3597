"""An unpacked bundle made again: checked, one condition or all trained, analysed, and compared to the bit."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mdcore.config.cell import make_cell
from mdcore.math.parameters import first_of
from mdcore.store.bundles.archive import parse_index, verify
from mdcore.store.bundles.contents import INDEX
from mdcore.store.bundles.data_places import data_places
from mdcore.store.commits import BAD, Committed, committed
from mdcore.store.drafts import listing
from mdcore.store.fingerprint import changes, code_parts
from mdcore.store.runs import RunData, RunError, read_manifest, read_run, run_of

AGAIN = "reproduced"
MEASURED = ("seconds",)  # columns of final.parquet that no run repeats


def reproduce(root: Path, everything: bool = False) -> bool:
    """Make the bundle in the directory `root` again, telling what is done; whether all of it is equal to the bit.

    RunError where `root` is no bundle, or holds files that are not as they were packed.
    """
    index = _index(root)
    run_dir = root / "runs_out" / index["run"]
    tell(f"checked: {len(index['files'])} files are as they were packed")
    for each in index["reservations"]:
        tell(f"not whole when it was bundled: {each}")
    manifest, state = read_manifest(run_dir), committed(run_dir)
    lacking = _lacking(run_dir, manifest, state)
    cells = chosen(manifest, state, lacking, everything)
    good = not (everything and lacking)
    if cells:
        good &= trained_again(root, index, cells, state)
    else:
        tell("no condition is trained again: none has results and its data here")
        good = False
    good &= analysed_again(root, index)
    tell("all of it is equal, to the bit" if good else "not all of it could be made again: see above")
    return good


def tell(text: str) -> None:
    print(text, flush=True)  # before the commands that write to the same stream


def _index(root: Path) -> dict[str, Any]:
    try:
        index = parse_index((root / INDEX).read_bytes(), str(root))
    except OSError:
        raise RunError(
            f"{root.resolve()} is no unpacked bundle: it has no {INDEX}; expected the directory that "
            "`python -m mdcore.run_bundle --unpack ARCHIVE` makes"
        ) from None
    if wrong := verify(root, index):
        raise RunError(
            f"{root.resolve()}: {first_of(wrong, 10)}; nothing was run: unpack the archive again, or put the files back"
        )
    return index


def _lacking(run_dir: Path, manifest: dict[str, Any], state: Committed) -> set[str]:
    """The cells whose data are not here, or are others; what must be put where is told."""
    cells: set[str] = set()
    for place in data_places(run_dir, manifest, state):
        if fault := place.wrong():
            cells.update(place.cells)
            sums = ", ".join(f"{name} with sha256 {digest}" for name, digest in place.digests.items())
            tell(f"data left out of the bundle: put {place.words()} at {place.path.resolve()}: {sums}\n  ({fault})")
    return cells


def chosen(manifest: dict[str, Any], state: Committed, lacking: set[str], everything: bool) -> list[str]:
    """The cells to train: all that have results and data here, or those of the condition that takes least time.

    Cells that were trained together are trained together again: neighbours decide the order in which sums are taken.
    """
    conditions: dict[str, list[str]] = {}
    for cell in manifest["cells"]:
        conditions.setdefault(make_cell(cell["config"]).condition_id, []).append(cell["cell_id"])
    good = {
        cell
        for cell, record in state.newest.items()
        if record.has_tables and record.status[cell] not in BAD and cell not in lacking
    }
    stacks = [  # of each condition
        {state.newest[cell].path: state.newest[cell] for cell in cells}
        for cells in conditions.values()
        if good.issuperset(cells)
    ]
    if not everything:
        stacks.sort(key=lambda records: sum(record.seconds.get("training", 0.0) for record in records.values()))
        stacks = stacks[:1]
    return list(dict.fromkeys(cell for records in stacks for record in records.values() for cell in record.cells))


def trained_again(root: Path, index: dict[str, Any], cells: list[str], state: Committed) -> bool:
    """Train `cells` with the command and compare them with the bundle's."""
    run_dir = root / "runs_out" / index["run"]
    manifest = read_manifest(run_dir)
    here = code_parts(sorted(run_dir.glob("*.py")))
    then = state.newest[cells[0]].code_parts
    if other := changes(then, {name: here[name] for name in here if name in then}):
        tell(f"other than when it was trained, so that last digits may differ: {first_of(other, 8)}")
    everything = len(cells) == len(manifest["cells"])
    only = [] if everything else [word for cell in cells for word in ("--only", f"cell_id={cell}")]
    status = _run(
        root, "run_grid", "--config", f"runs_out/{index['run']}/grid.yaml", "--tag", index["tag"],
        "--output_dir", f"{AGAIN}/runs_out", "--rerun", "all", *only,
    )  # fmt: skip
    if status not in (0, 1):
        tell(f"the grid command ended with exit status {status}")
        return False
    again = read_run(run_of(root / AGAIN / "runs_out", index["tag"]))
    wrong = list(differences(read_run(run_dir), again, cells))
    names = {make_cell(cell["config"]).condition_id for cell in manifest["cells"] if cell["cell_id"] in cells}
    what = f"{len(cells)} cells of {len(names)} conditions"
    if wrong:
        tell("\n".join([f"trained again: {what} differ:", *(f"  {line}" for line in wrong[:20])]))
    else:
        tell(f"trained again: {what}: every metric, every logged epoch, every predictor is equal to the bit")
    return not wrong


def differences(then: RunData, now: RunData, cells: list[str]) -> Iterator[str]:
    """In words, where the results of `cells` are not the same to the bit; the measured seconds aside."""
    for what in ("final", "history"):
        old, new = (frame[frame["cell_id"].isin(cells)] for frame in (getattr(then, what), getattr(now, what)))
        if len(old) != len(new):
            yield f"{what}: {len(old)} rows then, {len(new)} now"
            continue
        for column in dict.fromkeys((*old.columns, *new.columns)):
            if column in MEASURED:
                continue
            if column not in old or column not in new:
                yield f"{what}: the column {column} is in one of them only"
            elif len(rows := np.flatnonzero(_bits(old[column]) != _bits(new[column]))):
                a, b, cell = (frame[c].iloc[rows[0]] for frame, c in ((old, column), (new, column), (old, "cell_id")))
                yield f"{what}: {column} differs in {len(rows)} rows, first in {cell}: {a} then, {b} now"
    for cell in cells:
        w = [np.asarray(run.predictors.get(cell, np.nan)) for run in (then, now)]
        if w[0].tobytes() != w[1].tobytes():
            yield f"predictors: w of {cell} differs"


def _bits(column: Iterable[Any]) -> np.ndarray[Any, Any]:
    """What is equal iff the values are, bit for bit; every absent value is one."""
    return np.array([_exact(value) for value in column], dtype=object)


def _exact(value: Any) -> str:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    absent = value is None or value != value
    return "" if absent else float(value).hex() if number else repr(value)


def analysed_again(root: Path, index: dict[str, Any]) -> bool:
    """Analyse the bundle's run with the command and compare every file with the bundle's; the date may be another."""
    kept, target = (Path(base, index["tag"]) for base in ("analysis_results", f"{AGAIN}/analysis_results"))
    style = ["--style", str(kept / "style.yaml")] if (root / kept / "style.yaml").is_file() else []
    arguments = ["--input_dir", f"runs_out/{index['run']}", "--output_dir", str(target)]
    if status := _run(root, "run_analysis", *arguments, *style):
        tell(f"the analysis command ended with exit status {status}")
        return False
    old, new = (_dated(root / place) for place in (kept, target))
    wrong = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if wrong:
        tell(f"analysed again: {len(wrong)} of {len(old)} files differ: {first_of(wrong, 20)}")
    else:
        tell(f"analysed again: all {len(old)} files are equal to the bit, the date of the analysis aside")
    return not wrong


def _dated(place: Path) -> dict[str, bytes | str]:
    """{file: its sha256, or its content without the date of the analysis where that stands in it}."""
    listed = listing(place) or {}
    date = str(json.loads((place / "provenance.json").read_bytes())["date"]).encode()
    texts = {name: (place / name).read_bytes() for name in listed if name.endswith((".html", ".md", ".json", ".ipynb"))}
    return listed | {name: text.replace(date, b"DATE") for name, text in texts.items() if date in text}


def _run(root: Path, command: str, *words: str) -> int:
    """The exit status of one of the package's commands, with the code that lies in `root`."""
    tell(f"$ python -m mdcore.{command} {shlex.join(words)}")
    argv = [sys.executable, "-m", f"mdcore.{command}", *words]
    with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, encoding="utf-8", errors="replace") as process:
        for line in process.stdout or ():
            if not line.startswith("analyse: "):  # what it proposes would replace the bundle's own analysis
                print(line, end="", flush=True)
    return process.returncode
