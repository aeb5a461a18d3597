"""The ETA comes true: runs on a clock of their own, on machines that differ from the cost model; what is remembered."""

from __future__ import annotations

import io
import itertools
import json
import math
import time

import pytest
import torch
from fake_grids import FakeCell, fake_cells
from simulated_runs import Run, World, stacks_of

from mdcore.math.engine.plans import CellPlan, StackPlan, log_spaced_epochs
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Lp
from mdcore.math.step_rules import StepRule
from mdcore.problems.synthetic import synthetic_data
from mdcore.runner.stacks import compose
from mdcore.runner.times import cost, past
from mdcore.runner.times.expected import COMPILE, START, Expectation, keys_of, makespan, spent
from mdcore.runner.times.past import Spent
from mdcore.runner.times.progress import Log, Progress
from mdcore.runner.times.running import Running
from mdcore.training.progress import tell

GRIDS = {
    "quick_debug": (),
    "synthetic_potentials": (),
    "mnist_pairs": (),
    "theorems": (),
    "deep and wide": ("depth=6", "width=500", "epochs=300"),
}


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch, tmp_path_factory):
    """What runs of other tests have cost is not known here."""
    monkeypatch.setenv("MDCORE_CACHE", str(tmp_path_factory.mktemp("times")))


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def stacks(grid):
    return stacks_of("quick_debug" if grid == "deep and wide" else grid, *GRIDS[grid])


def close(ratios) -> bool:
    return all(1 / 1.5 < ratio < 1.5 for ratio in ratios)


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("grid", GRIDS)
def test_after_a_tenth_the_eta_is_within_a_factor_of_one_and_a_half(grid, workers, tmp_path, clock):
    for speed, seed in ((0.75, 1), (1.4, 2)):  # a first run, on a machine somewhat faster or slower than the model
        assert close(Run(stacks(grid), workers, World(speed, seed=seed), tmp_path / str(seed), clock).ratios(0.1))
    for speed in (0.15, 7.0):  # another machine altogether, that has run the grid before
        _, known, _ = Run(stacks(grid), workers, World(speed, seed=3), tmp_path, clock).go()
        again = Run(stacks(grid), workers, World(speed, seed=4), tmp_path / str(speed), clock, known)
        assert close(again.ratios(0.1))


def test_the_eta_holds_when_stacks_fail_and_when_a_part_is_done(tmp_path, clock):
    assert close(Run(stacks("mnist_pairs"), 2, World(fails=3), tmp_path / "fails", clock).ratios(0.1))
    _, known, _ = Run(stacks("mnist_pairs")[::2], 2, World(3.0, seed=5), tmp_path, clock).go()
    rest = Run(stacks("mnist_pairs")[1::2], 2, World(3.0, seed=6), tmp_path / "rest", clock, known)
    assert close(rest.ratios(0.1, 0.3, 0.6))


def test_the_eta_stays_true_to_the_end(tmp_path, clock):
    run = Run(stacks("mnist_pairs"), 2, World(1.4), tmp_path, clock)
    assert close(run.ratios(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9))


def test_compiling_is_announced_and_no_part_of_what_stacks_cost(tmp_path, clock):
    (stack,) = compose(fake_cells(2))
    stream = io.StringIO()
    progress = Progress([stack], 1, 0, Log(tmp_path / "grid.log"), stream=stream)
    states = iter(["starting", "compiling", "compiling"])
    progress.starting = lambda: next(states, "")
    first = progress.eta()
    progress.began(stack, tmp_path)
    clock[0] += 2.0
    assert progress.eta() > first + 5.0
    assert progress.line().endswith("compiling")
    clock[0] += 10.0
    assert progress.waited(stack) == pytest.approx(12.0)
    assert "compiling" not in progress.line()
    progress.remember_the_start()
    assert Expectation(past.read()).start(compiles=True) == pytest.approx(12.0)


def test_the_eta_moves_within_a_stack_and_leaves_out_what_is_skipped(tmp_path, clock):
    some = compose(fake_cells(4, epochs=10_000_000), max_cells=2)
    progress = Progress(some, 1, 50, Log(tmp_path / "grid.log"), stream=io.StringIO())
    assert Progress(some, 1, 5000, Log(None)).eta() == (first := progress.eta())
    assert Progress(some, 2, 0, Log(None)).eta() == pytest.approx(first / 2)
    progress.began(some[0], tmp_path)
    etas = []
    for taken in range(40):  # a step a second
        counts = {"done": taken, "total": 40, "taken": taken, "expected": 40, "stops": False, "began": 0}
        (tmp_path / "progress.json").write_text(json.dumps(counts | {"seconds": float(taken)}))
        etas.append(progress.eta())
        clock[0] += 1.0
    assert etas[5:] == sorted(etas[5:], reverse=True)
    cost = spent(some[0].cells, 2 * 10_000_000, {"training": 40.0, "total": 44.0})
    progress.ended(some[0], done=2, cost=cost)
    assert progress.eta() == pytest.approx(40.0 + 4.0, rel=0.2)
    progress.began(some[1], tmp_path / "absent")
    progress.ended(some[1], done=2, cost=cost)
    assert progress.eta() == 0.0
    assert "4 done, 0 failed, 50 skipped" in progress.line()
    assert "ETA" not in progress.line()


def test_the_log_says_how_true_the_eta_was(tmp_path, clock):
    (stack,) = compose(fake_cells(2))
    progress = Progress([stack], 1, 0, Log(tmp_path / "grid.log"), stream=io.StringIO())
    progress._etas = [(1.0, 50.0), (4.0, 30.0), (9.0, 20.0)]
    clock[0] += 34.0
    assert progress.how_true() == "ETA after a tenth of the time, at 4.0 s: 30.0 s; it took 30.0 s"


COUNTS = {"done": 1, "total": 2, "taken": 1, "expected": 2, "stops": True, "began": 0, "seconds": 1.0}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"done": 1}', *(json.dumps(COUNTS | odd) for odd in (
        {"done": "x"}, {"done": 3}, {"done": -1}, {"total": 0}, {"taken": None}, {"taken": 3}, {"expected": 0},
        {"began": 2}, {"began": -1}, {"seconds": "soon"}, {"seconds": -1}, {"total": float("nan")},
    ))],
)  # fmt: skip
def test_a_torn_progress_file_is_no_error(tmp_path, text):
    (stack,) = compose(fake_cells(1))
    path = tmp_path / "progress.json"
    run = Running(stack, path)
    path.write_text(json.dumps(COUNTS))
    assert run.share() == 0.5
    path.write_text(text)
    assert run.share() is None
    assert run.left(Expectation(), 1.0, time.monotonic()) > 0


def test_a_stack_tells_the_steps_it_has_taken_and_those_it_expects(tmp_path):
    data = synthetic_data({"geometry": "gaussian", "dim": 5, "n": 40, "separation": 3.0, "noise": 1.0}, 0)
    cells = [CellPlan((Lp(p),) * 2, seed=0, width=4) for p in (1.5, 2.0, 3.0)]
    logged = log_spaced_epochs(3000, 60)
    plan = StackPlan(StepRule("normalized", 1.0, decay=1.0), 3000, logged, stop_gap=0.002)
    trainer, path, reports = StackTrainer(torch.tensor(data.A), cells, plan), tmp_path / "progress.json", []
    while not trainer.done:
        trainer.advance()
        tell(trainer, path, 0, 1.5)
        reports.append(json.loads(path.read_text()))
        assert Running(None, path).share() == reports[-1]["done"] / 9000
    assert all(one["taken"] <= one["expected"] <= one["total"] == 9000 for one in reports)
    steps = [logged[int(index)] for index in trainer.observer.last]
    assert len(trainer.ended) == 3 and reports[-1]["taken"] == reports[-1]["expected"] == sum(steps) < 9000
    assert reports[-1]["done"] == 9000 and reports[-1]["stops"]
    late = [one["expected"] / sum(steps) for one in reports if one["taken"] > 0.2 * sum(steps)]
    assert late and all(1 / 3 < ratio < 3 for ratio in late)


# what is remembered


def some_spent(**changes) -> Spent:
    return Spent(**{"stack": "s", "alike": "a", "source": "d", "kind": "steps", "share": 0.5, "modelled": 2.0,
                    "training": 6.0, "besides": 1.5} | changes)  # fmt: skip


def test_what_stacks_have_cost_is_read_by_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MDCORE_CACHE", str(tmp_path / "new" / "cache"))
    assert past.read() == []
    past.write(some_spent())
    past.write(some_spent(training=8.0))
    with open(past.place(), "a") as file:
        file.write('{"torn\n[]\n{"machine": "other"}\n')
    assert past.read() == [some_spent(), some_spent(training=8.0)]
    monkeypatch.setattr(past, "machine", lambda: "another")
    assert past.read() == []


@pytest.mark.parametrize("changes", [{"training": -1.0}, {"share": "x"}, {"modelled": float("nan")}, {"stack": 3}])
def test_numbers_that_make_no_sense_are_left_out(tmp_path, monkeypatch, changes):
    monkeypatch.setenv("MDCORE_CACHE", str(tmp_path))
    past.write(some_spent(**changes))
    assert past.read() == []


def test_the_file_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("MDCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(past, "KEPT", 5)
    for number in range(23):
        past.write(some_spent(training=float(number)))
    assert len(past.place().read_text().splitlines()) <= 10
    assert [one.training for one in past.read()] == [18.0, 19.0, 20.0, 21.0, 22.0]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MDCORE_CACHE", str(tmp_path / "file"))
    past.write(some_spent())
    assert past.read() == []


def test_speeds_are_medians_of_the_newest_by_kind_of_work():
    known = [some_spent(training=600.0)] * 5 + [some_spent()] * 15 + [some_spent(kind="layers", training=1.0)]
    expectation = Expectation(known)
    (stack,) = compose(fake_cells(2))
    assert stack.model.kind == "steps"
    assert expectation.speed(stack) == 3.0
    assert Expectation([some_spent(kind=START), some_spent(kind=COMPILE)]).speed(stack) == 1.0


def test_the_speed_of_a_stack_that_was_measured_counts_the_more_the_more_often():
    (stack,) = compose(fake_cells(2))
    keys, others = keys_of(stack.cells), [some_spent()] * 15  # 3 times the model's seconds
    for times, speed in ((0, 3.0), (1, math.sqrt(3.0 * 12.0)), (3, 3.0**0.25 * 12.0**0.75)):
        for key in ("stack", "alike"):
            own = [some_spent(kind="layers", training=24.0, **{key: getattr(keys, key)})] * times
            assert Expectation([*own, *others]).speed(stack) == pytest.approx(speed)
    short = some_spent(stack=keys.stack, modelled=0.1, training=1.0)
    assert Expectation([short, *others]).speed(stack) == 3.0


def test_what_another_cost_model_expected_is_not_compared_with(monkeypatch, tmp_path):
    monkeypatch.setenv("MDCORE_CACHE", str(tmp_path))
    past.write(some_spent())
    assert past.read() == [some_spent()]
    (tmp_path / "cost.py").write_text("SECONDS_PER_STEP = 1.0\n")
    monkeypatch.setattr(past.cost, "__file__", str(tmp_path / "cost.py"))
    assert past.read() == []


def test_what_a_step_costs_whatever_it_holds():
    """A map that is not compiled is taken once for all cells of a potential and depth; a step that may be refused."""

    def steps(*potentials, rule="normalized", depths=(1,)):
        cells = [
            FakeCell("cell", {**fake_cells(1)[0].config, "potential": phi, "step": {"rule": rule}, "depth": depth}, "d")
            for phi in potentials
            for depth in depths
        ]
        return cost.model(cells).steps / 100 - len(cells) * (8 * cost.SECONDS_PER_NUMBER)

    lp = {"lp": {"p": 1.1}}
    entries = 2 * cost.SECONDS_PER_WEIGHT
    plain = cost.SECONDS_PER_STEP + cost.SECONDS_PER_BLOCK
    one = plain + cost.SECONDS_PER_CELL
    assert steps("quadratic") == pytest.approx(one + entries)
    assert steps("quadratic", rule="adaptive") == pytest.approx(cost.ADAPTING * one + entries)
    assert steps("quadratic", rule="my_rules:mine") == steps("quadratic")
    assert steps(lp) == pytest.approx(one + 6 * (cost.SECONDS_PER_MAP + entries))
    assert steps(lp, lp) - steps(lp) == pytest.approx(cost.SECONDS_PER_CELL + 6 * entries)
    deeper = steps(lp, depths=(1, 2)) - steps(lp)
    assert deeper > cost.SECONDS_PER_BLOCK + cost.SECONDS_PER_CELL + 6 * cost.SECONDS_PER_MAP


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (300, 30)),
        ({"n": 15, "dim": 7}, (15, 7)),
        ({"n": -1, "dim": "wide"}, (300, 30)),
        ({"dim": 7}, (300, 7)),
    ],
)
def test_the_size_of_data_that_a_file_of_the_users_makes(parameters, size):
    assert cost.data_size({"dataset": {"name": "my_data:make", **parameters}}) == size


def test_on_a_slower_or_crowded_machine_more_is_expected_until_something_is_known(monkeypatch):
    (stack,) = compose(fake_cells(2))
    usual, slower = Expectation(), Expectation(pace=3.0)
    assert slower.seconds(stack) == pytest.approx(3 * usual.seconds(stack))
    assert slower.start(compiles=True) == 3 * usual.start(compiles=True)
    assert Expectation([some_spent(training=10.0)], pace=3.0).speed(stack) == 5.0
    monkeypatch.setattr(past.os, "getloadavg", lambda: (8.0, 0.0, 0.0))
    monkeypatch.setattr(past.os, "cpu_count", lambda: 2)
    assert past.crowd() == 4.0
    clock = itertools.accumulate(itertools.cycle([0.0, 0.02, 1.0, 4 * past.PROBE]))  # of several tries the best
    monkeypatch.setattr(past.time, "thread_time", lambda: next(clock))
    assert past.pace() == pytest.approx(8.0)


def test_logging_costs_as_many_rows_as_are_logged_by_then():
    (stack,) = compose(fake_cells(2, epochs=2000))
    whole, logged = stack.model, log_spaced_epochs(2000, 120)
    for epoch in (1, 10, 20, 300, 2000):
        rows = sum(t <= epoch for t in logged) / len(logged)
        assert whole(epoch / 2000) == pytest.approx(epoch / 2000 * whole.steps + rows * whole.logged)
    assert whole() == whole.steps + whole.logged and whole(0.0) == 0.0


def test_stacks_are_the_same_whatever_is_remembered(tmp_path, monkeypatch):
    """What is trained together rests on the grid alone."""
    monkeypatch.setenv("MDCORE_CACHE", str(tmp_path))
    before = [stack.name for stack in compose([cell for stack in stacks("mnist_pairs") for cell in stack.cells])]
    for stack in stacks("mnist_pairs"):
        past.write(spent(stack.cells, 10, {"training": 1e5}))
    after = [stack.name for stack in compose([cell for stack in stacks("mnist_pairs") for cell in stack.cells])]
    assert before == after


def test_the_longest_go_first_to_the_first_free_worker():
    assert makespan([3.0, 5.0, 2.0], 2) == 5.0
    assert makespan([3.0, 5.0, 2.0], 2, [4.0]) == 7.0
    assert makespan([], 2, [4.0, 1.0, 7.0]) == 7.0
