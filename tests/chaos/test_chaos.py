"""A shortened `make chaos`: fewer faults, fewer cells, the same conditions at the end."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from random import Random

import pytest
from chaos import ROOT, schedule
from chaos_faults import FAULTS
from chaos_report import compare
from chaos_site import Ledger, Site
from fake_stacks import committed_run, spoil

from mdcore.config.grid import load_grid


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_grid_under_faults_ends_as_one_without(tmp_path):
    argv = [sys.executable, ROOT / "tests" / "chaos" / "chaos.py", "--seed", "3", "--faults", "8", "--stacks", "2"]
    argv += ["--epochs", "1000", "--output_dir", tmp_path / "out"]
    done = subprocess.run(argv, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with open(tmp_path / "out" / "chaos.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["fault"]) for row in rows] == list(range(1, 9))
    report = (tmp_path / "out" / "chaos.md").read_text()
    assert "passed: 8 faults (seed 3)" in report
    assert "0 finished cells lost, 0 damaged results accepted, 0 processes left" in report


def test_a_schedule_is_its_seed_and_holds_every_kind():
    count = sum(share for _, share, _ in FAULTS.values())
    assert count >= 30
    assert schedule(Random(1), count) == schedule(Random(1), count) != schedule(Random(2), count)
    assert set(schedule(Random(1), count)) == set(FAULTS)


def test_the_ledger_sees_what_is_lost_and_what_is_accepted(run):
    """The instrument itself: it must be able to fail."""
    ledger = Ledger()
    ledger.look(run.path)
    assert set(ledger.finished) == set(run.ids)
    ledger.damaged(run.path, "one")  # nothing was damaged: a result that counts still
    assert ledger.accepted == ["one after its damage"]
    ledger.look(run.path)
    spoil(run.path / "stacks" / "two" / "final.parquet", "bytes")
    ledger.look(run.path)
    assert sorted(what.split(" of ")[0] for what in ledger.lost) == sorted(run.ids[4:])
    assert set(ledger.finished) == set(run.ids[:4])


@pytest.mark.parametrize(
    ("stacks", "far", "identical", "split", "off"),
    [
        ([range(4), range(4, 8)], 0.0, 8, 0, 0),
        ([range(4), range(4, 6), range(6, 8)], 0.0, 4, 4, 0),
        ([range(4), range(4, 8)], 1e-9, 0, 0, 8),  # the same stacks: to the bit
        ([range(2), range(2, 4), range(4, 6), range(6, 8)], 1e-9, 0, 8, 0),  # split ones: to rounding
        ([range(2), range(2, 4), range(4, 6), range(6, 8)], 1e-4, 0, 8, 8),
        ([range(4)], 0.0, 0, 0, 1),  # not all done
    ],
)
def test_the_comparison_asks_for_the_bits_or_for_rounding(tmp_path, grid_file, stacks, far, identical, split, off):
    grid, wrong = load_grid(grid_file), []

    def run(name: str, stacks, far: float):
        seconds = {cell.cell_id: {"seconds": 1.0 + far} for cell in grid.cells}  # which may differ
        return committed_run(tmp_path / name, grid, dict(zip("abcd", stacks)), shift=far, columns=seconds)

    run("reference", [range(4), range(4, 8)], 0.0)
    counts = compare(tmp_path / "reference", run("runs", stacks, far), wrong)
    assert (counts["identical"], counts["split"], len(wrong)) == (identical, split, off)


def test_only_processes_of_this_chaos_run_are_seen(tmp_path):
    ours, other = (Site(ROOT, tmp_path, tmp_path, mark) for mark in ("mark-1", "mark-2"))
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = subprocess.Popen(argv, env=os.environ | {"MDCORE_CHAOS": "mark-1"})
    try:
        assert [p.pid for p in ours.processes()] == [process.pid]
        assert len(ours.left_over(0.1)) == 1
        assert other.processes() == []
        ours.end()
        assert process.wait(10) == -9
        assert ours.left_over(0.1) == []
    finally:
        process.kill()
        process.wait()
