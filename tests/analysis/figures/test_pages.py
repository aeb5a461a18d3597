"""Where the runs end, by hand: what stands together on a page, where points and rows stand, what is said of them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from figure_checks import overlaps
from matplotlib.figure import Figure

from mdcore.analysis.figures import style
from mdcore.analysis.figures.drawings import end_points
from mdcore.analysis.figures.layout import Group, Margins, label, panel_grid
from mdcore.analysis.figures.registry import Absent

pytestmark = pytest.mark.usefixtures("shipped_style")


@pytest.mark.parametrize(
    ("sizes", "most", "pages"),
    [
        ([3, 3, 3], 8, [[3, 3], [3]]),  # a row for each condition and one for each heading
        ([3, 3], 7, [[3, 3]]),
        ([3, 3], 6, [[3], [3]]),
        ([2, 2, 2, 2], 9, [[2, 2], [2, 2]]),  # equally full, where three and one would fit too
        ([2, 2, 2, 2], 10, [[2, 2], [2, 2]]),
        ([3, 2, 1, 5], 7, [[3, 2], [1, 5]]),  # nothing smaller than the page holds them on two
        ([9, 1, 1], 5, [[9], [1, 1]]),
        ([2, 1, 1], 4, [[2], [1, 1]]),
        ([1, 1, 1, 1], 100, [[1, 1, 1, 1]]),
        ([], 5, []),
    ],
)
def test_groups_share_pages_that_are_equally_full(sizes, most, pages):
    groups = [Group(f"g{i}", [None] * size) for i, size in enumerate(sizes)]
    parts = end_points._parts(groups, most)
    assert [[len(g.conditions) for g in part] for part in parts] == pages
    assert [g.title for part in parts for g in part] == [g.title for g in groups]


def test_values_of_the_runs_that_count():
    rows = {
        "condition_id": ["a", "a", "b", "b"], "depth": [1, 1, 2, 2], "angle_svm": [1.0, np.nan, 3.0, 4.0],
        "status": ["converged", "converged", "transient", "diverged"], "angle_linear_md_ends": [5.0, 6.0, 7.0, 8.0],
    }  # fmt: skip
    study = SimpleNamespace(master=pd.DataFrame(rows))
    assert end_points._values(study, "angle_svm")["value"].tolist() == [1.0, 3.0]
    assert end_points._values(study, "angle_linear_md_ends").to_numpy().tolist() == [["b", "transient", 7.0]]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((1, 1), "one a condition"),
        ((3, 3), "n = 3 a condition"),
        ((1, 3), "n = 1 to 3 a condition"),
        ((1, 2, 4), "n = 1 to 4 a condition"),
        ((0, 2), "n = 2"),
    ],
)
def test_how_many_runs_a_condition_has(counts, words):
    ids = [name for name, count in zip("abc", counts) for _ in range(count)]
    values = {"gap": pd.DataFrame({"condition_id": [*ids, "elsewhere"]})}
    sentence = end_points._seeds(values, [SimpleNamespace(id=name) for name in "abc"])
    assert words in sentence and "Boxes" not in sentence
    for many in (7, 8):
        values = {"gap": pd.DataFrame({"condition_id": ["a"] * many})}
        assert ("Boxes" in end_points._seeds(values, [SimpleNamespace(id="a")])) == (many == 8)
    values = {"gap": pd.DataFrame({"condition_id": ["b"] + ["a"] * 8})}
    assert "Boxes" in end_points._seeds(values, [SimpleNamespace(id=name) for name in "ab"])


def test_means_and_boxes_are_of_several_runs():
    means = end_points._means(pd.DataFrame({"condition_id": ["a", "b", "b"], "value": [1.0, 2.0, 4.0]}))
    assert means.to_dict() == {"b": 3.0}
    conditions = [SimpleNamespace(id=name, potential_key=key) for name, key in (("a", "k0"), ("b", "k1"), ("c", "k0"))]
    study = SimpleNamespace(conditions=conditions, colours={"k0": "r", "k1": "b"}, markers={"k0": "o", "k1": "s"})
    runs = pd.DataFrame({"condition_id": ["a"] * 7 + ["b"] * 8 + ["c"] * 9, "status": "converged"})
    runs["value"] = np.arange(24.0)
    ax = Figure().subplots()
    end_points._points(ax, study, runs, {"a": 1, "b": 3, "c": 6})
    boxes = [box.get_path().get_extents() for box in ax.patches]
    assert [(round(b.y0, 3), round(b.y1, 3)) for b in boxes] == [(2.7, 3.3), (5.7, 6.3)]  # on the rows of b and c
    assert [(b.x0, b.x1) for b in boxes] == [(8.75, 12.25), (17.0, 21.0)]  # their quartiles
    alone = Figure().subplots()
    end_points._points(alone, study, runs[runs["condition_id"] != "c"], {"a": 1, "b": 3})
    (box,) = alone.patches
    assert (round(box.get_path().get_extents().height, 3), len(alone.collections)) == (0.6, 2)
    lines = sorted(sorted(line.get_xdata()) for line in ax.lines if len(line.get_xdata()))
    assert lines == [[7, 8.75], [10.5, 10.5], [12.25, 14], [15, 17], [19, 19], [21, 23]]  # full range and medians


def test_the_reference_potentials_are_named():
    facets = [SimpleNamespace(conditions=[Condition(0, f"k{i}", 1)]) for i in range(4)]
    for facet in facets:
        facet.reference = lambda depth, facet=facet: facet.conditions[0]
    named = [end_points._reference(SimpleNamespace(results=SimpleNamespace(facets=facets[:n]))) for n in (2, 4)]
    assert named == ["the k0 or the k1", "the k0, the k1 or 2 more"]


def test_long_headings_are_cut():
    assert end_points._heading("x" * 34) == "x" * 34
    assert end_points._heading("x" * 35) == "x" * 33 + "…"


class Condition(SimpleNamespace):
    """One of potential `key`; its runs are rows of master.csv."""

    def __init__(self, data, key, depth):
        super().__init__(id=f"{data}_{key}_L{depth}", potential_key=key, depth=depth, words=f"the {key}")


def study_of(data, potentials, depths=(1, 2), name="{}", panels=None, values=None, title="data {}"):
    """Three runs of each condition, their status in turn; a column counts up from 1, unless `values` has others."""
    keys = [f"k{i}" for i in range(potentials)]
    facets = [
        SimpleNamespace(title=title.format(f), conditions=[Condition(f, k, d) for d in depths for k in keys])
        for f in range(data)
    ]
    conditions = [c for facet in facets for c in facet.conditions]
    for facet in facets:
        facet.reference = lambda depth, facet=facet: next(c for c in facet.conditions if c.depth == depth)
    master = pd.DataFrame([{"condition_id": c.id, "depth": c.depth} for c in conditions for _ in range(3)])
    master["status"] = np.resize(["converged", "transient", "diverged"], len(master))
    for column in (*end_points.ANGLES, *end_points.MARGINS):
        master[column] = (values or {}).get(column, 1.0 + np.arange(len(master)) / 7)
    return SimpleNamespace(
        master=master,
        facets=facets,
        conditions=conditions,
        names={k: name.format(k) for k in keys},
        colours={k: f"C{i}" for i, k in enumerate(keys)},
        markers=dict.fromkeys(keys, "o"),
        width=lambda columns: {2: style.FULL}[columns],
        panels=lambda _, columns: list(panels or columns),
        results=SimpleNamespace(cells=[], facets=facets, ambiguous=lambda c: c.potential_key == "k1"),
    )


@pytest.mark.parametrize(
    ("data", "potentials", "name", "pages"),
    [
        (3, 9, "{}", [(2, 6), (1, 6)]),  # 28 rows and headings to a page
        (2, 13, "{}", [(2, 6)]),
        (2, 14, "{}", [(1, 6), (1, 6)]),
        (1, 28, "{}", [(1, 6), (1, 6)]),
        (1, 2, "{} of a name that is rather long, and longer", [(1, 3), (1, 3)]),
        (1, 1, "{}" + 11 * " of many words", [(1, 1)] * 6),
        (1, 1, "{}" + 14 * " of many words", [(1, 1)] * 6),
    ],
)
def test_rows_and_panels_of_a_page(monkeypatch, data, potentials, name, pages):
    shapes = []

    def page(_, groups, panels, *__):
        shapes.append((len(groups), len(panels)))
        return None, set(), []

    monkeypatch.setattr(end_points, "_page", page)
    assert len(list(end_points.final_angles(study_of(data, potentials, (2,), name)))) == len(pages)
    assert shapes == pages


def test_pages_beyond_the_24th_are_named(monkeypatch):
    monkeypatch.setattr(end_points, "_page", lambda *_: (None, set(), []))
    *_, last = end_points.final_angles(study_of(27, 14, (2,)))
    assert last.name == "final_angles: 3 more pages" and last.reason.endswith("left out are data 24; data 25; data 26")
    nothing = study_of(1, 1, (1,), values=dict.fromkeys(end_points.ANGLES, np.nan))
    assert list(end_points.final_angles(nothing)) == [Absent("final_angles", "no cell has such a number")]


def test_a_page_of_end_points():
    study = study_of(2, 2, title="data set {} of a heading", values={"angle_svm": np.linspace(0, 23, 24)})
    (item,) = end_points.final_angles(study)
    figure = item.figure
    assert overlaps(figure) == [] and not any(ax.get_ylabel() or ax.get_xlabel() for ax in figure.axes)
    (_, height), dpi, renderer = figure.get_size_inches(), figure.dpi, figure.canvas.get_renderer()
    labels = figure.axes[0].get_yticklabels()
    rows = ["data set 0 of a heading", "k0, L = 1", "k0, L = 2", "k1, L = 1 ‡", "k1, L = 2 ‡"]
    rows += [rows[0].replace("0", "1"), *rows[1:]]
    assert [(t.get_text(), y) for t, y in zip(labels, figure.axes[0].get_yticks())] == [
        (r, i) for i, r in enumerate(rows)
    ]
    assert [t.get_fontweight() for t in labels] == (["bold"] + ["normal"] * 4) * 2
    assert 0 <= min(t.get_window_extent(renderer).x0 for t in labels) / dpi < 0.16
    above = height - max(ax.title.get_window_extent(renderer).y1 for ax in figure.axes) / dpi
    assert 0 <= above < 0.12 and figure.axes[0].get_position().height * height == pytest.approx(10.4 * end_points.ROW)
    place = {f"{f}_{row[:2]}_L{row[8]}": 5 * f + i for f in (0, 1) for i, row in enumerate(rows[:5]) if i}
    assert len(figure.axes) == len(end_points.ANGLES)
    for ax, column in zip(figure.axes, end_points.ANGLES, strict=True):
        assert ax.get_ylim() == pytest.approx((9.7, -0.7)) and ax.get_xlim()[1] >= 180
        used = study.master[study.master["status"] != "diverged"]
        used = used[used["depth"] > 1] if column.startswith("angle_linear") else used
        value = np.maximum(used[column], 0.01)
        expected = sorted(zip(value, used["condition_id"].map(place), used["status"] == "converged"))
        drawn = [
            (x, y, c.get_facecolor()[0].tolist() == c.get_edgecolor()[0].tolist())
            for c in ax.collections
            for x, y in c.get_offsets()
        ]
        assert sorted(drawn) == [pytest.approx(one) for one in expected]
        (strokes,) = [k for k in ax.lines if k.get_marker() == "|"]
        assert [list(k.get_xdata()) for k in ax.lines if k is not strokes] == [[1, 1]]
        means = used[column].groupby(used["condition_id"].map(place)).mean()
        assert dict(zip(strokes.get_ydata(), strokes.get_xdata())) == pytest.approx(means.to_dict())
    assert item.caption.endswith(
        "reference potential. Points: single runs, n = 2 a condition; strokes: their means. Not shown: 8 diverged."
    )
    assert item.alt.endswith(": data set 0 of a heading; data set 1 of a heading")
    begins = ["Linear MD is", "Linear MD, end", "Reference potential (the k0):", "Filled", "Open", "‡"]
    notes = [note for note in item.notes if note.startswith(tuple(begins))]
    assert [note.startswith(b) for note, b in zip(notes, begins, strict=True)] == [True] * 6
    assert any("0.01°" in note for note in item.notes)  # one run lies below the axis


def test_margins_of_one_kind_have_an_axis_each():
    values = {"margin_l2": np.resize([900.0], 12), "margin_lp": np.resize([1.0], 12)}
    study = study_of(1, 2, panels=["margin_l2", "margin_lp"], values=values)
    study.master["status"] = "converged"
    (item,) = end_points.final_margins(study)
    ends = [ax.get_xlim()[1] for ax in item.figure.axes]
    assert ends[0] > 900 > 2 > ends[1] > 1 and "Not shown" not in item.caption
    assert not any("Linear MD" in note or "‡" in note for note in item.notes)


def test_one_panel_alone():
    study = study_of(1, 1, panels=["gap"], values={"gap": np.full(6, 0.02)})
    (item,) = end_points.final_margins(study)
    (ax,) = item.figure.axes
    assert overlaps(item.figure) == [] and ax.get_ylim() == pytest.approx((2.7, -0.7))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["data 0", "k0, L = 1", "k0, L = 2"]


def test_lines_of_titles_and_labels_stand_close():
    figure, axes = panel_grid(1, 1, (3.25, 1.0), Margins())
    label(axes[0, 0], "one\ntwo", y="one\ntwo")
    renderer, points = figure.canvas.get_renderer(), figure.dpi / 72
    title, side = (text.get_window_extent(renderer) for text in (axes[0, 0].title, axes[0, 0].yaxis.label))
    assert 2 * 8 * points < title.height < 2.5 * 8 * points  # two lines of 8 pt
    assert 2 * 7 * points < side.width < 2.5 * 7 * points


@pytest.mark.parametrize("title", ["linear MD, end\npoints", "reference\npotential", "quadratic\n< 0.01°", "no\nonce"])
def test_baselines_of_titles_side_by_side_are_level(title):
    figure, axes = panel_grid(1, 1, (3.25, 1.0), Margins(top=0.5))
    label(axes[0, 0], title)
    (_, _, (_, first)), (_, _, (_, second)) = axes[0, 0].title._get_layout(figure.canvas.get_renderer())[1]
    assert first - second == pytest.approx(1.15 * 8 * figure.dpi / 72, rel=0.05)
