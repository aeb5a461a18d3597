"""A grid under seeded faults: `make chaos` (SEED, FAULTS).

The grid is run once in peace, then again on a small file system of its own while a seeded schedule kills the
runner, its workers and its kernels, damages files, fills the disk and starts it again. At the end every cell
must be done, equal to the bit to the peaceful run (to rounding where a stack had to be split), nothing that was
finished lost, nothing damaged accepted, no process left. Writes chaos.md and chaos.csv; exit status 1 if anything
is off.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "support")]
INSIDE = "MDCORE_CHAOS_WORK"  # set in the second of the two processes, the one with a mount namespace of its own
SMALL_MB = 64
BREATH = 3  # faults, the last of them after one more stack is finished
END_WITHIN = 30  # seconds for the processes of a killed runner


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="make chaos", description=__doc__.splitlines()[0])
    p.add_argument("--seed", type=int, default=0, help="of the schedule")
    p.add_argument("--faults", type=int, default=36)
    p.add_argument("--stacks", type=int, default=9, help="of eight cells each")
    p.add_argument("--epochs", type=int, default=12_000)
    p.add_argument("--output_dir", default="analysis_results/chaos")
    p.add_argument("--keep", action="store_true", help="leave the working directory")
    return p


def main() -> int:
    options = parser().parse_args()
    if INSIDE in os.environ:
        return direct(options, Path(os.environ[INSIDE]))
    from chaos_site import copy_source

    work = Path(tempfile.mkdtemp(prefix="chaos-"))
    copy_source(ROOT, work / "source")
    argv = [*own_mounts(), sys.executable, str(work / "source" / "tests" / "chaos" / "chaos.py"), *sys.argv[1:]]
    env = os.environ | {"PYTHONPATH": str(work / "source"), INSIDE: str(work), "OMP_NUM_THREADS": "1"}
    return os.execvpe(argv[0], argv, env)  # it does not return


def own_mounts() -> list[str]:
    """The words before a command that give it mounts of its own, which end with it; [] where that cannot be."""
    for words in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        try:
            if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
                return [*words, "--"]
        except OSError:
            break
    return []


def direct(options, work: Path) -> int:
    """The whole of it, on a file system that nobody else sees."""
    from chaos_report import compare, write_report
    from chaos_site import GRID, Ledger, Site

    for name in ("small", "tmp", "reference"):
        (work / name).mkdir()
    seeds = ", ".join(map(str, range(options.stacks)))
    (work / "grid.yaml").write_text(GRID.format(epochs=options.epochs, seeds=seeds))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_MB}m", "chaos", str(work / "small")]
    limited = subprocess.run(mount, capture_output=True).returncode == 0
    if not limited:
        print("no file system of its own can be mounted here: the disk is not filled, other faults stand in")
    site, ledger = Site(ROOT, work, work / "small", uuid.uuid4().hex), Ledger()
    # a second Ctrl-C must not leave the processes of this run behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    begun = time.monotonic()
    done, off = [], ledger.off
    try:
        peace = site.start(work / "reference")
        if peace.wait(600):
            print(peace.log.read_text(errors="replace"))
            return 1
        print(f"the run in peace took {time.monotonic() - begun:.0f} s", flush=True)
        done = torment(site, ledger, Random(options.seed), options.faults)
        off += finish(site, ledger)
        equal = compare(work / "reference", site.run_dir, off)
    finally:
        site.end()
        if limited:
            if options.keep:
                shutil.copytree(work / "small", work / "kept")
            subprocess.run(["umount", str(work / "small")])
        if options.keep:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    off += [f"lost: {what}" for what in ledger.lost] + [f"accepted: {what}" for what in ledger.accepted]
    if len(done) < options.faults:
        off.append(f"{len(done)} faults of {options.faults}")
    report = write_report(Path(options.output_dir), options, done, ledger, equal, off, time.monotonic() - begun)
    print(report)
    return 1 if off else 0


def schedule(random: Random, count: int) -> list[str]:
    """`count` kinds of faults, every kind as often as its share, in random order."""
    from chaos_faults import FAULTS

    whole = [kind for kind, (_, share, _) in FAULTS.items() for _ in range(share)]
    random.shuffle(whole)
    return [whole[i % len(whole)] for i in range(count)]


def torment(site, ledger, random: Random, count: int) -> list[dict]:
    """Start the grid, do a fault, look, start again, until `count` faults are done."""
    from chaos_faults import FAULTS, MAKES_WORK

    begun, done, waiting, lives = time.monotonic(), [], schedule(random, count), 0
    while waiting:
        kind = waiting.pop(0)
        if site.alive() is None:
            ledger.off += [f"left over: {p}" for p in site.left_over(END_WITHIN)]
            ledger.look(site.run_dir)
            if site.run_dir and len(ledger.finished) == wanted(site) and kind not in MAKES_WORK:
                waiting = [kind, *waiting]
                kind = random.choice(MAKES_WORK)  # all is done: something has to be lost for a fault to meet work
                waiting.remove(kind) if kind in waiting[1:] else waiting.pop()
        if len(done) % BREATH == BREATH - 1:
            breathe(site, ledger)
        fault, _, needs_runner = FAULTS[kind]
        dask = kind == "worker killed"
        if dask and site.alive():
            site.alive().send_signal(signal.SIGTERM)
            site.started[-1].wait(60)
        if site.alive() is None and (needs_runner or random.random() < 0.3):
            lives += 1
            site.start(None, *(["--backend", "dask"] if dask else []))
        what = strike(site, ledger, random, fault, needs_runner)
        if what is None:  # not possible now: later, or something else in its stead
            waiting.append(kind if waiting and random.random() < 0.7 else random.choice(list(FAULTS)))
            continue
        ledger.look(site.run_dir)
        second, count = round(time.monotonic() - begun, 1), len(ledger.finished)
        done.append({"fault": len(done) + 1, "second": second, "kind": kind, "what": what, "finished": count})
        print(f"{len(done):3} {second:6.1f} s  {count:3} finished  {what}", flush=True)
    return done


def breathe(site, ledger) -> None:
    """Let one more stack be finished, so that there is something to lose."""
    ledger.look(site.run_dir)
    before, until = len(ledger.finished), time.monotonic() + 90
    runner = site.alive() or site.start()
    while runner.poll() is None and len(ledger.finished) <= before and time.monotonic() < until:
        time.sleep(0.3)
        ledger.look(site.run_dir)


def strike(site, ledger, random: Random, fault, needs_runner: bool) -> str | None:
    """Wait for a moment to strike, 15 s at most, and strike; most moments are inside a stack's training."""
    from chaos_site import NotNow

    if needs_runner:
        anywhere = random.random() < 0.25
        until = time.monotonic() + 25
        while not anywhere and time.monotonic() < until and site.alive() and not site.training():
            time.sleep(0.1)
        time.sleep(random.uniform(0.0, 6.0 if anywhere else 3.0))
    until = time.monotonic() + 10
    while True:
        try:
            return fault(site, ledger, random)
        except NotNow:
            if not (needs_runner and site.alive()) or time.monotonic() > until:
                return None
        time.sleep(0.05)


def wanted(site) -> int:
    from mdcore.config.grid import load_grid

    return len(load_grid(site.work / "grid.yaml").cells)


def finish(site, ledger) -> list[str]:
    """Let it end: at most five starts, each after the last has ended. What is off."""
    off = []
    for _ in range(5):
        runner = site.alive() or site.start()
        status, log = runner.wait(600), runner.log.read_text(errors="replace")
        off += [f"left over: {p}" for p in site.left_over(END_WITHIN)]
        ledger.look(site.run_dir)
        if status == 0 and "nothing to do" in log:
            break
        if status == 1 and "cells failed" in log:
            off.append(f"cells blamed for what was done to them: {log[-600:]}")
            break
    else:
        off.append(f"not done after five starts: {log[-400:]}")
    off += [f"a traceback in {p.log.name}" for p in site.started if crashed(p.log.read_text(errors="replace"))]
    off += [f"left in the temporary directory: {p.name}" for p in (site.work / "tmp").glob("mdcore-*")]
    return off


def crashed(log: str) -> bool:
    """A traceback that is not one of a destructor at the end of a process."""
    lines = log.splitlines()
    return any("Traceback" in line and "Exception ignored" not in before for before, line in zip(["", *lines], lines))


if __name__ == "__main__":
    sys.exit(main())
