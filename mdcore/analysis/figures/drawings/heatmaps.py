"""Heatmaps potential × depth with the numbers in the cells: norm balance and layer alignment. Depth 1 is left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mdcore.analysis.data.columns import metric
from mdcore.analysis.data.results import Results
from mdcore.analysis.figures import style
from mdcore.analysis.figures.panels import Absent, Drawn, Group, Page, page_grid, pages_of, row_names, wrapped

HEATMAPS = {
    "norm_balance": (
        "norm_balance_heatmap",
        "Norm balance at the end: largest over smallest layer of the summed conjugate potential of the dual weights",
        "1 means that the layers are balanced.",
        "Blues",
        True,
    ),
    "layer_alignment": (
        "alignment_heatmap",
        "Alignment of adjacent layers at the end: mean absolute inner product "
        "of the right top singular vector of a layer and the left one of the layer below",
        "1 means that the layers are aligned.",
        "Greens",
        False,
    ),
}
_SHORT = {"missing": "not run", "failed": "failed", "diverged": "div."}


def _groups(results: Results) -> list[Group]:
    return [Group(f.title, deep) for f in results.facets if (deep := [c for c in f.conditions if c.depth > 1])]


def _cell_text(value: float, counts: dict[str, int]) -> str:
    if np.isfinite(value):
        return f"{value:.3f}" if value < 10 else f"{value:.3g}" if value < 1e3 else f"{value:.1e}".replace("e+0", "e")
    bad = max(_SHORT, key=lambda s: counts.get(s, 0))
    return _SHORT[bad] if counts.get(bad, 0) else "n/a"


def _draw(ax: Axes, group: Group, summary: pd.DataFrame, column: str, norm: Normalize, cmap: str):
    """One panel; returns the image. Hatched: the grid has no such condition."""
    keys = list(dict.fromkeys(c.potential_key for c in group.conditions))
    depths = sorted({c.depth for c in group.conditions})
    values = np.full((len(keys), len(depths)), np.nan)
    words = [["" for _ in depths] for _ in keys]
    for c in group.conditions:
        i, j = keys.index(c.potential_key), depths.index(c.depth)
        row = summary.loc[c.id]
        values[i, j] = row[f"{column}_mean"]
        words[i][j] = _cell_text(values[i, j], {s: int(row[f"n_{s}"]) for s in _SHORT})
        if row["n_transient"] > 0 and np.isfinite(values[i, j]):
            words[i][j] += "*"
    ax.set_facecolor("white")
    image = ax.imshow(np.ma.masked_invalid(values), norm=norm, cmap=cmap, aspect="auto")
    for i in range(len(keys)):
        for j in range(len(depths)):
            dark = np.isfinite(values[i, j]) and sum(image.cmap(norm(values[i, j]))[:3]) < 1.5
            if words[i][j]:
                ax.text(j, i, words[i][j], ha="center", va="center", fontsize=7, color="white" if dark else "0.1")
            else:
                ax.fill(
                    [j - 0.5, j + 0.5, j + 0.5, j - 0.5],
                    [i - 0.5, i - 0.5, i + 0.5, i + 0.5],
                    fill=False,
                    hatch="////",
                    edgecolor="0.75",
                    linewidth=0,
                )
    names = row_names(group.conditions)
    ax.set_xticks(range(len(depths)), [str(d) for d in depths])
    ax.set_yticks(range(len(keys)), [style.words(names[k]) for k in keys])
    ax.set_title(wrapped(group.title, 36))
    ax.grid(False)
    ax.tick_params(length=0)
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)
    return image


def _norm(values: np.ndarray, log: bool) -> Normalize:
    """One colour scale for all pages: 1 is its good end."""
    values = values[np.isfinite(values)]
    if log:
        return LogNorm(1.0, max(float(values.max()), 1.1))
    return Normalize(min(float(values.min()), 0.95), 1.0)


def heatmaps(results: Results, summary: pd.DataFrame, column: str) -> Iterator[Drawn | Absent]:
    """All pages of one heatmap; an Absent where no deep condition has a number."""
    name, _, _, _, log = HEATMAPS[column]
    summary = summary.set_index("condition_id")
    groups = _groups(results)
    if not groups:
        yield Absent(name, "the grid has no depth above 1")
        return
    full = [g for g in groups if any(np.isfinite(summary.loc[c.id, f"{column}_mean"]) for c in g.conditions)]
    if not full:
        yield Absent(name, "no deep cell has a number: all failed, diverged or have not run")
        return
    ids = [c.id for g in full for c in g.conditions]
    norm = _norm(summary.loc[ids, f"{column}_mean"].to_numpy(float), log)
    most = max(len({c.potential_key for c in g.conditions}) for g in full)
    pages, beyond = pages_of(full, max(1, min(4, 24 // most)), len(results.cells), name)
    for page in pages:
        yield _page(results, page, summary, column, norm, most)
    yield from beyond
    skipped = [g.title for g in groups if g not in full]
    if skipped:
        yield Absent(
            f"{name}: {', '.join(skipped[:6])}" + (" …" if len(skipped) > 6 else ""), "no deep cell has a number there"
        )


def apart(most: float) -> list[float]:
    """Round ticks from 1 to `most` for a logarithmic bar, at least a seventh of it from each other."""
    chosen = [1.0]
    for t in (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, *(m * 10.0**k for k in range(1, 13) for m in (1, 3))):
        if t <= most and np.log(t / chosen[-1]) >= np.log(most) / 7:
            chosen.append(t)
    return chosen


def _page(results: Results, page: Page, summary: pd.DataFrame, column: str, norm: Normalize, most: int) -> Drawn:
    name, what, see, cmap, _ = HEATMAPS[column]
    rows = len(page.groups)
    figure, axes = page_grid(rows, 1, 0.42 + 0.2 * most, 0.75)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=0.06)  # room for the longest name beside a bar that is laid out last
    drawn = [_draw(r[0], group, summary, column, norm, cmap) for r, group in zip(axes, page.groups, strict=True)]
    axes[-1][0].set_xlabel("depth L")
    # a little more air for a two-line label below the bar
    bar = figure.colorbar(drawn[-1], ax=[r[0] for r in axes], location="bottom", aspect=40, pad=0.02, fraction=0.06)
    bar.set_label(metric(column).title, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.ax.minorticks_off()
    if isinstance(norm, LogNorm):
        chosen = apart(norm.vmax or 1.0)
        bar.set_ticks(chosen, labels=[f"{t:g}" if t < 1e4 else f"{t:.0e}".replace("e+0", "e") for t in chosen])
    ns = {int(summary.loc[c.id, f"{column}_n"]) for g in page.groups for c in g.conditions} - {0}
    n = f"n = {min(ns)}" if len(ns) == 1 else f"n = {min(ns)} to {max(ns)}"
    over = f"the mean over {n} seeds" if ns != {1} else "one seed"
    text = "".join(["*" for g in page.groups for c in g.conditions if summary.loc[c.id, "n_transient"] > 0][:1])
    star = " *: the margin of some cells is not certified." if text else ""
    lost = {s for g in page.groups for c in g.conditions for s in _SHORT if summary.loc[c.id, f"n_{s}"] > 0}
    tail = f" Cells that {', '.join(sorted(lost))} are in no mean.".replace("missing", "are missing") if lost else ""
    caption = (
        f"{what}. {see} Numbers are {over}; hatched: not in the grid; depth 1 has one layer and is left out."
        f"{star}{tail} ({'; '.join(g.title for g in page.groups)}).{page.where()}"
    )
    return Drawn(page.name(name), figure, "heatmaps", caption, what, page.album(name))
