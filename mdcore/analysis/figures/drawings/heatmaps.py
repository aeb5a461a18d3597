"""Heatmaps potential × depth with the numbers in the cells: norm balance and layer alignment. Depth 1 is left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from mdcore.analysis.figures import style
from mdcore.analysis.figures.axes import scale, set_axis
from mdcore.analysis.figures.layout import Group, Margins, Page, brief, even_parts, label, pages_of, panel_grid, wrapped
from mdcore.analysis.figures.registry import Absent, Drawn, figure
from mdcore.analysis.figures.study import Study
from mdcore.store.columns import metric

ROW = 0.17  # inches
_LOST = {"missing": "not run", "failed": "failed", "diverged": "div."}


@figure("norm_balance_heatmap", section="Layers and hidden neurons")
def norm_balance(study: Study) -> Iterator[Drawn | Absent]:
    """Largest over smallest layer of Σφ*(Z_l) at the end; 1 is balanced."""
    what = "Norm balance at the end (1: balanced): the largest over the smallest layer, by their conjugate potentials"
    yield from _draw(study, "norm_balance_heatmap", "norm_balance", what, "Blues")


@figure("alignment_heatmap", section="Layers and hidden neurons")
def alignment(study: Study) -> Iterator[Drawn | Absent]:
    """Mean over adjacent layers of |⟨v_{l+1}, u_l⟩| at the end; 1 is aligned."""
    what = (
        "Alignment of adjacent layers at the end (1: aligned): the mean |inner product| of their top singular vectors"
    )
    yield from _draw(study, "alignment_heatmap", "layer_alignment", what, "Greens")


def _draw(study: Study, name: str, column: str, what: str, cmap: str) -> Iterator[Drawn | Absent]:
    """All pages of one heatmap; an Absent where no deep condition has a number."""
    summary = study.summary.set_index("condition_id")
    groups = [Group(f.title, deep) for f in study.facets if (deep := [c for c in f.conditions if c.depth > 1])]
    if len({c.depth for g in groups for c in g.conditions}) < 2:
        some = "one depth above 1; its numbers are in the tables" if groups else "no depth above 1"
        yield Absent(name, f"the grid has {some}")
        return
    full = [g for g in groups if np.isfinite(summary.loc[[c.id for c in g.conditions], f"{column}_mean"]).any()]
    if not full:
        yield Absent(name, "no deep cell has a number: all failed, diverged or have not run")
        return
    values = summary.loc[[c.id for g in full for c in g.conditions], f"{column}_mean"].to_numpy(float)
    low, high = scale(column).limits(values) if scale(column).log else (0.0, 1.0)
    norm = LogNorm(low, high) if scale(column).log else Normalize(low, high)
    potentials = max(len({c.potential_key for c in g.conditions}) for g in full)
    depths = max(len({c.depth for c in g.conditions}) for g in full)
    width = study.width()
    across = max(1, int((width - 1.2) / max(0.9, 0.42 * depths)))
    down = max(1, int((style.HEIGHT - 0.9) / (ROW * potentials + 0.42)))
    chunks = even_parts(full, min(across, len(full)) * down)
    pages, beyond = pages_of(chunks, lambda c: [g.title for g in c], len(study.results.cells), name)
    for page in pages:
        yield _page(study, page, name, column, (what, cmap, norm), min(across, len(page.content)))
    yield from beyond
    if skipped := [g.title for g in groups if g not in full]:
        yield Absent(f"{name}: {brief(skipped)}", "no deep cell has a number there")


def _page(study: Study, page: Page, name: str, column: str, look: tuple, across: int) -> Drawn:
    what, cmap, norm = look
    groups, summary = page.content, study.summary.set_index("condition_id")
    while len(groups) % across:  # no hole in the last row
        across -= 1
    ids = [c.id for g in groups for c in g.conditions]
    present = [k for k in study.names if any(c.potential_key == k for g in groups for c in g.conditions)]
    depths = sorted({c.depth for g in groups for c in g.conditions})
    down, width = len(groups) // across, study.width()
    left = 0.14 + max(style.inches(study.names[k]) for k in present)
    each = (width - left - 0.1) / across
    titles = [wrapped(g.title, each - 0.1) for g in groups]
    top = 0.08 + 0.14 * max(t.count("\n") + 1 for t in titles)
    margins = Margins(left, 0.1, top, 0.86, 0.1, top + 0.02)
    fig, axes = panel_grid(down, across, (width, ROW * len(present)), margins)
    for ax, group, title in zip(axes.flat, groups, titles, strict=True):
        _panel(ax, study, group, summary, column, (present, depths, cmap, norm))
        label(ax, title=title)
    for ax in axes[-1]:
        label(ax, x="depth L")
    height = fig.get_figheight()
    bar_axes = fig.add_axes((left / width, 0.38 / height, 1 - (left + 0.1) / width, 0.08 / height))
    bar = fig.colorbar(plt.cm.ScalarMappable(norm, cmap), cax=bar_axes, orientation="horizontal")
    bar.set_label(metric(column).title)
    if scale(column).log:
        set_axis(bar.ax.xaxis, scale(column), (norm.vmin, norm.vmax))
        bar.ax.set_xlim(norm.vmin, norm.vmax)
    bar.ax.grid(False)
    ns = {int(k) for k in summary.loc[ids, f"{column}_n"]} - {0}
    over = (
        "one seed" if ns == {1} else f"the mean over n = {'–'.join(str(k) for k in sorted({min(ns), max(ns)}))} seeds"
    )
    star = ["*: the margin of some runs is not certified."] * bool((summary.loc[ids, "n_transient"] > 0).any())
    lost = [s for s in _LOST if (summary.loc[ids, f"n_{s}"] > 0).any()]
    tail = [f"Runs that {' or '.join(lost).replace('missing', 'are missing')} are in no mean."] * bool(lost)
    there = {(g.title, c.potential_key, c.depth) for g in groups for c in g.conditions}
    hatched = ["Hatched: not in the grid."] * (len(there) < len(groups) * len(present) * len(depths))
    caption = f"{what}. Numbers are {over}.{page.where(g.title for g in groups)}"
    alt = f"{what.split(' (')[0]}: {', '.join(g.title for g in groups)}"
    return Drawn(page.name(name), fig, caption, alt, [*hatched, *star, *tail], page.album(name))


def _panel(ax: Axes, study: Study, group: Group, summary: pd.DataFrame, column: str, look: tuple) -> None:
    """One panel. Hatched: the grid has no such condition."""
    import seaborn as sns  # here: the import takes a second

    present, depths, cmap, norm = look
    values = pd.DataFrame(np.nan, present, depths)
    words = pd.DataFrame("", present, depths)
    for c in group.conditions:
        row = summary.loc[c.id]
        mean = row[f"{column}_mean"]
        text = cell_text(mean) if np.isfinite(mean) else next((w for s, w in _LOST.items() if row[f"n_{s}"] > 0), "n/a")
        values.loc[c.potential_key, c.depth] = mean
        words.loc[c.potential_key, c.depth] = text + ("*" if row["n_transient"] > 0 and np.isfinite(mean) else "")
    ax.patch.set(facecolor="white")
    size = plt.rcParams["xtick.labelsize"]
    sns.heatmap(values, ax=ax, norm=norm, cmap=cmap, cbar=False, annot=False)
    for (i, j), text in np.ndenumerate(words.to_numpy()):
        value = values.iat[i, j]
        dark = np.isfinite(value) and sum(plt.get_cmap(cmap)(norm(value))[:3]) < 1.5
        if text:
            ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=size, color="white" if dark else "0.1")
        else:
            ax.fill_between([j, j + 1], i, i + 1, facecolor="none", hatch="////", edgecolor="0.75", linewidth=0)
    ax.set_yticks(np.arange(len(present)) + 0.5, [study.names[k] for k in present], rotation=0)
    ax.set_xticks(np.arange(len(depths)) + 0.5, [str(d) for d in depths])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.set(xlabel="", ylabel="")
    for side in ax.spines.values():
        side.set_visible(True)


def cell_text(value: float) -> str:
    """A number of a cell, in at most six letters: "1.023", "95.4", "6.4e7"."""
    if value < 999.5:
        return f"{value:.3f}" if value < 9.9995 else f"{value:.3g}"
    return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
