"""The place of a chaos run: a grid on a small file system, runs of it, their processes, what they have finished."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mdcore.store.commits import committed
from mdcore.store.runs import find_run

MARK = "MDCORE_CHAOS"  # in the environment of every process of a chaos run, and of no other
TAG = "chaos"
GRID = """\
question: Does a grid under faults end as one without?
fixed:
  dataset: {{name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1}}
  step: {{rule: normalized, eta: 0.5, decay: 1}}
  width: 8
  epochs: {epochs}
  log_points: 60
vary:
  potential: [quadratic, {{lp: {{p: 1.5}}}}, {{lp: {{p: 3}}}}, {{cosh: {{beta: 1}}}}]
  depth: [1, 2]
  seed: [{seeds}]
"""  # eight cells a seed, and a seed is a stack: its data are its own


class NotNow(Exception):
    """A fault that cannot be done at present."""


@dataclass
class Site:
    """`work` on the disk holds the sources, the grid and the logs; `small` the run directory."""

    source: Path
    work: Path
    small: Path
    mark: str
    jobs: int = 2
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, output: Path | None = None, *flags: str) -> subprocess.Popen:
        """run_grid in a process group of its own; what it says goes to a log."""
        env = os.environ | {
            MARK: self.mark,
            "PYTHONPATH": str(self.source),
            "TMPDIR": str(self.work / "tmp"),
            "STATE_EVERY_S": "0.5",
        }
        drive, notebook = self.source / "tests/support/drive_grid.py", self.source / "notebooks/train_cell.ipynb"
        place = ["--output_dir", str(output or self.small), "--tag", TAG, "--jobs", str(self.jobs)]
        argv = [sys.executable, drive, notebook, "--config", self.work / "grid.yaml", *place, *flags]
        log = self.work / f"run-{len(self.started):03}.log"
        with open(log, "wb") as stream:
            streams = {"stdout": stream, "stderr": stream}
            process = subprocess.Popen(argv, cwd=self.work, env=env, start_new_session=True, **streams)
        process.log = log
        self.started.append(process)
        return process

    def alive(self) -> subprocess.Popen | None:
        """The runner that was started last and has not ended."""
        return next((p for p in reversed(self.started) if p.poll() is None), None)

    def runner(self) -> subprocess.Popen:
        if (runner := self.alive()) is None:
            raise NotNow
        return runner

    @property
    def run_dir(self) -> Path | None:
        return find_run(self.small, TAG)

    def stacks(self, hidden: bool = False) -> list[Path]:
        """The committed stacks, or the partial ones, in the order of their names."""
        place = self.run_dir / "stacks" if self.run_dir else None
        if not place or not place.is_dir():
            return []
        if hidden:
            return sorted(place.glob(".*.partial"))
        return sorted(p for p in place.iterdir() if not p.name.startswith("."))

    def processes(self) -> list[psutil.Process]:
        """Every living process of this chaos run but the one that directs it."""
        everyone = psutil.process_iter(["environ", "status", "name"])  # None where it may not be known
        ours = [p for p in everyone if (p.info["environ"] or {}).get(MARK) == self.mark and p.pid != os.getpid()]
        return [process for process in ours if process.info["status"] != psutil.STATUS_ZOMBIE]

    def kernels(self) -> list[psutil.Process]:
        """The kernels that train."""
        return [process for process in self.processes() if process.info["name"] == "mdcore-kernel"]

    def training(self) -> bool:
        """A saved training state is there and a kernel is at work: a kill hits inside a stack."""
        return any((place / "progress.json").exists() for place in self.stacks(hidden=True)) and bool(self.kernels())

    def moment(self) -> str:
        return "inside a stack" if self.training() else "outside training"

    def left_over(self, within: float) -> list[str]:
        """What of this chaos run still lives `within` seconds after its runner has ended."""
        end = time.monotonic() + within
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        return [f"{process.pid} {process.info['name']}" for process in left]

    def end(self) -> None:
        """Kill what is left of this chaos run, by id."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        for process in self.processes():
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)


@dataclass
class Ledger:
    """Which cells were finished, and in which stack; a stack that a fault damages is struck off."""

    finished: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    off: list[str] = field(default_factory=list)  # whatever else is not as it must be

    def look(self, run_dir: Path | None) -> None:
        """Hold what stands on the disk against what stood there before, and take in what is new."""
        if run_dir is None:
            return
        newest = committed(run_dir).newest
        gone = sorted(self.finished.keys() - newest.keys())
        self.lost += [f"{cell} of {self.finished.pop(cell)}" for cell in gone]
        self.finished |= {cell: record.path.name for cell, record in newest.items()}

    def damaged(self, run_dir: Path, name: str) -> None:
        """After a fault in the stack `name`: no cell of it may count as finished any more."""
        self.finished = {cell: stack for cell, stack in self.finished.items() if stack != name}
        readable = [record.path.name for record in committed(run_dir).records]
        self.accepted += [f"{name} after its damage"] * readable.count(name)


def copy_source(root: Path, to: Path) -> None:
    """The package, its notebooks and the drivers: a chaos run does not see what is edited meanwhile."""
    for name in ("mdcore", "notebooks", "tests/chaos", "tests/support"):
        shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "requirements.txt", to)
