"""Rows of the end points and cells of the heatmaps, by hand: what stands together, what is counted, what is written."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mdcore.analysis.figures.drawings import end_points
from mdcore.analysis.figures.drawings.heatmaps import cell_text
from mdcore.analysis.figures.layout import Group


@pytest.mark.parametrize(
    ("sizes", "most", "pages"),
    [
        ([3, 3, 3], 8, [[3, 3], [3]]),  # a row for each condition and one for each heading
        ([3, 3], 7, [[3, 3]]),
        ([3, 3], 6, [[3], [3]]),
        ([2, 2, 2, 2], 9, [[2, 2], [2, 2]]),  # equally full, where three and one would fit too
        ([9, 1, 1], 5, [[9], [1, 1]]),
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
    ("counts", "said"),
    [((1, 1), "one a condition"), ((3, 3), "n = 3 a condition"), ((1, 3), "n = 1 to 3 a condition"), ((0, 2), "n = 2")],
)
def test_how_many_runs_a_condition_has(counts, said):
    ids = [name for name, count in zip("ab", counts) for _ in range(count)]
    found = {"gap": pd.DataFrame({"condition_id": [*ids, "elsewhere"]})}
    told = end_points._seeds(found, [SimpleNamespace(id="a"), SimpleNamespace(id="b")])
    assert said in told and "Boxes" not in told
    for many in (7, 8):
        found = {"gap": pd.DataFrame({"condition_id": ["a"] * many})}
        assert ("Boxes" in end_points._seeds(found, [SimpleNamespace(id="a")])) == (many == 8)


def test_long_headings_are_cut():
    assert end_points._heading("x" * 34) == "x" * 34
    assert end_points._heading("x" * 35) == "x" * 33 + "…"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0234, "1.023"),
        (9.9994, "9.999"),
        (9.9996, "10"),
        (95.44, "95.4"),
        (999.4, "999"),
        (999.6, "1.0e3"),
        (1234.5, "1.2e3"),
        (6.4e7, "6.4e7"),
        (2e12, "2.0e12"),
    ],
)
def test_numbers_in_a_cell(value, text):
    assert cell_text(value) == text
