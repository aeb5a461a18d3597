"""How conditions are laid out: groups that fit a panel, pages of panels that fit a column, sizes in inches.

A long series of panels becomes several figures ("pages") of the same size, not smaller panels.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.facets import Facet
from mdcore.analysis.figures import style
from mdcore.analysis.figures.registry import Absent
from mdcore.analysis.figures.study import Study

MOST_LINES = 12  # curves in one panel; more are split by potential
SHOWN_PAGES = 8  # of one kind in the report, each a PNG and a PDF
FIRST_PAGES = 2  # in the report of a kind that has more; the rest is one PDF of many pages
MOST_PAGES = 24  # drawn of one kind: a page takes most of a second
LARGE = 2000  # cells; beyond, a kind with more than SHOWN_PAGES is drawn to its first pages only


@dataclass
class Group:
    """Conditions drawn in one panel, with the panel's title."""

    title: str
    conditions: list[Condition]


@dataclass
class Page:
    """What is on one page; `number` of `of` that are drawn, of which the report shows the first `shown`."""

    content: list
    number: int = 1
    of: int = 1
    shown: int = SHOWN_PAGES

    def name(self, kind: str) -> str:
        return kind if self.number == 1 else f"{kind}_page{self.number}"

    def album(self, kind: str) -> str:
        """The stem of the PDF that holds the pages beyond those in the report; "" for a page of the report."""
        return f"{kind}_more" if self.number > self.shown else ""

    def where(self, titles: Iterable[str]) -> str:
        """Which part of a long series it is, and of which data."""
        return f" Part {self.number} of {self.of}: {'; '.join(titles)}." if self.of > 1 else ""


def split(conditions: list[Condition], most: int) -> list[list[Condition]]:
    """Parts of at most about `most` conditions; a potential stays whole, with all its depths, for comparison."""
    keys = list(dict.fromkeys(c.potential_key for c in conditions))
    if len(conditions) <= most:
        return [conditions]
    depths = max(sum(c.potential_key == k for c in conditions) for k in keys)
    chunks = even_parts(keys, max(1, most // depths))
    return [[c for c in conditions if c.potential_key in chunk] for chunk in chunks]


def even_parts(items: list, most: int) -> list[list]:
    """Consecutive parts of at most `most` items, as equal in size as they can be."""
    parts = -(-len(items) // max(1, most))
    return [items[i * len(items) // parts : (i + 1) * len(items) // parts] for i in range(parts)]


def groups_of(facets: Iterable[Facet], keep: Callable[[Condition], bool], most: int = MOST_LINES) -> list[Group]:
    """Facets cut so that a panel holds at most about `most` conditions."""
    out = []
    for facet in facets:
        parts = split([c for c in facet.conditions if keep(c)], most)
        for i, part in enumerate(parts):
            if part:
                tail = f" ({i + 1} of {len(parts)})" if len(parts) > 1 else ""
                out.append(Group(facet.title + tail, part))
    return out


def pages_of(chunks: list[list], titles: Callable[[list], list[str]], cells: int, name: str) -> tuple[list, list]:
    """(pages, one for each chunk; Absent for what is not drawn and why) of the kind `name`, in a run of `cells` cells.

    All pages, but at most MOST_PAGES; of more than SHOWN_PAGES in a run of more than LARGE cells, FIRST_PAGES.
    """
    short = len(chunks) > SHOWN_PAGES
    most = FIRST_PAGES if short and cells > LARGE else MOST_PAGES
    drawn, beyond = chunks[:most], [t for chunk in chunks[most:] for t in titles(chunk)]
    shown = FIRST_PAGES if short else SHOWN_PAGES
    pages = [Page(chunk, i + 1, len(drawn), shown) for i, chunk in enumerate(drawn)]
    if not beyond:
        return pages, []
    rule = (
        f"a run of more than {LARGE:,} cells draws {FIRST_PAGES} pages of a kind of figure that has more than "
        f"{SHOWN_PAGES}"
        if most == FIRST_PAGES
        else f"at most {MOST_PAGES} pages of one kind of figure are drawn"
    )
    reason = f"{rule}; their numbers are in the tables and in summary.csv; left out are {brief(beyond)}"
    return pages, [Absent(f"{name}: {len(chunks) - most} more pages", reason)]


def brief(titles: list[str], most: int = 6) -> str:
    """The first titles; "…" for the others."""
    titles = list(dict.fromkeys(titles))
    return "; ".join(titles[:most]) + ("; …" if len(titles) > most else "")


def wrapped(text: str, inches: float, lines: int = 3) -> str:
    """A title broken into lines that fit a width."""
    return "\n".join(textwrap.wrap(style.words(text), style.letters(inches), break_long_words=True)[:lines])


@dataclass
class Margins:
    """Inches around and between panels."""

    left: float = 0.62
    right: float = 0.13
    top: float = 0.2
    bottom: float = 0.3
    across: float = 0.1
    down: float = 0.1


def panel_grid(
    rows: int, columns: int, size: tuple[float, float], margins: Margins, sharex: bool | str = True
) -> tuple[Figure, np.ndarray]:
    """(figure `size[0]` inches wide, its axes (rows, columns)), each panel `size[1]` inches high.

    The panels of a row share their y axis, and all share the x axis unless told otherwise; only the outer ones of those
    that share an axis show its tick labels.
    """
    width, panel = size
    m = margins
    height = m.top + rows * panel + (rows - 1) * m.down + m.bottom
    across = (width - m.left - m.right - (columns - 1) * m.across) / columns
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        squeeze=False,
        sharex=sharex,
        sharey="row",
        gridspec_kw={
            "left": m.left / width,
            "right": 1 - m.right / width,
            "top": 1 - m.top / height,
            "bottom": m.bottom / height,
            "wspace": m.across / across,
            "hspace": m.down / panel,
        },
    )
    return figure, axes


def label(ax: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title and axis labels at fixed distances, which matplotlib need not find from the sizes of all tick labels."""
    width, height = ax.figure.get_size_inches() * ax.get_position().size
    small = plt.rcParams["ytick.labelsize"]
    if title:
        ax.set_title(title, y=1.0, linespacing=style.spacing(title, plt.rcParams["axes.titlesize"]))
    if x:
        ax.set_xlabel(x, fontsize=small)
        ax.xaxis.set_label_coords(0.5, -0.18 / height)
    if y:
        ax.set_ylabel(y, fontsize=small, multialignment="center", linespacing=style.spacing(y, small))
        ax.yaxis.set_label_coords(-0.38 / width, 0.5)


def potential_handles(study: Study, conditions: Iterable[Condition], marks: dict[str, str] | None = None) -> list:
    """Legend entries of the potentials of these conditions, by colour and mark; `marks` are put after their names."""
    present = {c.potential_key for c in conditions}
    return [
        Line2D(
            [],
            [],
            color=study.colours[k],
            marker=study.markers[k],
            markersize=3.4,
            linewidth=1.6,
            label=study.names[k] + (marks or {}).get(k, ""),
        )
        for k in study.names
        if k in present
    ]


def say(ax: Axes, text: str) -> None:
    """Words in place of data, for a panel that has nothing to show."""
    width = ax.get_position().width * ax.figure.get_figwidth()
    text = textwrap.fill(style.words(text), style.letters(0.9 * width))
    size = plt.rcParams["legend.fontsize"]
    ax.text(
        0.5,
        0.5,
        text,
        transform=ax.transAxes,
        ha="center",
        va="center",
        color="0.4",
        fontsize=size,
        backgroundcolor="w",
        linespacing=style.LINES,
    )
    ax.grid(False)
