"""Final angles and margins across seeds: a box and the points of every condition."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from mdcore.analysis.data.columns import USED, metric
from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.analysis.figures import style
from mdcore.analysis.figures.captions import NOT_UNIQUE, ambiguous_labels, end_words, unique_words
from mdcore.analysis.figures.panels import (
    Absent,
    Drawn,
    Group,
    Page,
    groups_of,
    legend_height,
    page_grid,
    pages_of,
    palette,
    row_names,
)

BOXES = {
    "final_angles_boxplot": (
        ("angle_max_margin", "lp max-margin"),
        ("angle_linear_md", "linear MD"),
        ("angle_svm", "SVM"),
        ("angle_logreg", "logistic regr."),
    ),
    "final_margins_boxplot": (
        ("margin_ratio", "margin / exact margin"),
        ("gap", "certified gap"),
        ("margin_l2", "l2 margin"),
        ("margin_lp", "lp margin"),
    ),
}
_MOST_ROWS = 18  # boxes in a panel


def _groups(results: Results, ids: set[str]) -> list[Group]:
    """Facets, potential by potential with its depths below one another, at most about _MOST_ROWS rows; only `ids`."""
    out = []
    for group in groups_of(results, lambda c: c.id in ids, _MOST_ROWS):
        order = list(dict.fromkeys(c.potential_key for c in group.conditions))
        out.append(Group(group.title, sorted(group.conditions, key=lambda c: (order.index(c.potential_key), c.depth))))
    return out


def _draw(ax: Axes, rows: pd.DataFrame, conditions: list[Condition], column: str, colour: dict) -> set[str]:
    """One panel: horizontal boxes, first condition on top. Returns the statuses of the points."""
    boxes, seen = [], set()
    for i, c in enumerate(conditions):
        if metric(column).deep and c.depth == 1:
            continue
        mine = rows[rows["condition_id"] == c.id]
        values, statuses = mine[column].to_numpy(float), mine["status"].to_numpy()
        good = np.isfinite(values) & mine["status"].isin(USED).to_numpy()
        if good.any():
            boxes.append((i, c, values[good], statuses[good]))
    many = [b for b in boxes if len(b[2]) > 1]
    if many:
        drawn = ax.boxplot(
            [v for _, _, v, _ in many],
            positions=[i for i, *_ in many],
            orientation="horizontal",
            widths=0.62,
            whis=(0, 100),
            patch_artist=True,
            manage_ticks=False,
            showcaps=False,
            medianprops={"color": "0.15", "linewidth": 0.9},
            whiskerprops={"linewidth": 0.8},
        )
        for k, (_, c, _, _) in enumerate(many):
            drawn["boxes"][k].set(facecolor=colour[c.potential_key], alpha=0.25, linewidth=0, zorder=1.5)
            for whisker in drawn["whiskers"][2 * k : 2 * k + 2]:
                whisker.set_color(colour[c.potential_key])
    for i, c, v, statuses in boxes:
        y = i + np.array(style.jitter(c.id, len(v), 0.17))
        full = np.isin(statuses, ("converged", "overlap"))
        for some, face in ((full, colour[c.potential_key]), (~full, "white")):
            if some.any():
                ax.plot(
                    v[some],
                    y[some],
                    "o",
                    color=colour[c.potential_key],
                    markersize=2.6,
                    markeredgewidth=0.7,
                    markerfacecolor=face,
                    zorder=3,
                )
        seen |= set(statuses)
    _axis(ax, np.concatenate([v for _, _, v, _ in boxes]) if boxes else np.array([]), column)
    return seen


def _axis(ax: Axes, v: np.ndarray, column: str) -> None:
    positive = v[v > 0]
    span = positive.max() / positive.min() if positive.size else 1.0
    if (column == "gap" or metric(column).unit == "degrees") and span >= 10:
        low, high = positive.min() / 1.6, positive.max() * 1.6
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(numticks=4))
        if span < 60:
            short = low >= 1e-2
            ticks = few_ticks(low, high, 3 if short else 2)
            ax.set_xticks(ticks, [f"{t:g}" if short else power(t) for t in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlim(low, high)
        return
    if v.size:  # points that agree to three digits lie on one line, and the ticks stay short
        middle, half = (v.max() + v.min()) / 2, (v.max() - v.min()) / 2
        if half < 1e-3 * abs(middle):
            ax.set_xlim(middle - 2e-3 * abs(middle), middle + 2e-3 * abs(middle))
    ax.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10], min_n_ticks=2))
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.margins(x=0.12)


def few_ticks(low: float, high: float, most: int) -> list[float]:
    """1 and 3 times powers of ten between low and high: at most `most` (2 or 3), those at the rim among them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside = [t for k in powers for t in (float(f"1e{k}"), float(f"3e{k}")) if low <= t <= high]
    if len(inside) <= most:
        return inside
    return [inside[0], *([inside[(len(inside) - 1) // 2]] if most > 2 else []), inside[-1]]


def power(x: float) -> str:
    """ "3e-5" as the words of a tick: short enough for a third of a column."""
    digit, exponent = f"{x:.0e}".split("e")
    return rf"$10^{{{int(exponent)}}}$" if digit == "1" else rf"${digit}\!\cdot\!10^{{{int(exponent)}}}$"


def boxplots(results: Results, master: pd.DataFrame, name: str) -> Iterator[Drawn | Absent]:
    """One page per facet (or part of one): two by two panels, a row for every condition that has a number."""
    used = master[master["status"].isin(USED)]
    depth_one = used["depth"].to_numpy() == 1
    has = {
        m: set(used.loc[np.isfinite(used[m].to_numpy(float)) & ~(depth_one & metric(m).deep), "condition_id"])
        for m, _ in BOXES[name]
    }
    groups = _groups(results, set().union(*has.values()))
    if not groups:
        yield Absent(name, "no cell has such a number")
    pages, beyond = pages_of(groups, 1, len(results.cells), name)
    for page in pages:
        yield _page(results, master, name, page, has)
    yield from beyond


def _page(results: Results, master: pd.DataFrame, name: str, page: Page, has: dict[str, set[str]]) -> Drawn:
    group, colour = page.groups[0], palette(results)
    ids = {c.id for c in group.conditions}
    panels = [(m, t) for m, t in BOXES[name] if has[m] & ids]
    wide = 2 if len(panels) > 1 else 1
    high = -(-len(panels) // wide)
    rows = master[master["condition_id"].isin(ids)]
    figure, axes = page_grid(high, wide, 0.52 + 0.135 * len(ids), 0.55 + legend_height([]))
    names = row_names(group.conditions)
    columns = [m for m, _ in panels]
    marks = {c.id: f" {NOT_UNIQUE}" for c in group.conditions if ambiguous_labels(results, [c], columns)}
    labels = [f"{style.words(names[c.potential_key])}, L={c.depth}{marks.get(c.id, '')}" for c in group.conditions]
    seen: set[str] = set()
    for i, (column, title) in enumerate(panels):
        ax = axes[i // wide][i % wide]
        seen |= _draw(ax, rows, group.conditions, column, colour)
        angle = metric(column).unit == "degrees"
        ax.set_title(("vs " if angle else "") + style.words(title))
        if angle:
            ax.set_xlabel("angle (degrees)")
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.set_yticks(range(len(labels)), labels if i % wide == 0 else [""] * len(labels), fontsize=6.5)
    for j in range(len(panels), high * wide):
        axes[j // wide][j % wide].set_visible(False)
    figure.suptitle(style.safe(group.title), fontsize=8)
    style.legend_below(figure, style.mark_handles(seen))
    caption = _caption(name, page, rows, [t for m, t in BOXES[name] if (m, t) not in panels])
    caption += unique_words(results, group.conditions, columns)
    alt = f"{name.replace('_', ' ')}, {group.title}"
    return Drawn(page.name(name), figure, "boxplots", caption, alt, page.album(name))


def _caption(name: str, page: Page, rows: pd.DataFrame, absent: list[str]) -> str:
    used = rows["status"].isin(USED)
    n = sorted(set(rows[used].groupby("condition_id").size()))
    lost = rows[~used]["status"].value_counts()
    many = str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"
    boxes = "box: quartiles, line: median, whiskers: full range" if n[-1] > 1 else "no boxes"
    return (
        f"{'Final angles' if 'angles' in name else 'Final margins'} across seeds ({page.groups[0].title}). Points are "
        f"single runs, n = {many} per condition; {boxes}.{end_words(set(rows[used]['status']), 'points')}"
        + (f" Not shown: {', '.join(f'{k} {s}' for s, k in sorted(lost.items()))}." if len(lost) else "")
        + (f" Not defined here: {', '.join(absent)}." if absent else "")
        + page.where()
    )
