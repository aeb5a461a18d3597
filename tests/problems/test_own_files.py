"""A file of one's own becomes the data set it says, split and thinned as asked; what is wrong with it is one error."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mdcore.config.grid import GridError, load_grid
from mdcore.problems import preparing, tables
from mdcore.problems.datasets import DataError, load_dataset
from mdcore.runner.stacks import compose
from mdcore.training.content import ContentNow

N = 40
RNG = np.random.default_rng(0)
AGE, HEIGHT = RNG.integers(18, 80, N).astype(float), RNG.standard_normal(N)
Y = np.where(np.arange(N) % 4 == 0, "yes", "no")
FRAME = pd.DataFrame({"age": AGE, "answer": Y, "height": HEIGHT, "one": 1})
KEYS = {"name": "file", "label": "answer", "features": None, "standardize": True, "test_fraction": 0.25}


def written(place: Path, frame=FRAME, suffix=".csv") -> Path:
    path = place / f"survey{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        np.savez(path, answer=Y, X=np.column_stack([AGE, HEIGHT]), one=np.ones(N))
    return path


def data(path: Path, seed=0, **change):
    return load_dataset({**KEYS, "path": str(path), **change}, seed=seed)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_every_kind_of_file_gives_the_same_points(tmp_path, suffix):
    points = data(written(tmp_path, suffix=suffix))
    X = np.column_stack([AGE, HEIGHT])  # the constant column is dropped
    mine = np.random.default_rng([preparing.SPLIT_SEED, 0]).permutation(np.flatnonzero(Y == "no"))[:8]
    yours = np.random.default_rng([preparing.SPLIT_SEED, 1]).permutation(np.flatnonzero(Y == "yes"))[:2]
    test = np.sort(np.concatenate([mine, yours]))
    train = np.setdiff1d(np.arange(N), test)
    scaled = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    np.testing.assert_allclose(points.X_train, scaled[train], atol=1e-12)
    np.testing.assert_allclose(points.X_test, scaled[test], atol=1e-12)
    assert np.array_equal(points.y_train > 0, Y[train] == "yes") and np.array_equal(points.y_test > 0, Y[test] == "yes")
    w, named = np.array([0.5, -2.0]), points.basis.names.index("one")  # back to the columns of the file, by their names
    weights = np.delete(points.basis.on_features(w), named)
    np.testing.assert_allclose((X - X[train].mean(axis=0))[train] @ weights, points.X_train @ w, atol=1e-12)
    assert len(points.basis.names) == 3 and points.basis.on_features(w)[named] == 0
    record = points.preprocessing
    assert record["labels"] == "yes is +1, no is -1" and record["dropped_constant"] == ["one"]
    content = (tmp_path / f"survey{suffix}").read_bytes()
    assert record["files"] == {f"survey{suffix}": hashlib.sha256(content).hexdigest()}
    assert str(tmp_path) not in json.dumps(record)


def test_without_scaling_the_numbers_stand_as_they_are(tmp_path):
    dataset = data(written(tmp_path), standardize=False, test_fraction=0.0, features=["height", "one"])
    assert np.array_equal(dataset.X_train, np.column_stack([HEIGHT, np.ones(N)]))
    npz = data(written(tmp_path, suffix=".npz"), standardize=False, test_fraction=0.0, features=["X"])
    assert np.array_equal(npz.X_train, np.column_stack([AGE, HEIGHT]))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1], "1 is +1, 0 is -1"),
        ([-1.0, 2.5], "2.5 is +1, -1 is -1"),
        ([False, True], "True is +1, False is -1"),
        (["b", "a"], "b is +1, a is -1"),
    ],
)
def test_any_two_labels_will_do(tmp_path, labels, words):
    dataset = data(written(tmp_path, FRAME.assign(answer=np.resize(labels, N))), test_fraction=0.0)
    assert dataset.preprocessing["labels"] == words
    assert np.array_equal(dataset.y_train > 0, np.resize(labels, N) == max(labels))


def test_semicolons_and_a_byte_order_mark_are_read(tmp_path):
    comma_separated = data(written(tmp_path))
    (tmp_path / "survey.csv").write_bytes(b"\xef\xbb\xbf" + FRAME.to_csv(index=False, sep=";").encode())
    assert data(tmp_path / "survey.csv").fingerprint == comma_separated.fingerprint


@pytest.mark.parametrize("kind", ["file", "sklearn", "mnist"])
def test_seeds_draw_the_split_and_the_subsample_only_where_that_is_asked(tmp_path, kind):
    keys = {
        "file": {**KEYS, "path": str(written(tmp_path))},
        "sklearn": {"name": "sklearn", "set": "iris", "classes": ["setosa", "virginica"], "test_fraction": 0.2},
        "mnist": {"name": "mnist", "source": "bundled", "path": None, "test_fraction": 0.2},
    }[kind]
    images = ([3, 5], 5) if kind == "mnist" else (None, None)

    def load(seed, **change):
        return load_dataset({**keys, **change}, *images, seed)

    fixed, drawn = load(0), [load(seed, split="by_seed") for seed in (0, 1, 2)]
    assert load(1).fingerprint == fixed.fingerprint == drawn[0].fingerprint
    assert len({each.fingerprint for each in drawn}) == 3
    assert {each.X_train.shape for each in drawn} == {fixed.X_train.shape}
    some = [load(seed, subsample=10) for seed in (0, 1, 0)]
    assert some[0].fingerprint == some[2].fingerprint != some[1].fingerprint
    assert all(len(each.y_train) == 10 and len(each.y_test) == len(fixed.y_test) for each in some)


@pytest.mark.parametrize("count", [2, 3, 10, 29, 30])
def test_a_subsample_keeps_the_shares_of_the_classes(count):
    classes = np.repeat([0, 1], [27, 3])
    kept = preparing.subsample(np.arange(30), classes, count, seed=4)
    assert len(kept) == len(set(kept)) == count and list(kept) == sorted(kept)
    assert abs((classes[kept] == 1).sum() - max(1, count / 10)) < 1 and (classes[kept] == 0).any()


def test_sklearns_sets_are_their_points(tmp_path):
    from sklearn.datasets import load_wine

    wine = load_wine()
    keys = {"name": "sklearn", "set": "wine", "classes": ["class_2", "class_0"], "standardize": False}
    dataset = load_dataset({**keys, "test_fraction": 0.0})
    mine = np.isin(wine.target, (0, 2))
    assert np.array_equal(dataset.X_train, wine.data[mine])
    assert np.array_equal(dataset.y_train > 0, wine.target[mine] == 2)
    assert dataset.preprocessing["labels"] == "class_2 is +1, class_0 is -1"


# what is wrong


def test_a_missing_file_is_named_in_full_with_what_is_there(tmp_path, monkeypatch):
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        data(Path("surwey.csv"))
    assert f"dataset.path: {tmp_path / 'surwey.csv'} does not exist" in str(error.value)
    assert "did you mean 'survey.csv'?" in str(error.value)


WRONG = [
    ({"label": "anwser"}, {}, r"dataset\.label: .*survey\.csv has no column 'anwser'.*did you mean 'answer'"),
    ({"features": ["age", "weight"]}, {}, r"dataset\.features: .* no column 'weight'; it has age, height, one"),
    ({}, {"answer": np.resize(["a", "b", "c"], N)}, r"dataset\.label: .* has 3 classes: a, b, c; expected two"),
    ({}, {"answer": "a"}, r"dataset\.label: .* has one class: a; expected two"),
    ({}, {"answer": np.where(np.arange(N) == 6, None, Y)}, r"1 missing values \(NaN\), the first in row 7"),
    ({}, {"age": np.where(np.arange(N) == 3, np.nan, AGE)}, r"column 'age' has 1 values.*NaN.*first in row 4"),
    ({}, {"age": np.where(np.arange(N) == 3, np.inf, AGE)}, r"column 'age' has 1 values.*infinite.*row 4"),
    ({}, {"age": "old"}, r"column 'age' holds 'old' \(dtype .*\); expected numbers"),
    ({"subsample": 31}, {}, r"dataset\.subsample: got 31; expected 2 to 30"),
    ({"test_fraction": 0.99}, {}, r"dataset\.test_fraction: got 0\.99, which leaves no training point"),
    ({"features": ["one"]}, {}, "all 1 features are constant in training"),
]


@pytest.mark.parametrize(("keys", "columns", "message"), WRONG)
def test_a_table_that_cannot_be_used_is_one_clear_error(tmp_path, keys, columns, message):
    with pytest.raises(DataError, match=message):
        data(written(tmp_path, FRAME.assign(**columns)), **keys)


def test_files_that_are_not_what_their_name_says_are_refused(tmp_path):
    for name, raw, word in (
        ("a.csv", b"", "no readable CSV file"),
        ("a.csv", b"age,answer\n", "has no rows"),
        ("a.parquet", b"PAR1", "no readable PARQUET file"),
        ("a.npz", b"PK", "no readable NPZ file"),
        ("a.xlsx", b"", r"none of \.csv, \.parquet, \.npz"),
    ):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DataError, match=rf"dataset\.path: .*{name}.*{word}"):
            data(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read"):
        data(tmp_path)


def test_an_npz_with_pickles_is_refused_unread(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    np.savez(tmp_path / "a.npz", answer=Y, X=np.array([Bomb()] * N, dtype=object))
    with pytest.raises(DataError, match="holds pickled objects"):
        data(tmp_path / "a.npz")
    assert not (tmp_path / "run").exists()


def test_arrays_of_an_npz_that_do_not_fit_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", answer=Y, X=np.ones((N - 1, 2)))
    with pytest.raises(DataError, match=r"do not fit: answer \(40,\), X \(39, 2\)"):
        data(tmp_path / "a.npz")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path, stat = written(tmp_path), os.stat

    def write_first(place, *args, **kwargs):
        with open(path, "a") as file:
            file.write("44,no,1,1\n")
        return stat(place, *args, **kwargs)

    monkeypatch.setattr(preparing.os, "stat", write_first)
    with pytest.raises(DataError, match=r"survey\.csv changed while it was read; run again"):
        data(path)


# in a grid

GRID = """\
question: Which direction?
fixed:
  dataset: {name: file, path: survey.csv, label: answer, test_fraction: 0}
  epochs: 10
  step: {rule: adaptive}
  potential: quadratic
"""


def grid(place: Path, text: str = GRID, *overrides: str):
    (place / "grid.yaml").write_text(text)
    return load_grid(place / "grid.yaml", list(overrides))


def test_what_the_grid_alone_shows_to_be_wrong_is_told_before_a_file_is_read(tmp_path):
    for override, words in (
        ("dataset.features=[[age, answer]]", "got the label 'answer' among the features"),
        ("dataset.features=[[age, age]]", "expected a list of different column names"),
        ("dataset.split=by_seed", "got by_seed with test_fraction 0"),
        ("dataset={name: file, path: a.csv}", "dataset.label: missing"),
        ("dataset={name: sklearn, set: iris}", "iris has 3: expected two of setosa, versicolor, virginica"),
        ("dataset={name: sklearn, set: iris, classes: [setosa, rose]}", "got 'rose', which iris has not"),
        ("dataset={name: sklearn, set: wine, classes: [class_0]}", "two classes of the set"),
        ("dataset.standardize=1", "expected true or false"),
    ):
        with pytest.raises(GridError) as error:
            grid(tmp_path, GRID, override)
        assert words in str(error.value)


def test_of_a_file_its_name_is_part_of_a_cell_and_its_place_is_not(tmp_path):
    (tmp_path / "b").mkdir()
    one, two = grid(tmp_path), grid(tmp_path / "b", GRID.replace("survey.csv", "../data/survey.csv"))
    assert one.cells == two.cells and one.cells[0].cell_id.startswith("survey_quadratic_L1_s0-")
    assert grid(tmp_path, GRID.replace("survey", "poll")).cells != one.cells
    both = GRID.replace(" path: survey.csv,", "") + "vary:\n  dataset.path: [survey.csv, poll.csv]\n"
    assert grid(tmp_path, both).varied == ["dataset_path"]
    with pytest.raises(GridError, match="for the same cell"):
        grid(tmp_path, both.replace("poll.csv", "b/survey.csv"))


def test_relative_paths_start_at_the_grid_file_and_at_its_data_dir(tmp_path, monkeypatch):
    (tmp_path / "g").mkdir()
    written(tmp_path / "g")
    monkeypatch.chdir(tmp_path)
    parsed_grid = grid(tmp_path / "g")
    expected = data(tmp_path / "g" / "survey.csv", test_fraction=0.0).fingerprint
    assert ContentNow(parsed_grid).load(parsed_grid.cells[0]).fingerprint == expected
    (tmp_path / "runs").mkdir()
    again = grid(tmp_path / "runs", parsed_grid.resolved_yaml())  # as a run's own grid.yaml
    assert ContentNow(again).load(again.cells[0]).fingerprint == expected and again.cells == parsed_grid.cells


PLUGIN = """
import numpy as np
from mdcore.problems.datasets import Dataset

def rows(seed, where):
    table = np.loadtxt(where, delimiter=",")
    return Dataset("rows", table[:, 1:], table[:, 0], np.empty((0, 2)), np.empty(0), {})
"""


def test_a_plug_ins_paths_start_there_too_and_what_it_raises_is_the_datas_fault(tmp_path, monkeypatch):
    (tmp_path / "g").mkdir()
    (tmp_path / "mine.py").write_text(PLUGIN)  # not beside the grid
    (tmp_path / "g" / "rows.csv").write_text("1,3,1\n-1,-3,-1\n")
    monkeypatch.chdir(tmp_path)
    text = GRID.replace(GRID.splitlines()[2], "  dataset: {name: 'mine:rows', where: rows.csv}")
    parsed_grid = grid(tmp_path / "g", text)
    assert ContentNow(parsed_grid).load(parsed_grid.cells[0]).X_train.tolist() == [[3, 1], [-3, -1]]
    (tmp_path / "g" / "rows.csv").unlink()
    for _ in range(2):
        with pytest.raises(DataError) as error:
            ContentNow(parsed_grid).load(parsed_grid.cells[0])
    assert "mine:rows(where='rows.csv', seed=0) raised FileNotFoundError" in str(error.value)
    assert f"relative paths start at {tmp_path / 'g'}" in str(error.value)


def test_a_plan_loads_each_data_set_once_and_tells_what_it_is(tmp_path, monkeypatch):
    written(tmp_path)
    keys = "standardize: false, features: [height, one], split: by_seed"
    parsed_grid = grid(tmp_path, GRID.replace("test_fraction: 0", keys) + "vary:\n  depth: [1, 2]\n  seed: [0, 1]\n")
    asked, load = [], tables.file_data
    monkeypatch.setattr(tables, "file_data", lambda dataset, seed: asked.append(seed) or load(dataset, seed))
    content = ContentNow(parsed_grid)
    assert content.unreadable(compose(parsed_grid.cells)) == []
    lines, wrong = content.report(parsed_grid.cells)
    assert sorted(asked) == [0, 1] and not wrong
    (line,) = lines[1:]
    assert "survey: 32 × 2 to train (8 of +1, 24 of -1), 8 to test; yes is +1, no is -1" in line
    assert "constant in training: coordinate 2" in line and "overlapping (seeds 0, 1)" in line


def test_a_plan_tells_what_is_wrong_once_for_all_seeds_and_solves_margins_when_asked(tmp_path):
    written(tmp_path, FRAME.assign(answer=np.where(HEIGHT > 0, "yes", "no")))
    text = GRID.replace("test_fraction: 0", "test_fraction: 0, standardize: false, features: [height]")
    parsed_grid = grid(tmp_path, text + "vary:\n  seed: [0, 1]\n")
    lines, wrong = ContentNow(parsed_grid).report(parsed_grid.cells, margins=True)
    assert not wrong and f"separable; l_2 margin {np.abs(HEIGHT).min():.4g}" in lines[1]
    assert "margin" not in ContentNow(parsed_grid).report(parsed_grid.cells)[0][1]
    bad = grid(tmp_path, GRID.replace("answer", "nothing") + "vary:\n  seed: [0, 1]\n")
    lines, wrong = ContentNow(bad).report(bad.cells)
    assert wrong and len(lines) == 2 and "has no column 'nothing'" in lines[1]


def test_a_changed_file_makes_its_cells_stale_and_says_why(tmp_path):
    path = written(tmp_path)
    parsed_grid = grid(tmp_path)
    (cell,) = parsed_grid.cells
    recorded = {"files": load_dataset({**cell.config["dataset"], "path": str(path)}).preprocessing["files"]}
    assert ContentNow(parsed_grid).changes(cell, recorded) == []
    path.write_text(path.read_text() + "44,no,1,1\n")
    assert ContentNow(parsed_grid).changes(cell, recorded) == ["the data's file survey.csv has another content"]
    path.unlink()
    assert ContentNow(parsed_grid).changes(cell, recorded) == []  # nothing is known of a file that is not there
