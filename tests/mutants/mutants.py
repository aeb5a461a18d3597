"""Plant one small bug at a time: do the tests that concern the module notice? (--sample 0: all bugs; --only REGEX)

cosmic-ray makes the mutants; mutants.toml says of what, and which tests look at it. Once for each group of tests the
lines are recorded that each test executes. A mutant is judged by the tests that execute its statement, the cheapest
first, up to --seconds of them; where there is none, it survives at once. No mutant is written to the disk: a process
that has collected the tests forks, and the fork gives the functions of the package the mutant's code. What runs when a
module is imported needs a fork from before the import, which loads the mutated module from memory.

A timeout is counted in CPU time, so that a busy machine kills nothing. Results are kept in .mutants/ for as long as the
file of the mutant is what it was: an interrupted run goes on where it was, and --again judges only what survived. Exit
status 0: at least 95 % are killed, not counting those that mutants_accepted.yaml explains; 1: fewer; 2: the tests fail
without a mutant.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import judging
import mutation
import yaml

os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""}
HEAVY = (
    "torch numpy pandas numba scipy.optimize scipy.stats sklearn.linear_model matplotlib.pyplot seaborn clarabel "
    "hypothesis coverage nbformat pydantic psutil filelock pyarrow"
)


def key(mutant: dict) -> tuple:
    return tuple(mutant[name] for name in ("module", "digest", "operator", "occurrence"))


class Results:
    """One line of JSON for each mutant that has been judged, the last of the same mutant holds."""

    def __init__(self, path: Path, terminal: int):
        self.path, self.terminal = path, terminal

    def read(self) -> dict[tuple, dict]:
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return {key(mutant): mutant for mutant in map(json.loads, lines)}

    def add(self, mutant: dict, what: str, seconds: float = 0.0) -> None:
        kept = {name: mutant[name] for name in mutant if name not in ("code", "tests", "fresh", "limit")}
        line = json.dumps(kept | {"what": what, "seconds": round(seconds, 2), "tests": len(mutant.get("tests", []))})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if what == "survived":
            how = f"{len(mutant['tests'])} tests" if mutant["tests"] else "no test executes it"
            text = f"\nsurvived ({how}) in {mutant['module']}, line {mutant['line']}:\n"
            sides = [f"{sign} {x}\n" for sign, name in zip("-+", ("was", "becomes")) for x in mutant[name].split("\n")]
            os.write(self.terminal, (text + "".join(sides)).encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag, value in {"--sample": 100, "--seed": 0, "--only": "", "--jobs": 2, "--seconds": 20.0}.items():
        parser.add_argument(flag, type=type(value), default=value)
    parser.add_argument("--again", action="store_true", help="judge anew what survived before")
    options = parser.parse_args()
    for name in HEAVY.split():
        importlib.import_module(name)
    judging.KEPT.mkdir(exist_ok=True)
    results = Results(judging.KEPT / "results.jsonl", os.dup(1))
    names = [mutation.name_of(path) for path in sorted(mutation.SOURCES.rglob("*.py"))]
    names = [name for name in names if mutation.subject_of(name) and re.search(options.only, name)]
    spots = [spot for name in names for spot in mutation.mutants_of(name)]
    spots.sort(key=lambda spot: mutation.digest(repr((options.seed, *spot))))  # one place more or less moves no other
    known, sample, groups = results.read(), [], defaultdict(list)
    if not options.sample:  # all of them are wanted: the texts are made side by side
        with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
            made = dict(zip(spots, pool.starmap(mutation.mutated, spots, chunksize=20)))
    for name, kind, occurrence in spots:
        if options.sample and len(sample) == options.sample:
            break
        text = mutation.text_of(name)
        mutant = {"module": name, "digest": mutation.digest(text), "operator": kind, "occurrence": occurrence}
        before = known.get(key(mutant), {}).get("what", "")
        if before == "none":
            continue
        if not before or (before == "survived" and options.again):
            code = mutation.mutated(name, kind, occurrence) if options.sample else made[name, kind, occurrence]
            if code is None:
                results.add(mutant, "none")
                continue
            line, was, becomes = mutation.difference(name, code)
            mutant |= {"line": line, "was": was, "becomes": becomes, "code": code}
            interpreted = bool(re.fullmatch(mutation.CONFIG["interpreted"], name))
            groups[mutation.subject_of(name), interpreted].append(mutant)
        sample.append(key(mutant))
    print(f"{len(spots)} places; {sum(map(len, groups.values()))} of {len(sample)} mutants to judge", flush=True)
    failing = []
    for (words, interpreted), mutants in sorted(groups.items()):
        group = judging.Group(words, interpreted, options.jobs, options.seconds)
        if group.record():
            group.judge(mutants, results.add)
        else:
            failing.append(words)
            print(f"these tests fail without a mutant: {words}", flush=True)
    judged = results.read()
    status = report([judged[name] for name in sample if name in judged], options)
    return 2 if failing else status


def report(mutants: list[dict], options: argparse.Namespace) -> int:
    """A line for each module and folder; are enough of the mutants killed?"""
    listed = yaml.safe_load((mutation.HERE / "mutants_accepted.yaml").read_text(encoding="utf-8")) or []
    accepted = {(a["module"], a["was"], a["becomes"]) for a in listed}
    count, kinds, caught, of = defaultdict(Counter), ("killed", "timeout", "survived", "accepted"), 0, 0
    for m in mutants:
        known = m["what"] == "survived" and (Path(m["module"]).name, m["was"], m["becomes"]) in accepted
        for name in (m["module"], str(Path(m["module"]).parent) + "/", "all"):
            count[name][kinds[3] if known else m["what"]] += 1
    print(f"\n{'module':32} {' '.join(kinds)}  caught")
    for name in sorted(count, key=lambda name: (name == "all", name)):
        caught, of = sum(count[name][k] for k in kinds[:2]), sum(count[name][k] for k in kinds[:3])
        numbers = " ".join(f"{count[name][k]:>{len(k)}}" for k in kinds)
        print(f"{name:32} {numbers}  {100 * caught / max(1, of):5.1f} %")
    print(f"{caught} of {of} mutants caught, seed {options.seed}, at most {options.seconds:g} s of tests each")
    return 0 if caught >= mutation.CONFIG["goal"] * of else 1


if __name__ == "__main__":
    sys.exit(main())
