"""What stands on the disk: commits are whole or absent, what is damaged is told and never believed."""

from __future__ import annotations

import json
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from fake_stacks import FILES, PARTS, commit, committed_run, leave_results, reseal, spoil
from fake_training import results

from mdcore.config.grid import load_grid
from mdcore.files import atomic_write
from mdcore.store.columns import HISTORY
from mdcore.store.commits import (
    NOTES,
    RECORD,
    RESULTS,
    Origin,
    ResultError,
    commit_failure,
    committed,
    read_notes,
    set_aside,
)
from mdcore.store.fingerprint import FOLDERS, NOTEBOOK, PACKAGE, PROCESSOR, WRITER, changes, code_parts, fingerprint
from mdcore.store.provenance import provenance
from mdcore.store.results import write_results
from mdcore.store.runs import RunError, check_tag, find_run, open_run, read_manifest, read_run, write_head


def test_a_tag_cannot_leave_the_output_directory():
    for tag in ("a", "paper", "A.b_c-1", "9" * 80):
        assert check_tag(tag) == tag
    for tag in ("", ".", "..", "../x", "a/b", "/etc", "-a", ".hidden", "a b", "a\n", "é", "x" * 81, "a\0", None):
        with pytest.raises(RunError, match="expected 1 to 80"):
            check_tag(tag)


def test_the_newest_directory_of_a_tag_is_found(tmp_path):
    for name in ("20240101_a", "20250101_a", "20260101_b_a", "20260101_ab", "x20260101_a", "20259999_aa"):
        (tmp_path / name).mkdir()
    (tmp_path / "20270101_a").write_text("a file, not a run")
    assert find_run(tmp_path, "a").name == "20250101_a"
    assert find_run(tmp_path, "c") is None
    assert find_run(tmp_path / "absent", "a") is None


def test_a_run_is_read_back(run):
    data = read_run(run.path)
    assert list(data.final["cell_id"]) == run.ids  # the manifest's order
    assert set(data.history["cell_id"]) == set(run.ids)
    assert list(data.history.columns) == ["cell_id", "epoch", *HISTORY]
    assert data.problems == []
    assert data.question == "Does it run?"
    expected = results(run.ids).w
    assert all(np.array_equal(data.predictors[cell], w) for cell, w in zip(run.ids, expected))
    assert load_grid(run.path / "grid.yaml").grid_hash == run.grid.grid_hash


def test_of_a_cell_trained_twice_the_newest_result_counts(run, monkeypatch):
    """By its number, not by the clock."""
    monkeypatch.setattr(time, "strftime", lambda *_: "1970-01-01T00:00:00Z")
    commit(run.path, "one", run.ids[1:3], 7, shift=100.0)
    data = read_run(run.path)
    newer = data.final.set_index("cell_id")["loss"] > 50
    assert list(newer.index[newer]) == run.ids[1:3]
    assert len(data.final) == len(run.ids)
    assert len(data.history) == 2 * len(run.ids)
    assert (run.path / "stacks" / "one").is_dir()  # nothing readable is deleted
    assert (run.path / "stacks" / "one-r7").is_dir()


def test_the_tables_do_not_depend_on_how_the_cells_were_stacked_or_when(tmp_path, grid_file):
    """A parameter that no cell of a stack has, or that has no value there, leaves no trace in the others' columns."""
    grid = load_grid(grid_file)
    some = [{"param.a": None}, {"param.a": 2}, {"param.a": None, "name": "x"}, {"param.a": 2.5}]
    columns = {cell.cell_id: some[i % 4] | {"exact": [True, None][i % 2]} for i, cell in enumerate(grid.cells)}
    even, odd = range(0, 8, 2), range(1, 8, 2)
    tables = []
    for stacks in ([range(8)], [even, odd], [odd, even], [[i] for i in reversed(range(8))]):
        named = {f"stack{number}": positions for number, positions in enumerate(stacks)}
        tables.append(read_run(committed_run(tmp_path / f"runs{len(tables)}", grid, named, columns=columns)))
    for other in tables[1:]:
        for one, table in ((tables[0].final, other.final), (tables[0].history, other.history)):
            pd.testing.assert_frame_equal(table, one)
    assert tables[0].final["param.a"].dtype == float


@pytest.mark.parametrize("how", ["delete", "truncate", "empty", "bytes", "directory"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_stack_is_pending_and_told(run, name, how):
    spoil(run.path / "stacks" / "one" / name, how)
    state = committed(run.path)
    assert set(state.newest) == set(run.ids[4:])
    assert [r.path.name for r in state.damaged] == ["one"]
    assert name in state.damaged[0].problem
    if how == "directory":
        assert state.damaged[0].problem == f"{name} is unreadable: Is a directory"
    data = read_run(run.path)
    assert list(data.final["cell_id"]) == run.ids[4:]
    assert [p.split(":")[0] for p in data.problems] == ["one"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "1", "{}", '{"sha256": "x"}', '{"cells": 3, "sha256": "x"}', "\ud800x", '{"files": {"/": 1}}'],
)
def test_no_stack_json_makes_it_crash(run, text):
    (run.path / "stacks" / "two" / RECORD).write_text(text, errors="surrogatepass")
    assert [r.path.name for r in committed(run.path).damaged] == ["two"]


def test_a_changed_status_in_stack_json_is_seen(run):
    file = run.path / "stacks" / "one" / RECORD
    file.write_text(file.read_text().replace("converged", "transient", 1))
    assert "checksum" in committed(run.path).damaged[0].problem


def test_well_sealed_tables_are_still_validated(run):
    """Checksums only say that nothing changed; the tables must also be what stack.json says they are."""
    stack = commit(run.path, "three", run.ids[:2], 9)
    pd.read_parquet(stack / "history.parquet").drop(columns="gap").to_parquet(stack / "history.parquet")
    reseal(stack)
    data = read_run(run.path)
    assert any("no column gap" in p for p in data.problems)
    assert list(data.final["cell_id"]) == run.ids  # the older, readable results stand in


def test_a_damaged_stack_is_set_aside_not_deleted(run):
    spoil(run.path / "stacks" / "one" / "final.parquet", "bytes")
    for _ in range(2):
        state = committed(run.path)
        set_aside(run.path, state.damaged[0])
        commit(run.path, "one", run.ids[:4], state.next_serial)
        spoil(run.path / "stacks" / "one" / "final.parquet", "bytes")
    assert len(list((run.path / "stacks").glob(".damaged-one*"))) == 2


def test_a_failure_never_hides_an_older_result(run):
    commit_failure(run.path, "bad", [run.ids[0]], "the kernel died", run.path / "none", Origin(PARTS, 5))
    assert committed(run.path).status(run.ids[0]) == "converged"
    assert list(read_run(run.path).final["status"]) == ["converged"] * len(run.ids)


def test_a_failed_cell_is_remembered(run):
    cell = run.ids[0]
    spoil(run.path / "stacks" / "one" / "final.parquet", "bytes")
    notebook = run.path / "train_cell.ipynb"
    notebook.write_text("{}")
    commit_failure(run.path, "bad", [cell], "the kernel died", notebook, Origin(PARTS, 5))
    assert committed(run.path).status(cell) == "failed"
    data = read_run(run.path)
    row = data.final.set_index("cell_id").loc[cell]
    assert (row["status"], row["message"], row["potential"]) == ("failed", "the kernel died", "quadratic")
    assert row["condition_id"]
    assert cell not in data.predictors
    assert list(data.final["cell_id"]) == [cell, *run.ids[4:]]


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_nothing_is_committed_when_the_disk_fails(run, monkeypatch):
    before = committed(run.path)
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        commit(run.path, "three", run.ids[:1], 3)
    assert not (run.path / "stacks" / "three").exists()
    assert committed(run.path) == before


def test_an_atomic_write_that_fails_leaves_the_old_content(tmp_path, monkeypatch):
    file = tmp_path / "f"
    atomic_write(file, "old")
    monkeypatch.setattr(os, "replace", full_disk)
    for alone in (True, False):
        with pytest.raises(OSError):
            atomic_write(file, "new", alone=alone)
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("missing", [*RESULTS, "train_cell.ipynb", NOTES])
def test_incomplete_results_are_refused(tmp_path, missing):
    leave_results(tmp_path, results(["a"]))
    (tmp_path / missing).unlink()
    with pytest.raises(ResultError, match=missing):
        read_notes(tmp_path, ["a"])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"status": {"a": "converged"}}', '{"status": {"a": 1}, "messages": {}, "files": []}',
             '{"status": ["a"], "messages": {}}'],
)  # fmt: skip
def test_notes_of_another_shape_are_refused(tmp_path, text):
    leave_results(tmp_path, results(["a"]))
    (tmp_path / NOTES).write_text(text)
    with pytest.raises(ResultError, match=f"no readable {NOTES}"):
        read_notes(tmp_path, ["a"])


def test_results_of_other_cells_are_refused(tmp_path):
    write_results(tmp_path, results(["a", "b"]))
    with pytest.raises(ResultError, match="other cells"):
        read_notes(tmp_path, ["a"])


def test_results_in_another_order_are_refused(tmp_path):
    made = results(["a", "b"])
    made.cell_ids = ["b", "a"]
    with pytest.raises(ValueError, match="in the order"):
        write_results(tmp_path, made)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 1}', '{"cells": [{"cell_id": 1, "config": {}}]}'])
def test_a_broken_manifest_is_an_error_to_read_and_mended_to_run(run, text):
    (run.path / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=r"manifest\.json"):
        read_run(run.path)
    opened = open_run(run.path.parent, "t", run.grid)
    assert "manifest.json" in opened.notes[0]
    write_head(opened, run.grid, {})
    assert list(read_run(run.path).final["cell_id"]) == run.ids


def test_another_grid_under_the_same_tag_is_refused(run, tmp_path):
    other = load_grid(tmp_path / "grid.yaml", ["epochs=200"])
    with pytest.raises(RunError, match="epochs: 100 there, 200 here") as refusal:
        open_run(run.path.parent, "t", other)
    assert "another --tag" in str(refusal.value)
    assert open_run(run.path.parent, "t", other, adopt=True).notes
    # without a manifest the copy of the grid file speaks
    (run.path / "manifest.json").unlink()
    with pytest.raises(RunError, match="epochs"):
        open_run(run.path.parent, "t", other)


def test_a_run_that_is_none_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a directory"):
        read_run(tmp_path / "absent")
    with pytest.raises(RunError, match=r"no manifest\.json"):
        read_run(tmp_path)


def test_what_decides_a_number_and_what_changed():
    parts = code_parts()
    assert {"torch", "numpy", "numba", "python", PROCESSOR, NOTEBOOK, f"mdcore/{WRITER}"} <= set(parts)
    assert "mdcore/runner/runner.py" not in parts  # how it is run decides nothing
    new = parts | {"torch": "9.9", "mdcore/math/potentials.py": "0" * 64, "plug-in mine.py": "1" * 64}
    assert fingerprint(new) != fingerprint(parts)
    assert changes(parts, parts) == []
    differences = ["mdcore/math/potentials.py changed", "plug-in mine.py is new", f"torch {parts['torch']} -> 9.9"]
    assert changes(parts, new) == differences
    wider = changes({PROCESSOR: "x86_64 avx"}, {PROCESSOR: "x86_64 avx avx2"})
    assert wider == ["processor x86_64 avx -> x86_64 avx avx2"]


def test_provenance_names_code_and_machine_but_nobody(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hush-hush-token")
    origin = provenance()
    assert {"commit", "dirty", "packages", "python", "cpu", "blas", "threads"} <= origin.keys()
    assert "torch" in origin["packages"]
    secrets = ["hush-hush-token", os.uname().nodename, os.path.expanduser("~") + "/"]
    assert not [secret for secret in secrets if len(secret) > 2 and secret in json.dumps(origin)]


def test_an_earlier_provenance_is_kept(run):
    opened = open_run(run.path.parent, "t", run.grid)
    write_head(opened, run.grid, {"commit": "new"})
    manifest = read_manifest(run.path)
    assert (manifest["provenance"], manifest["earlier"]) == ({"commit": "new"}, [{"commit": None}])


def test_the_fingerprint_of_the_code_covers_whole_folders():
    """Whatever a file that decides a number is called, and whatever a user's plug-in is."""
    parts = code_parts()
    for folder in ("math", "problems", "config", "training"):
        files = [path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / folder).rglob("*.py")]
        assert files and {f"mdcore/{name}" for name in files} <= parts.keys()
    deep = {"mdcore/config/plugins/loading.py", "mdcore/training/stack.py", "mdcore/math/engine/compiled/layers.py"}
    assert deep <= parts.keys()


def test_a_change_in_any_of_them_is_another_fingerprint(tmp_path, monkeypatch):
    before, copy = code_parts(), tmp_path / "mdcore"
    for folder in FOLDERS:
        shutil.copytree(PACKAGE / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "store").mkdir()
    shutil.copy(PACKAGE / WRITER, copy / WRITER)
    monkeypatch.setattr("mdcore.store.fingerprint.PACKAGE", copy)
    assert code_parts() == before
    for name in (
        "math/potentials.py",
        "problems/solvers/conic.py",
        "config/plugins/loading.py",
        "training/new.py",
        WRITER,
    ):
        with open(copy / name, "a", encoding="utf-8") as file:
            file.write("# changed\n")
        after = code_parts()
        assert fingerprint(after) != fingerprint(before)
        assert changes(before, after) == [f"mdcore/{name} {'is new' if 'new' in name else 'changed'}"]
        before = after
