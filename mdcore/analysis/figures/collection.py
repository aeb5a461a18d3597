"""All figures of a run: drawn side by side, saved, listed in figures/index.json with captions and with what is absent.

A second analysis of the same results with the same code and style draws nothing again.
"""

from __future__ import annotations

import gc
import hashlib
import json
import multiprocessing
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from mdcore.analysis.figures import style
from mdcore.analysis.figures.registry import Absent, Drawn, Kind, kinds
from mdcore.analysis.figures.study import Study
from mdcore.config.cell import without_place
from mdcore.config.yaml_lines import GridError
from mdcore.store.fingerprint import PACKAGE, installed, sha256

INDEX = "index.json"
PATIENCE = 300  # seconds that a fork may go on after this process has done its share
_FOLDERS = ("analysis", "config", "math", "problems")  # the code that decides what is drawn


def figures(study: Study) -> Iterator[Drawn | Absent]:
    """Every figure in the order of the report, one at a time: an open figure costs memory."""
    style.use(study.options.style.font_size)
    for kind in kinds(study):
        yield from _items(study, kind)


def write(study: Study, output_dir: str | Path, earlier: str | Path | None = None, jobs: int | None = None) -> dict:
    """Write figures/*.png, *.pdf and index.json under output_dir.

    earlier: the output directory of an analysis before; its figures are taken where all that decides them is the same.
    jobs: processes that draw, one a core by default.

    Returns the index: {"figures": [{"name", "section", "caption", "alt", "notes"}], "albums": [{"name", "section",
    "first", "captions"}], "absent": [{"name", "reason", "failed"}], "key", "files": {name: sha256}}. An album is a PDF
    of the pages that the report has no room for: its first page is page `first` of its kind, each has its caption.
    Raises GridError where the options of the study name what is not there.
    """
    todo = kinds(study)
    place = Path(output_dir) / "figures"
    place.mkdir(parents=True, exist_ok=True)
    key = _key(study)
    index = _taken(Path(earlier or output_dir) / "figures", place, key)
    if index is None:
        gc.freeze()  # the tables and modules stay; looking through them after every figure doubles the time
        often = gc.get_threshold()
        gc.set_threshold(50_000)
        try:
            parts = _side_by_side(study, todo, place, min(jobs or len(os.sched_getaffinity(0)), len(todo)))
        finally:
            gc.set_threshold(*often)
        index = {name: [item for part in parts for item in part[name]] for name in ("figures", "albums", "absent")}
        names = [f"{f['name']}.{kind}" for f in index["figures"] for kind in ("png", "pdf")]
        names += [f"{a['name']}.pdf" for a in index["albums"]]
        index |= {"key": key, "files": {name: sha256(place / name) for name in names}}
    (place / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return index


def notes_of(index: dict) -> list[str]:
    """What holds for several figures, each sentence once."""
    return list(dict.fromkeys(note for f in index["figures"] for note in f.get("notes", ())))


def _key(study: Study) -> str:
    """sha256 of all that decides the figures: results, tables, options, code and libraries."""
    digest = hashlib.sha256(study.options.model_dump_json().encode())
    results = study.results
    for table in (study.master, study.summary, results.final):
        digest.update(repr(list(table)).encode())
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    for name, values in results.curves.arrays():
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    for cell, w in sorted(results.predictors.items()):
        digest.update(cell.encode() + np.ascontiguousarray(w).tobytes())
    configs = [without_place(cell["config"]) for cell in results.cells]
    digest.update(json.dumps([configs, results.user_metrics], sort_keys=True).encode())
    sources = [p for folder in _FOLDERS for p in sorted((PACKAGE / folder).rglob("*.py"))]
    plugins = [f"{name.split(':')[0]}.py" for name in study.options.figures or () if ":" in name]
    sources += [Path(study.options.directory, name) for name in plugins]
    digest.update("".join(sha256(path) for path in sources).encode())
    digest.update("".join(installed(p) for p in ("matplotlib", "seaborn", "numpy", "pandas")).encode())
    return digest.hexdigest()


def _taken(source: Path, place: Path, key: str) -> dict | None:
    """The index of an earlier analysis with the same key, its files copied to `place`; None where one is not whole."""
    try:
        index = json.loads((source / INDEX).read_text(encoding="utf-8"))
        failed = any(a["failed"] for a in index["absent"])
        if failed or index["key"] != key or any(sha256(source / name) != seal for name, seal in index["files"].items()):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    for name in index["files"] if source != place else ():
        shutil.copyfile(source / name, place / name)
    return index


def _side_by_side(study: Study, todo: list[Kind], place: Path, jobs: int) -> list[dict]:
    """What _draw returns for each kind, in order; drawn by this process and `jobs` − 1 forks of it.

    Each takes the next kind until none is left. A fork that dies or hangs leaves its kinds to this process.
    """
    done: dict[int, dict] = {}
    context = multiprocessing.get_context("fork")
    following = context.Value("i", 0)

    def take() -> Iterator[int]:
        while True:
            with following.get_lock():
                number, following.value = following.value, following.value + 1
            if number >= len(todo):
                return
            yield number

    def work(pipe) -> None:
        pipe.send({number: _draw(study, todo[number], place) for number in take()})

    helpers = []
    for _ in range(jobs - 1):
        ours, theirs = context.Pipe(duplex=False)
        helper = context.Process(target=work, args=(theirs,), daemon=True)
        with warnings.catch_warnings():  # a fork of a kernel has none of its threads, and needs none
            warnings.simplefilter("ignore", DeprecationWarning)
            helper.start()
        theirs.close()
        helpers.append((helper, ours))
    for number in take():
        done[number] = _draw(study, todo[number], place)
    for helper, pipe in helpers:
        with suppress(EOFError):
            if pipe.poll(PATIENCE):
                done |= pipe.recv()
        helper.kill()
        helper.join()
    return [done[n] if n in done else _draw(study, kind, place) for n, kind in enumerate(todo)]


def _draw(study: Study, kind: Kind, place: Path) -> dict:
    """Draw and save one kind of figure; its part of the index. A figure that cannot be drawn costs no other."""
    index: dict[str, list] = {"figures": [], "albums": [], "absent": []}
    albums: dict[str, dict] = {}
    with ExitStack() as files:
        files.enter_context(matplotlib.rc_context())  # the caller's own style comes back
        style.use(study.options.style.font_size)
        books: dict = {}
        for item in _items(study, kind):
            try:
                if isinstance(item, Absent):
                    index["absent"].append(vars(item))
                elif item.album:
                    if item.album not in books:
                        books[item.album] = files.enter_context(style.book(place / f"{item.album}.pdf"))
                        first = int(item.name.rpartition("_page")[2])
                        album = {"name": item.album, "section": kind.section, "first": first, "captions": []}
                        albums[item.album] = album
                    style.add(item.figure, books[item.album])
                    albums[item.album]["captions"].append(item.caption)
                else:
                    style.save(item.figure, place / item.name)
                    words = {"section": kind.section, "caption": item.caption, "alt": item.alt, "notes": item.notes}
                    index["figures"].append({"name": item.name, **words})
            except OSError:  # of the disk, which the other results need too
                raise
            except Exception as error:
                for part in place.glob(f"{item.name}.p*"):
                    part.unlink()
                index["absent"].append(vars(Absent.because(item.name, error)))
    index["albums"] = list(albums.values())
    return index


def _items(study: Study, kind: Kind) -> Iterator[Drawn | Absent]:
    """What a kind of figure draws, and an Absent where that ends in an error; a wrong style file is the user's."""
    try:
        yield from kind.draw(study)
    except (GridError, OSError):
        raise
    except Exception as error:
        yield Absent.because(kind.name, error)
