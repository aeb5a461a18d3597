"""Analyses under faults, part of `make chaos`: killed, interrupted, out of space and doubled at each of their writes.

Two runs are analysed in turn into one place. A fault strikes at one system call that opens a file for writing, makes,
renames, links or removes something. After each the place must hold the whole results of one of the two, its
provenance.json must be true of them, and no other file may have changed: a canary lies in every directory. The next
analysis begins with whatever the last one left.

Kernels are replaced by this process, so that a fault can strike at any write of any notebook; every fault is a fork.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import nbformat
import pandas as pd
from processes import in_a_fork

from mdcore.store.drafts import LISTING, listing
from mdcore.store.fingerprint import sha256

EVENTS = {"os.rename", "os.link", "os.mkdir", "os.rmdir", "os.remove"}
KINDS = ("killed", "interrupted", "no space once", "no space any more", "doubled")
CANARY = "canary.txt"
LOG = os.environ.get("CHAOS_LOG", os.devnull)  # of the analyses; opening it is a write of this program, not of theirs
DATE = b'"date"'  # the line of provenance.json that may differ


class Place:
    """Two runs and the directory that both are analysed into, with canaries everywhere."""

    def __init__(self, work: Path):
        import fake_run as fake

        self.work, self.out = work, work / "results" / "paper"
        cells = fake.grid_cells(["quadratic"], depths=(1, 2), seeds=(0, 1))
        self.runs = [fake.write_run(work / f"2025010{n}_{name}", cells, git=name * 7) for n, name in enumerate("ab")]
        self.whole = {}
        for run in self.runs:
            assert in_a_fork(lambda run=run: analyse(run, self.out)) == 0
            self.whole[results(self.out)] = run.name
        assert len(self.whole) == 2
        for folder in [work, *(Path(where) for where, _, _ in os.walk(work))]:
            (folder / CANARY).write_text(f"mine, in {folder.name}")
        self.others = self.not_ours()

    def not_ours(self) -> dict[str, bytes]:
        """Every file but those of the analyses and their workspaces."""
        ours = {self.out / name for name in (*(listing(self.out) or ()), LISTING)}
        names = {file: file.relative_to(self.work).as_posix() for file in self.work.rglob("*") if file.is_file()}
        others = {file: name for file, name in names.items() if file not in ours and "/.mdcore-" not in f"/{name}"}
        return {name: file.read_bytes() for file, name in others.items()}

    def wrong(self) -> list[str]:
        """What is not as it must be after a fault."""
        off = []
        if results(self.out) not in self.whole:
            off.append("the results are neither the one run's nor the other's")
        elif self.whole[results(self.out)] != json.loads((self.out / "provenance.json").read_bytes())["run"]:
            off.append("provenance.json names another run")
        sums = json.loads((self.out / "provenance.json").read_bytes())["sha256"]
        if any(sums[name] != sha256(self.out / name) for name in ("master.csv", "summary.csv")):
            off.append("provenance.json names other tables")
        now = self.not_ours()
        off += [f"{name} was changed or lost" for name in self.others if now.get(name) != self.others[name]]
        return off + [f"{name} was left" for name in now.keys() - self.others.keys()]


def results(out: Path) -> str:
    """One checksum over everything that an analysis has left in `out`, but for the date; "" where a file is off."""
    total, names = hashlib.sha256(), sorted(listing(out) or ())
    for name in names:
        try:
            lines = (out / name).read_bytes().split(b"\n")
        except OSError:
            return ""
        total.update(name.encode() + b"\n".join(line for line in lines if DATE not in line))
    return total.hexdigest() if names else ""


def analyse(run: Path, out: Path) -> int:
    from mdcore.run_analysis import main

    sys.stdout = sys.stderr = open(LOG, "a")  # noqa: SIM115
    return main(["--input_dir", str(run), "--output_dir", str(out)])


def hooked(strike, work) -> int:
    """`work` with strike(number) called before each of its writes, counted from 1."""
    seen, inside = 0, False

    def hook(event: str, given) -> None:
        nonlocal seen, inside
        writes = event == "open" and isinstance(given[0], (str, bytes)) and (given[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if inside or given[:1] == (LOG,) or not (writes or event in EVENTS):
            return
        seen, inside = seen + 1, True
        try:
            strike(seen)
        finally:
            inside = False

    sys.addaudithook(hook)
    return work()


def doubled(work) -> None:
    """`work` in a process of its own, until it has ended or has to wait for a lock that this process holds."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            pipe.read(1)
        return
    kept = sys.stdout, sys.stderr  # or their numbers would be closed once more, when others have them
    os.closerange(3, writer)  # what another process would not have: the locks of this one
    os.closerange(writer + 1, 1024)
    trying = False

    def hook(event: str, given) -> None:
        nonlocal trying
        if event != "fcntl.flock" or trying:
            return
        trying = True
        try:
            fcntl.flock(given[0], given[1] | fcntl.LOCK_NB)
        except OSError:
            os.write(writer, b".")
        trying = False

    sys.addaudithook(hook)
    status = 70
    try:
        status = work()
    finally:
        del kept
        os._exit(status)


def others_have_ended() -> None:
    with suppress(ChildProcessError):
        while True:
            os.wait()


def fault(kind: str, moment: int, place: Place, run: Path) -> int:
    """An analysis of `run` that `kind` of fault hits at its write number `moment`; its exit status."""
    other = next(each for each in place.runs if each != run)

    def strike(now: int) -> None:
        if now < moment or (now > moment and kind != "no space any more"):
            return
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "interrupted":
            raise KeyboardInterrupt
        elif kind == "doubled":
            doubled(lambda: analyse(other, place.out))
        else:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def work() -> int:
        try:
            return hooked(strike, lambda: analyse(run, place.out))
        finally:
            others_have_ended()

    return in_a_fork(work)


def cut_short(limit: int, place: Place, run: Path) -> int:
    """An analysis in which no file can grow beyond `limit` bytes: a write fails in its middle."""

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return analyse(run, place.out)

    return in_a_fork(work)


def without_kernels() -> None:
    """Notebooks run in this process from here on, and draw one figure."""
    import IPython.display

    from mdcore.analysis.figures import collection
    from mdcore.analysis.report.document import Section
    from mdcore.runner import notebooks
    from mdcore.runner.kernels import servers
    from mdcore.training.failures import failure_of

    def execute(notebook: Path, output: Path, parameters: dict, *_) -> None:
        read, names, shown = nbformat.read(notebook, 4), {}, []
        IPython.display.display = lambda *things: shown.extend(things)
        try:
            for cell in (cell for cell in read.cells if cell.cell_type == "code"):
                shown.clear()
                exec(compile(cell.source, str(notebook), "exec"), names)
                names |= parameters if "parameters" in cell.metadata.get("tags", []) else {}
                bundles = [thing._repr_mimebundle_() for thing in shown if isinstance(thing, Section)]
                cell.outputs = [nbformat.v4.new_output("display_data", bundle) for bundle in bundles]
        except Exception as error:
            raise notebooks.NotebookFailed(failure_of(error)) from None
        finally:
            nbformat.write(read, output)

    notebooks.execute = execute
    servers.Kernels = lambda *_: nullcontext()
    kinds = collection.kinds
    collection.kinds = lambda study: [kind for kind in kinds(study) if kind.name == "margins_vs_epochs"]


def moments(place: Place) -> int:
    """How many writes an analysis makes."""
    reader, writer = os.pipe()

    def work() -> int:
        return hooked(lambda now: os.write(writer, b"."), lambda: analyse(place.runs[0], place.out))

    status = in_a_fork(work)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        return len(pipe.read()) if status == 0 else 0


def torment(place: Place, random: Random, faults: int) -> tuple[list[dict], list[str]]:
    """(one row a fault, what is off): every kind at moments spread over all writes."""
    most = moments(place)
    assert most > 20, most
    rows, off = [], place.wrong()
    limits = [random.randrange(1, 40_000) for _ in range(max(1, faults // 8))]
    each = -(-(faults - len(limits)) // len(KINDS))
    plan = [(kind, 1 + (n * most + random.randrange(most)) // each) for kind in KINDS for n in range(each)]
    plan += [("cut short", limit) for limit in limits]
    random.shuffle(plan)
    for number, (kind, moment) in enumerate(plan, 1):
        run = place.runs[number % 2]
        before = place.whole.get(results(place.out), "?")
        status = cut_short(moment, place, run) if kind == "cut short" else fault(kind, moment, place, run)
        wrong = place.wrong()
        after = place.whole.get(results(place.out), "?")
        if wrong or (status not in (0, 1, 2, 130) and kind != "killed"):
            off.append(f"{kind} at {moment}: status {status}; {'; '.join(wrong)}")
        rows.append({"fault": number, "kind": kind, "at": moment, "status": status, "before": before, "after": after})
        print(f"{number:3} {kind} at {moment}: status {status}{'; OFF' if wrong else ''}", flush=True)
    status = in_a_fork(lambda: analyse(place.runs[0], place.out))
    off += [f"the last analysis, without a fault, ended with {status}"] * (status != 0) + place.wrong()
    left = sorted(p.name for p in place.out.parent.glob(".mdcore-*") if (p / "workspace.json").exists())
    return rows, off + [f"left: {name}" for name in left]


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--faults", type=int, default=80)
    p.add_argument("--output_dir", default="analysis_results/chaos")
    options = p.parse_args()
    begun, work = time.monotonic(), Path(tempfile.mkdtemp(prefix="chaos-analysis-"))
    without_kernels()
    try:
        rows, off = torment(Place(work), Random(options.seed), options.faults)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(row["kind"] for row in rows).items()))
    kept = sum(row["before"] == row["after"] for row in rows)
    verdict = [
        f"{'FAILED' if off else 'passed'}: {len(rows)} faults in analyses (seed {options.seed}) in "
        f"{time.monotonic() - begun:.0f} s: {kinds}.",
        f"After {kept} of them the earlier results stood whole, after {len(rows) - kept} the new ones; no other file "
        "changed." if not off else f"{len(off)} times not so.",
        *(f"off: {what}" for what in off),
    ]  # fmt: skip
    place = Path(options.output_dir)
    place.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(place / "analysis.csv", index=False)
    (place / "analysis.md").write_text("\n".join(["# Analyses under faults", "", *(f"- {v}" for v in verdict)]) + "\n")
    print("\n".join(verdict))
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
