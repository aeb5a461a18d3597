"""Tables that were edited and sealed again contradict what they were computed from; the analysis leaves them out."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from fake_stacks import reseal
from small_runs import STEPS, train, write

from mdcore.analysis.data.results import load
from mdcore.analysis.report.sections import build
from mdcore.config.cell import make_cell
from mdcore.files import sealed
from mdcore.problems import cache
from mdcore.store.commits import read_record
from mdcore.store.runs import RunError, read_manifest, read_run

GRID = (
    "question: Which?"
    + STEPS
    + """\
  dataset: {name: synthetic, geometry: gaussian, dim: 5, n: 20, separation: 2.5, noise: 1}
vary:
  potential: [quadratic, {lp: {p: 1.5}}]
  depth: [1, 2]
"""
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four cells in one stack, as training leaves it."""
    place = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        results = train(write(place, GRID), place / "20250101_t", patch)
    assert not results.problems and set(results.status.values()) <= {"converged", "transient"}
    return place / "20250101_t"


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / trained.name)


def scaled(factor):
    return lambda values: values * factor


EDITS = {
    "last row": ("final", "stable_rank", scaled(1.01)),
    "a gap of 0.5": ("both", "gap", lambda values: values * 0 + 0.5),
    "a gap that is not reached": ("both", "gap", scaled(0.5)),
    "status": ("final", "status", lambda values: "failed"),
    "another seed": ("final", "seed", lambda values: values + 1),
    "another step": ("final", "step_eta", scaled(9)),
    "another potential": ("final", "p", lambda values: values * 0 + 2.5),
    "condition": ("final", "condition_id", lambda values: values + "0"),
    "norm": ("both", "weight_norm", scaled(1 + 1e-6)),
    "one margin": ("both", "margin_l2", scaled(0.99)),
    "the margins, alike": ("both", ("margin_l2", "margin_lp"), scaled(0.99)),
    "accuracy": ("both", "train_accuracy", lambda values: values * 0.9),
    "exact margin": ("final", "exact_margin", scaled(1.01)),
    "angle": ("both", "angle_max_margin", lambda values: values + 1e-3),
    "angle to the SVM": ("both", "angle_svm", scaled(0.9)),
    "angle to logistic regression": ("both", "angle_logreg", scaled(0.9)),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_table_with_new_checksums_is_not_believed(run, edit):
    where, columns, change = EDITS[edit]
    (stack,) = (run / "stacks").glob("[!.]*")
    for table in ("final", "history") if where == "both" else (where,):
        frame = pd.read_parquet(stack / f"{table}.parquet")
        for column in (columns,) if isinstance(columns, str) else columns:
            frame[column] = change(frame[column])
        frame.to_parquet(stack / f"{table}.parquet", index=False)
    reseal(stack)
    results = load(run)
    assert len(results.final) == 0 and len(results.problems) == 1
    assert "altered after the training" in results.problems[0]


def test_other_predictors_with_new_checksums_are_not_believed(run):
    (stack,) = (run / "stacks").glob("[!.]*")
    with np.load(stack / "predictors.npz") as file:
        arrays = dict(file)
    np.savez(stack / "predictors.npz", **arrays | {"w": 2.0 * arrays["w"]})
    reseal(stack)
    assert "weight_norm" in read_run(run).problems[0]


def test_a_reference_of_other_data_is_not_taken_for_this_one(run):
    """Files exchanged: each is whole, and its name is not the one it was written under."""
    one, two = sorted((run / "references").glob("max_margin-*.npz"))[:2]
    a, b = one.read_bytes(), two.read_bytes()
    one.write_bytes(b), two.write_bytes(a)
    assert cache.read(one) is None and cache.read(two) is None
    one.write_bytes(a)
    assert cache.read(one) is not None


def with_configs(run, *configs, ids=None):
    """The run with the cells of these configurations in its manifest."""
    ids = ids or [make_cell(config).cell_id for config in configs]
    cells = [{"cell_id": cell_id, "config": config} for cell_id, config in zip(ids, configs, strict=True)]
    (run / "manifest.json").write_text(sealed(read_manifest(run) | {"cells": cells}))


def test_a_configuration_that_is_not_its_cell_s_is_refused(run):
    cell = read_manifest(run)["cells"][0]
    with_configs(run, cell["config"] | {"epochs": 7}, ids=[cell["cell_id"]])
    with pytest.raises(RunError, match="edited by hand"):
        read_run(run)


def test_conditions_whose_ids_collide_are_refused(run, monkeypatch):
    monkeypatch.setattr("mdcore.config.cell._digest", lambda text: "0" * 8)
    config = read_manifest(run)["cells"][0]["config"]
    with_configs(run, *(config | {"seed": seed, "epochs": 10 + seed} for seed in (0, 1)))
    with pytest.raises(RunError, match="two conditions have the id"):
        read_run(run)


@pytest.mark.parametrize("text", ["question: other?\n", "a: &a [x, x]\nb: [*a, *a]\n", ""])
def test_an_edited_grid_yaml_is_told_and_not_shown(run, text):
    before = load(run)
    (run / "grid.yaml").write_text(text) if text else (run / "grid.yaml").unlink()
    results = load(run)
    assert results.problems == [
        "grid.yaml is damaged or was edited after the run; the grid shown here is the manifest's"
    ]
    assert (results.grid_yaml, results.question) == (before.grid_yaml, "Which?")


def test_stacks_of_two_versions_are_told_first(run, tmp_path):
    (stack,) = (run / "stacks").glob("[!.]*")
    record = read_record(stack)
    frames = {name: pd.read_parquet(stack / f"{name}.parquet") for name in ("history", "final")}
    with np.load(stack / "predictors.npz") as file:
        arrays = dict(file)
    other = shutil.copytree(stack, stack.with_name("other"))
    for place, keep, serial in ((stack, slice(0, 2), 0), (other, slice(2, 4), 1)):
        ids = list(frames["final"]["cell_id"][keep])
        for name, frame in frames.items():
            frame[frame["cell_id"].isin(ids)].to_parquet(place / f"{name}.parquet", index=False)
        np.savez(place / "predictors.npz", **{name: values[keep] for name, values in arrays.items()})
        parts = record.code_parts | ({"mdcore/training/stack.py": "f" * 64} if serial else {})
        status = {i: record.status[i] for i in ids}
        reseal(place, cells=ids, status=status, serial=serial, code=str(serial), code_parts=parts)
    results = load(run)
    assert len(results.final) == 4 and results.problems == [results.mixed]
    assert "Of its 4 trained cells, 2 before this: mdcore/training/stack.py changed." in results.mixed
    (tmp_path / "out" / "figures").mkdir(parents=True)
    (tmp_path / "out" / "figures" / "index.json").write_text('{"figures": [], "absent": []}')
    answer = build(run, tmp_path / "out")["answer"].markdown()
    assert answer.splitlines()[2].startswith("**This run mixes 2 versions")
