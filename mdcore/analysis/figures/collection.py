"""All figures of a run: drawn, saved, listed in figures/index.json with their captions and with what is absent."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.backends.backend_pdf import PdfPages

from mdcore.analysis.data.results import Results
from mdcore.analysis.figures import style
from mdcore.analysis.figures.drawings.boundaries import decision_boundaries
from mdcore.analysis.figures.drawings.boxes import BOXES, boxplots
from mdcore.analysis.figures.drawings.curves import SUFFIX, curve_figures
from mdcore.analysis.figures.drawings.heatmaps import HEATMAPS, heatmaps
from mdcore.analysis.figures.families import FAMILIES, own_family
from mdcore.analysis.figures.panels import Absent, Drawn

INDEX = "index.json"
EPOCHS, LEVELS = "epoch", "log_inverse_loss"  # what curves are drawn against


def figures(results: Results, master: pd.DataFrame, summary: pd.DataFrame) -> Iterator[Drawn | Absent]:
    """Every figure in the order of the report, one at a time: an open figure costs memory.

    Where a kind of figure cannot be drawn, an Absent says so, and the others follow: a picture costs no result.
    """
    style.use()
    angles, margins, gap, structure = (FAMILIES[k] for k in ("angles", "margins", "gap", "structure"))
    curves = [(angles, EPOCHS), (angles, LEVELS), (margins, EPOCHS), (gap, EPOCHS), (margins, LEVELS), (gap, LEVELS)]
    last = [(structure, EPOCHS), (structure, LEVELS)]
    last += [(own_family(results.own_metrics), EPOCHS)] if results.own_metrics else []
    kinds = [(f"{family.name}_{SUFFIX[x]}", curve_figures(results, family, x)) for family, x in curves]
    kinds += [(name, boxplots(results, master, name)) for name in BOXES]
    kinds += [("decision_boundaries", decision_boundaries(results))]
    kinds += [(HEATMAPS[column][0], heatmaps(results, summary, column)) for column in HEATMAPS]
    kinds += [(f"{family.name}_{SUFFIX[x]}", curve_figures(results, family, x)) for family, x in last]
    for name, drawn in kinds:
        try:
            yield from drawn
        except Exception as error:
            yield Absent.because(name, error)


def write(results: Results, master: pd.DataFrame, summary: pd.DataFrame, output_dir: str | Path) -> dict:
    """Write figures/*.png, *.pdf and index.json under output_dir.

    Returns the index: {"figures": [{"name", "family", "caption", "alt"}], "albums": [{"name", "family", "first",
    "captions"}], "absent": [{"name", "reason", "failed"}]}. An album is a PDF of the pages that the report has no room
    for: its first page is page `first` of its kind, and each page has its caption.
    """
    place = Path(output_dir) / "figures"
    place.mkdir(parents=True, exist_ok=True)
    index: dict[str, list] = {"figures": [], "albums": [], "absent": []}
    gc.freeze()  # the tables and modules stay; looking through them after every figure doubles the time
    albums: dict[str, dict] = {}
    with ExitStack() as files:
        files.enter_context(matplotlib.rc_context())  # the caller's own style comes back
        books: dict[str, PdfPages] = {}
        for item in figures(results, master, summary):
            try:
                if isinstance(item, Absent):
                    index["absent"].append(vars(item))
                elif item.album:
                    if item.album not in books:
                        books[item.album] = files.enter_context(style.book(place / f"{item.album}.pdf"))
                        first = int(item.name.rpartition("_page")[2])
                        albums[item.album] = {
                            "name": item.album, "family": item.family, "first": first, "captions": []
                        }  # fmt: skip
                    style.add(item.figure, books[item.album])
                    albums[item.album]["captions"].append(item.caption)
                else:
                    style.save(item.figure, place / item.name)
                    words = {"family": item.family, "caption": item.caption, "alt": item.alt}
                    index["figures"].append({"name": item.name, **words})
            except OSError:  # of the disk, which the other results need too
                raise
            except Exception as error:
                for part in place.glob(f"{item.name}.p*"):
                    part.unlink()
                index["absent"].append(vars(Absent.because(item.name, error)))
    index["albums"] = list(albums.values())
    (place / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return index
