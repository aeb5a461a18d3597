"""Plant one small bug at a time: do the tests that concern the module notice? (--sample 0: all bugs; --only REGEX)

cosmic-ray makes the mutants; mutants.toml says of what, and which tests look at it. A mutant is never written to the
disk: a process that has imported the heavy libraries, but nothing of the package, forks, and the fork loads the mutated
module from memory and runs the tests. Exit status 0: at least 95 % are killed, not counting those that
mutants_accepted.yaml explains; 1: fewer; 2: the tests fail without a mutant.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib.machinery
import importlib.util
import itertools
import multiprocessing
import os
import random
import re
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from cosmic_ray import mutating, plugins
from cosmic_ray.ast import ast_nodes, get_ast

os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""}
HERE = Path(__file__).resolve().parent
CONFIG = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
TESTS = HERE.parent
SOURCES = TESTS.parent / CONFIG["package"]
LOOKS = set(CONFIG["looks"].split())
HEAVY = "torch numpy pandas numba scipy.optimize sklearn.linear_model matplotlib.pyplot seaborn hypothesis pytest"


class Essence(ast.NodeTransformer):
    """A module without annotations and looks: a mutant that changes nothing else is none."""

    def visit(self, node):
        for name in {"annotation", "returns"} & set(node._fields):
            setattr(node, name, ast.Constant(0) if isinstance(node, ast.AnnAssign) else None)
        if isinstance(node, ast.Call):
            node.keywords = [k for k in node.keywords if k.arg not in LOOKS]
        return super().visit(node)


def subject_of(name: str) -> str | None:
    """The tests that concern a module such as math/metrics; None where mutants.toml has none."""
    return next((words for pattern, words in CONFIG["tests"].items() if re.fullmatch(pattern, name)), None)


def mutants_of(path: Path) -> list[tuple[Path, str, int]]:
    """(file, operator, occurrence) of every place of a file that an operator changes."""
    nodes, found = list(ast_nodes(get_ast(path.read_text(encoding="utf-8")))), []
    for name in filter(re.compile(CONFIG["operators"].replace("\\\n", "")).fullmatch, plugins.operator_names()):
        operator = plugins.get_operator(name)()
        found += [(path, name, i) for i in range(sum(len(list(operator.mutation_positions(node))) for node in nodes))]
    return found


def mutated(path: Path, name: str, occurrence: int) -> str | None:
    """The code of a mutant; None where it is no other program, or none at all."""
    code = path.read_text(encoding="utf-8")
    new = mutating.mutate_code(code, plugins.get_operator(name)(), occurrence)
    try:
        old, other = (ast.dump(Essence().visit(ast.parse(text))) for text in (code, new))
    except SyntaxError:
        return None
    return new if old != other else None


class InMemory(importlib.machinery.SourceFileLoader):
    """Finds the module that stands in `path`, and loads it from `code`."""

    def __init__(self, path: Path, code: str):
        parts = path.relative_to(SOURCES.parent).with_suffix("").parts
        self.module, self.text = ".".join(parts[:-1] if parts[-1] == "__init__" else parts), code
        super().__init__(self.module, str(path))

    def get_code(self, fullname):
        return compile(self.text, self.path, "exec", dont_inherit=True)

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.module else None


def run_tests(words: str, path: Path, code: str | None) -> None:
    """Ends with status 0 where the tests pass with `code` in the place of `path`; None: as it stands."""
    import numba
    import pytest

    os.setsid()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1), os.dup2(silence, 2)
    os.chdir(SOURCES.parent)
    for name, module in list(sys.modules.items()):  # what the parent has already loaded is not of the mutant
        place = Path(getattr(module, "__file__", None) or "/")
        if name != "__main__" and (place.is_relative_to(SOURCES) or place.is_relative_to(TESTS)):
            del sys.modules[name]
    if code is not None:
        sys.meta_path.insert(0, InMemory(path, code))
        numba.config.DISABLE_JIT = int("compiled" in path.parts)  # what is kept on the disk is not of the mutant
    files, _, picked = words.partition(" -k ")
    chosen = [str(next(TESTS.rglob(f"{name}.py"))) for name in files.split()] + (["-k", picked] if picked else [])
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *chosen])))


def outcome(words: str, path: Path, code: str | None, limit: float) -> str:
    """ "killed", "survived" or "timeout" (after `limit` seconds) of one run of the tests in a fork."""
    process = multiprocessing.get_context("fork").Process(target=run_tests, args=(words, path, code))
    process.start()
    process.join(limit)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return "timeout"
    return "killed" if process.exitcode else "survived"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag, value in {"--sample": 100, "--seed": 0, "--only": "", "--jobs": 2}.items():
        parser.add_argument(flag, type=type(value), default=value)
    options = parser.parse_args()
    for name in HEAVY.split():
        importlib.import_module(name)
    names = {str(p.relative_to(SOURCES).with_suffix("")): p for p in sorted(SOURCES.rglob("*.py"))}
    subject = {name: subject_of(name) for name in names}
    chosen = [name for name in names if subject[name] and re.search(options.only, name)]
    places = [(n, *place) for n in chosen for place in mutants_of(names[n])]
    random.Random(options.seed).shuffle(places)
    found = ((name, path, code) for name, path, *place in places if (code := mutated(path, *place)))
    mutants = list(itertools.islice(found, options.sample or None))
    texts = {path: path.read_text(encoding="utf-8") for _, path, _ in mutants}  # as they were when it began
    pool, limit = ThreadPoolExecutor(options.jobs), {}
    for words in sorted({subject[name] for name, *_ in mutants}):  # one by one, as fast as they are
        start = time.monotonic()
        if outcome(words, SOURCES, None, 900.0) != "survived":
            print(f"these tests fail without a mutant: {words}")
            return 2
        limit[words] = 30 + 5 * (time.monotonic() - start)
        print(f"{time.monotonic() - start:4.0f} s without a mutant: {words}", flush=True)
    known = yaml.safe_load((HERE / "mutants_accepted.yaml").read_text(encoding="utf-8")) or []
    accepted = {(a["module"], a["was"], a["becomes"]) for a in known}
    count = defaultdict(Counter)
    tasks = [(subject[name], path, code, limit[subject[name]]) for name, path, code in mutants]
    for (name, path, code), what in zip(mutants, pool.map(lambda task: outcome(*task), tasks)):
        old, new = texts[path].splitlines(), code.splitlines()
        lines = [x for x in list(difflib.unified_diff(old, new, lineterm="", n=0))[2:] if x[0] in "+-"]
        sides = ("\n".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
        what = "accepted" if what == "survived" and (Path(name).name, *sides) in accepted else what
        count[name][what] += 1
        if what == "survived":
            print(f"\nsurvived in {name}:", *lines, sep="\n", flush=True)
    total, kinds = sum(count.values(), Counter()), ("killed", "timeout", "survived", "accepted")
    print(f"\n{'module':32} {' '.join(kinds)}")
    for name in sorted(count):
        print(f"{name:32} " + " ".join(f"{count[name][k]:>{len(k)}}" for k in kinds))
    caught, judged = total["killed"] + total["timeout"], len(mutants) - total["accepted"]
    print(f"{caught} of {judged} mutants caught ({100 * caught / max(1, judged):.1f} %), seed {options.seed}")
    return 0 if caught >= CONFIG["goal"] * judged else 1


if __name__ == "__main__":
    sys.exit(main())
