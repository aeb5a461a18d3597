"""A run in order for the analysis, held against its raw files: curves, rows, pairs, facets, and the files written."""

import json
import math
import os
from dataclasses import replace

import fake_run as fake
import numpy as np
import pandas as pd
import pytest

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.conditions import conditions_of, same_value, sortable
from mdcore.analysis.data.facets import facets_of
from mdcore.analysis.data.pairs import at_equal_loss, effects, pairings
from mdcore.analysis.data.results import Curves, load, newest_run, record_of
from mdcore.store.columns import HISTORY, metric

QUESTION = "Où va la « direction » ?"


def write_with_metric(place, cells, **options):
    """A run whose metric of its own says what it is called."""
    run = fake.write_run(place / "20250319_x", cells, question=QUESTION, user_metrics={"metric.f": 2.0}, **options)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["metrics"] = {"f": {"label": "the f of mine", "unit": "m", "better": "low"}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    return run


def raw(run, name):
    return pd.concat([pd.read_parquet(p) for p in sorted(run.glob(f"stacks/*/{name}.parquet"))], ignore_index=True)


CELLS = fake.grid_cells(datasets=[{"dataset": fake.MNIST, "digits": [0, 1], "pca": 50}])
LOST = CELLS[2]["cell_id"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(run directory, results, output directory, master, summary); the last seed of the first condition is lost."""
    place = write_with_metric(tmp_path_factory.mktemp("run"), CELLS, missing=[LOST])
    results = load(place)
    return place, results, place / "out", *aggregate.write(results, place / "out")


def test_curves_are_the_rows_of_their_cell_by_epoch(run):
    history = raw(run[0], "history")
    results = Curves(history.sample(frac=1.0, random_state=1))
    assert LOST not in results and results.get(LOST, "gap").shape == (0,)
    for cell, rows in history.groupby("cell_id"):
        assert cell in run[1].curves and len(rows) > 20
        for column in ("epoch", *HISTORY):
            np.testing.assert_array_equal(results.get(cell, column), rows.sort_values("epoch")[column])
            np.testing.assert_array_equal(run[1].curves.get(cell, column), rows[column])
        assert np.isnan(results.get(cell, "never written")).all()
        assert results.get(cell, "never written").shape == (len(rows),)
    (where, nothing), *columns = results.arrays()
    assert nothing.shape == (0,) and all(repr(cell) in where for cell in history["cell_id"].unique())
    assert [name for name, _ in columns] == [name for name in history if name != "cell_id"]
    empty = Curves(history[:0])
    assert empty.get(LOST, "gap").shape == (0,) and all(values.shape == (0,) for _, values in empty.arrays())


def test_what_a_run_says_of_itself(run):
    place, results, *_ = run
    assert (results.name, results.tag, results.question) == ("20250319_x", "x", QUESTION)
    assert results.grid_yaml == (place / "grid.yaml").read_text() and results.user_metrics == ["metric.f"]
    column = metric("metric.f")
    assert (column.title, column.unit, column.better) == ("the f of mine", "m", "low")
    there = replace(results, grid_yaml="data_dir: data\n", references_dir=place / "references")
    assert (results.data_dir, there.data_dir) == (None, str(place / "data"))
    assert replace(there, references_dir=None).data_dir == "data"


def test_the_run_that_was_written_last(tmp_path):
    for name, time in (("20250101_a", 30), ("20250102_b", 10), ("20250103_c", 20)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
        os.utime(tmp_path / name / "manifest.json", (time, time))
    assert newest_run(tmp_path).name == "20250101_a"


@pytest.mark.parametrize(
    ("text", "record"), [('{"a": 1}', {"a": 1}), ("[1]", {}), ("not JSON", {}), (None, {}), ("", {})]
)
def test_the_record_of_the_data(text, record):
    assert record_of({"preprocessing": text}) == record_of({"preprocessing": text, "a": 2}) == record
    assert record_of({}) == {}


def test_images_that_are_others_are_not_called_mnist(run):
    results = run[1]
    final = results.final.assign(preprocessing='{"called": "Fashion-MNIST"}')
    words = {c.data_words for c in replace(results, final=final).conditions}
    assert words == {"Fashion-MNIST 0 vs 1, PCA 50"} != {c.data_words for c in results.conditions}


def test_optima_that_are_not_the_only_ones(run):
    results = run[1]
    unique = np.where(results.final["cell_id"].str.contains("quadratic"), "True", "False")
    changed = replace(results, final=results.final.assign(reference_unique=unique))
    assert [changed.ambiguous(c) for c in changed.conditions] == [
        c.config["potential"] != "quadratic" for c in changed.conditions
    ]


def test_the_files_of_the_analysis_hold_the_numbers_of_the_raw_files(run):
    place, results, out, *_ = run
    final, last = raw(place, "final").set_index("cell_id"), raw(place, "history").groupby("cell_id").tail(1)
    final[HISTORY], text = last.set_index("cell_id")[HISTORY], (out / "summary.csv").read_text()
    master, summary = pd.read_csv(out / "master.csv"), pd.read_csv(out / "summary.csv")
    assert (master.columns[0], summary.columns[0]) == ("cell_id", "condition_id")
    assert master["cell_id"].tolist() == [i for c in results.conditions for i in c.cells.values()]
    assert master["status"].eq("missing").sum() == 1
    for row in master.to_dict("records"):
        for column in (*HISTORY, "metric.f", "exact_margin", "gamma_bound"):
            expected = np.nan if row["cell_id"] == LOST else final.loc[row["cell_id"], column]
            assert row[column] == pytest.approx(expected, nan_ok=True, rel=1e-15)
    first, counts = text.splitlines()[1].split(","), [c for c in summary if c.endswith("_n")]
    assert all(first[summary.columns.get_loc(c)] in ("0", "2", "3") for c in counts)  # no decimals in a count
    assert len(list((out / "conditions").iterdir())) == 6


def test_a_condition_file_says_all_of_its_condition(run):
    _, results, out, *_ = run
    paired = {}
    for kind, c, other in pairings(results):
        effect, angle = {
            "depth": ("depth_effect", "linear_md_ends"),
            "potential": ("potential_effect", "reference_potential"),
        }[kind]
        pair = {"kind": kind, "with": other.id, "columns": f"{effect}*, angle_{angle}"}
        paired.setdefault(c.id, []).append(pair)
    assert sum(map(len, paired.values())) == 3 + 4
    for c in results.conditions:
        text = (out / "conditions" / f"{c.id}.json").read_text()
        record = json.loads(text)
        assert text == json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        assert record["pairs"] == paired.get(c.id, [])
        assert record["grid"]["question"] == QUESTION
        assert record["data"]["n_train"] == 60 and record["data"]["preprocessing"] == {"source": "fake", "seed": 0}
        assert "path" not in record["grid"]["fixed"]["dataset"]
    assert aggregate.grid_snippet(c)["question"] == f"What does {c.id} do?"
    config = fake.config(dataset={"name": "mine:data", "a": None})
    (mine,) = conditions_of([{"cell_id": "0", "config": config}])
    assert aggregate.grid_snippet(mine)["fixed"]["dataset"] == {"name": "mine:data", "a": None}


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([60, 60], 60),
        ([None, 60], 60),  # the first seed is missing
        ([math.nan, "separable", ""], "separable"),
        (["separable", "overlapping", "separable"], ["separable", "overlapping"]),
        ([None, ""], None),
    ],
)
def test_what_a_condition_file_says_of_data_that_seeds_draw(values, kept):
    assert aggregate._of_all([{"n_train": value} for value in values], "n_train") == kept


def test_tables_that_fit_are_believed_and_others_made_again(run, tmp_path):
    results = load(run[0])
    results.final.loc[0, "message"] = "NA"
    aggregate.write(results, tmp_path)
    text = (tmp_path / "master.csv").read_text()
    gap = str(results.final.loc[0, "gap"])
    assert text.count(gap) == 1
    (tmp_path / "master.csv").write_text(text.replace(gap, "0.5"))  # what is not looked at
    master, _ = aggregate.read_or_write(results, tmp_path)
    row = master[master["cell_id"] == results.final.loc[0, "cell_id"]].iloc[0]
    assert (row["gap"], row["message"]) == (0.5, "NA") and set(master["message"]) == {"", "NA"}
    changed = replace(results, user_metrics=[*results.user_metrics, "metric.g"])
    assert "metric.g" in aggregate.read_or_write(changed, tmp_path)[0]


def test_columns_and_file_names_that_occur_twice_are_refused(run, tmp_path):
    results = load(run[0])
    with pytest.raises(ValueError, match=r"columns that occur twice: gap$"):
        aggregate.master_table(replace(results, user_metrics=["gap"]))
    for i, c in enumerate(results.conditions[:2]):
        c.id = "a" * 150 + str(i)
    with pytest.raises(ValueError, match=r"two conditions have the file name a{150};"):
        aggregate.write(results, tmp_path)


def test_the_order_of_values_and_when_they_are_the_same():
    assert sorted(["b", 3, None, -1, "a"], key=sortable) == [None, -1, 3, "a", "b"]
    assert same_value({"a": 1, "b": 2}) == same_value({"b": 2, "a": 1}) != same_value({"a": 1, "b": "2"})


def facets(*args, **more):
    return facets_of(conditions_of(fake.grid_cells(*args, **more)))


def test_without_a_quadratic_potential_the_first_is_the_reference():
    (facet,) = facets([{"lp": {"p": p}} for p in (3.0, 1.5, 7.0)])
    assert [facet.reference(depth).label for depth in (1, 2)] == ["lp1.5", "lp1.5"] and facet.reference(3) is None


def test_a_title_says_what_is_done_and_not_what_is_left_undone():
    step = {"rule": "adaptive", "eta": 1.0}
    data = [{"step": step | {"anneal": a}, "stop": s} for a, s in ((0, None), (30, {"gap": 0.01}))]
    assert [f.title for f in facets(datasets=data)] == [
        "Gaussian, d = 20",
        "Gaussian, d = 20, annealed 30, stop at gap 0.01",
    ]
    assert [f.title for f in facets(["quadratic"], depths=(1,))] == ["Gaussian, d = 20"]


def test_a_linear_condition_has_no_linear_companion_and_a_lost_run_no_pair(tmp_path):
    cells = fake.grid_cells(["quadratic", {"lp": {"p": 2.0}}])  # one function under two names
    results = load(fake.write_run(tmp_path / "20250319_x", cells, status={cells[0]["cell_id"]: "failed"}))
    pairs = [(kind, c.label, c.depth) for kind, c, _ in pairings(results)]
    assert sorted(pairs) == [
        ("depth", "lp2", 2),
        ("depth", "quadratic", 2),
        ("potential", "lp2", 1),
        ("potential", "lp2", 2),
    ]
    differences = effects(results)
    paired = {(c.label, c.depth): [cell in differences for cell in c.cells.values()] for c in results.conditions}
    assert paired["quadratic", 1] == [False] * 3 and paired["lp2", 2] == [True] * 3
    assert paired["quadratic", 2] == paired["lp2", 1] == [False, True, True]


class _Study:
    """Curves for at_equal_loss, by hand."""

    def __init__(self, **data):
        self.curves, self.data = self, data

    def get(self, cell, column):
        return np.array(self.data[cell][column != "log_inverse_loss"], float)


DEEP = ([0.5, 1.0, 3.0, 2.5, 5.0], [9.0, 8.0, 4.0, 100.0, 0.0])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (DEEP, ([0.6, 2.7], [0, 0]), 4.6),  # on the way from 8 to 4, whatever comes after the step back
        (DEEP, ([0.6, 0.75], [0, 0]), 8.5),  # before the first step
        (DEEP, ([5.0, 9.0], [1, 7]), -1.0),  # only where one ends
        (DEEP, ([0.4, 0.5], [3, 1]), 8.0),  # only where one starts
        (([0.6, 2.0, 2.0, 3.0], [1, 3, 9, 5]), ([0.1, 2.5], [0, 0]), 4.0),  # from where 2 was reached first
        (DEEP, ([0.0, 90.0], [0, 1]), np.nan),  # from R = 1 on
    ],
)
def test_equal_loss_at_the_edges(one, other, expected):
    study = _Study(one=one, other=other)
    assert at_equal_loss(study, "one", "other", "gap") == pytest.approx(expected, nan_ok=True)
    assert at_equal_loss(study, "other", "one", "gap") == pytest.approx(-expected, nan_ok=True)
