"""Where the runs end: a point for every run, a row for every condition, the same axis for every angle.

Boxes are drawn only over enough seeds to have quartiles.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.figures import style
from mdcore.analysis.figures.axes import clip_notes, line_across, line_notes, scale, set_axis
from mdcore.analysis.figures.captions import (
    GAP_NOTE,
    LINEAR_NOTE,
    NOT_UNIQUE,
    ambiguous_labels,
    end_notes,
    unique_notes,
)
from mdcore.analysis.figures.layout import Group, Margins, even_parts, groups_of, label, pages_of, panel_grid, wrapped
from mdcore.analysis.figures.registry import Absent, Drawn, figure
from mdcore.analysis.figures.study import Study
from mdcore.analysis.report.findings.wording import listed
from mdcore.store.columns import USED, metric

ANGLES = {
    "angle_max_margin": "lp max-margin",
    "angle_linear_md_ends": "linear MD, end points",
    "angle_linear_md_equal_loss": "linear MD, equal loss",
    "angle_reference_potential": "reference potential",
    "angle_svm": "SVM",
    "angle_logreg": "logistic regression",
}
MARGINS = {
    "gap": "certified gap",
    "margin_ratio": "margin / exact margin",
    "margin_l2": "l2 margin",
    "margin_lp": "lp margin",
}
BOX_SEEDS = 8  # fewer runs have no quartiles to speak of
ROW = 0.107  # inches
PANEL = 0.85  # inches: least width


@figure("final_angles", section="Where the runs end")
def final_angles(study: Study) -> Iterator[Drawn | Absent]:
    """Angle of every end predictor to the exact references and to linear mirror descent."""
    what = "Angle of each final predictor to the exact directions, to linear MD and to the reference potential"
    notes = [
        "Linear MD, end points: between the last predictors of a deep run and of its linear companion; equal loss: at "
        "the smallest loss that both have reached.",
        f"Reference potential ({_reference(study)}): between the last predictors of two runs with the same data, depth "
        "and seed.",
    ]
    yield from _draw(study, "final_angles", ANGLES, what, notes)


def _reference(study: Study) -> str:
    """The potentials that others are compared with."""
    references = [f.reference(c.depth) for f in study.results.facets for c in f.conditions]
    return listed([c.words for c in references if c is not None], 2).replace(" and ", " or ")


@figure("final_margins", section="Where the runs end")
def final_margins(study: Study) -> Iterator[Drawn | Absent]:
    """Margins and certified gap of every end predictor."""
    what = "Certified gap (logarithmic axis) and margins (linear axes) of each final predictor"
    yield from _draw(study, "final_margins", MARGINS, what, [GAP_NOTE])


def _values(study: Study, column: str) -> pd.DataFrame:
    """condition_id, status and value of the runs that count for a column."""
    m = study.master
    good = m["status"].isin(USED) & np.isfinite(m[column].to_numpy(float))
    if metric(column).deep:
        good &= m["depth"] > 1
    return m.loc[good, ["condition_id", "status", column]].rename(columns={column: "value"})


def _draw(study: Study, name: str, titles: dict[str, str], what: str, notes: list[str]) -> Iterator[Drawn | Absent]:
    values = {m: _values(study, m) for m in study.panels(name, tuple(titles))}
    ids = set().union(*(v["condition_id"] for v in values.values()))
    width = study.width(columns=2)
    labels = {c.id: f"{study.names[c.potential_key]}, L = {c.depth}" for c in study.conditions}
    heads = [1.12 * style.inches(_heading(f.title)) for f in study.facets]  # in bold
    left = 0.14 + max([style.inches(f"{t} {NOT_UNIQUE}") for t in labels.values()] + heads, default=1.0)
    across = max(1, int((width - left) / PANEL))
    _, legend = style.legend_shape(
        [*style.mark_handles({"converged", "transient"}), Line2D([], [], label="mean")], width
    )
    most = int((style.HEIGHT - 0.75 - legend) / ROW) - 1
    chunks = []
    for rows in _parts(groups_of(study.facets, lambda c: c.id in ids, most), most):
        there = {c.id for g in rows for c in g.conditions}
        some = [m for m in values if values[m]["condition_id"].isin(there).any()]
        chunks += [(rows, part) for part in even_parts(some, across)]
    if not chunks:
        yield Absent(name, "no cell has such a number")
    pages, beyond = pages_of(chunks, lambda c: [g.title for g in c[0]], len(study.results.cells), name)
    for page in pages:
        groups, some = page.content
        fig, seen, clipped = _page(study, groups, {m: (titles[m], values[m]) for m in some}, labels, (width, left))
        drawn = [c for g in groups for c in g.conditions]
        where = "; ".join(g.title for g in groups)
        lost = study.master[
            study.master["condition_id"].isin([c.id for c in drawn]) & ~study.master["status"].isin(USED)
        ]
        counts = lost["status"].value_counts()
        caption = (
            f"{what}.{_seeds(values, drawn)}"
            + (f" Not shown: {', '.join(f'{k} {s}' for s, k in sorted(counts.items()))}." if len(counts) else "")
            + page.where(g.title for g in groups)
        )
        all_notes = [
            *[LINEAR_NOTE] * any("linear_md" in m for m in some),
            *notes,
            *line_notes(some),
            *end_notes(seen),
            *clip_notes(clipped),
            *unique_notes(study.results, drawn, some),
        ]
        yield Drawn(page.name(name), fig, caption, f"{what}: {where}", all_notes, page.album(name))
    yield from beyond


def _parts(groups: list[Group], most: int) -> list[list[Group]]:
    """Groups together on a page as long as their rows, and a heading each, fit; on pages about equally full."""

    def filled(most: float) -> list[list[Group]]:
        out: list[list[Group]] = []
        for group in groups:
            if out and sum(len(g.conditions) + 1 for g in [*out[-1], group]) <= most:
                out[-1].append(group)
            else:
                out.append([group])
        return out

    fewest = len(filled(most + 1))
    return next((parts for k in range(1, most + 1) if len(parts := filled(k)) == fewest), filled(most + 1))


def _heading(title: str, most: int = 34) -> str:
    return style.words(title if len(title) <= most else title[: most - 1] + "…")


def _seeds(values: dict[str, pd.DataFrame], drawn: list[Condition]) -> str:
    ids = [c.id for c in drawn]
    per_panel = [v[v["condition_id"].isin(ids)].groupby("condition_id").size() for v in values.values()]
    n = sorted({int(k) for counts in per_panel for k in counts})
    if n[-1] == 1:
        return " Points are single runs, one a condition."
    many = f"{n[0]}" if n[0] == n[-1] else f"{n[0]} to {n[-1]}"
    boxes = f" Boxes, for at least {BOX_SEEDS} runs: quartiles and full range." if n[-1] >= BOX_SEEDS else ""
    return f" Points: single runs, n = {many} a condition; strokes: their means.{boxes}"


def _page(study: Study, groups: list[Group], panels: dict, labels: dict[str, str], size: tuple[float, float]):
    """(figure, statuses of its points, columns with values beyond the axis)."""
    width, left = size
    place: dict[str, int] = {}  # condition id -> row
    ticks: list[tuple[int, str]] = []  # (row, label)
    for group in groups:
        order = list(dict.fromkeys(c.potential_key for c in group.conditions))
        ticks.append((len(ticks), _heading(group.title)))
        for c in sorted(group.conditions, key=lambda c: order.index(c.potential_key)):
            place[c.id] = len(ticks)
            mark = f" {NOT_UNIQUE}" if ambiguous_labels(study.results, [c], panels) else ""
            ticks.append((len(ticks), labels[c.id] + mark))
    heads = {_heading(g.title) for g in groups}
    widest = (width - left) / len(panels) - 0.14
    titles = [wrapped(title, widest) for title, _ in panels.values()]
    lines = max(t.count("\n") + 1 for t in titles)
    rows = {m: v[v["condition_id"].isin(place)] for m, (_, v) in panels.items()}
    seen = {s for v in rows.values() for s in v["status"]}
    means = {m: _means(v) for m, v in rows.items()}
    stroke = Line2D([], [], color="0.25", marker="|", linestyle="", label="mean")
    handles = [*style.mark_handles(seen), *[stroke] * any(map(len, means.values()))]
    _, legend = style.legend_shape(handles, width)
    margins = Margins(left, 0.16, 0.08 + 0.14 * lines, 0.18 + legend, 0.2)
    fig, axes = panel_grid(1, len(panels), (width, ROW * (len(ticks) + 0.4)), margins, sharex=False)
    values = {m: v["value"].to_numpy() for m, v in rows.items()}
    for ax, title, (column, v) in zip(axes[0], titles, rows.items(), strict=True):
        on = scale(column, values[column])
        _points(ax, study, v.assign(value=on.clip(values[column])), place)
        look = {"marker": "|", "markersize": 6, "markeredgewidth": 0.9, "linestyle": "", "color": "0.25", "zorder": 2}
        ax.plot(on.clip(means[column].to_numpy()), [place[i] for i in means[column].index], **look)
        line_across(ax, on, vertical=True)
        label(ax, title=title)
        set_axis(ax.xaxis, on, (on.floor, on.ceiling) if on.unit else on.limits(values[column]), 4)
    axes[0][0].set_ylim(len(ticks) - 0.3, -0.7)
    axes[0][0].set_yticks(*zip(*ticks, strict=True))
    for text in axes[0][0].get_yticklabels():
        text.set_fontweight("bold" if text.get_text() in heads else "normal")
    style.legend_below(fig, handles)
    return fig, seen, [m for m in panels if scale(m).clips(values[m])]


def _means(v: pd.DataFrame) -> pd.Series:
    """The mean of each condition that has more than one run."""
    several = v.groupby("condition_id")["value"].transform("size") > 1
    return v[several].groupby("condition_id")["value"].mean()


def _points(ax: Axes, study: Study, v: pd.DataFrame, place: dict[str, int]) -> None:
    """The runs of one panel, open where the margin is not certified, over boxes where there are seeds enough."""
    key = {c.id: c.potential_key for c in study.conditions}
    v = v.assign(
        row=v["condition_id"].map(place),
        potential=v["condition_id"].map(key),
        full=v["status"].isin(("converged", "overlap")),
    )
    many = v[v.groupby("condition_id")["value"].transform("size") >= BOX_SEEDS]
    if len(many):
        import seaborn as sns  # here: the import takes a second

        colour = {k: c for k, c in study.colours.items() if k in set(v["potential"])}
        axis = {"x": "value", "y": "row", "hue": "potential", "palette": colour, "ax": ax, "legend": False}
        rows = np.unique(many["row"])
        apart = np.diff(rows).min() if len(rows) > 1 else 1  # seaborn's unit for the width of boxes
        box = {"whis": (0, 100), "showcaps": False, "linewidth": 0.6, "boxprops": {"alpha": 0.3}, "width": 0.6 / apart}
        sns.boxplot(many, **axis, **box, orient="y", native_scale=True, dodge=False)
        ax.set(xlabel="", ylabel="")
    for (potential, full), some in v.groupby(["potential", "full"]):
        tone = study.colours[potential]
        look = {"marker": study.markers[potential], "s": 11, "linewidth": 0.7, "zorder": 3, "edgecolor": tone}
        ax.scatter(some["value"], some["row"], facecolor=tone if full else "white", **look)
