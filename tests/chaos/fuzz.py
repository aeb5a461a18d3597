"""Every kind of file that a run leaves, damaged at random: `make fuzz` (SEED, TRIALS). No number may change in silence.

Bytes are flipped, files are truncated, emptied, exchanged between stacks and between runs, and whole stacks are. After
each trial the run is read as the analysis reads it: a cell must have the numbers that it had, or be missing, and what
is not as it was must be told. Training states and references are read as training reads them.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import numpy as np
from fake_stacks import spoil

GRID = """\
question: Does a damaged file change a number?
fixed:
  dataset: {{name: synthetic, geometry: gaussian, dim: 6, n: 24, separation: 2.5, noise: 1}}
  step: {{rule: normalized, eta: {eta}, anneal: 4}}
  epochs: 60
  width: 3
  log_points: 8
vary:
  potential: [quadratic, {{lp: {{p: 1.5}}}}]
  depth: [1, 2]
  seed: [0, 1]
"""
HOWS = ("bit", "bytes", "truncate", "empty", "delete", "of another stack", "of another run", "append")


def train(place: Path, eta: float) -> Path:
    """A run of three stacks, trained in this process, with the training states that a killed one would leave."""
    import pytest
    import small_runs

    run = place / "20250101_t"
    with pytest.MonkeyPatch.context() as patch:
        small_runs.train(small_runs.write(place / "grid", GRID.format(eta=eta)), run, patch)
    (run / "grid.log").write_text("a log\n")
    return run


def numbers(run: Path) -> dict:
    """What the analysis makes of a run: the numbers of every cell, the grid it shows, and what it tells."""
    from mdcore.analysis.data.results import load

    results = load(run)
    cells = {}
    for cell, row in results.final.set_index("cell_id").iterrows():
        curves = {name: results.curves.get(cell, name).tolist() for name in results.curves.columns}
        cells[cell] = repr([sorted(row.items()), results.predictors.get(cell, np.empty(0)).tolist(), curves])
    return {"cells": cells, "grid": (results.grid_yaml, results.question), "problems": results.problems}


def verdict(before: dict, run: Path) -> str:
    """unchanged, told (what is missing is told, too), refused, or SILENT: in words, what changed without one."""
    from mdcore.store.runs import RunError

    try:
        now = numbers(run)
    except (RunError, FileNotFoundError):
        return "refused"
    other = [cell for cell in now["cells"] if now["cells"][cell] != before["cells"].get(cell)]
    is_reported = now["problems"] != before["problems"]
    if other or (now["grid"] != before["grid"] and not is_reported):
        return f"SILENT: {other or 'the grid'}"
    missing = before["cells"].keys() - now["cells"].keys()
    if not is_reported:
        return "missing" if missing else "unchanged"  # a cell that is missing is shown as such, for what reason ever
    return "told"


class Fuzz:
    """Two runs and their good copies; `one` damages the first and tells what came of it."""

    def __init__(self, work: Path):
        self.work = work
        self.run, self.other = train(work / "a", 10.0), train(work / "b", 3.0)
        self.good = shutil.copytree(self.run, work / "good")
        self.before = numbers(self.run)
        self.states = [_state(self.run, self.work / f"state-{n}", n) for n in range(2)]

    def one(self, random: Random) -> tuple[str, str, str]:
        """(kind of file, what was done, what came of it) of one trial."""
        how, what = random.choice(HOWS), random.choice(["run", "run", "run", "reference", "state", "stack"])
        return getattr(self, f"_{what}")(how, random)

    def _run(self, how: str, random: Random):
        files = [self.run / name for name in ("grid.yaml", "manifest.json", "grid.log")]
        files += [file for stack in stacks_of(self.run) for file in stack.iterdir()]
        kind = random.choice(sorted({file.name for file in files}))
        file = random.choice(sorted(file for file in files if file.name == kind))
        others = [f for f in sorted((self.other if "run" in how else self.run).rglob(kind)) if f != file]
        return kind, how, self._after(file, how, random, others, lambda: verdict(self.before, self.run))

    def _stack(self, how: str, random: Random):
        """A whole stack in the place of another, of this run or of the other one."""
        stacks = stacks_of(self.run)
        place, source = random.choice(stacks), random.choice(stacks + stacks_of(self.other))
        copy = shutil.copytree(source, self.work / "copy")
        shutil.rmtree(place)
        copy.rename(place)
        outcome = verdict(self.before, self.run)
        shutil.rmtree(place)
        shutil.copytree(self.good / place.relative_to(self.run), place)
        return "a whole stack", "exchanged", outcome

    def _reference(self, how: str, random: Random):
        files = sorted((self.run / "references").iterdir())
        file = random.choice(files)
        others = [f for f in (*files, *(self.other / "references").iterdir()) if f.name != file.name]
        before = _kept(file)

        def outcome() -> str:
            now = _kept(file)
            return "refused" if now is None else "unchanged" if now == before else "SILENT"

        return "references/*.npz", how, self._after(file, how, random, others, outcome)

    def _state(self, how: str, random: Random):
        from mdcore.training.stack import _read_state

        state, other = random.sample(self.states, 2)
        before = repr(_read_state(str(state))["request"])

        def outcome() -> str:
            try:
                return "SILENT" if repr(_read_state(str(state))["request"]) == before else "refused"
            except (ValueError, OSError):
                return "refused"

        return "training state", how, self._after(state, how, random, [other], outcome)

    def _after(self, file: Path, how: str, random: Random, others: list[Path], outcome) -> str:
        """The `outcome` of a damage to the file, which is mended then."""
        good = file.read_bytes()
        spoil(file, how, random, others)
        came = outcome() if not file.exists() or file.read_bytes() != good else "unchanged"
        file.write_bytes(good)
        return came


def stacks_of(run: Path) -> list[Path]:
    return sorted((run / "stacks").glob("[!.]*"))


def _kept(file: Path):
    from mdcore.problems import cache

    record = cache.read(file)
    return None if record is None else repr(sorted((name, repr(value)) for name, value in record.items()))


def _state(run: Path, place: Path, number: int) -> Path:
    """The training state of the run's stack `number`, as one that was killed would leave it."""
    from mdcore.store.runs import read_manifest
    from mdcore.training.stack import train_request

    configs = [c["config"] for c in read_manifest(run)["cells"] if c["config"]["seed"] == number]
    request = {"cells": configs, "state_path": str(place), "state_every_s": 0, "device": "cpu", "code": "1"}
    (run.parent / "request.json").write_text(json.dumps(request))
    train_request(run.parent / "request.json")
    return place


def fuzz(work: Path, seed: int, trials: int) -> list[tuple[str, str, str]]:
    """(kind of file, what was done, what came of it) of every trial."""
    random, place = Random(seed), Fuzz(work)
    return [place.one(random) for _ in range(trials)]


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--trials", type=int, default=2000)
    p.add_argument("--output_dir", default="analysis_results/fuzz")
    options = p.parse_args()
    work = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        rows = fuzz(work, options.seed, options.trials)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    place = Path(options.output_dir)
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "fuzz.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "how", "came of it"), *rows])
    silent = [row for row in rows if row[2].startswith("SILENT")]
    ends = Counter(row[2] for row in rows)
    counts = ", ".join(f"{n} {what}" for what, n in ends.most_common())
    print(f"{'FAILED' if silent else 'passed'}: {len(rows)} trials (seed {options.seed}): {counts}")
    kinds = Counter(row[0] for row in rows)
    print("; ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    for row in silent:
        print("in silence:", *row)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
