"""How conditions are laid out in figures: groups of curves that fit a panel, pages of panels that fit a column."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.analysis.figures import style
from mdcore.config.labels import told_apart

MOST_LINES = 12  # curves in one panel; more are split by potential
SHOWN_PAGES = 8  # of one family in the report, each a PNG and a PDF
FIRST_PAGES = 2  # in the report of a family that has more; the rest is one PDF of many pages
MOST_PAGES = 24  # drawn of one family: a page takes most of a second
LARGE = 2000  # cells; beyond, a family with more than SHOWN_PAGES is drawn to its first pages only


@dataclass
class Group:
    """Conditions drawn in one panel, with the panel's title."""

    title: str
    conditions: list[Condition]


@dataclass
class Drawn:
    """One figure: file stem, the figure, what it shows and what to see in it, words for who cannot see it.

    `album`: "" for a figure of the report, else the stem of the PDF of many pages it goes into.
    """

    name: str
    figure: Figure
    family: str
    caption: str
    alt: str = ""
    album: str = ""


@dataclass
class Absent:
    """A figure that was not drawn, and why. `failed`: drawing it ended in an error."""

    name: str
    reason: str
    failed: bool = False

    @classmethod
    def because(cls, name: str, error: Exception) -> Absent:
        """The figure, or what is left of its kind, that could not be drawn."""
        return cls(name, f"it could not be drawn ({type(error).__name__}: {' '.join(str(error).split())[:200]})", True)


@dataclass
class Page:
    """Groups on one page; `number` of `of` that are drawn, of which the report shows the first `shown`."""

    groups: list[Group]
    number: int = 1
    of: int = 1
    shown: int = SHOWN_PAGES

    def name(self, family: str) -> str:
        return family if self.number == 1 else f"{family}_page{self.number}"

    def album(self, family: str) -> str:
        return album_of(family) if self.number > self.shown else ""

    def where(self) -> str:
        return f" Page {self.number} of {self.of}." if self.of > 1 else ""


def album_of(family: str) -> str:
    """The stem of the PDF that holds the pages of a family beyond those in the report."""
    return f"{family}_more"


def split(conditions: list[Condition], most: int) -> list[list[Condition]]:
    """Parts of at most about `most` conditions; a potential stays whole, with all its depths, for comparison."""
    keys = list(dict.fromkeys(c.potential_key for c in conditions))
    if len(conditions) <= most:
        return [conditions]
    depths = max(sum(c.potential_key == k for c in conditions) for k in keys)
    parts = -(-len(keys) // max(1, most // depths))
    size = -(-len(keys) // parts)
    chunks = [keys[i : i + size] for i in range(0, len(keys), size)]
    return [[c for c in conditions if c.potential_key in chunk] for chunk in chunks]


def groups_of(results: Results, keep: Callable[[Condition], bool], most: int = MOST_LINES) -> list[Group]:
    """Facets cut so that a panel holds at most about `most` conditions."""
    out = []
    for facet in results.facets:
        conditions = [c for c in facet.conditions if keep(c)]
        parts = split(conditions, most) if conditions else []
        for i, part in enumerate(parts):
            out.append(Group(facet.title + (f" ({i + 1}/{len(parts)})" if len(parts) > 1 else ""), part))
    return out


def pages_of(groups: list[Group], size: int, cells: int, name: str) -> tuple[list[Page], list[Absent]]:
    """(pages of at most `size` groups each, what is not drawn and why) of the family `name`, in a run of `cells` cells.

    All pages, but at most MOST_PAGES; of more than SHOWN_PAGES in a run of more than LARGE cells, FIRST_PAGES.
    """
    chunks = [groups[i : i + size] for i in range(0, len(groups), size)]
    short = len(chunks) > SHOWN_PAGES
    most = FIRST_PAGES if short and cells > LARGE else MOST_PAGES
    drawn, beyond = chunks[:most], [g.title for chunk in chunks[most:] for g in chunk]
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
    left = Absent(
        f"{name}: {len(beyond)} of {len(groups)} panels, on {len(chunks) - most} more pages",
        f"{rule}; their numbers are in the tables and in summary.csv; left out are {brief(beyond)}",
    )
    return pages, [left]


def brief(titles: list[str], most: int = 6) -> str:
    """The first titles; "…" for the others."""
    titles = list(dict.fromkeys(titles))
    return "; ".join(titles[:most]) + ("; …" if len(titles) > most else "")


def wrapped(text: str, width: int = 25) -> str:
    """A panel title broken into lines, a user's string shown letter by letter."""
    return "\n".join(textwrap.wrap(style.safe(text), width, break_long_words=True)[:4])


def names_and_depths(results: Results, conditions: list[Condition]) -> tuple[dict[str, str], list[int]]:
    """({potential key: words}, depths) that the legend of these conditions must name, in reading order."""
    present = {c.potential_key for c in conditions}
    names = {c.potential_key: c.words for c in results.conditions if c.potential_key in present}
    return names, sorted({c.depth for c in conditions})


def row_names(conditions: list[Condition], most: int = 24) -> dict[str, str]:
    """{potential key: words for a row of a panel}: the middle of a long name is left out, unless two then agree."""

    def cut(words: str) -> str:
        return words if len(words) <= most else f"{words[: most // 2]}…{words[-(most // 2 - 1) :]}"

    return told_apart({c.potential_key: [cut(c.words), c.words] for c in conditions})


def palette(results: Results) -> dict[str, str]:
    """{potential key: colour} of all potentials of the run: the same in every figure."""
    labels = {c.potential_key: c.label for c in results.conditions}
    colours = style.colours(list(labels.values()))
    return {key: colours[label] for key, label in labels.items()}


def page_grid(rows: int, columns: int, row_height: float, extra: float) -> tuple[Figure, list[list[Axes]]]:
    """A figure one column wide with `rows` × `columns` panels; `extra` inches for legend and titles."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(style.COLUMN, rows * row_height + extra), squeeze=False, layout="constrained"
    )
    return figure, [list(r) for r in axes]


def say(ax: Axes, text: str) -> None:
    """Words in place of curves, for a panel that has nothing to show."""
    ax.text(
        0.5, 0.5, textwrap.fill(text, 24), transform=ax.transAxes, ha="center", va="center", color="0.4", fontsize=7
    )
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)


def legend_height(handles: list) -> float:
    """Inches the legend below takes, about."""
    columns = style.legend_columns([h.get_label() for h in handles], style.COLUMN)
    return 0.08 + 0.145 * -(-len(handles) // columns)
