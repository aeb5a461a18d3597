"""The benchmark's contract: its files and columns, its goals, its baseline. No test looks at how long anything took."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from fake_grids import ROOT
from recorded_graph import RecordedGraph, take_the_place_of_cuda

from mdcore.bench import engine_bench, opponents, timing, workloads
from mdcore.bench.baseline import train_by_hand
from mdcore.bench.goals import GOALS, Bench, table_text
from mdcore.bench.report import bounds_section, figures_section, goals_section, numbers_section
from mdcore.math.engine.plans import CellPlan, StackPlan
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Lp, Quadratic
from mdcore.math.step_rules import StepRule

POTENTIALS = (Quadratic(), Lp(1.5), Lp(3.0))
SMALL = workloads.gaussian(60, 5, 4.0)


def tiny(key="dense_18", rule="normalized", cells=6):
    plans = workloads.stack(POTENTIALS, (1, 2), 6, cells)
    return workloads.Workload(key, f"tiny, {cells} cells", SMALL, plans, StepRule(rule, 0.1), 3, 2)


def normalised(potentials, depth):
    """A workload of two cells of each potential, for the opponents, which know normalised steps only."""
    cells = tuple(CellPlan((phi,) * depth, seed, 4, 0.3) for phi in potentials for seed in range(2))
    return workloads.Workload("", "", SMALL, cells, StepRule("normalized", 0.1), 6, 0)


def predictors_of_the_engine(cells, rule, steps):
    trainer = StackTrainer(torch.tensor(SMALL.A), cells, StackPlan(rule, steps, (steps,)))
    trainer.advance()
    return trainer.observer.predictors[:, -1]


@pytest.mark.parametrize("rule", ["constant", "normalized", "adaptive"])
@pytest.mark.parametrize("phi", POTENTIALS, ids=repr)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_baseline_and_the_engine_do_the_same_work(rule, phi, depth):
    cell, step = CellPlan((phi,) * depth, 0, 6, 0.0 if depth == 1 else 0.3), StepRule(rule, 0.01)
    X, y = (torch.from_numpy(array.copy()) for array in (SMALL.X_train, SMALL.y_train))
    model, seconds = train_by_hand(X, y, cell, step, 19, timing.cpu_seconds)  # and one before the clock
    assert seconds > 0
    assert all(type(layer) is torch.nn.Linear and layer.bias is None for layer in model)
    w = torch.eye(5, dtype=torch.float64)
    for layer in model:
        w = w @ layer.weight.T
    tolerance = 1e-9 if phi != Lp(3.0) else 1e-5
    (expected,) = predictors_of_the_engine([cell], step, 20)
    torch.testing.assert_close(w.squeeze(1).detach(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("phi", POTENTIALS, ids=repr)
@pytest.mark.parametrize("depth", [1, 3])
def test_batched_torch_takes_the_same_steps_as_the_engine(phi, depth):
    work = normalised([phi], depth)
    ((p, W),) = opponents.batches(work)
    layers, seconds = opponents.train_batched(work.A, p, W, work.rule, 5)
    v = layers[-1]
    for layer in layers[-2::-1]:
        v = v @ layer
    expected = predictors_of_the_engine(work.cells, work.rule, 6)
    torch.testing.assert_close(v[:, 0].detach(), expected, rtol=1e-9, atol=1e-9)
    assert seconds > 0


@pytest.mark.slow
def test_jax_takes_the_same_steps_as_batched_torch(tmp_path):
    """In an environment of its own, which takes a network to build."""
    python, why = opponents.jax_python(tmp_path / "jax")
    if python is None:
        pytest.skip(why)
    work = normalised(POTENTIALS, 3)
    jax = opponents.JaxProcess(python, work)
    assert jax.seconds(5) > 0
    layers = jax.close()
    for i, (p, W) in enumerate(opponents.batches(work)):
        for j, layer in enumerate(opponents.train_batched(work.A, p, W, work.rule, 5)[0]):
            np.testing.assert_allclose(layers[f"W{i}_{j:02d}"], layer.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_without_jax_the_reason_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(opponents, "JAX", "no-such-package-of-that-name==0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    python, why = opponents.jax_python(tmp_path / "jax")
    assert python is None
    assert "no-such-package-of-that-name==0 could not be installed" in why


def test_the_goals_are_those_that_were_set():
    asked = {
        "dense_18": "≥ 50×", "dense_36": "≥ 70 %", "planted": "≥ 100×", "late": "≥ 8.00×", "command": "≥ 30×",
        "overhead": "≤ 15 %", "workers": "≥ 1.80×", "grid_seconds": "≤ 3.00 s", "grid_memory": "≤ 500 MB",
        "analysis_seconds": "≤ 60 s", "analysis_memory": "≤ 1500 MB",
    }  # fmt: skip
    assert asked.items() <= {goal.key: goal.asked for goal in GOALS}.items()


def test_the_full_workloads_are_those_of_the_goals():
    works = {work.key: work for work in workloads.dense_workloads(quick=False)}
    for key, count in (("dense_18", 18), ("dense_36", 36)):
        assert works[key].data.X_train.shape == (10_000, 200) and len(works[key].cells) == count
        assert {cell.depth for cell in works[key].cells} == {1, 2}
        assert {cell.width for cell in works[key].cells} == {None, 50}
        assert {repr(cell.potentials[0]) for cell in works[key].cells} == {"Quadratic()", "Lp(p=1.5)", "Lp(p=3.0)"}
    assert works["planted"].data.X_train.shape == (400, 2) and len(works["planted"].cells) == 80
    assert {cell.depth for cell in works["planted"].cells} == {1, 2, 3, 4}
    assert works["dense_18"].pass_flops == 4 * 10_000 * 200


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    bench, place = Bench(quick=True), tmp_path_factory.mktemp("bench")
    works = [tiny(), tiny("dense_36", cells=36), tiny("planted", "adaptive")]
    mean_seconds = timing.mean_seconds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "mean_seconds", lambda call, times: mean_seconds(call, 2))
        patch.setattr(engine_bench, "dense_workloads", lambda quick: works)
        engine_bench.measure_engine(bench, repeats=2)
    bench.curves["late"] = np.ones((2, 3))
    bench.write(place)
    return bench, place


def test_the_table_has_its_columns(measured):
    table = pd.read_csv(measured[1] / "bench.csv")
    assert list(table.columns) == [
        "workload", "contender", "seconds_per_cell_step", "ratio_to_baseline", "gflops", "fraction_of_dgemm",
        "seconds_low", "seconds_high", "ratio_low", "ratio_high", "repeats", "clock",
    ]  # fmt: skip
    assert set(table["contender"]) >= {"baseline", "engine"}
    engine, base = (table[table["contender"] == who].set_index("workload") for who in ("engine", "baseline"))
    assert (base["ratio_to_baseline"] == 1).all()
    ratio = base["seconds_per_cell_step"] / engine["seconds_per_cell_step"]
    assert (engine["ratio_low"] <= engine["ratio_to_baseline"]).all() and (ratio > 0).all()
    rate = 4 * 60 * 5 / engine["seconds_per_cell_step"] / 1e9
    assert ((engine["gflops"] / rate).between(0.5, 2)).all()  # the median of rates, the rate of the median


def test_every_goal_has_a_row_and_a_verdict(measured):
    table = pd.read_csv(measured[1] / "goals.csv", keep_default_na=False)
    assert list(table["goal"]) == [goal.key for goal in GOALS]
    verdicts = dict(zip(table["goal"], table["verdict"]))
    assert verdicts["dense_18"] == "not asked"  # a smaller workload answers no goal
    assert verdicts["workers"] == "not measured"
    assert table["bound"][0].count("µs") >= 4
    assert len(table_text(measured[1]).splitlines()) == len(GOALS)


@pytest.mark.parametrize("value, verdict", [(49.0, "not reached"), (51.0, "reached")])
def test_a_verdict_follows_the_median(value, verdict):
    bench = Bench(quick=False)
    bench.find("dense_18", [value] * 3)
    bench.find("overhead", [1.0 / value])
    table = bench.goals_table().set_index("goal")
    assert table.loc["dense_18", "verdict"] == verdict
    assert table.loc["overhead", "verdict"] == "reached"


def test_the_report_shows_goals_bounds_figures_and_numbers(measured):
    bench, place = measured
    text = "".join(s.html() for s in (goals_section(bench), bounds_section(bench), figures_section(bench, place),
                                      numbers_section(bench)))  # fmt: skip
    assert text.count("<img") == 3 and "not measured" in text
    assert len(list((place / "figures").glob("*.pdf"))) == 3


@pytest.mark.slow
def test_a_gpu_gets_its_rows_where_there_is_one(monkeypatch):
    take_the_place_of_cuda(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    engine = workloads.Workload.engine
    monkeypatch.setattr(workloads.Workload, "engine", lambda self, device="cpu": engine(self))
    bench = Bench(quick=True)
    engine_bench.measure(bench, tiny(), 1)
    (row,) = bench.table().query("contender == 'engine, device cuda'").to_dict("records")
    assert row["seconds_per_cell_step"] > 0 and row["clock"] == "wall" and RecordedGraph.made


def test_contenders_take_turns():
    order = []
    samples = timing.by_turns({name: lambda name=name: order.append(name) or len(order) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    assert [len(values) for values in samples.values()] == [3, 3, 3]


def test_the_spread_is_median_and_quartiles():
    spread = timing.Spread.of([5, 1, 2, 4, 3])
    assert (spread.low, spread.median, spread.high, spread.count) == (2, 3, 4, 5)


def test_the_dense_engine_of_the_late_phase_starts_where_the_other_is():
    late = workloads.LatePhase(workloads.gaussian(200, 6, 5.0), 1, 300)
    torch.testing.assert_close(late.dense.now.w, late.active.now.w, rtol=0, atol=0)
    assert late.dense.data_pass.active is None
    before = late.dense.epoch
    for contender in late.contenders(20).values():
        contender()
    assert late.active.epoch == late.dense.epoch == before + 20
    torch.testing.assert_close(late.dense.now.w, late.active.now.w, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_form_leaves_its_files(tmp_path):
    command = [sys.executable, "-m", "mdcore.run_bench", "--quick", "--output_dir", str(tmp_path / "bench")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    left = {path.name for path in (tmp_path / "bench").iterdir()}
    assert {"bench.csv", "goals.csv", "report.html", "report.md", "figures"} <= left
    assert re.search(r"not asked +.*make grid", done.stdout)
    body = (tmp_path / "bench" / "report.html").read_text().split("<body")[1]
    assert 'src="http' not in body
