"""Curves against epochs and against log(1/R): angles, margins, gaps, layers, metrics of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.figures import style
from mdcore.analysis.figures.axes import clip_notes, line_across, line_notes, scale, set_axis
from mdcore.analysis.figures.captions import (
    EQUAL_LOSS_NOTE,
    GAP_NOTE,
    LINEAR_NOTE,
    NOT_UNIQUE,
    R_NOTE,
    ambiguous_labels,
    end_notes,
    has_numbers,
    unique_notes,
    why_empty,
)
from mdcore.analysis.figures.curve_data import AXES, EQUAL_LOSS, WINDOW, Band, band, oscillates, seeds_text
from mdcore.analysis.figures.layout import (
    Group,
    Margins,
    Page,
    brief,
    even_parts,
    groups_of,
    label,
    pages_of,
    panel_grid,
    potential_handles,
    say,
    wrapped,
)
from mdcore.analysis.figures.registry import Absent, Drawn, figure
from mdcore.analysis.figures.study import Study
from mdcore.store.columns import USED, metric

LABELS = {  # of y axes: two short lines; other columns have their titles
    "angle_linear_md": "angle to linear\nMD, equal steps",
    "angle_linear_md_equal_loss": "angle to linear\nMD, equal loss",
    "angle_max_margin": "angle to lp\nmax-margin",
    "angle_svm": "angle to\nthe SVM",
    "angle_logreg": "angle to\nlogistic regr.",
    "margin_ratio": "margin / exact\nmargin",
    "gap": "certified gap",
    "layer_alignment": "layer\nalignment",
    "stable_rank": "stable rank",
    "participation": "participating\nneurons",
    "balance_drift": "drift of the\ninvariant",
}
PANEL = 0.64, 1.05  # inches: least and largest height of a panel
ANGLES = ("angle_max_margin", "angle_svm", "angle_logreg")
LAYERS = ("layer_alignment", "stable_rank", "participation", "balance_drift")
_ANGLE_NOTES = (
    "A curve that still falls at its end has not arrived; one that levels off above the dashed line goes elsewhere, or "
    "its steps have become too short.",
)
_MARGIN_NOTES = (GAP_NOTE, "A negative margin means that some training point is misclassified.")
_LAYER_NOTES = (
    "Alignment 1 and stable rank 1: every layer has rank one, and adjacent layers are aligned.",
    "The drift is the relative change, due to finite steps, of a quantity that the mirror flow conserves.",
)


@dataclass(frozen=True)
class Curves:
    """A kind of figure: rows are `columns` of the history, drawn against `x`; columns of panels are data sets."""

    name: str
    x: str
    columns: tuple[str, ...]
    what: str
    notes: tuple[str, ...] = ()
    deep_only: bool = False

    def __call__(self, study: Study) -> Iterator[Drawn | Absent]:
        """All pages; an Absent with the reason where there is nothing to draw."""
        results, columns = study.results, study.panels(self.name, self.columns)
        groups = groups_of(study.facets, lambda c: not (self.deep_only and c.depth == 1))
        full = [g for g in groups if any(self._drawable(study, g.conditions, m) for m in columns)]
        if not full:
            reasons = {self._why(study, study.conditions, m) for m in columns}
            yield Absent(self.name, "; ".join(sorted(reasons)) if study.conditions else "the run has no cells")
            return
        across = max(2, int(study.width() / 1.6))
        chunks = []
        for part in even_parts(full, across):
            rows = [m for m in columns if any(self._drawable(study, g.conditions, m) for g in part)]
            _, legend = style.legend_shape(self._handles(study, part, rows)[0], study.width())
            most = max(1, int((style.HEIGHT - legend - self._margins(study, part).top - 0.3) / (PANEL[0] + 0.07)))
            chunks += [(part, some) for some in even_parts(rows, most)]
        pages, beyond = pages_of(chunks, lambda c: [g.title for g in c[0]], len(results.cells), self.name)
        for page in pages:
            yield self._page(study, page)
        yield from beyond
        if skipped := [g for g in groups if g not in full]:
            reason = self._why(study, skipped[0].conditions, columns[0])
            yield Absent(f"{self.name}: {brief([g.title for g in skipped])}", reason)

    def _drawable(self, study: Study, conditions: list[Condition], column: str) -> bool:
        """Whether there is something to draw: on overlapping data log(1/R) tends to a limit, and no curve moves on."""
        if self.x == "log_inverse_loss":
            conditions = [c for c in conditions if not oscillates(study.results, c)]
            if column == EQUAL_LOSS:
                conditions = [c for c in conditions if any(cell in study.linear for cell in c.cells.values())]
        return has_numbers(study.results, conditions, column)

    def _why(self, study: Study, conditions: list[Condition], column: str) -> str:
        if has_numbers(study.results, conditions, column):
            if column == EQUAL_LOSS and not any(cell in study.linear for c in conditions for cell in c.cells.values()):
                return "the grid has no linear runs to compare with"
            return "the data are overlapping: log(1/R) tends to a limit, and the curves are drawn against epochs"
        return why_empty(study.results, conditions, column)

    def _handles(self, study: Study, groups: list[Group], rows: list[str]) -> tuple[list, list[Condition]]:
        """(legend entries, the one of the bands last where some are drawn over several seeds; what is drawn)."""
        drawn = [
            c
            for g in groups
            for c in g.conditions
            if not (self.deep_only and c.depth == 1) and any(self._drawable(study, [c], m) for m in rows)
        ]
        marks = dict.fromkeys(ambiguous_labels(study.results, drawn, rows), f" {NOT_UNIQUE}")
        handles = potential_handles(study, drawn, marks) + style.depth_handles(sorted({c.depth for c in drawn}))
        handles += style.mark_handles({study.results.status[cell] for c in drawn for cell in c.cells.values()})
        if any(len(c.cells) > 1 for c in drawn):
            counts = {sum(study.results.status[cell] in USED for cell in c.cells.values()) for c in drawn}
            handles.append(Patch(facecolor="0.5", alpha=0.3, linewidth=0, label=_band_label(counts)))
        return handles, drawn

    def _margins(self, study: Study, groups: list[Group]) -> Margins:
        width = (study.width() - 0.8) / len(groups)
        lines = max(wrapped(g.title, width).count("\n") + 1 for g in groups)
        return Margins(left=0.7, top=0.08 + 0.14 * lines, down=0.07)

    def _page(self, study: Study, page: Page) -> Drawn:
        groups, rows = page.content
        handles, drawn = self._handles(study, groups, rows)
        margins = self._margins(study, groups)
        _, legend = style.legend_shape(handles, study.width())
        margins.bottom = 0.3 + legend
        room = style.HEIGHT - margins.top - margins.bottom - (len(rows) - 1) * margins.down
        high = min(PANEL[1] if len(rows) > 1 else 1.6, room / len(rows))
        fig, axes = panel_grid(len(rows), len(groups), (study.width(), high), margins, sharex="col")
        counts, seen, clipped = set(), set(), []
        times: list[list[np.ndarray]] = [[] for _ in groups]  # of each column of panels
        for row, column in enumerate(rows):
            values = [np.empty(0)]
            for ax, group, late in zip(axes[row], groups, times, strict=True):
                some = [c for c in group.conditions if not ((metric(column).deep or self.deep_only) and c.depth == 1)]
                if not self._drawable(study, some, column):
                    say(ax, self._why(study, group.conditions, column))
                    continue
                bands = [(c, band(study, c, self.x, column)) for c in sorted(some, key=lambda c: c.depth)]
                draw_panel(ax, study, bands, column)
                values += [v for _, b in bands for v in b.values]
                late += [t for _, b in bands for t in b.times]
                counts |= {b.n for _, b in bands if not b.empty}
                seen |= {e[2] for _, b in bands for e in b.ends}
            shown: np.ndarray = np.concatenate(values)
            on = scale(column, shown)
            clipped += [column] * on.clips(shown)
            set_axis(axes[row][0].yaxis, on, on.limits(shown), 4 if high < 0.9 else 5)
            label(axes[row][0], y=style.words(LABELS.get(column) or wrapped(metric(column).axis, high)))
            for ax in axes[row]:
                line_across(ax, on)
        on, most = scale(self.x), 4 if study.width() / len(groups) < 2 else 6
        for ax, part, group in zip(axes[0], times, groups, strict=True):  # equal epochs; losses differ too much
            epochs: np.ndarray = np.concatenate(
                [np.array([10 * on.floor]), *(part if self.x != "epoch" else chain(*times))]
            )
            set_axis(ax.xaxis, on, (on.limits(epochs)[0], epochs.max()), most)
            label(ax, title=wrapped(group.title, (study.width() - 0.8) / len(groups)))
        for ax in axes[-1]:
            label(ax, x=AXES[self.x])
        if over := _band_label(counts):
            handles[-1].set_label(over)
        elif isinstance(handles[-1], Patch):
            handles.pop()
        style.legend_below(fig, handles)
        return Drawn(
            page.name(self.name),
            fig,
            f"{self.what} against {'epochs' if self.x == 'epoch' else 'log(1/R)'}. {seeds_text(counts)}"
            + page.where(g.title for g in groups),
            f"{self.what} against {AXES[self.x]}: {', '.join(g.title for g in groups)}",
            self._notes(study, rows, drawn, (seen, clipped)),
            page.album(self.name),
        )

    def _notes(self, study: Study, rows: list[str], drawn: list[Condition], seen: tuple[set, list]) -> list[str]:
        """seen: the statuses of the ends, and the columns with values beyond their axis."""
        smooth = any(oscillates(study.results, c) for c in drawn)
        return [
            *[LINEAR_NOTE] * any("linear_md" in m for m in rows),
            *[EQUAL_LOSS_NOTE] * (EQUAL_LOSS in rows),
            *[R_NOTE] * (self.x == "log_inverse_loss"),
            *line_notes(rows),
            *end_notes(seen[0]),
            *self.notes,
            *[f"Where the data overlap, curves are running medians over {WINDOW} logged epochs."] * smooth,
            *clip_notes(seen[1]),
            *unique_notes(study.results, drawn, rows),
        ]


def _band_label(counts: set[int]) -> str:
    """ "min–max, n = 2–3": over how many seeds the bands are; "" where there is none."""
    n = sorted(c for c in counts if c > 1)
    return f"min–max, n = {'–'.join(str(k) for k in sorted({n[0], n[-1]}))}" if n else ""


def draw_panel(ax: Axes, study: Study, bands: list[tuple[Condition, Band]], column: str) -> None:
    """The curves of one panel: mean, range, ends. Marks on curves tell the potentials apart without colour."""
    values = [v for _, b in bands for v in b.values]
    clip = scale(column, np.concatenate(values) if values else None).clip
    haze = 0.16 if len(bands) <= 6 else 0.1
    for c, b in bands:
        if b.empty:
            continue
        colour, marker, line = study.colours[c.potential_key], study.markers[c.potential_key], style.line_of(c.depth)
        look = {"color": colour, "zorder": 2 + 0.1 * c.depth}
        if b.x.size:
            step = max(1, len(b.x) // 4)
            start = list(study.markers).index(c.potential_key) * 3 % step
            marks = {"marker": marker, "markersize": 2.4, "markevery": (start, step)}
            ax.plot(b.x, clip(b.mean), **look, **line, **marks)
            if b.n > 1:
                ax.fill_between(b.x, clip(b.low), clip(b.high), color=colour, alpha=haze, linewidth=0, zorder=1.5)
        for curves, thin in (
            (b.tails, {**line, "linewidth": 0.6, "alpha": 0.8}),
            (b.lost, {"linestyle": line["linestyle"], "linewidth": 0.6}),
        ):
            if curves:  # all of them as one line, with gaps between
                xs, ys = (np.concatenate([np.append(curve[k], np.nan) for curve in curves]) for k in (0, 1))
                ax.plot(xs, clip(ys), **look, **thin)
        ends = _ends(b)
        for status in dict.fromkeys(e[2] for e in ends):
            xs, ys = (np.array([e[k] for e in ends if e[2] == status]) for k in (0, 1))
            lost = status in ("failed", "diverged")
            face = "white" if status in ("transient", "quasi-separable") else colour
            size = {"markersize": 4 if lost else 3.4, "markeredgewidth": 0.9, "markerfacecolor": face, "zorder": 5}
            ax.plot(xs, clip(ys), "x" if lost else marker, color=colour, linestyle="", **size)


def _ends(b: Band) -> list[tuple[float, float, str]]:
    """End points to mark: one at the mean's end when all seeds end there, each seed's own otherwise."""
    good = [e for e in b.ends if e[2] not in ("failed", "diverged")]
    bad = [e for e in b.ends if e[2] in ("failed", "diverged")]
    if b.x.size and good and all(np.isclose(e[0], b.x[-1]) for e in good):
        statuses = {e[2] for e in good}
        worst = next((s for s in ("transient", "quasi-separable", "overlap") if s in statuses), "converged")
        good = [(float(b.x[-1]), float(b.mean[-1]), worst)]
    return good + bad


_TO = "Angle of the learned predictor to the exact directions and to linear mirror descent (MD)"
_MARGIN, _LAYERS = (
    "Margin as a share of the largest possible one, and certified gap",
    "Alignment and stable rank of the layers, participating neurons, and drift of the conserved quantity",
)
for _x, _suffix, _linear in (
    ("epoch", "epochs", "angle_linear_md"),
    ("log_inverse_loss", "log_inverse_loss", "angle_linear_md_equal_loss"),
):
    for _name, _columns, _what, _notes, _section, _shown in (
        ("angles", (_linear, *ANGLES), _TO, _ANGLE_NOTES, "Angles to the references", True),
        ("margins", ("margin_ratio", "gap"), _MARGIN, _MARGIN_NOTES, "Margins and certified gap", _x == "epoch"),
        ("structure", LAYERS, _LAYERS, _LAYER_NOTES, "Layers and hidden neurons", _x == "epoch"),
    ):
        _kind = Curves(f"{_name}_vs_{_suffix}", _x, _columns, _what, _notes, _name == "structure")
        figure(_kind.name, _section, _shown)(_kind)


@figure("own_metrics_vs_epochs", section="Metrics of one's own")
def user_metrics(study: Study) -> Iterator[Drawn | Absent]:
    """The metrics that the grid names as my_file:my_metric, drawn as they were returned."""
    columns = tuple(study.results.user_metrics)
    if columns:
        words = "Metrics of the user's own: " + ", ".join(_with_direction(name) for name in columns)
        yield from Curves("own_metrics_vs_epochs", "epoch", columns, words)(study)


def _with_direction(name: str) -> str:
    better = {"low": " (lower is better)", "high": " (higher is better)"}
    return metric(name).title + better.get(metric(name).better, "")
