"""Generated requests and results: refused or taken in words, never a traceback, nothing written by mistake."""

from __future__ import annotations

import io
import json
import os
import shutil
import string
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_grids import GRID_TEXT
from fake_run import grid_cells, write_run
from fake_stacks import reseal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_strategies import KEYS, OVERRIDES, VALUES

from mdcore import run_analysis, run_grid
from mdcore.analysis.data import results, validate
from mdcore.store.columns import HISTORY, STATUSES
from mdcore.store.commits import committed
from mdcore.store.runs import RunError, check_tag, find_run, read_run


def several(count: int):
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


# What a shell can hand over: any text but the NUL; lone surrogates stand for bytes that are no UTF-8.
WORDS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    st.text(string.printable, max_size=12),
    st.binary(max_size=8).map(lambda data: os.fsdecode(data.replace(b"\0", b""))),
)
TAGS = st.one_of(
    WORDS,
    st.text("./\\~-_ab0 ", max_size=12),
    st.sampled_from(["..", "../x", "/etc", "a/../../b", "x" * 81, "x" * 5000, "good", "a.b-c_1", "-", ".x", "a\n"]),
)
FILTERS = st.one_of(WORDS, st.tuples(KEYS, WORDS).map("=".join), st.just("depth=1"), st.just("p=null,depth=2"))


def in_a_new_place(call):
    """call() in an empty directory; its result, what it printed, and the names it left there."""
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        with redirect_stdout(printed), redirect_stderr(printed):
            try:
                status = call(Path(folder))
            except SystemExit as end:  # argparse
                status = end.code
        return status, printed.getvalue(), sorted(p.name for p in Path(folder).rglob("*"))


@several(300)
@given(TAGS)
def test_no_tag_leaves_the_output_directory(tag):
    try:
        assert check_tag(tag) == tag
    except RunError as error:
        assert "--tag" in str(error)
    else:
        with tempfile.TemporaryDirectory() as folder:
            assert Path(folder, f"20250101_{tag}").resolve().parent == Path(folder).resolve()
            Path(folder, f"20250101_{tag}").mkdir()
            assert find_run(Path(folder), tag).name == f"20250101_{tag}"


@several(300)
@given(
    tag=TAGS, only=st.lists(FILTERS, max_size=2), overrides=st.one_of(st.just([]), OVERRIDES),
    output=st.one_of(st.just("runs"), WORDS), flags=st.lists(WORDS, max_size=1),
)  # fmt: skip
@pytest.mark.slow
def test_no_request_makes_it_crash_or_write(tag, only, overrides, output, flags):
    words = [f"--tag={tag}", f"--output_dir={output}", *(f"--only={f}" for f in only)]
    words += [f"--set={o}" for o in overrides if "\0" not in o]

    def ask(place):
        (place / "grid.yaml").write_text(GRID_TEXT)
        return run_grid.main(["--config", "grid.yaml", "--dry_run", *words, *flags])

    status, printed, left = in_a_new_place(ask)
    assert status in (0, 2) or (status == 1 and "cannot use" in printed)
    assert printed and "Traceback" not in printed
    assert left == ["grid.yaml"]


NAMES = st.sampled_from(["manifest.json", "grid.yaml", "stacks", "stacks/a", "stacks/a/stack.json", "references"])
JSON = st.one_of(
    VALUES.map(lambda value: json.dumps(value, default=str).encode()),
    VALUES.map(lambda value: json.dumps({"cells": value, "sha256": "x"}, default=str).encode()),
    VALUES.map(lambda value: json.dumps({"cells": [{"cell_id": "a", "config": value}]}, default=str).encode()),
    st.just(b'{"cells": []}'),
    st.just(b'{"cells": [{"cell_id": "a", "config": {}}]}'),
    st.binary(max_size=60),
)


@several(400)
@given(st.dictionaries(NAMES, st.one_of(JSON, st.none()), max_size=6))
@pytest.mark.slow
def test_no_directory_makes_the_analysis_crash(tree):
    """None: a directory. Nothing of this holds a result, so nothing is analysed."""

    def ask(place):
        run = place / "20250101_t"
        run.mkdir()
        for name, data in sorted(tree.items()):
            if (run / name).parent.is_dir():
                (run / name).mkdir() if data is None else (run / name).write_bytes(data)
        with suppress(RunError):
            assert len(read_run(run).final) == 0
        assert committed(run).newest == {}
        return run_analysis.main(["--input_dir", str(run), "--output_dir", "out"])

    status, printed, left = in_a_new_place(ask)
    assert status == 2
    assert printed.strip() and "Traceback" not in printed
    assert "out" not in left


FLAGS = st.sampled_from(["--input_dir=", "--tag=", "--runs_dir="])


@several(200)
@given(st.lists(st.one_of(WORDS, st.tuples(FLAGS, WORDS).map("".join)), max_size=3))
def test_no_analysis_request_makes_it_crash(words):
    status, printed, left = in_a_new_place(lambda place: run_analysis.main(list(words)))
    assert status == 2 or (status == 0 and any(word.startswith("-h") or "--help".startswith(word) for word in words))
    assert "Traceback" not in printed
    assert left == []


# tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A run of six cells."""
    place = tmp_path_factory.mktemp("run") / "20250101_t"
    return read_run(write_run(place, grid_cells(seeds=(0,))))


ODD = st.sampled_from([None, float("nan"), float("inf"), -1.0, 1e300, "text", b"bytes", True, [1], {"a": 1}])
COLUMNS = st.sampled_from([*HISTORY, "cell_id", "epoch", "status", "condition_id", "exact_margin", "separability",
                           "message", "steps", "depth", "potential"])  # fmt: skip
HOWS = st.sampled_from(["drop", "odd", "type", "row", "twice", "stranger", "add", "empty", "shuffle"])
CHANGE = st.tuples(HOWS, COLUMNS, ODD, st.integers(0, 400))


def changed(table: pd.DataFrame, changes) -> pd.DataFrame:
    """The table with columns dropped, of another type, with odd entries, strange, missing or repeated rows."""
    table = table.copy()
    for how, column, value, number in changes:
        row = number % max(1, len(table))
        if how == "drop":
            table = table.drop(columns=column, errors="ignore")
        elif how == "odd" and column in table and len(table):
            table[column] = table[column].astype(object)
            table.iat[row, table.columns.get_loc(column)] = value
        elif how == "type" and column in table:
            table[column] = table[column].astype(str)
        elif how == "row" and len(table):
            table = table.drop(index=table.index[row]).reset_index(drop=True)
        elif how == "twice" and len(table):
            table = pd.concat([table, table.iloc[[row]]], ignore_index=True)
        elif how == "stranger" and "cell_id" in table and len(table):
            table["cell_id"] = table["cell_id"].astype(object)
            table.iat[row, table.columns.get_loc("cell_id")] = f"nobody-{number}"
        elif how == "add":
            table[f"own_{number}"] = [value] * len(table)
        elif how == "empty":
            table = table.iloc[:0]
        elif how == "shuffle":
            table = table.sample(frac=1, random_state=number).reset_index(drop=True)
    return table


@several(60)
@given(st.lists(CHANGE, min_size=1, max_size=4), st.lists(CHANGE, max_size=3))
@pytest.mark.slow
def test_tables_of_any_kind_are_told_or_mended(tables, in_final, in_history):
    ids = {cell["cell_id"] for cell in tables.cells}
    final, history = changed(tables.final, in_final), changed(tables.history, in_history)
    out, curves, problems, _ = validate.check(tables.cells, final, history)
    assert set(out["cell_id"]) <= ids and not out["cell_id"].duplicated().any()
    assert set(map(str, curves["cell_id"].unique())) <= ids
    assert set(out["status"]) <= set(STATUSES)
    assert all(out[column].dtype == np.float64 for column in HISTORY)
    assert all(curves[column].dtype == np.float64 for column in ["epoch", *HISTORY])
    assert all(isinstance(problem, str) and problem for problem in problems)
    assert len(out) == len(set(final.get("cell_id", pd.Series(dtype=object)).astype(str)) & ids)


@pytest.mark.parametrize("how", [("drop", "gap"), ("drop", "cell_id"), ("odd", "cell_id"), ("stranger", "cell_id")])
@pytest.mark.parametrize("name", ["final.parquet", "history.parquet"])
def test_well_sealed_tables_that_are_wrong_are_not_believed(tables, tmp_path, how, name):
    """Checksums only say that nothing changed since: such a table was wrong when it was sealed."""
    place = shutil.copytree(tables.path, tmp_path / "20250101_t")
    stack = place / "stacks" / "stack-000"
    changed(pd.read_parquet(stack / name), [(*how, None, 3)]).to_parquet(stack / name)
    reseal(stack)
    assert not committed(place).damaged
    read = results.load(place)
    assert len(read.problems) == 1
    assert ("gap" if how[1] == "gap" else "cell") in read.problems[0]
    assert set(read.final["cell_id"]) <= {cell["cell_id"] for cell in tables.cells}
