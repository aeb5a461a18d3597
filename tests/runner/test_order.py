"""Which stack is next: the longest, as far as the finished ones of the same data tell."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fake_grids import fake_cells
from fake_training import results

from mdcore.runner import backends
from mdcore.runner.backends import LocalBackend
from mdcore.runner.execution import RunSettings, StackResult, Status
from mdcore.runner.runner import Runner
from mdcore.runner.stacks import Stack, compose
from mdcore.runner.times.expected import Expectation, expectation_for, spent
from mdcore.runner.times.progress import Log, Progress
from mdcore.store.commits import NOTEBOOK, Record, committed
from mdcore.store.results import write_results

EPOCHS = 1000
MNIST = {"name": "mnist", "source": "bundled", "test_fraction": 0.2}


def stack_of(digits, pca, count=2) -> Stack:
    cells = fake_cells(count, dataset=MNIST, digits=digits, pca=pca, epochs=EPOCHS)
    label = f"mnist-{digits[0]}v{digits[1]}-pca{pca}"
    named = (replace(c, cell_id=f"{label}_{c.cell_id}", data_key=label, dataset_label=label) for c in cells)
    return Stack(tuple(named))


@pytest.fixture
def four():
    """The stacks of mnist_pairs in the order of their plan: costliest first, ties by name."""
    stacks = [stack_of(digits, pca) for digits in ([0, 1], [3, 5]) for pca in (50, 200)]
    stacks = compose([cell for stack in stacks for cell in stack.cells])
    labels = [stack.cells[0].dataset_label.removeprefix("mnist-") for stack in stacks]
    assert labels == ["0v1-pca200", "3v5-pca200", "0v1-pca50", "3v5-pca50"]
    return stacks


def learnt(expectation, cells, steps, training=1.0):
    expectation.learn(spent(cells, steps, {"training": training, "total": training}))


def test_without_evidence_the_plan_s_order_stands(four):
    expectation = Expectation()
    learnt(expectation, four[0].cells, 0)  # nobody counted
    assert [expectation.training(stack) for stack in four] == [stack.cost for stack in four]
    assert expectation.longest(four) is four[0]
    assert expectation.longest(four[2:]) is four[2]


def test_data_that_ended_early_are_expected_to_end_early_again(four):
    expectation = Expectation()
    learnt(expectation, four[0].cells, 2 * EPOCHS // 4)
    assert [expectation.share(stack) for stack in four] == [0.25, 1.0, 0.25, 1.0]
    assert expectation.training(four[2]) == four[2].model(0.25)
    assert expectation.longest(four[2:]) is four[3]
    learnt(expectation, four[1].cells, 2 * EPOCHS // 10)  # and those ended earlier still
    assert expectation.longest(four[2:]) is four[2]
    learnt(expectation, four[0].cells[:1], EPOCHS)  # a half that ran to its cap
    assert expectation.share(four[2]) == (0.25 + 1.0) / 2


def test_committed_stacks_are_evidence_where_they_are_known(four):
    cells = [cell for stack in four for cell in stack.cells]
    first = Record(None, cells=four[0].cell_ids, steps=EPOCHS, seconds={"training": 3.0})
    strange = [Record(None, cells=["of another grid"], steps=1), Record(None, cells=[], steps=1), Record(None)]
    expectation = expectation_for(cells, [*strange, first])
    assert [expectation.share(stack) for stack in four] == [0.5, 1.0, 0.5, 1.0]
    assert expectation.training(four[0]) == pytest.approx(3.0)


def test_the_runner_begins_with_what_is_expected_to_take_longest(tmp_path, monkeypatch, four):
    tried = train(tmp_path, monkeypatch, four, {"0v1": EPOCHS // 10, "3v5": EPOCHS})
    assert tried == ["mnist-0v1-pca200", "mnist-3v5-pca200", "mnist-3v5-pca50", "mnist-0v1-pca50"]
    assert {r.path.name.partition("_")[0]: r.steps for r in committed(tmp_path).records} == {
        "mnist-0v1-pca200": 200, "mnist-0v1-pca50": 200, "mnist-3v5-pca200": 2000, "mnist-3v5-pca50": 2000
    }  # fmt: skip


def test_a_second_try_comes_before_the_next_stack(tmp_path, monkeypatch, four):
    tried = train(tmp_path, monkeypatch, four[:2], {}, dies=four[0])
    assert tried == ["mnist-0v1-pca200", "mnist-0v1-pca200", "mnist-3v5-pca200"]


def train(run_dir, monkeypatch, stacks, steps: dict, dies: Stack | None = None) -> list[str]:
    """The labels of `stacks` as a runner with one worker tries them; `dies` does once. No kernel is needed."""
    by_name, tried = {stack.name: stack for stack in stacks}, []

    def run_stack(job, kernels):
        label = job.name.partition("_")[0]
        tried.append(label)
        if dies and job.name == dies.name and tried.count(label) == 1:
            return StackResult(Status.DIED, job.place / "none", 0.1, "gone")
        made = results(by_name[job.name].cell_ids)
        made.final["steps"] = steps.get(label.split("-")[1], 0)
        made.seconds["training"] = 1.0
        write_results(job.place / "out", made)
        shutil.copy(job.notebook, job.place / "out" / NOTEBOOK)
        return StackResult(Status.DONE, job.place / "out", 0.1)

    (run_dir / "stacks").mkdir()
    monkeypatch.setattr(backends, "run_stack", run_stack)
    progress = Progress(stacks, 1, 0, Log(run_dir / "grid.log"), stream=io.StringIO())
    runner = Runner(run_dir, progress, 1, RunSettings({"code": "1"}))
    result = runner.run(LocalBackend(SimpleNamespace(stop=lambda: None), 1), stacks)
    assert (result.fatal, result.failed) == ("", {})
    assert result.trained == sum(len(stack.cells) for stack in stacks)
    return tried
