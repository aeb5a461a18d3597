"""Decision boundaries in two dimensions: data, learned boundaries, the exact direction of each, the baselines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mdcore.analysis.data.columns import USED
from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.facets import Facet
from mdcore.analysis.data.results import Results
from mdcore.analysis.figures import style
from mdcore.analysis.figures.captions import NOT_UNIQUE, unique_words
from mdcore.analysis.figures.exact_picture import Picture, picture
from mdcore.analysis.figures.panels import Absent, Drawn, Group, pages_of, palette

_MOST_POINTS = 300


def _line(ax: Axes, w: np.ndarray, reach: float, **look) -> None:
    """The boundary {x: <w, x> = 0}, drawn through the whole panel."""
    direction = np.array([-w[1], w[0]]) / np.linalg.norm(w)
    ends = np.array([-direction, direction]) * reach * 1.5
    ax.plot(ends[:, 0], ends[:, 1], **look)


def _points(ax: Axes, shown: Picture, size: float) -> float:
    """The data; returns the half width of the square that holds it."""
    keep = np.arange(len(shown.y))
    if len(keep) > _MOST_POINTS:
        keep = np.random.default_rng(0).choice(keep, _MOST_POINTS, replace=False)
    for label, marker, colour in ((1, "o", "0.55"), (-1, "^", "0.25")):
        some = keep[shown.y[keep] == label]
        ax.plot(
            shown.X[some, 0],
            shown.X[some, 1],
            marker,
            color=colour,
            markersize=size,
            markeredgewidth=0.4,
            markerfacecolor="white" if label == 1 else colour,
            zorder=1,
            linestyle="",
        )
    if shown.support is not None:
        near = np.abs(np.abs(shown.X) - np.abs(shown.support)).sum(axis=1).argmin()
        ax.plot(*shown.X[near], "s", color="0.1", markerfacecolor="none", markersize=size + 3.2, markeredgewidth=0.8)
    reach = 1.06 * float(np.abs(shown.X[keep]).max())
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_aspect("equal")
    return reach


def _angle(u: np.ndarray, v: np.ndarray) -> float:
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))


def short_angle(degrees: float) -> str:
    """Two significant digits, no exponent: "0.021°", "14°"."""
    return f"{degrees:.0f}°" if degrees >= 10 else f"{float(f'{degrees:.2g}'):.10f}".rstrip("0").rstrip(".") + "°"


def _learned(results: Results, conditions: list[Condition], seed: int) -> list[tuple[Condition, np.ndarray, str]]:
    out = []
    for c in conditions:
        cell = c.cells.get(seed)
        w = results.predictors.get(cell or "")
        if cell and results.status[cell] in USED and w is not None and len(w) == 2 and np.isfinite(w).all() and w.any():
            out.append((c, w, results.status[cell]))
    return out


def _limit(results: Results, c: Condition, seed: int) -> float:
    return float(results.row[c.cells[seed]].get("limit_p", np.nan))


def _panel(ax: Axes, shown: Picture, learned, colour: dict, reach: float, ps: dict[str, float]) -> None:
    _line(ax, shown.svm, reach, color=style.BASELINES["svm"], linewidth=0.7, linestyle="-", zorder=1.6)
    _line(ax, shown.logreg, reach, color=style.BASELINES["logreg"], linewidth=0.9, linestyle=(0, (1, 1.4)), zorder=1.6)
    for key in dict.fromkeys(c.potential_key for c, _, _ in learned):
        if ps.get(key) in shown.max_margin:
            _line(
                ax,
                shown.max_margin[ps[key]],
                reach,
                color=colour[key],
                linewidth=5,
                alpha=0.25,
                zorder=1.8,
                solid_capstyle="butt",
            )
    for c, w, _ in learned:
        look = {**style.line_of(c.depth), "alpha": 1.0}
        look["linewidth"] = 1.3 if c.depth == 1 else 1.2
        # deeper ones lie on the linear one in a darker shade, so that agreement is seen as an interrupted line
        tone = colour[c.potential_key] if c.depth == 1 else style.darker(colour[c.potential_key])
        _line(ax, w, reach, color=tone, zorder=2 + 0.1 * c.depth, **look)


def draw(
    facet_title: str,
    shown: Picture,
    learned,
    palette_of: dict,
    limits: dict[str, float],
    seed: int,
    names: dict[str, str],
):
    """The figure: all boundaries above, each potential on its own below."""
    keys = list(dict.fromkeys(c.potential_key for c, _, _ in learned))
    rows = -(-len(keys) // 2) if len(keys) > 1 else 0
    legend_rows = 3 + -(-len(keys) // 3)
    figure = plt.figure(figsize=(style.COLUMN, 2.75 + 1.62 * rows + 0.16 * legend_rows), layout="constrained")
    grid = figure.add_gridspec(rows + 1, 2, height_ratios=[2.45] + [1.55] * rows)
    top = figure.add_subplot(grid[0, :])
    reach = _points(top, shown, 3.0)
    _panel(top, shown, learned, palette_of, reach, limits)
    top.set_title(style.safe(f"{facet_title}, seed {seed}"))
    top.set_xlabel("$x_1$", labelpad=1)
    top.set_ylabel("$x_2$", labelpad=0)
    off = {}
    for i, key in enumerate(keys if rows else []):
        ax = figure.add_subplot(grid[1 + i // 2, i % 2])
        mine = [(c, w, s) for c, w, s in learned if c.potential_key == key]
        _points(ax, shown, 1.6)
        _panel(ax, shown, mine, palette_of, reach, limits)
        off[key] = _off(shown, mine, limits)
        tail = f": {short_angle(off[key])} off" if np.isfinite(off[key]) else ""
        ax.set_title(style.words(names[key]) + tail, fontsize=7.5)
        ax.tick_params(labelsize=6.5)
    if not rows:
        off[keys[0]] = _off(shown, learned, limits)
    handles = [Line2D([], [], color=palette_of[k], linewidth=2.2, label=style.words(names[k])) for k in keys]
    for d in sorted({c.depth for c, _, _ in learned}):
        handles.append(
            Line2D(
                [],
                [],
                color="0.25",
                label=f"L = {d}" + (" (linear)" if d == 1 else ""),
                **{**style.line_of(d), "alpha": 1, "linewidth": 1.2},
            )
        )
    if any(limits.get(k) in shown.max_margin for k in keys):
        handles.append(Line2D([], [], color="0.5", alpha=0.35, linewidth=5, label=style.words("exact lp max-margin")))
    handles.append(Line2D([], [], color=style.BASELINES["svm"], linewidth=0.8, label=style.words(shown.svm_name)))
    handles.append(
        Line2D(
            [],
            [],
            color=style.BASELINES["logreg"],
            linewidth=0.9,
            linestyle=(0, (1, 1.4)),
            label=style.words(shown.logreg_name),
        )
    )
    style.legend_below(figure, handles, 2)
    return figure, off


def _off(shown: Picture, learned, limits: dict[str, float]) -> float:
    """Largest angle in degrees between a learned direction and its own exact one."""
    angles = [
        _angle(w, shown.max_margin[limits[c.potential_key]])
        for c, w, _ in learned
        if limits.get(c.potential_key) in shown.max_margin
    ]
    return max(angles, default=float("nan"))


def _facet(results: Results, facet: Facet) -> tuple[Picture, list, int, dict] | None:
    """Data, learned boundaries, seed and predicted exponents of a two-dimensional facet; None if it is not one."""
    seeds = sorted({s for c in facet.conditions for s in c.cells})
    for seed in seeds:
        learned = _learned(results, facet.conditions, seed)
        if learned:
            limits = {c.potential_key: _limit(results, c, seed) for c, _, _ in learned}
            ps = {p for p in limits.values() if np.isfinite(p) or p == np.inf}
            return picture(results, learned[0][0], seed, ps), learned, seed, limits
    return None


def decision_boundaries(results: Results) -> Iterator[Drawn | Absent]:
    """One page per two-dimensional facet, for its first seed with results."""
    colour, number, said, flat = palette(results), 0, [], []
    for facet in results.facets:
        cells = [i for c in facet.conditions for i in c.cells.values()]
        if any(len(results.predictors[i]) == 2 for i in cells if i in results.predictors):
            flat.append(facet)
    groups = [Group(f.title, f.conditions) for f in flat]
    pages, beyond = pages_of(groups, 1, len(results.cells), "decision_boundaries")
    for facet, page in zip(flat, pages, strict=False):  # those beyond the last page are in `beyond`
        try:
            found = _facet(results, facet)
        except (ValueError, KeyError, OSError) as error:
            said.append(Absent(f"decision_boundaries: {facet.title}", str(error)))
            continue
        if found is None:
            said.append(Absent(f"decision_boundaries: {facet.title}", "no cell of it came through"))
            continue
        number += 1
        shown, learned, seed, limits = found
        names = {c.potential_key: c.words for c, _, _ in learned}
        one_of = unique_words(results, [c for c, _, _ in learned], ["angle_max_margin"])
        names |= {c.potential_key: f"{c.words} {NOT_UNIQUE}" for c, _, _ in learned if results.ambiguous(c)}
        figure, off = draw(facet.title, shown, learned, colour, limits, seed, names)
        exact = [v for v in off.values() if np.isfinite(v)]
        lies = (
            f"Each boundary lies on its own exact lp max-margin direction (wide pale line) to within "
            f"{short_angle(max(exact))}."
            if exact
            else f"The data are {shown.separability}: there is no max-margin."
        )
        open_ = sorted({names[c.potential_key] for c, _, s in learned if s in ("transient", "quasi-separable")})
        waiting = f" Margin not certified yet: {', '.join(open_)}." if open_ else ""
        square = " Square: the planted support vector." if shown.support is not None else ""
        caption = (
            f"Decision boundaries through the origin, {facet.title}, seed {seed}; circles: y = +1, triangles: "
            f"y = −1.{square} {lies} Above all of them, below each potential alone, with its largest distance "
            f"from its own reference. Baselines: {shown.svm_name}; {shown.logreg_name}.{waiting}{one_of}"
        )
        name = "decision_boundaries"
        alt = f"Decision boundaries, {facet.title}"
        yield Drawn(page.name(name), figure, "boundaries", caption + page.where(), alt, page.album(name))
    if not number and not said:
        said.append(Absent("decision_boundaries", "no data set of this grid has two dimensions"))
    yield from said + beyond
