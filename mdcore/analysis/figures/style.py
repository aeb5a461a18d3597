"""One style for every figure: type, grid, colours and marks of potentials, line styles of depths; saving.

Widths are those of a two-column paper: one column 3.25 in, the full width 6.75 in. The smallest text has 7 pt at that
width; nothing is set by mathtext, whose subscripts would be smaller, so that a user's "$" is a "$".
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from mdcore.math.potentials import BUILTIN

COLUMN, FULL = 3.25, 6.75  # inches
HEIGHT = 4.0  # inches: no figure of a report is higher
SMALLEST = 7.0  # points
SIZE = 8.0  # points of titles and axis labels
LINES = 1.15  # from line to line, in sizes of the type; STIX asks for 1.5
RC: dict[str, Any] = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "legend.frameon": False,
    "legend.handlelength": 1.9,
    "legend.columnspacing": 1.0,
    "legend.handletextpad": 0.5,
    "legend.labelspacing": 0.25,
    "axes.grid": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.linewidth": 0.6,
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "lines.linewidth": 1.1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "axes.unicode_minus": True,
    "svg.hashsalt": "mdcore",
}
# Okabe & Ito (2008) and Tol's muted set: told apart with the common colour blindnesses. Yellow is too pale for lines.
# A potential's class says its colour, or the colours of some values of its parameter.
_KNOWN = {cls.name: cls.colour for cls in BUILTIN.values() if cls.colour and not cls.parameters} | {
    f"{cls.name}{value:g}": colour for cls in BUILTIN.values() for value, colour in cls.colours.items()
}
_KIND = {cls.name: cls.colour for cls in BUILTIN.values() if cls.colour and cls.parameters}
_OTHERS = [
    "#E69F00",
    "#56B4E9",
    "#AA4499",
    "#44AA99",
    "#999933",
    "#882255",
    "#332288",
    "#117733",
    "#661100",
    "#7F7F7F",
    "#CC79A7",
    "#6699CC",
    "#000000",
]
_MARKERS = "os^DPXvph<>d8*"  # one a potential: they stay apart where colours do not, in grey print
BASELINES = {"svm": "0.15", "logreg": "0.45"}
_UNDATED = {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None}
_DASHES = [
    "-",
    (0, (4, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.3, 1.2, 1.3)),
    (0, (7, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 2.4)),
    (0, (9, 1.5, 3, 1.5)),
]


def use(font_size: float = SIZE) -> None:
    """Set the style for figures made from here on, without touching a display: nothing of a matplotlibrc is left."""
    matplotlib.use("Agg", force=False)
    matplotlib.rcdefaults()
    small = max(SMALLEST, font_size - 1)
    sizes = {"font.size": font_size, "axes.labelsize": font_size, "axes.titlesize": font_size}
    sizes |= {"figure.titlesize": font_size, "xtick.labelsize": small, "ytick.labelsize": small}
    chosen: Any = RC | sizes | {"legend.fontsize": small, "legend.title_fontsize": small}
    matplotlib.rcParams.update(chosen)


def colours(labels: list[str]) -> dict[str, str]:
    """Colour of each potential label: the well-known labels always have the same one, the others the next free."""
    out = {label: _KNOWN[label] for label in labels if label in _KNOWN}
    for label in labels:
        kind = next((k for k in _KIND if re.fullmatch(rf"{k}[\d.e+-]*", label)), None)
        if label not in out and kind and _KIND[kind] not in out.values():
            out[label] = _KIND[kind]
    for label in labels:
        if label not in out:
            free = [c for c in _OTHERS if c not in out.values()]
            out[label] = free[0] if free else _OTHERS[len(out) % len(_OTHERS)]
    return {label: out[label] for label in labels}


def markers(labels: list[str]) -> dict[str, str]:
    """Mark of each potential label, in the order of the labels."""
    return {label: _MARKERS[i % len(_MARKERS)] for i, label in enumerate(labels)}


def line_of(depth: int) -> dict:
    """Line style of a depth. Depth 1 is a wide pale line, so that a deep curve on top of it is seen."""
    dashes = _DASHES[(depth - 1) % len(_DASHES)]
    if depth == 1:
        return {"linestyle": dashes, "linewidth": 2.2, "alpha": 0.45, "solid_capstyle": "butt"}
    return {"linestyle": dashes, "linewidth": 1.1}


def darker(colour: str) -> tuple[float, ...]:
    """The same hue at 55 % of its brightness."""
    return tuple(0.55 * v for v in to_rgb(colour))


def words(text: str) -> str:
    """Words of a figure: as they are, but "lp", "l2" and "l1.5" with the norm's ℓ."""
    return re.sub(r"(?<!\w)l(p|∞|\d+(?:\.\d+)?)(?![\w-]*\w)", r"ℓ\1", str(text))


def depth_handles(depths: list[int]) -> list[Line2D]:
    """Legend entries of depths by line style."""
    return [
        Line2D([], [], color="0.25", label=f"L = {d}" + (" (linear)" if d == 1 else ""), **line_of(d)) for d in depths
    ]


def mark_handles(statuses: set[str]) -> list[Line2D]:
    """Legend entries for end points: filled (certified or overlapping data), open (not certified), cross (lost)."""
    look: dict[str, Any] = {"color": "0.25", "linestyle": "", "markersize": 3.4, "markeredgewidth": 0.9}
    out = []
    if statuses & {"converged", "overlap"}:
        label = {"converged": "margin certified", "overlap": "end"}.get("".join(statuses & {"converged", "overlap"}))
        label = label or "certified, or overlapping data"
        out.append(Line2D([], [], marker="o", label=label, **look))
    if statuses & {"transient", "quasi-separable"}:
        out.append(Line2D([], [], marker="o", markerfacecolor="white", label="not certified", **look))
    if statuses & {"failed", "diverged"}:
        out.append(Line2D([], [], marker="x", label="failed / diverged", **look))
    return out


@lru_cache(4096)
def _extent(text: str, size: float) -> tuple[float, float, float]:
    """(width, height, depth below the baseline) of what is inked, in points."""
    font = FontProperties(family=RC["font.serif"], size=size)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)


def _width(text: str, size: float) -> float:
    return _extent(text, size)[0] / 72


def spacing(text: str, size: float) -> float:
    """The `linespacing` that puts baselines LINES apart: matplotlib centres what is inked of a line in its height."""
    centres = [height / 2 - depth for _, height, depth in (_extent(line, size) for line in text.split("\n"))]
    return LINES + (centres[0] - centres[-1]) / (size * max(1, len(centres) - 1))


def inches(text: str) -> float:
    """Width of the longest line of a text of the smallest size."""
    return max(_width(line, matplotlib.rcParams["legend.fontsize"]) for line in str(text).split("\n"))


def letters(width: float) -> int:
    """About how many letters of the smallest size go into a width in inches."""
    return max(4, int(width * 72 / (0.45 * matplotlib.rcParams["legend.fontsize"])))


def legend_shape(handles: list, width: float) -> tuple[int, float]:
    """(columns, inches of height) of a legend below a figure `width` inches wide: as many columns as there is room."""
    em = matplotlib.rcParams["legend.fontsize"] / 72
    entries = [(1.9 + 0.5) * em + inches(h.get_label()) for h in handles]
    for columns in range(len(entries), 0, -1):
        parts = np.array_split(entries, columns)  # as matplotlib fills them
        if columns == 1 or sum(p.max() for p in parts) + (columns - 1) * 1.0 * em <= width - 1.0 * em:
            return columns, 0.04 + 1.3 * em * len(parts[0])
    return 1, 0.0


def legend_below(figure: Figure, handles: list) -> None:
    """The legend under all panels, never over data."""
    if handles:
        columns, _ = legend_shape(handles, figure.get_figwidth())
        figure.legend(handles=handles, loc="lower center", ncols=columns, borderpad=0.2, borderaxespad=0.1)


def _lay_out(figure: Figure) -> None:
    """Lay the figure out once; drawing it as PNG and as PDF then does not do it again."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)


def save(figure: Figure, stem: Path) -> None:
    """Write stem.pdf (fonts embedded, no dates) and stem.png, the same page in pixels (300 dpi); close the figure.

    PDFium makes pixels of the page in a sixth of the time in which matplotlib draws a figure a second time.
    """
    from pypdfium2 import PdfDocument  # here: it loads a library

    _lay_out(figure)
    pdf, png = (stem.with_name(f"{stem.name}.{kind}") for kind in ("pdf", "png"))
    figure.savefig(pdf, metadata=_UNDATED)
    plt.close(figure)
    dpi = RC["savefig.dpi"]
    with PdfDocument(pdf) as document:
        # The size is rounded up, beyond 975 pixels for 3.25 in; level 3 compresses as well as 6 in half the time.
        document[0].render(scale=(dpi - 1e-6) / 72).to_pil().save(png, dpi=(dpi, dpi), compress_level=3)


def book(path: Path) -> PdfPages:
    """A PDF of many figures, without dates; a context manager."""
    return PdfPages(path, metadata=_UNDATED)


def add(figure: Figure, pages: PdfPages) -> None:
    """The figure as the next page of a book; closes it."""
    _lay_out(figure)
    pages.savefig(figure)
    plt.close(figure)
