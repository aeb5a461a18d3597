"""Curves against epochs and against log(1/R): angles, margins, gaps, layer structure."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from mdcore.analysis import style
from mdcore.analysis.columns import metric
from mdcore.analysis.conditions import Condition
from mdcore.analysis.curves import AXES, band, seeds_text
from mdcore.analysis.panels import (
    Absent, Drawn, Group, Page, groups_of, legend_height, names_and_depths, page_grid, pages_of, palette, say, wrapped)
from mdcore.analysis.results import Results


@dataclass(frozen=True)
class Family:
    """One kind of figure: its name, what it shows, (metric, short panel title) rows, and what to see in it."""

    name: str
    what: str
    rows: tuple[tuple[str, str], ...]
    see: str
    log: bool = True
    target: tuple[float, str] | None = None
    deep_only: bool = False


FAMILIES = {
    "angles": Family(
        "angles", "Angle of the learned predictor to",
        (("angle_linear_md", "linear MD"), ("angle_max_margin", "lp max-margin"), ("angle_svm", "SVM"),
         ("angle_logreg", "logistic regression")),
        "A curve that falls along a straight line in these logarithmic axes goes on towards its reference; one that "
        "levels off has another limit."),
    "margins": Family(
        "margins", "Margin as a share of the exact optimum", (("margin_ratio", "margin / exact margin"),),
        "1 is the exact lp max-margin; below 0 some training point is misclassified.", log=False,
        target=(1.0, "exact optimum")),
    "gap": Family(
        "gap", "Certified gap", (("gap", "certified gap"),),
        "The gap bounds, without any solver, how much margin is still missing; at or below 1 % a cell counts as "
        "converged.", target=(0.01, "1 %")),
    "structure": Family(
        "structure", "Layers and hidden neurons of the deep networks",
        (("layer_alignment", "layer alignment"), ("stable_rank", "stable rank"),
         ("participation", "participating neurons"), ("balance_drift", "drift of invariant")),
        "Alignment 1 and stable rank 1: the layers have become rank one and aligned. The drift is what finite steps "
        "add to a quantity that the flow conserves.", log=False, deep_only=True),
}


def _scale(ax: Axes, values: np.ndarray, log: bool, target: float | None) -> None:
    """Logarithmic where the values span a decade or more; limits that no single spike decides."""
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if log and positive.size and positive.max() / positive.min() >= 10:
        top = max(positive.max(), target or 0)
        low = min(max(positive.min(), top * 1e-6), target or np.inf)
        ax.set_yscale("log")
        ax.set_ylim(low / 1.4, top * 1.6)
        few = top / low < 60  # less than two decades: 10^k alone would label one or two ticks
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if few else LogLocator(numticks=5))
        if few:
            ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        return
    if values.size:
        low, high = values.min(), max(values.max(), target if target is not None else -np.inf)
        if target == 1.0:
            low, high = max(low, -0.35), max(1.0, min(high, 1.05))
        pad = 0.06 * (high - low) or 0.05 * (abs(high) or 1.0)
        ax.set_ylim(low - pad, high + pad)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.ticklabel_format(axis="y", scilimits=(-3, 4))


def _time_axis(ax: Axes, x: np.ndarray) -> None:
    x = x[np.isfinite(x) & (x > 0)]
    if not x.size:
        return
    ax.set_xscale("log" if x.max() / x.min() >= 10 else "linear")
    if ax.get_xscale() == "log":
        ax.xaxis.set_major_locator(LogLocator(numticks=5))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4))


def draw_panel(ax: Axes, results: Results, conditions: list[Condition], x: str, column: str, colour: dict,
               log: bool, target: float | None = None) -> tuple[set[int], set[str]]:
    """Curves of `conditions` into one panel. Returns (numbers of seeds, statuses of the end points)."""
    counts, seen, everything, times = set(), set(), [], []
    for c in sorted(conditions, key=lambda c: c.depth):
        b = band(results, c, x, column)
        if b.empty:
            continue
        counts.add(b.n)
        look = {"color": colour[c.label], "zorder": 2 + 0.1 * c.depth}
        line = style.line_of(c.depth)
        if b.x.size:
            ax.plot(b.x, b.mean, **look, **line)
            if b.n > 1:
                ax.fill_between(b.x, b.low, b.high, color=colour[c.label], alpha=0.16, linewidth=0, zorder=1.5)
            everything += [b.low, b.high]
            times.append(b.x)
        for tx, ty in b.tails:
            ax.plot(tx, ty, **look, **{**line, "linewidth": 0.6, "alpha": 0.8})
            everything.append(ty)
            times.append(tx)
        for lx, ly in b.lost:
            ax.plot(lx, ly, **look, linewidth=0.6, linestyle=line["linestyle"])
            everything.append(ly)
            times.append(lx)
        for ex, ey, status in _ends(b):
            mark = {"converged": ("o", colour[c.label]), "overlap": ("o", colour[c.label]),
                    "transient": ("o", "white")}.get(status, ("o", "white"))
            if status in ("failed", "diverged"):
                ax.plot([ex], [ey], marker="x", color=colour[c.label], markersize=4, linestyle="", zorder=5)
            else:
                ax.plot([ex], [ey], marker=mark[0], markerfacecolor=mark[1], markeredgecolor=colour[c.label],
                        markersize=3.2, markeredgewidth=0.9, linestyle="", zorder=5)
            seen.add(status)
    if everything:
        _scale(ax, np.concatenate(everything), log, target)
        _time_axis(ax, np.concatenate(times))
    return counts, seen


def _ends(b) -> list[tuple[float, float, str]]:
    """End points to mark: one at the mean's end when all seeds end there, each seed's own otherwise."""
    good = [e for e in b.ends if e[2] not in ("failed", "diverged")]
    bad = [e for e in b.ends if e[2] in ("failed", "diverged")]
    if b.x.size and good and all(np.isclose(e[0], b.x[-1]) for e in good):
        statuses = {e[2] for e in good}
        worst = next((s for s in ("transient", "quasi-separable", "overlap") if s in statuses), "converged")
        good = [(float(b.x[-1]), float(b.mean[-1]), worst)]
    return good + bad


def _why_empty(results: Results, conditions: list[Condition], column: str) -> str:
    statuses = {results.status[c] for condition in conditions for c in condition.cells.values()}
    rows = [results.row.get(c, {}) for condition in conditions for c in condition.cells.values()]
    verdicts = {r.get("separability") for r in rows} - {"", None}
    if metric(column).separable and verdicts and "separable" not in verdicts:
        return f"the data are {' and '.join(sorted(verdicts))}: there is no max-margin"
    if metric(column).deep and all(c.depth == 1 for c in conditions):
        return "no deep network here"
    if statuses <= {"missing"}:
        return "not run yet"
    if statuses <= {"failed", "diverged", "missing"}:
        return "no cell came through: " + ", ".join(sorted(statuses))
    return "not measured here"


def _has(results: Results, conditions: list[Condition], column: str) -> bool:
    cells = [i for c in conditions if not (metric(column).deep and c.depth == 1) for i in c.cells.values()]
    return any(np.isfinite(results.curves.get(i, column)).any() for i in cells)


def _end_words(statuses: set[str]) -> str:
    words = []
    if statuses & {"converged", "overlap"}:
        words.append("filled end points have converged" + (" (or data that overlap, where nothing is certified)"
                                                           if "overlap" in statuses else ""))
    if statuses & {"transient", "quasi-separable"}:
        words.append("open end points have not converged and show no limit")
    if statuses & {"failed", "diverged"}:
        words.append("thin lines with a cross failed or diverged and are in no mean")
    text = "; ".join(words)
    return f" {text[0].upper()}{text[1:]}." if text else ""


def draw_page(results: Results, family: Family, page: Page, x: str) -> Drawn | None:
    """One page: columns are groups and rows metrics; a single group, or a single metric, fills a grid of two columns."""
    colour = palette(results)
    rows = [(m, title) for m, title in family.rows if any(_has(results, g.conditions, m) for g in page.groups)]
    if not rows:
        return None
    side_by_side = len(page.groups) > 1 and len(rows) > 1
    spots = [(g, m, t) for m, t in rows for g in page.groups]
    columns = 2 if len(spots) > 1 else 1
    height = -(-len(spots) // columns)
    everyone = [c for g in page.groups for c in g.conditions if not (family.deep_only and c.depth == 1)]
    names, depths = names_and_depths(results, everyone)
    base = style.legend_handles(names, colour, depths)
    figure, axes = page_grid(height, columns, 1.12 if columns == 2 else 1.75, 0.6 + legend_height(base + [base[0]] * 2))
    counts, seen = set(), set()
    for i, (group, column, title) in enumerate(spots):
        title = style.words(title)
        ax = axes[i // columns][i % columns]
        some = [c for c in group.conditions if not ((metric(column).deep or family.deep_only) and c.depth == 1)]
        if _has(results, some, column):
            target = family.target[0] if family.target else None
            n, s = draw_panel(ax, results, some, x, column, colour, family.log or column == "balance_drift", target)
            counts |= n
            seen |= s
            if family.target:
                ax.axhline(target, color="0.3", linewidth=0.7, linestyle=(0, (2, 1.5)), zorder=1.2)
        else:
            say(ax, _why_empty(results, group.conditions, column))
        if i + columns < len(spots) and len(rows) > 1 and ax.get_xticks().size:
            ax.tick_params(labelbottom=False)
        unit = " (deg.)" if metric(column).unit == "degrees" else ""
        if side_by_side:
            if i < columns:
                ax.set_title(wrapped(group.title))
            if i % columns == 0:
                ax.set_ylabel(f"to {title}\n(degrees)" if unit else title)
        elif len(rows) > 1:
            ax.set_title(title if not unit else f"vs {title}")
            if i % columns == 0:
                ax.set_ylabel("angle (degrees)" if unit else "")
        else:
            ax.set_title(wrapped(group.title, 25 if columns == 2 else 50))
            if i % columns == 0:
                ax.set_ylabel(title)
    for j in range(len(spots), height * columns):
        axes[j // columns][j % columns].set_visible(False)
    if len(page.groups) == 1 and len(rows) > 1:
        figure.suptitle(wrapped(page.groups[0].title, 50), fontsize=8)
    for k in range(columns):
        last = [axes[j // columns][k] for j in range(len(spots)) if j % columns == k]
        if last:
            last[-1].set_xlabel(AXES[x])
    style.legend_below(figure, base + style.mark_handles(seen))
    what = family.what + (" " + ", ".join(t for _, t in rows) if family.name == "angles" else "")
    against = "epochs" if x == "epoch" else "log(1/R)"
    data = "; ".join(g.title for g in page.groups)
    absent = [t for m, t in family.rows if (m, t) not in rows]
    caption = (f"{what}, against {against} ({data}). {family.see} {seeds_text(counts)}{_end_words(seen)}"
               + (f" Not shown, as it is not defined here: {', '.join(absent)}." if absent else "")
               + page.where()
               + (f" Not drawn for want of room: {len(page.left_out)} more panels; see summary.csv." if page.left_out
                  else ""))
    suffix = "vs_epochs" if x == "epoch" else "vs_log_inverse_loss"
    name = page.name(f"{family.name}_{suffix}")
    return Drawn(name, figure, family.name, caption, f"{what} against {against}, {data}")


def curve_figures(results: Results, family: Family, x: str) -> Iterator[Drawn | Absent]:
    """All pages of one family against one axis; an Absent with the reason where there is nothing to draw."""
    suffix = "vs_epochs" if x == "epoch" else "vs_log_inverse_loss"
    name = f"{family.name}_{suffix}"
    groups = groups_of(results, lambda c: not (family.deep_only and c.depth == 1))
    full = [g for g in groups if any(_has(results, g.conditions, m) for m, _ in family.rows)]
    if not full:
        everyone = results.conditions
        reasons = {_why_empty(results, everyone, m) for m, _ in family.rows}
        yield Absent(name, "; ".join(sorted(reasons)) if results.conditions else "the run has no cells")
        return
    for page in pages_of(full, 2 if len(family.rows) > 1 else 6):
        drawn = draw_page(results, family, page, x)
        if drawn:
            yield drawn
    skipped: list[Group] = [g for g in groups if g not in full]
    if skipped:
        yield Absent(f"{name}: {', '.join(g.title for g in skipped[:6])}" + (" …" if len(skipped) > 6 else ""),
                     _why_empty(results, skipped[0].conditions, family.rows[0][0]))


def own_family(names: list[str]) -> Family:
    """A family for metrics of the user's own."""
    return Family("own_metrics", "Metrics of the user's own: " + ", ".join(names),
                  tuple((n, n) for n in names), "They are drawn as they were returned.", log=True)
