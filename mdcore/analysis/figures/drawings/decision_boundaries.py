"""Decision boundaries in two dimensions: data, learned boundaries, the exact direction of each, the baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.facets import Facet
from mdcore.analysis.figures import style
from mdcore.analysis.figures.captions import NOT_UNIQUE, unique_notes
from mdcore.analysis.figures.layout import (
    Margins,
    Page,
    even_parts,
    label,
    pages_of,
    panel_grid,
    potential_handles,
    wrapped,
)
from mdcore.analysis.figures.planar_data import PlanarData, planar_data
from mdcore.analysis.figures.registry import Absent, Drawn, figure
from mdcore.analysis.figures.study import Study
from mdcore.analysis.tables.numbers import angle_at_most
from mdcore.problems.proofs.directions import angle
from mdcore.store.columns import USED

_MOST_POINTS = 300
_DOTTED = (0, (1, 1.4))


@dataclass
class Boundaries:
    """What one figure shows: data with references, (condition, w, status) of each run, p of each potential's limit."""

    title: str
    data: PlanarData
    learned: list[tuple[Condition, np.ndarray, str]]
    limits: dict[str, float]

    @property
    def keys(self) -> list[str]:
        return list(dict.fromkeys(c.potential_key for c, _, _ in self.learned))

    def of(self, key: str) -> list[tuple[Condition, np.ndarray, str]]:
        return [one for one in self.learned if one[0].potential_key == key]

    def exact(self, key: str) -> np.ndarray | None:
        """The max-margin direction that a potential is predicted to go to."""
        return self.data.max_margin.get(self.limits.get(key, np.nan))

    def off(self, key: str) -> float:
        """Largest angle in degrees between a learned direction of a potential and its own exact one; NaN without."""
        exact = self.exact(key)
        return float("nan") if exact is None else max(angle(w, exact) for _, w, _ in self.of(key))


def short_angle(degrees: float) -> str:
    """At most two significant digits, no exponent: "14°", "0.021°", "< 0.01°"."""
    if degrees < 0.01:
        return "< 0.01°"
    return f"{degrees:.0f}°" if degrees >= 10 else f"{float(f'{degrees:.2g}'):g}°"


def boundaries(study: Study, facet: Facet) -> Boundaries | None:
    """The first seed of a two-dimensional facet with results; None where no cell came through.

    Raises ValueError, KeyError or OSError when its data cannot be read back.
    """
    results = study.results
    for seed in sorted({s for c in facet.conditions for s in c.cells}):
        learned = []
        for c in facet.conditions:
            cell = c.cells.get(seed)
            w = results.predictors.get(cell)
            if cell and results.status[cell] in USED and w is not None and np.isfinite(w).all() and w.any():
                learned.append((c, w, results.status[cell]))
        if learned:
            rows = {c.potential_key: results.row[c.cells[seed]] for c, _, _ in learned}
            limits = {key: float(row.get("limit_p", np.nan)) for key, row in rows.items()}
            ps = {p for p in limits.values() if not np.isnan(p)}
            data = planar_data(results, learned[0][0], seed, ps)
            return Boundaries(f"{facet.title}, seed {seed}", data, learned, limits)
    return None


@figure("decision_boundaries", section="Decision boundaries")
def decision_boundaries(study: Study) -> Iterator[Drawn | Absent]:
    """For each two-dimensional facet all boundaries together, then each potential's own."""
    predictors = study.results.predictors
    flat = [
        f
        for f in study.facets
        if any(len(predictors[i]) == 2 for c in f.conditions for i in c.cells.values() if i in predictors)
    ]
    if not flat:
        yield Absent("decision_boundaries", "no data set of this grid has two dimensions")
    chunks = [[f] for f in flat]
    pages, beyond = pages_of(chunks, lambda c: [c[0].title], len(study.results.cells), "decision_boundaries")
    for page in pages:
        facet = page.content[0]
        try:
            shown = boundaries(study, facet)
        except (ValueError, KeyError, OSError) as error:
            yield Absent(f"decision_boundaries: {facet.title}", str(error))
            continue
        if shown is None:
            yield Absent(f"decision_boundaries: {facet.title}", "no cell of it came through")
            continue
        yield _drawn(study, page, "decision_boundaries", draw_together(study, shown), shown)
        parts = even_parts(shown.keys, 6) if len(shown.keys) > 1 else []
        if any(len(part) == 5 for part in parts):  # two or three, or two by two, or three by two
            parts = even_parts(shown.keys, 4)
        for i, keys in enumerate(parts):
            name = "decision_boundaries_by_potential" + (f"_part{i + 1}" if i else "")
            yield _drawn(study, page, name, draw_each(study, shown, keys), shown)
    yield from beyond


def _drawn(study: Study, page: Page, name: str, fig: plt.Figure, shown: Boundaries) -> Drawn:
    together = name == "decision_boundaries"
    off = [v for key in shown.keys if np.isfinite(v := shown.off(key))]
    lies = (
        f"Each lies within {angle_at_most(max(0.01, *off))} of its potential's exact lp max-margin direction, the wide "
        "pale line."
        if off
        else f"The data are {shown.data.separability}: there is no max-margin."
    )
    waiting = sorted(
        {study.names[c.potential_key] for c, _, s in shown.learned if s in ("transient", "quasi-separable")}
    )
    caption = (
        f"Learned decision boundaries, {shown.title}{'' if together else ', potential by potential'}. {lies}"
        + (f" Margin not certified: {', '.join(waiting)}." if waiting else "")
        + page.where([shown.title])
    )
    notes = ["In the plane of the data, circles: y = +1; triangles: y = −1."]
    notes += ["Square: the planted support vector."] * (shown.data.support is not None)
    notes += ["Above each panel: the largest angle between a potential's boundaries and its reference."] * (
        not together
    )
    notes += unique_notes(study.results, [c for c, _, _ in shown.learned], ["angle_max_margin"])
    return Drawn(page.name(name), fig, caption, f"Decision boundaries, {shown.title}", notes, page.album(name))


def draw_together(study: Study, shown: Boundaries) -> plt.Figure:
    """All boundaries in one panel; the mark of a potential is at the ends of its boundaries."""
    conditions = [c for c, _, _ in shown.learned]
    marks = {c.potential_key: f" {NOT_UNIQUE}" for c in conditions if study.results.ambiguous(c)}
    handles = potential_handles(study, conditions, marks) + _handles(shown)
    width = study.width()
    margins = Margins(0.5, 0.08, 0.2, 0.3 + style.legend_shape(handles, width)[1])
    high = min(2.4, style.HEIGHT - margins.top - margins.bottom)
    fig, axes = panel_grid(1, 1, (width, high), margins)
    ax = axes[0][0]
    _points(ax, shown.data, 3.0, (width - margins.left - margins.right) / high)
    for key in shown.keys:
        _lines(ax, study, shown, key)
    _baselines(ax, shown.data)
    label(ax, style.words(shown.title), "first coordinate", "second coordinate")
    style.legend_below(fig, handles)
    return fig


def draw_each(study: Study, shown: Boundaries, keys: list[str]) -> plt.Figure:
    """A panel a potential."""
    handles, width = _handles(shown), study.width()
    across = 2 if len(keys) == 4 else min(3, len(keys))
    down = len(keys) // across
    each = (width - 0.5) / across - 0.1
    off = [f"\n{short_angle(v)}" if np.isfinite(v := shown.off(k)) else "" for k in keys]
    titles = [wrapped(study.names[k], each, 2) + angle for k, angle in zip(keys, off, strict=True)]
    top = 0.08 + 0.14 * max(t.count("\n") + 1 for t in titles)
    margins = Margins(0.5, 0.08, top, 0.3 + style.legend_shape(handles, width)[1], 0.1, top + 0.02)
    high = min(1.1, (style.HEIGHT - margins.top - margins.bottom - (down - 1) * margins.down) / down)
    fig, axes = panel_grid(down, across, (width, high), margins)
    for ax, key, title in zip(axes.flat, keys, titles, strict=True):
        _points(ax, shown.data, 1.6, each / high)
        _lines(ax, study, shown, key)
        _baselines(ax, shown.data)
        label(ax, title=title)
    size = plt.rcParams["legend.fontsize"]
    fig.supxlabel("first coordinate", y=(margins.bottom - 0.3) / fig.get_figheight(), va="bottom", fontsize=size)
    fig.supylabel("second coordinate", x=0.01, fontsize=size)
    style.legend_below(fig, handles)
    return fig


def _points(ax: Axes, data: PlanarData, size: float, aspect: float) -> None:
    """The data, which set the limits of the panel."""
    keep = np.arange(len(data.y))
    if len(keep) > _MOST_POINTS:
        keep = np.random.default_rng(0).choice(keep, _MOST_POINTS, replace=False)
    if data.support is not None:
        near = np.abs(np.abs(data.X) - np.abs(data.support)).sum(axis=1).argmin()
        keep = np.union1d(keep, near)
        look = {"markerfacecolor": "none", "markersize": size + 3.2, "markeredgewidth": 0.8}
        ax.plot(*data.X[near], "s", color="0.1", **look)
    for side, marker, colour in ((1, "o", "0.55"), (-1, "^", "0.25")):
        some = keep[data.y[keep] == side]
        face = "white" if side == 1 else colour
        look = {"markersize": size, "markeredgewidth": 0.4, "markerfacecolor": face, "zorder": 1, "linestyle": ""}
        ax.plot(data.X[some, 0], data.X[some, 1], marker, color=colour, **look)
    reach = 1.06 * float(max(np.abs(data.X[keep, 1]).max(), np.abs(data.X[keep, 0]).max() / aspect))
    ax.set_xlim(-reach * aspect, reach * aspect)
    ax.set_ylim(-reach, reach)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _line(ax: Axes, w: np.ndarray, **look) -> None:
    """The boundary {x: <w, x> = 0}, drawn through the whole panel."""
    end = np.array([-w[1], w[0]]) / np.linalg.norm(w) * np.hypot(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot([-end[0], end[0]], [-end[1], end[1]], **look)


def _lines(ax: Axes, study: Study, shown: Boundaries, key: str) -> None:
    """The boundaries of one potential, on its exact one."""
    colour = study.colours[key]
    exact = shown.exact(key)
    if exact is not None:
        _line(ax, exact, color=colour, linewidth=5, alpha=0.25, zorder=1.8, solid_capstyle="butt")
    for c, w, _ in shown.of(key):
        look = style.line_of(c.depth) | {"alpha": 1.0, "linewidth": 1.3 if c.depth == 1 else 1.2}
        # deeper ones lie on the linear one in a darker shade, so that agreement is seen as an interrupted line
        tone = colour if c.depth == 1 else style.darker(colour)
        _line(ax, w, color=tone, zorder=2 + 0.1 * c.depth, **look)
    right, up = ax.get_xlim()[1], ax.get_ylim()[1]
    direction = np.array([-w[1], w[0]])
    end = direction * 0.93 * min(right / max(abs(direction[0]), 1e-300), up / max(abs(direction[1]), 1e-300))
    look = {"markersize": 4, "markeredgecolor": "white", "markeredgewidth": 0.4, "linestyle": "", "zorder": 5}
    ax.plot([-end[0], end[0]], [-end[1], end[1]], study.markers[key], color=colour, **look)


def _baselines(ax: Axes, data: PlanarData) -> None:
    _line(ax, data.svm, color=style.BASELINES["svm"], linewidth=0.7, zorder=1.6)
    _line(ax, data.logreg, color=style.BASELINES["logreg"], linewidth=0.9, linestyle=_DOTTED, zorder=1.6)


def _handles(shown: Boundaries) -> list[Line2D]:
    """Legend entries of depths, exact directions and baselines."""
    out = style.depth_handles(sorted({c.depth for c, _, _ in shown.learned}))
    for handle in out:
        handle.set(alpha=1.0, linewidth=1.2)
    if any(shown.exact(key) is not None for key in shown.keys):
        label = style.words("exact lp max-margin")
        out.append(Line2D([], [], color="0.5", alpha=0.35, linewidth=5, label=label, solid_capstyle="butt"))
    svm, logreg = style.BASELINES["svm"], style.BASELINES["logreg"]
    out.append(Line2D([], [], color=svm, linewidth=0.8, label=style.words(shown.data.svm_name)))
    name = style.words(shown.data.logreg_name)
    return [*out, Line2D([], [], color=logreg, linewidth=0.9, linestyle=_DOTTED, label=name)]
