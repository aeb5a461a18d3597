"""What changed between two runs, by hand: settings that differ, conditions that are the same, what is said."""

from types import SimpleNamespace

import fake_run as fake
import numpy as np
import pandas as pd
import pytest

from mdcore.analysis import compare
from mdcore.analysis.compare import Change
from mdcore.analysis.data.conditions import conditions_of
from mdcore.analysis.report.document import Bullets, Table

NAN, INF = float("nan"), float("inf")


def run_of(cells, tag="a", **provenance):
    return SimpleNamespace(
        conditions=conditions_of(cells), tag=tag, user_metrics=[], manifest={"provenance": provenance}
    )


def test_settings_that_have_nothing_in_common():
    one, two = fake.grid_cells(epochs=100), fake.grid_cells(epochs=200) + fake.grid_cells(epochs=30)
    assert compare.settings(run_of(one), run_of(two)) == {"epochs": ([100], [30, 200])}
    assert compare.settings(run_of(one), run_of(one + two)) == compare.settings(run_of(one), run_of([])) == {}
    other = fake.grid_cells(
        ["scaled"], depths=(3,), datasets=[{"dataset": {**fake.GAUSSIAN, "n": 70, "dim": 5}}], epochs=100
    )
    assert compare.settings(run_of(one), run_of(other)) == {
        "dataset_n": ([60], [70])
    }  # n is a setting; the subject is none


def test_the_same_condition_in_both():
    a, b = run_of(fake.grid_cells(epochs=100)), run_of(fake.grid_cells(epochs=200))
    pairs = compare.matched(a, b, {"epochs"})
    assert len(pairs) == 6 and all((c.label, c.depth) == (d.label, d.depth) for c, d in pairs)
    assert compare.matched(a, b, set()) == [] and len(compare.matched(a, a, set())) == 6
    twice = run_of(fake.grid_cells(epochs=200) + fake.grid_cells(epochs=300))
    assert compare.matched(a, twice, {"epochs"}) == compare.matched(twice, a, {"epochs"}) == []  # which of the two?
    thin = run_of(fake.grid_cells(datasets=[{"dataset": {**fake.GAUSSIAN, "n": 70}}], epochs=100))
    assert len(compare.matched(a, thin, {"dataset_n"})) == 6 and compare.matched(a, thin, set()) == []


def rows(seeds, statuses, **columns):
    return pd.DataFrame({"seed": seeds, "status": statuses} | columns)


def test_statistics_are_over_the_seeds_that_came_through_in_both():
    (c,) = conditions_of([{"cell_id": "x", "config": fake.config()}])
    one = rows([0, 1, 2, 3, 4], ["converged"] * 4 + ["failed"], gap=[1.0, NAN, 3.0, INF, 5.0], seconds=[1.0] * 5)
    two = rows(
        [1, 2, 3, 4, 5],
        ["converged", "transient", "converged", "failed", "failed"],
        gap=[NAN, 3.5, INF, 9, 0],
        seconds=[2.0] * 5,
    )
    result = compare.change(c, c, one, two, ["gap", "seconds"])
    assert (result.name, result.data, result.n, result.identical, result.same) == (
        "quadratic, L = 1",
        c.data_words,
        4,
        2,
        False,
    )
    assert (result.status_a, result.status_b) == ("3 converged, 1 failed", "2 converged, 1 transient, 1 failed")
    assert {k: result.stats[f"gap_{k}"] for k in ("n", "mean", "min", "max")} == {
        "n": 2,
        "mean": 0.25,
        "min": 0.0,
        "max": 0.5,
    }
    assert not any(k.startswith("seconds") for k in result.stats)
    other = compare.change(c, c, one, two.assign(seed=range(10, 15)), ["gap"])
    assert (other.n, other.same, other.status_a, other.status_b) == (0, True, "no runs", "no runs")
    again = compare.change(c, c, one, one.assign(status="transient"), ["gap"])
    assert again.identical == 0 and compare.change(c, c, one, one, ["gap"]).same


def stats(mean, half=NAN, n=3, name="gap"):
    ends = {"min": mean - 1, "max": mean + 1, "ci_low": mean - half, "ci_high": mean + half}
    return {f"{name}_{k}": v for k, v in {"n": n, "mean": mean, **ends}.items()}


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({}, "–"),
        (stats(0.0, 1.0), "0"),
        (stats(0.5), "+0.50"),
        (stats(0.5, 0.2), "+0.5 ± 0.2 *"),
        (stats(-0.5, 0.2), "−0.5 ± 0.2 *"),
        (stats(0.5, 0.2, n=2), "+0.5 ± 0.2"),
        (stats(0.5, 0.6), "+0.5 ± 0.6"),
    ],
)
def test_a_cell(numbers, text):
    assert compare._cell(SimpleNamespace(stats=numbers), "gap") == text


def change_of(number, identical=3, status_b="3 converged", **numbers):
    (c,) = conditions_of([{"cell_id": "x", "config": fake.config()}])
    return Change(f"c{number}", "data", c, c, 3, identical, "3 converged", status_b, numbers)


def test_what_is_said(monkeypatch):
    a, b = (
        run_of(fake.grid_cells(seeds=s), t, commit=t, blas={"name": "x", "version": t}, same=1)
        for s, t in (((0, 1), "a"), ((1, 2), "b"))
    )
    none = stats(0.0) | {"gap_min": 0.0, "gap_max": 0.0} | stats(0.0, name="angle_svm")
    moved = stats(0.2, name="margin_ratio") | {"margin_ratio_min": 0.2, "margin_ratio_max": 0.2}
    changes = [
        change_of(0),
        change_of(1, 2, "2 converged, 1 failed", **none, **moved),
        change_of(2, 0),
    ]
    only = [SimpleNamespace(id=f"o{i}") for i in range(9)]
    monkeypatch.setattr(compare, "compare", lambda *_: (changes, {"epochs": ([1, 2], [3])}, only, only[:8]))
    section, _ = compare.summary(a, b)
    bullets, words, origin, table = section.blocks
    assert bullets.items == [
        "3 conditions are in both; in 1 of them every run that both have (same seed) has the same numbers to the last "
        "bit.",
        "1 changed in how their runs ended.",
        "Seeds only in a: 0.",
        "Seeds only in b: 2.",
        "Set differently: epochs is 1, 2 in a and 3 in b.",
        "Only in a: o0, o1, o2, o3, o4, o5, o6, o7 and 1 more.",
        "Only in b: o0, o1, o2, o3, o4, o5, o6, o7.",
    ]
    assert words.words == "Where the runs come from:"
    assert origin.items == ["commit: a in a, b in b", "blas.version: a in a, b in b"]
    assert (section.level, section.title) == (1, "From a to b") and len(table.head) == 6  # no change in gap
    assert [row[:4] for row in table.rows] == [
        ["data", "c1", "3", "3 converged → 2 converged, 1 failed"], ["data", "c2", "3", "3 converged"]]  # fmt: skip
    assert [row[4:] for row in table.rows] == [["+0.20", "0"], ["–", "–"]]
    changes[1:] = []
    section, _ = compare.summary(a, a)
    assert [type(block) for block in section.blocks] == [Bullets] and not any(
        isinstance(x, Table) for x in section.blocks
    )
    assert "None changed in how its runs ended." in section.blocks[0].items
    gone = [
        f"{k}: {v} in a, not recorded in b" for k, v in (("commit", "a"), ("blas.name", "x"), ("blas.version", "a"))
    ]
    assert compare.provenance_changes(a, run_of([], "b", same=1)) == gone


def test_the_table_of_changes():
    table = compare.table([change_of(0, 1, **stats(0.5))])
    assert table[["condition", "n_common", "n_identical", "gap_mean"]].to_numpy().tolist() == [["c0", 3, 1, 0.5]]
    assert np.isnan(table["gap_ci_low"]).all() and len(compare.table([])) == 0
