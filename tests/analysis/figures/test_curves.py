"""Curves, by hand: what is marked in a panel, which panels make a page, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pytest
from figure_checks import overlaps
from matplotlib.figure import Figure

from mdcore.analysis.figures import style
from mdcore.analysis.figures.curve_data import Band
from mdcore.analysis.figures.drawings import curves
from mdcore.analysis.figures.registry import Absent

pytestmark = pytest.mark.usefixtures("shipped_style")

NONE = np.empty(0)


def band_of(x, *ends, n=2, **more):
    x = np.array(x, float)
    return Band(x, 2 * x, x, 3 * x, n, ends=list(ends), **more)


@pytest.mark.parametrize(
    ("ends", "marked"),
    [
        ([(8, 1, "converged"), (8, 3, "converged")], [(8, 16, "converged")]),
        ([(8, 1, "converged"), (8, 3, "overlap")], [(8, 16, "overlap")]),
        ([(8, 1, "overlap"), (8, 3, "quasi-separable")], [(8, 16, "quasi-separable")]),
        ([(8, 1, "quasi-separable"), (8, 3, "transient")], [(8, 16, "transient")]),
        ([(8, 1, "converged"), (9, 3, "converged")], [(8, 1, "converged"), (9, 3, "converged")]),
        ([(5, 1, "failed"), (8, 3, "converged")], [(8, 16, "converged"), (5, 1, "failed")]),
        ([(5, 1, "diverged")], [(5, 1, "diverged")]),
    ],
)
def test_which_ends_are_marked(ends, marked):
    assert curves._ends(band_of([1, 2, 8], *ends)) == marked


def test_what_is_drawn_of_a_band():
    study = SimpleNamespace(colours={"a": "r", "b": "b"}, markers={"a": "o", "b": "s"})
    empty, one, two = (SimpleNamespace(potential_key=k, depth=d) for k, d in (("a", 1), ("a", 1), ("b", 2)))
    x = np.arange(1, 23)
    tails = [(np.array([20.0, 30.0]), np.array([1.0, 2.0])), (np.array([20.0, 40.0]), np.array([3.0, 4.0]))]
    lost = [(np.array([1.0, 2.0]), np.array([7.0, 8.0]))]
    ends = [(30, 2, "converged"), (40, 4, "transient"), (2, 8, "diverged")]
    bands = [
        (empty, Band(NONE, NONE, NONE, NONE, 0)),
        (one, band_of([4.0], (4, 8, "converged"), n=1)),
        (two, band_of(x, *ends, tails=tails, lost=lost)),
    ]
    ax = Figure().subplots()
    curves.draw_panel(ax, study, bands, "metric.mine")
    first, first_end, mean, tail, gone, *marks = ax.lines
    assert (first.get_color(), list(first.get_ydata()), first.get_markevery()) == ("r", [8.0], (0, 1))
    assert (first_end.get_marker(), first_end.get_markerfacecolor()) == ("o", "r")
    assert list(mean.get_ydata()) == list(2.0 * x) and mean.get_markevery() == (3, 5)  # four marks, apart from a's
    assert mean.get_linestyle() != first.get_linestyle() and mean.get_zorder() > first.get_zorder()
    np.testing.assert_array_equal(tail.get_xydata(), [[20, 1], [30, 2], [np.nan] * 2, [20, 3], [40, 4], [np.nan] * 2])
    np.testing.assert_array_equal(gone.get_xydata(), [[1, 7], [2, 8], [np.nan] * 2])
    assert [(k.get_marker(), k.get_markerfacecolor(), *k.get_xydata()[0]) for k in marks] == [
        ("s", "b", 30, 2), ("s", "white", 40, 4), ("x", "b", 2, 8)]  # fmt: skip
    (fill,) = ax.collections
    assert fill.get_paths()[0].vertices[:, 1].max() == 66 and fill.get_paths()[0].vertices[:, 1].min() == 1
    for many, alpha in ((6, 0.16), (7, 0.1)):
        ax = Figure().subplots()
        curves.draw_panel(ax, study, [(one, band_of([1, 2]))] * many, "metric.mine")
        assert {c.get_alpha() for c in ax.collections} == {alpha}


def study_of(data=1, potentials=2, seeds=3, columns=1, depths=(1, 2), status=(), title="data {}", last=8.0):
    """Every run has the epochs 1, 2, `last`·(1 + number of its data set), and all columns rise with them."""
    keys, facets, curve, known = [f"k{i}" for i in range(potentials)], [], {}, {}
    for f in range(data):
        some = []
        for k in keys:
            for depth in depths:
                cells = {s: f"{f}{k}L{depth}s{s}" for s in range(seeds)}
                some.append(SimpleNamespace(potential_key=k, depth=depth, cells=cells, words=k))
                for s, cell in cells.items():
                    curve[cell] = np.array([1.0, 2.0, last * (1 + f)]), 1.0 + s
                    known[cell] = "converged"
        facets.append(SimpleNamespace(title=title.format(f), conditions=some))
    known |= dict(status)

    def get(cell, column):
        if cell not in curve or known[cell] == "missing":
            return NONE
        x, scale = curve[cell]
        return x if column in ("epoch", "log_inverse_loss") else 0.1 * scale / x

    results = SimpleNamespace(
        curves=SimpleNamespace(get=get), status=known, row={}, cells=[], ambiguous=lambda c: c.potential_key == "k1",
        user_metrics=["metric.f", "metric.g"],
    )  # fmt: skip
    conditions = [c for facet in facets for c in facet.conditions]
    return SimpleNamespace(
        results=results, facets=facets, conditions=conditions, names=dict(zip(keys, keys)), linear={},
        colours={k: f"C{i}" for i, k in enumerate(keys)}, markers=dict(zip(keys, "os^v")),
        panels=lambda _, columns: list(columns), width=lambda *_: (style.COLUMN, style.FULL)[columns - 1],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "rows", "columns", "legend", "pages"),
    [
        (1, 4, 1, 0.3, [(1, 4)]),
        (3, 5, 1, 0.3, [(1, 2), (1, 3), (2, 2), (2, 3)]),  # two panels across, four down
        (5, 2, 2, 0.3, [(2, 2), (3, 2)]),
        (1, 2, 1, 3.5, [(1, 1), (1, 1)]),
    ],
)
def test_panels_of_a_page(monkeypatch, data, rows, columns, legend, pages):
    monkeypatch.setattr(style, "legend_shape", lambda *_: (1, legend))
    monkeypatch.setattr(curves.Curves, "_page", lambda _, __, page: tuple(map(len, page.content)))
    kind = curves.Curves("x", "epoch", tuple(f"metric.{i}" for i in range(rows)), "What")
    assert list(kind(study_of(data, columns=columns))) == pages


def test_data_sets_with_nothing_to_draw_are_named(monkeypatch):
    monkeypatch.setattr(curves.Curves, "_page", lambda _, __, page: [g.title for g in page.content[0]])
    kind = curves.Curves("x", "epoch", ("gap",), "What")
    lost = {f"1k{i}L{d}s{s}": "missing" for i in range(2) for d in (1, 2) for s in range(3)}
    assert list(kind(study_of(3, status=lost))) == [["data 0", "data 2"], Absent("x: data 1", "not run yet")]
    lost |= {cell.replace("1", "2", 1): "failed" for cell in lost}
    study = study_of(3, status=lost)
    get = study.results.curves.get
    study.results.curves.get = lambda cell, column: NONE if cell[0] in "12" else get(cell, column)
    assert list(kind(study))[1] == Absent("x: data 1; data 2", "not run yet")  # the reason of the first
    all_lost = dict.fromkeys(study_of(1).results.status, "missing")
    assert list(kind(study_of(1, status=all_lost))) == [Absent("x", "not run yet")]
    assert list(kind(study_of(0))) == [Absent("x", "the run has no cells")]
    *drawn, more = kind(study_of(49))
    assert len(drawn) == 24 and more.reason.endswith("left out are data 47; data 48")


@pytest.mark.parametrize(
    ("data", "columns", "most"), [(1, ("gap",), 1.6), (2, ("gap", "margin_ratio"), 1.05), (2, ("gap",) * 4, 0.9)]
)
@pytest.mark.parametrize("x", ["epoch", "log_inverse_loss"])
def test_a_page_of_curves(x, data, columns, most):
    status = {"0k0L1s0": "diverged", "0k1L2s1": "transient"}
    study = study_of(data, status=status, title="data {}: it is in lines, is it? till it is still")
    (item,) = curves.Curves("x", x, columns, "What", ("A note.",))(study)
    figure = item.figure
    assert overlaps(figure) == [] and figure.get_figheight() <= style.HEIGHT
    heights = {round(ax.get_position().height * figure.get_figheight(), 6) for ax in figure.axes}
    (high,) = heights
    assert high == most if most != 0.9 else 0.64 < high < 0.9 and len(figure.axes) == 8
    for ax in figure.axes[-data:]:
        assert ax.get_xlabel() == {"epoch": "epochs (full batch)", "log_inverse_loss": "log(1/R), in nats"}[x]
    ends = [ax.get_xlim()[1] for ax in figure.axes[:data]]
    lasts = [max(10.0, 8.0 * data)] * data if x == "epoch" else [8.0, 16.0]
    ends = [end / last for end, last in zip(ends, lasts)]
    assert min(ends) >= 1.0 and max(ends) < 1.15  # one end for all epochs, each its own for the loss
    assert [ax.get_title().replace("\n", " ") for ax in figure.axes[:data]] == [f.title for f in study.facets]
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    ends = ["margin certified", "not certified", "failed / diverged"]
    assert labels == ["k0", "k1", "L = 1 (linear)", "L = 2", *ends, "min–max, n = 2–3"]
    assert all(ax.get_xlim()[0] <= 1 for ax in figure.axes) and (
        len(columns) < 4 or figure.get_figheight() == style.HEIGHT
    )
    above = figure.bbox.y1 - max(ax.title.get_window_extent().y1 for ax in figure.axes[:data])
    assert 0 <= above < 0.12 * figure.dpi
    words = {"gap": "certified gap", "margin_ratio": "margin / exact\nmargin"}
    assert [ax.get_ylabel() for ax in figure.axes] == [words[c] * (i == 0) for c in columns for i in range(data)]
    titles = ", ".join(f.title for f in study.facets)
    words = {"epoch": "epochs", "log_inverse_loss": "log(1/R)"}[x]
    assert item.caption == f"What against {words}. Line: mean of n = 2 to 3 seeds; band: minimum to maximum."
    assert item.alt == f"What against {figure.axes[-1].get_xlabel()}: {titles}"
    first_words = [note.split()[0] for note in item.notes]
    assert first_words.count("A") == 1 and ("R" in first_words) == (x != "epoch")
    assert {"Filled", "Open", "Thin"} <= set(first_words) and not any(
        "median" in note or "drawn at" in note for note in item.notes
    )


def test_single_runs_have_no_band_in_the_legend_and_overlapping_ones_are_smoothed():
    study = study_of(seeds=1)
    study.results.status = dict.fromkeys(study.results.status, "overlap")
    (item,) = curves.Curves("x", "epoch", ("metric.f", "angle_max_margin"), "What")(study)
    labels = [t.get_text() for t in item.figure.legends[0].get_texts()]
    assert labels == ["k0", "k1 ‡", "L = 1 (linear)", "L = 2", "end"] and "(one seed)" in item.caption
    assert any("running medians over 9 logged epochs" in note for note in item.notes)
    against = list(curves.Curves("x", "log_inverse_loss", ("gap",), "What")(study))
    assert [a.reason for a in against] == [
        "the data are overlapping: log(1/R) tends to a limit, and the curves are drawn against epochs"
    ]
    (absent,) = curves.Curves("x", "log_inverse_loss", (curves.EQUAL_LOSS,), "What")(study_of())
    assert absent.reason == "the grid has no linear runs to compare with"
    (absent,) = curves.Curves("x", "epoch", ("gap",), "What", deep_only=True)(study_of(depths=(1,)))
    assert isinstance(absent, Absent)
    for column, deep_only in (("gap", True), ("angle_linear_md", False)):
        both, deep = (
            next(curves.Curves("x", "epoch", (column,), "What", deep_only=deep_only)(study_of(seeds=1, depths=depths)))
            for depths in ((1, 2), (2,))
        )
        assert len(both.figure.axes[0].lines) == len(deep.figure.axes[0].lines)  # no curve of the linear runs
        if deep_only:
            texts = [[t.get_text() for t in item.figure.legends[0].get_texts()] for item in (both, deep)]
            assert texts[0] == texts[1] == ["k0", "k1", "L = 2", "margin certified"]


def test_there_is_room_for_each_line_of_a_title():
    figure = next(curves.Curves("x", "epoch", ("gap",), "What")(study_of(title="ab " * 22))).figure
    (ax,) = figure.axes
    assert "\n" in ax.get_title() and ax.title.get_window_extent(figure.canvas.get_renderer()).y1 <= figure.bbox.y1


def test_a_panel_without_numbers_leaves_the_next_one_its_curves():
    study = study_of(2)
    get = study.results.curves.get
    study.results.curves.get = lambda cell, column: NONE if (cell[0], column) == ("0", "gap") else get(cell, column)
    (item,) = curves.Curves("x", "epoch", ("margin_ratio", "gap"), "What")(study)
    assert [len(ax.lines) > 1 for ax in item.figure.axes] == [True, True, False, True]


@pytest.mark.parametrize(
    ("counts", "label"),
    [({0, 1}, ""), ({0, 1, 3}, "min–max, n = 3"), ({2}, "min–max, n = 2"), ({3, 7, 2}, "min–max, n = 2–7")],
)
def test_over_how_many_seeds_a_band_is(counts, label):
    assert curves._band_label(counts) == label


def test_two_seeds_have_a_band_and_a_narrow_page_two_panels_across(monkeypatch):
    study = study_of(2, seeds=2)
    kind = curves.Curves("x", "epoch", ("gap",), "What")
    labels = [t.get_text() for t in next(kind(study)).figure.legends[0].get_texts()]
    assert labels == ["k0", "k1", "L = 1 (linear)", "L = 2", "margin certified", "min–max, n = 2"]
    lost = {cell: "failed" for cell in study.results.status if cell.endswith("s1")}
    legend = next(kind(study_of(2, seeds=2, status=lost))).figure.legends[0]
    assert [t.get_text() for t in legend.get_texts()][-2:] == ["margin certified", "failed / diverged"]
    study.width = lambda *_: 1.5
    monkeypatch.setattr(curves.Curves, "_page", lambda _, __, page: len(page.content[0]))
    assert list(kind(study)) == [2]


def test_which_curves_are_drawn_unless_asked_for():
    from mdcore.analysis.figures.registry import KINDS

    drawn = {name: kind.default for name, kind in KINDS.items() if "_vs_" in name}
    assert drawn == {
        "angles_vs_epochs": True, "margins_vs_epochs": True, "structure_vs_epochs": True,
        "angles_vs_log_inverse_loss": True, "margins_vs_log_inverse_loss": False,
        "structure_vs_log_inverse_loss": False, "own_metrics_vs_epochs": True,
    }  # fmt: skip
    assert {n for n, k in KINDS.items() if getattr(k.draw, "deep_only", False)} == {
        n for n in drawn if n.startswith("struct")
    }


def test_metrics_of_ones_own(monkeypatch):
    from mdcore.store import columns

    monkeypatch.setattr(columns, "_OWN", {})
    columns.declare("metric.f", {"label": "the f", "better": "low"})
    (item,) = curves.user_metrics(study_of(seeds=1))
    assert item.caption.startswith("Metrics of the user's own: the f (lower is better), g against epochs.")
    assert [ax.get_ylabel() for ax in item.figure.axes] == ["the f", "g"]
    study = study_of()
    study.results.user_metrics = []
    assert list(curves.user_metrics(study)) == []
