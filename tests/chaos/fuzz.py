"""Every kind of file that a run leaves, damaged at random: `make fuzz` (SEED, TRIALS). No number may change in silence.

Bytes are flipped, files are truncated, emptied, exchanged between stacks and between runs, and whole stacks are. After
each trial the run is read as the analysis reads it: a cell must have the numbers that it had, or be missing, and what
is not as it was must be told. Training states and references are read as training reads them.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import numpy as np

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
HOWS = ("flip one bit", "flip 20 bytes", "truncate", "empty", "delete", "of another stack", "of another run", "append")


def train(place: Path, eta: float) -> Path:
    """A run of three stacks, trained in this process, with the training states that a killed one would leave."""
    import pytest
    import small_runs

    (place / "grid").mkdir(parents=True)
    run = place / "20250101_t"
    with pytest.MonkeyPatch.context() as patch:
        small_runs.train(small_runs.write(place / "grid", GRID.format(eta=eta)), run, patch)
    (run / "grid.log").write_text("a log\n")
    return run


def numbers(run: Path) -> dict:
    """What the analysis makes of a run: the numbers of every cell, the grid it shows, and what it tells."""
    from mdcore.analysis.data.results import load

    found = load(run)
    final = found.final.set_index("cell_id")
    cells = {}
    for cell in final.index:
        row = final.loc[cell].to_dict()
        curves = {name: found.curves.get(cell, name) for name in found.curves.columns}
        cells[cell] = repr([sorted(row.items()), found.predictors.get(cell, np.empty(0)).tolist()]) + repr(
            {name: values.tolist() for name, values in curves.items()}
        )
    return {"cells": cells, "grid": (found.grid_yaml, found.question), "problems": found.problems}


def verdict(before: dict, run: Path) -> str:
    """unchanged, told (what is missing is told, too), refused, or SILENT: in words, what changed without one."""
    from mdcore.store.runs import RunError

    try:
        now = numbers(run)
    except (RunError, FileNotFoundError):
        return "refused"
    other = [cell for cell in now["cells"] if now["cells"][cell] != before["cells"].get(cell)]
    told = now["problems"] != before["problems"]
    if other or (now["grid"] != before["grid"] and not told):
        return f"SILENT: {other or 'the grid'}"
    missing = before["cells"].keys() - now["cells"].keys()
    if not told:
        return "missing" if missing else "unchanged"  # a cell that is missing is shown as such, for what reason ever
    return "told"


def spoil(file: Path, how: str, random: Random, elsewhere: list[Path]) -> bool:
    """Damage a file; False where it would be what it was."""
    data = bytearray(file.read_bytes())
    old = bytes(data)
    if how == "flip one bit" and data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    elif how == "flip 20 bytes" and data:
        for _ in range(20):
            data[random.randrange(len(data))] ^= random.randrange(1, 256)
    elif how == "truncate" and data:
        del data[random.randrange(len(data)) :]
    elif how == "empty":
        data.clear()
    elif how == "append":
        data += random.randbytes(random.randrange(1, 50))
    elif how == "delete":
        file.unlink()
        return True
    else:
        if not elsewhere:
            return False
        data = bytearray(random.choice(elsewhere).read_bytes())
    file.write_bytes(bytes(data))
    return bytes(data) != old


class Fuzz:
    """Two runs and their good copies; `one` damages the first and tells what came of it."""

    def __init__(self, work: Path):
        self.work = work
        self.run, self.other = train(work / "a", 10.0), train(work / "b", 3.0)
        self.good = shutil.copytree(self.run, work / "good")
        self.before = numbers(self.run)
        self.references = {file.name: _kept(file) for file in (self.run / "references").iterdir()}
        self.states = [_state(self.run, self.work / f"state-{n}", n) for n in range(2)]

    def one(self, random: Random) -> tuple[str, str, str]:
        """(kind of file, what was done, what came of it) of one trial."""
        how, what = random.choice(HOWS), random.choice(["run", "run", "run", "reference", "state", "stack"])
        return getattr(self, f"_{what}")(how, random)

    def _run(self, how: str, random: Random):
        head = [self.run / name for name in ("grid.yaml", "manifest.json", "grid.log")]
        stacks = sorted(p for p in (self.run / "stacks").iterdir() if p.name[0] != ".")
        files = head + [file for stack in stacks for file in sorted(stack.iterdir())]
        by_kind: dict[str, list[Path]] = {}
        for file in files:
            by_kind.setdefault(file.name, []).append(file)
        kind = random.choice(sorted(by_kind))
        file = random.choice(by_kind[kind])
        others = [f for f in by_kind[kind] if f != file] if how == "of another stack" else []
        others = sorted(self.other.rglob(kind)) if how == "of another run" else others
        changed = spoil(file, how, random, others)
        came = verdict(self.before, self.run) if changed else "unchanged"
        self._mend(file)
        return kind, how, came

    def _stack(self, how: str, random: Random):
        """A whole stack in the place of another, of this run or of the other one."""
        stacks = sorted(p for p in (self.run / "stacks").iterdir() if p.name[0] != ".")
        theirs = sorted(p for p in (self.other / "stacks").iterdir() if p.name[0] != ".")
        place, source = random.choice(stacks), random.choice(stacks + theirs)
        copy = shutil.copytree(source, self.work / "copy")
        shutil.rmtree(place)
        copy.rename(place)
        came = verdict(self.before, self.run)
        self._mend(place)
        return "a whole stack", "exchanged", came

    def _reference(self, how: str, random: Random):
        files = sorted((self.run / "references").iterdir())
        file = random.choice(files)
        others = [f for f in (*files, *(self.other / "references").iterdir()) if f.name != file.name]
        changed = spoil(file, how, random, others)
        now = _kept(file)
        came = "refused" if now is None else "unchanged" if now == self.references[file.name] else "SILENT"
        came = came if changed else "unchanged"
        self._mend(file)
        return "references/*.npz", how, came

    def _state(self, how: str, random: Random):
        from mdcore.training.stack import _read_state

        state, other = random.sample(self.states, 2)
        good, of = state.read_bytes(), repr(_read_state(str(state))["request"])
        changed = spoil(state, how, random, [other])
        try:
            read = _read_state(str(state))
            came = "unchanged" if state.read_bytes() == good else "refused" if repr(read["request"]) != of else "SILENT"
        except (ValueError, OSError):
            came = "refused"
        state.write_bytes(good)
        return "training state", how, came if changed else "unchanged"

    def _mend(self, place: Path) -> None:
        good = self.good / place.relative_to(self.run)
        if good.is_dir():
            shutil.rmtree(place)
            shutil.copytree(good, place)
        else:
            shutil.copy2(good, place)


def _kept(file: Path):
    from mdcore.problems import cache

    record = cache.read(file)
    return None if record is None else repr(sorted((name, repr(value)) for name, value in record.items()))


def _state(run: Path, place: Path, number: int) -> Path:
    """The training state of the run's stack `number`, as one that was killed would leave it."""
    import json

    from mdcore.training.stack import train_request

    manifest = json.loads((run / "manifest.json").read_bytes())
    configs = [c["config"] for c in manifest["cells"] if c["config"]["seed"] == number]
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
    told = ", ".join(f"{n} {what}" for what, n in ends.most_common())
    print(f"{'FAILED' if silent else 'passed'}: {len(rows)} trials (seed {options.seed}): {told}")
    kinds = Counter(row[0] for row in rows)
    print("; ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    for row in silent:
        print("in silence:", *row)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
