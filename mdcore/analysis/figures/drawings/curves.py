"""Curves against epochs and against log(1/R): angles, margins, gaps, layer structure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from mdcore.analysis.data.columns import metric
from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.analysis.figures import style
from mdcore.analysis.figures.captions import (
    NOT_UNIQUE,
    ambiguous_labels,
    end_words,
    has_numbers,
    unique_words,
    why_empty,
)
from mdcore.analysis.figures.curve_data import AXES, band, seeds_text
from mdcore.analysis.figures.families import Family
from mdcore.analysis.figures.panels import (
    Absent,
    Drawn,
    Group,
    Page,
    groups_of,
    legend_height,
    names_and_depths,
    page_grid,
    pages_of,
    palette,
    say,
    wrapped,
)
from mdcore.analysis.figures.scales import time_axis, value_axis

SUFFIX = {"epoch": "vs_epochs", "log_inverse_loss": "vs_log_inverse_loss"}


def draw_panel(
    ax: Axes,
    results: Results,
    conditions: list[Condition],
    x: str,
    column: str,
    colour: dict,
    log: bool,
    target: float | None = None,
) -> tuple[set[int], set[str]]:
    """Curves of `conditions` into one panel. Returns (numbers of seeds, statuses of the end points)."""
    counts, seen, everything, times, marked = set(), set(), [], [], []
    haze = 0.16 if len(conditions) <= 6 else 0.1
    for c in sorted(conditions, key=lambda c: c.depth):
        b = band(results, c, x, column)
        if b.empty:
            continue
        counts.add(b.n)
        look = {"color": colour[c.potential_key], "zorder": 2 + 0.1 * c.depth}
        line = style.line_of(c.depth)
        if b.x.size:
            ax.plot(b.x, b.mean, **look, **line)
            if b.n > 1:
                ax.fill_between(b.x, b.low, b.high, color=colour[c.potential_key], alpha=haze, linewidth=0, zorder=1.5)
            everything += [b.low, b.high]
            times.append(b.x)
        for curves_, look_ in (
            (b.tails, {**line, "linewidth": 0.6, "alpha": 0.8}),
            (b.lost, {"linestyle": line["linestyle"], "linewidth": 0.6}),
        ):
            if curves_:
                xs, ys = (np.concatenate([np.append(curve[k], np.nan) for curve in curves_]) for k in (0, 1))
                ax.plot(xs, ys, **look, **look_)
                everything.append(ys)
                times.append(xs)
        ends = _ends(b)
        marked.append((ends, look["color"]))
        for statuses, marker, face in (
            (("converged", "overlap"), "o", colour[c.potential_key]),
            (("transient", "quasi-separable"), "o", "white"),
            (("failed", "diverged"), "x", None),
        ):
            some = np.array([e[:2] for e in ends if e[2] in statuses])
            if some.size:
                ax.plot(
                    some[:, 0],
                    some[:, 1],
                    marker,
                    color=colour[c.potential_key],
                    markersize=4 if not face else 3.2 if len(some) == 1 else 2.4,
                    markerfacecolor=face,
                    markeredgewidth=0.9,
                    zorder=5,
                )
        seen |= {e[2] for e in ends}
    if everything:
        value_axis(ax, np.concatenate(everything), log, target)
        time_axis(ax, np.concatenate(times))
        foot = ax.get_ylim()[0]
        for ends, tone in marked:
            below = [e[0] for e in ends if e[1] < foot]
            if below:
                ax.plot(below, [foot] * len(below), "v", color=tone, markersize=3.2, zorder=5, clip_on=False)
                seen.add(style.BELOW)
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


def draw_page(results: Results, family: Family, page: Page, x: str) -> Drawn | None:
    """One page: columns are groups and rows metrics; one group, or one metric, fills a grid of two columns."""
    colour = palette(results)
    rows = [(m, title) for m, title in family.rows if any(has_numbers(results, g.conditions, m) for g in page.groups)]
    if not rows:
        return None
    side_by_side = len(page.groups) > 1 and len(rows) > 1
    spots = [(g, m, t) for m, t in rows for g in page.groups]
    columns = 2 if len(spots) > 1 else 1
    height = -(-len(spots) // columns)
    everyone = [
        c
        for g in page.groups
        for c in g.conditions
        if not (family.deep_only and c.depth == 1) and any(has_numbers(results, [c], m) for m, _ in rows)
    ]
    names, depths = names_and_depths(results, everyone)
    names |= {k: f"{w} {NOT_UNIQUE}" for k, w in ambiguous_labels(results, everyone, [m for m, _ in rows]).items()}
    base = style.legend_handles(names, colour, depths)
    figure, axes = page_grid(height, columns, 1.12 if columns == 2 else 1.75, 0.6 + legend_height(base + [base[0]] * 3))
    counts, seen = set(), set()
    for i, (group, column, title) in enumerate(spots):
        title = style.words(title)
        ax = axes[i // columns][i % columns]
        some = [c for c in group.conditions if not ((metric(column).deep or family.deep_only) and c.depth == 1)]
        if has_numbers(results, some, column):
            target = family.target[0] if family.target else None
            n, s = draw_panel(ax, results, some, x, column, colour, family.log or column == "balance_drift", target)
            counts |= n
            seen |= s
            if target is not None:
                ax.axhline(target, color="0.3", linewidth=0.7, linestyle=(0, (2, 1.5)), zorder=1.2)
        else:
            say(ax, why_empty(results, group.conditions, column))
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
    style.legend_below(figure, base + style.band_handles(counts) + style.mark_handles(seen))
    what = family.what + (" " + ", ".join(t for _, t in rows) if family.name == "angles" else "")
    against = "epochs" if x == "epoch" else "log(1/R)"
    risk = "" if x == "epoch" else ", R the mean loss over the training points"
    data = "; ".join(g.title for g in page.groups)
    absent = [t for m, t in family.rows if (m, t) not in rows]
    caption = (
        f"{what}, against {against}{risk} ({data}). {family.see} {seeds_text(counts)}{end_words(seen)}"
        + unique_words(results, everyone, [m for m, _ in rows])
        + (f" Not shown, as it is not defined here: {', '.join(absent)}." if absent else "")
        + page.where()
    )
    name = f"{family.name}_{SUFFIX[x]}"
    alt = f"{what} against {against}, {data}"
    return Drawn(page.name(name), figure, family.name, caption, alt, page.album(name))


def curve_figures(results: Results, family: Family, x: str) -> Iterator[Drawn | Absent]:
    """All pages of one family against one axis; an Absent with the reason where there is nothing to draw."""
    name = f"{family.name}_{SUFFIX[x]}"
    groups = groups_of(results, lambda c: not (family.deep_only and c.depth == 1))
    full = [g for g in groups if any(has_numbers(results, g.conditions, m) for m, _ in family.rows)]
    if not full:
        everyone = results.conditions
        reasons = {why_empty(results, everyone, m) for m, _ in family.rows}
        yield Absent(name, "; ".join(sorted(reasons)) if results.conditions else "the run has no cells")
        return
    pages, beyond = pages_of(full, 2 if len(family.rows) > 1 else 6, len(results.cells), name)
    for page in pages:
        drawn = draw_page(results, family, page, x)
        if drawn:
            yield drawn
    yield from beyond
    skipped: list[Group] = [g for g in groups if g not in full]
    if skipped:
        yield Absent(
            f"{name}: {', '.join(g.title for g in skipped[:6])}" + (" …" if len(skipped) > 6 else ""),
            why_empty(results, skipped[0].conditions, family.rows[0][0]),
        )
