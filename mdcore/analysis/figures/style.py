"""One style for every figure: type, grid, colours of potentials, line styles of depths, how a figure is saved.

Sizes are those of a paper's column (3.25 in), type 6.5 to 8 pt at that width, STIX serif (shipped with matplotlib).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mdcore.math.potentials import BUILTIN

COLUMN = 3.25  # inches
RC: dict[str, Any] = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.2,
    "legend.handletextpad": 0.5,
    "axes.grid": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "path.simplify": True,
    "svg.hashsalt": "mdcore",
}
# Okabe & Ito (2008) and Tol's muted set: told apart with the common colour blindnesses. Yellow is too pale for lines.
# A potential's class says its colour, or the colours of some values of its parameter.
_KNOWN = {cls.name: cls.colour for cls in BUILTIN.values() if cls.colour and not cls.parameters} | {
    f"{cls.name}{value:g}": colour for cls in BUILTIN.values() for value, colour in cls.colours.items()
}
_FAMILY = {cls.name: cls.colour for cls in BUILTIN.values() if cls.colour and cls.parameters}
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
BELOW = "below"  # beside the statuses of end points: one that lies below the axis
BASELINES = {"svm": "0.15", "logreg": "0.45"}
_UNDATED = {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None}
_STYLES = [
    "-",
    (0, (4, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.3, 1.2, 1.3)),
    (0, (7, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 2.4)),
    (0, (9, 1.5, 3, 1.5)),
]


def use() -> None:
    """Set the style for figures made from here on, without touching a display: nothing of a matplotlibrc is left."""
    matplotlib.use("Agg", force=False)
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(RC)  # type: ignore[arg-type]  # its stub lists every name


def colours(labels: list[str]) -> dict[str, str]:
    """Colour of each potential label: the well-known labels always have the same one, the others the next free."""
    out = {label: _KNOWN[label] for label in labels if label in _KNOWN}
    for label in labels:
        family = next((f for f in _FAMILY if re.fullmatch(rf"{f}[\d.e+-]*", label)), None)
        if label not in out and family and _FAMILY[family] not in out.values():
            out[label] = _FAMILY[family]
    for label in labels:
        if label not in out:
            free = [c for c in _OTHERS if c not in out.values()]
            out[label] = free[0] if free else _OTHERS[len(out) % len(_OTHERS)]
    return {label: out[label] for label in labels}


def line_of(depth: int) -> dict:
    """Line style of a depth. Depth 1 is a wide pale line, so that a deep curve on top of it is seen."""
    style = _STYLES[(depth - 1) % len(_STYLES)]
    if depth == 1:
        return {"linestyle": style, "linewidth": 2.2, "alpha": 0.45, "solid_capstyle": "butt"}
    return {"linestyle": style, "linewidth": 1.1}


def darker(colour: str) -> tuple[float, ...]:
    """The same hue at 55 % of its brightness."""
    return tuple(0.55 * v for v in to_rgb(colour))


def safe(text: str) -> str:
    """A user's string as matplotlib shows it letter by letter: no mathtext."""
    return str(text).replace("\\", "\\\\").replace("$", r"\$")


def words(text: str) -> str:
    """Words of a figure: a user's string letter by letter, but "lp" and "l2" as the norm's symbol."""
    return re.sub(r"(?<![\w])l([p2])(?![\w])", r"$\\ell_\1$", safe(text))


def legend_handles(names: dict[str, str], palette: dict[str, str], depths: list[int]) -> list[Line2D]:
    """Potentials by colour, then depths by line style. `names` maps label -> words."""
    handles = [Line2D([], [], color=palette[k], linewidth=2.2, label=words(v)) for k, v in names.items()]
    for d in depths:
        handles.append(Line2D([], [], color="0.25", label=f"L = {d}" + (" (linear)" if d == 1 else ""), **line_of(d)))
    return handles


def band_handles(counts: set[int]) -> list[Patch]:
    """The legend entry of the bands: what they are and over how many seeds; none where every line is one run."""
    counts = {c for c in counts if c > 1}
    if not counts:
        return []
    n = "–".join(str(c) for c in sorted({min(counts), max(counts)}))
    return [Patch(facecolor="0.5", alpha=0.3, linewidth=0, label=f"min–max, n = {n}")]


def mark_handles(statuses: set[str]) -> list[Line2D]:
    """Legend entries for end points: filled (settled), open (not at its limit), cross (failed or diverged)."""
    look: dict[str, Any] = {"color": "0.25", "linestyle": "", "markersize": 3.4, "markeredgewidth": 0.9}
    out = []
    if statuses & {"converged", "overlap"}:
        label = "end" if "overlap" in statuses else "margin certified"
        out.append(Line2D([], [], marker="o", label=label, **look))
    if statuses & {"transient", "quasi-separable"}:
        out.append(Line2D([], [], marker="o", markerfacecolor="white", label="not certified", **look))
    if statuses & {"failed", "diverged"}:
        out.append(Line2D([], [], marker="x", label="failed / diverged", **look))
    if BELOW in statuses:
        out.append(Line2D([], [], marker="v", label="end: below", **look))
    return out


def visible(label: str) -> int:
    """About how many letters of a label are seen."""
    return len(re.sub(r"\$\\ell_(.)\$", r"l\1", str(label)).replace("\\", ""))


def legend_columns(labels: list[str], width: float) -> int:
    """How many columns of a legend the words leave room for, in a figure `width` inches wide."""
    longest = max((visible(label) for label in labels), default=1)
    return max(1, min(len(labels) or 1, int((width - 0.05) / (0.44 + 0.043 * longest))))


def legend_below(fig: Figure, handles: list, columns: int | None = None) -> None:
    """The legend outside, under all panels: never over data. Columns are as many as the words leave room for."""
    if not handles:
        return
    columns = columns or legend_columns([h.get_label() for h in handles], fig.get_figwidth())
    fig.legend(handles=handles, loc="outside lower center", ncols=columns)


def freeze(fig: Figure) -> None:
    """Lay the figure out once; drawing it for the screen, as PNG and as PDF then does not do it again."""
    if engine := fig.get_layout_engine():
        engine.execute(fig)
        fig.set_layout_engine(None)


def save(fig: Figure, stem: Path) -> None:
    """Write stem.png (300 dpi) and stem.pdf (fonts embedded) without dates, and close the figure."""
    from matplotlib import pyplot as plt

    freeze(fig)
    fig.savefig(stem.with_name(stem.name + ".png"), metadata={"Software": None})
    fig.savefig(stem.with_name(stem.name + ".pdf"), metadata=_UNDATED)
    plt.close(fig)


def book(path: Path) -> PdfPages:
    """A PDF of many figures, without dates; a context manager."""
    return PdfPages(path, metadata=_UNDATED)


def add(fig: Figure, pages: PdfPages) -> None:
    """The figure as the next page of a book; closes it."""
    from matplotlib import pyplot as plt

    freeze(fig)
    pages.savefig(fig)
    plt.close(fig)


def jitter(name: str, n: int, width: float) -> list[float]:
    """n offsets in ±width that belong to `name`: the same points in the same places every time."""
    digest = hashlib.sha256(name.encode()).digest()
    if n == 1:
        return [0.0]
    turn = digest[0] % n
    even = [width * (2 * i / (n - 1) - 1) for i in range(n)]
    return even[turn:] + even[:turn]
