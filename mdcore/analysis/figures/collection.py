"""All figures of a run: drawn, saved, listed in figures/index.json with their captions and with what is absent."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.backends.backend_pdf import PdfPages

from mdcore.analysis.data.results import Results
from mdcore.analysis.figures import style
from mdcore.analysis.figures.drawings.boundaries import decision_boundaries
from mdcore.analysis.figures.drawings.boxes import BOXES, boxplots
from mdcore.analysis.figures.drawings.curves import curve_figures
from mdcore.analysis.figures.drawings.heatmaps import HEATMAPS, heatmaps
from mdcore.analysis.figures.families import FAMILIES, own_family
from mdcore.analysis.figures.panels import Absent, Drawn

INDEX = "index.json"


def figures(results: Results, master: pd.DataFrame, summary: pd.DataFrame) -> Iterator[Drawn | Absent]:
    """Every figure in the order of the report, one at a time: an open figure costs memory."""
    style.use()
    angles, margins, gap, structure = (FAMILIES[k] for k in ("angles", "margins", "gap", "structure"))
    yield from curve_figures(results, angles, "epoch")
    yield from curve_figures(results, angles, "log_inverse_loss")
    yield from curve_figures(results, margins, "epoch")
    yield from curve_figures(results, gap, "epoch")
    yield from curve_figures(results, margins, "log_inverse_loss")
    yield from curve_figures(results, gap, "log_inverse_loss")
    yield from chain.from_iterable(boxplots(results, master, name) for name in BOXES)
    yield from decision_boundaries(results)
    yield from chain.from_iterable(heatmaps(results, summary, column) for column in HEATMAPS)
    yield from curve_figures(results, structure, "epoch")
    yield from curve_figures(results, structure, "log_inverse_loss")
    if results.own_metrics:
        yield from curve_figures(results, own_family(results.own_metrics), "epoch")


def write(results: Results, master: pd.DataFrame, summary: pd.DataFrame, output_dir: str | Path) -> dict:
    """Write figures/*.png, *.pdf and index.json under output_dir; figures of an earlier analysis are removed.

    Returns the index: {"figures": [{"name", "family", "caption", "alt"}], "albums": [{"name", "family", "first",
    "captions"}], "absent": [{"name", "reason"}]}. An album is a PDF of the pages that the report has no room for:
    its first page is page `first` of its kind, and each page has its caption.
    """
    place = Path(output_dir) / "figures"
    place.mkdir(parents=True, exist_ok=True)
    index: dict[str, list] = {"figures": [], "albums": [], "absent": []}
    kept = {INDEX}
    gc.freeze()  # the tables and modules stay; looking through them after every figure doubles the time
    albums: dict[str, dict] = {}
    with ExitStack() as files:
        files.enter_context(matplotlib.rc_context())  # the caller's own style comes back
        books: dict[str, PdfPages] = {}
        for item in figures(results, master, summary):
            if isinstance(item, Absent):
                index["absent"].append({"name": item.name, "reason": item.reason})
            elif item.album:
                if item.album not in books:
                    books[item.album] = files.enter_context(style.book(place / f"{item.album}.pdf"))
                    first = int(item.name.rpartition("_page")[2])
                    albums[item.album] = {"name": item.album, "family": item.family, "first": first, "captions": []}
                style.add(item.figure, books[item.album])
                albums[item.album]["captions"].append(item.caption)
            else:
                kept.update(style.save(item.figure, place / item.name))
                words = {"family": item.family, "caption": item.caption, "alt": item.alt}
                index["figures"].append({"name": item.name, **words})
    index["albums"] = list(albums.values())
    kept.update(f"{name}.pdf" for name in albums)
    for old in place.iterdir():
        if old.suffix in (".png", ".pdf") and old.name not in kept:
            old.unlink()
    (place / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return index
