"""Heatmaps, by hand: which panels make a page, what stands in a cell and in its place, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from figure_checks import overlaps
from matplotlib.colors import to_hex

from mdcore.analysis.figures import style
from mdcore.analysis.figures.drawings import heatmaps
from mdcore.analysis.figures.drawings.heatmaps import cell_text
from mdcore.analysis.figures.registry import Absent

pytestmark = pytest.mark.usefixtures("shipped_style")

COUNTS = {"n_transient": 0, "n_missing": 0, "n_failed": 0, "n_diverged": 0}


def study_of(data, potentials, depths, columns=1, without=(), **rows):
    """A study of so many data sets; rows: {id of a condition: {column: value}} besides those that all have."""
    keys, facets, summary = [f"k{i}" for i in range(potentials)], [], []
    for f in range(data):
        some = [
            SimpleNamespace(id=f"f{f}_{k}_L{depth}", potential_key=k, depth=depth)
            for k in keys
            for depth in (1, *depths)
            if f"f{f}_{k}_L{depth}" not in without
        ]
        facets.append(SimpleNamespace(title=f"data {f}", conditions=some))
        for i, c in enumerate(some):
            mean = 1.0 + f + 0.1 * i
            row = {"condition_id": c.id, "norm_balance_mean": mean, "layer_alignment_mean": 1 / mean, **COUNTS}
            summary.append(row | {"norm_balance_n": 3, "layer_alignment_n": 3} | rows.get(c.id, {}))
    return SimpleNamespace(
        facets=facets,
        summary=pd.DataFrame(summary),
        names={k: f"the {k}" for k in keys},
        width=lambda: (style.COLUMN, style.FULL)[columns - 1],
        results=SimpleNamespace(cells=[]),
    )


@pytest.mark.parametrize(
    ("data", "potentials", "depths", "columns", "pages"),
    [
        (7, 3, 2, 1, [(3, 2), (4, 2)]),  # two panels across, three down
        (4, 3, 6, 1, [(2, 1), (2, 1)]),  # wide ones
        (3, 15, 2, 1, [(1, 1), (2, 2)]),  # high ones
        (2, 20, 8, 1, [(1, 1), (1, 1)]),
        (6, 20, 3, 2, [(3, 3), (3, 3)]),
    ],
)
def test_data_sets_of_a_page(monkeypatch, data, potentials, depths, columns, pages):
    monkeypatch.setattr(heatmaps, "_page", lambda _, page, *more: (len(page.content), more[-1]))
    assert list(heatmaps.norm_balance(study_of(data, potentials, range(2, 2 + depths), columns))) == pages
    three = study_of(3, 1, (2, 3), without=("f0_k0_L2", "f1_k0_L3", "f2_k0_L3"))
    assert list(heatmaps.norm_balance(three)) == [(3, 2)]  # also where each has one depth


@pytest.mark.parametrize(
    ("data", "potentials", "columns", "pages"),
    [(3, 3, 1, [(3, 1)]), (4, 2, 1, [(2, 2)])],  # no hole in the last row
)
def test_panels_of_a_page(data, potentials, columns, pages):
    study = study_of(data, potentials, (2, 3), columns)
    study.facets[0].title = "data of a name of many words to be broken"
    drawn = list(heatmaps.norm_balance(study))
    titles = iter(f.title for f in study.facets)
    assert len(drawn) == len(pages)
    for item, (down, across) in zip(drawn, pages, strict=True):
        figure = item.figure
        height, dpi = figure.get_figheight(), figure.dpi
        *panels, bar = figure.axes
        boxes = [ax.get_position() for ax in panels]
        assert len(panels) == down * across and len({round(box.x0, 6) for box in boxes}) == across
        assert overlaps(figure) == [] and height <= style.HEIGHT
        assert [ax.get_title().replace("\n", " ") for ax in panels] == [next(titles) for _ in panels]
        assert all(box.height * height == pytest.approx(heatmaps.ROW * potentials) for box in boxes)
        renderer = figure.canvas.get_renderer()
        wide = [ax.title.get_window_extent(renderer).width / ax.bbox.width for ax in panels]
        assert max(wide) < 1.2
        above = height - max(ax.title.get_window_extent(renderer).y1 for ax in panels) / dpi
        left = min(t.get_window_extent(renderer).x0 for t in panels[0].get_yticklabels()) / dpi
        assert 0 <= above < 0.12 and 0 <= left < 0.14
        assert [bool(ax.get_xlabel()) for ax in panels] == [False] * (down - 1) * across + [True] * across
        place = bar.get_position()
        assert (place.x0, place.x1) == pytest.approx((boxes[0].x0, boxes[-1].x1))
        assert 0.05 < place.height * height < 0.2 and place.y1 * height + 0.3 < min(box.y0 for box in boxes) * height
        low, high = panels[0].collections[0].get_clim()
        assert bar.get_xlim() == (low, high) == (1.0, 10.0) and bar.get_xscale() == "log"
        for ax in figure.axes:
            assert not any(line.get_visible() for line in (*ax.get_xgridlines(), *ax.get_ygridlines()))
        assert all(side.get_visible() for ax in panels for side in ax.spines.values())
        assert not any(t.get_rotation() for t in panels[0].get_yticklabels())
        assert item.alt.startswith("Norm balance at the end: data ") and "mean over n = 3 seeds." in item.caption
        assert item.notes == []


def test_what_stands_in_a_cell():
    nothing = {"layer_alignment_mean": np.nan, "layer_alignment_n": 0}
    rows = {
        "f0_k0_L2": nothing | {"n_missing": 1},
        "f0_k1_L2": nothing | {"n_failed": 2, "n_transient": 1},
        "f0_k2_L2": nothing | {"n_diverged": 3},
        "f0_k0_L3": nothing,
        "f0_k1_L3": {"layer_alignment_mean": 0.85, "n_transient": 1, "layer_alignment_n": 2},
        "f0_k3_L2": {"layer_alignment_mean": 0.5},
        "f0_k3_L3": {"layer_alignment_mean": 0.99},
    }
    (item,) = heatmaps.alignment(study_of(1, 4, (2, 3), without=("f0_k2_L3",), **rows))
    ax, bar = item.figure.axes
    texts = {t.get_position(): (t.get_text(), t.get_color()) for t in ax.texts}
    assert texts == {
        (0.5, 0.5): ("not run", "0.1"),
        (1.5, 0.5): ("n/a", "0.1"),
        (0.5, 1.5): ("failed", "0.1"),
        (1.5, 1.5): ("0.850*", "white"),
        (0.5, 2.5): ("div.", "0.1"),
        (0.5, 3.5): ("0.500", "0.1"),
        (1.5, 3.5): ("0.990", "white"),
    }
    (hatched,) = [c for c in ax.collections if c.get_hatch()]
    corners = hatched.get_paths()[0].vertices
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == ([1, 2], [2, 3])
    assert [(t.get_text(), y) for t, y in zip(ax.get_yticklabels(), ax.get_yticks())] == [
        (f"the k{i}", i + 0.5) for i in range(4)
    ]
    assert [(t.get_text(), x) for t, x in zip(ax.get_xticklabels(), ax.get_xticks())] == [("2", 0.5), ("3", 1.5)]
    assert ax.collections[0].get_clim() == bar.get_xlim() == (0, 1) and to_hex(ax.patch.get_facecolor()) == "#ffffff"
    assert item.caption.endswith("Numbers are the mean over n = 2–3 seeds.") and item.notes == [
        "Hatched: not in the grid.",
        "*: the margin of some runs is not certified.",
        "Runs that are missing or failed or diverged are in no mean.",
    ]


def test_one_seed_and_what_is_not_drawn():
    ids = [f"f{{}}_k{i}_L{depth}" for i in range(2) for depth in (2, 3)]
    none = {"norm_balance_mean": np.nan, "norm_balance_n": 0}
    one, lost = {i.format(0): {"norm_balance_n": 1} for i in ids}, {i.format(1): none.copy() for i in ids}
    item, absent = heatmaps.norm_balance(study_of(2, 2, (2, 3), **one, **lost))
    assert item.caption.endswith("Numbers are one seed.")
    assert absent == Absent("norm_balance_heatmap: data 1", "no deep cell has a number there")
    lost |= {name.replace("f1", "f0"): none for name in lost}
    why = [next(heatmaps.norm_balance(study_of(*some))).reason for some in ((1, 2, ()), (1, 2, (2,)))]
    assert why == [
        f"the grid has {s}" for s in ("no depth above 1", "one depth above 1; its numbers are in the tables")
    ]
    assert next(heatmaps.norm_balance(study_of(2, 2, (2, 3), **lost))).reason.startswith("no deep cell has a number: ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0234, "1.023"),
        (9.9994, "9.999"),
        (9.9995, "10"),
        (95.44, "95.4"),
        (999.4, "999"),
        (999.5, "1.0e3"),
        (1234.5, "1.2e3"),
        (6.4e7, "6.4e7"),
        (2e12, "2.0e12"),
    ],
)
def test_numbers_in_a_cell(value, text):
    assert cell_text(value) == text
