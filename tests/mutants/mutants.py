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
import ast
import difflib
import gc
import hashlib
import importlib.machinery
import importlib.util
import itertools
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType

import pytest
import yaml
from cosmic_ray import mutating, plugins
from cosmic_ray.ast import ast_nodes, get_ast

os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""}
HERE = Path(__file__).resolve().parent
CONFIG = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
TESTS = HERE.parent
SOURCES = TESTS.parent / CONFIG["package"]
KEPT = TESTS.parent / ".mutants"
LOOKS = set(CONFIG["looks"].split())
HEAVY = (
    "torch numpy pandas numba scipy.optimize scipy.stats sklearn.linear_model matplotlib.pyplot seaborn clarabel hypothesis "
    "coverage nbformat pydantic psutil filelock pyarrow"
)
KILLED, FRESH = 1, 77  # how a fork ends that has seen a test fail, or can't give the code to what is imported
ASLEEP = 120  # seconds without any work after which a fork waits for ever


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


def path_of(name: str) -> Path:
    return SOURCES / f"{name}.py"


@lru_cache
def text_of(path: Path) -> str:
    """As it was when it was first asked for."""
    return path.read_text(encoding="utf-8")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def mutants_of(name: str) -> list[tuple[str, str, int]]:
    """(module, operator, occurrence) of every place of a module that an operator changes."""
    nodes, found = list(ast_nodes(get_ast(text_of(path_of(name))))), []
    for kind in filter(re.compile(CONFIG["operators"].replace("\\\n", "")).fullmatch, plugins.operator_names()):
        operator = plugins.get_operator(kind)()
        found += [(name, kind, i) for i in range(sum(len(list(operator.mutation_positions(node))) for node in nodes))]
    return found


def mutated(name: str, kind: str, occurrence: int) -> str | None:
    """The code of a mutant; None where it is no other program, or none at all."""
    old = text_of(path_of(name))
    new = mutating.mutate_code(old, plugins.get_operator(kind)(), occurrence)
    try:
        differ = len({ast.dump(Essence().visit(ast.parse(text))) for text in (old, new)}) == 2
    except SyntaxError:
        return None
    return new if differ else None


def difference(name: str, code: str) -> tuple[int, str, str]:
    """(line, was, becomes) of a mutant."""
    old, new = text_of(path_of(name)).splitlines(), code.splitlines()
    lines = [x for x in list(difflib.unified_diff(old, new, lineterm="", n=0))[2:] if x[0] in "+-"]
    sides = ("\n".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return next(i for i, (a, b) in enumerate(zip(old, new), 1) if a != b), *sides


def statement(text: str, line: int) -> set[int]:
    """The lines of the innermost statement that holds `line`, without those of its body; empty outside functions."""
    tree = ast.parse(text)
    around = [x for x in ast.walk(tree) if isinstance(x, ast.stmt) and x.lineno <= line <= x.end_lineno]
    functions = [x for x in around if isinstance(x, ast.FunctionDef) and x.body[0].lineno <= line]
    if not functions:
        return set()
    inner = min(around, key=lambda x: x.end_lineno - x.lineno)
    body = getattr(inner, "body", None)
    return {line, *range(inner.lineno, body[0].lineno if body else inner.end_lineno + 1)}


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


def plant(old: CodeType, new: CodeType, living: dict[CodeType, list[FunctionType]], reached: bool = False) -> bool:
    """Give living functions the code of a mutant; False where some of what it changes runs at import only."""
    if old == new:
        return True
    for function in living.get(old, []):
        function.__code__ = new
    inner = [[x for x in code.co_consts if isinstance(x, CodeType)] for code in (old, new)]
    own = [(c.co_code, c.co_names, [repr(x) for x in c.co_consts if not isinstance(x, CodeType)]) for c in (old, new)]
    reached = reached or old in living
    alike = (reached or own[0] == own[1]) and len(inner[0]) == len(inner[1])
    return alike and all(plant(*pair, living, reached) for pair in zip(*inner))


class Recorder:
    """Plugin of pytest: the CPU time and the lines of each test; a fixture is of all tests that use it."""

    def __init__(self):
        from coverage import Coverage

        self.coverage = Coverage(data_file=None, include=[f"{SOURCES}/*"], config_file=False)
        self.seconds, self.fixtures, self.now = {}, {}, ""
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.now, start = item.nodeid, sum(os.times()[:4])
        self.coverage.switch_context(item.nodeid)
        result = yield
        self.seconds[item.nodeid] = sum(os.times()[:4]) - start
        self.fixtures[item.nodeid] = set(item.fixturenames)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        self.coverage.switch_context(fixturedef.argname)
        result = yield
        self.coverage.switch_context(self.now)
        return result

    def save(self, path: Path) -> None:
        self.coverage.stop()
        data, number = self.coverage.get_data(), {test: i for i, test in enumerate(self.seconds)}
        users = {test: [i] for test, i in number.items()}
        for test, names in self.fixtures.items():
            for name in names:
                users.setdefault(name, []).append(number[test])
        lines = {
            str(Path(file).relative_to(SOURCES).with_suffix("")): {
                line: sorted({i for context in contexts for i in users.get(context, [])})
                for line, contexts in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        seen = {name: digest(text_of(path_of(name))) for name in lines}
        path.write_text(json.dumps({"seen": seen, "seconds": self.seconds, "lines": lines}), encoding="utf-8")


class Chosen:
    """Plugin of pytest: `loop` gets the tests that were collected; the first that fails ends the process."""

    def __init__(self, loop: Callable[[dict[str, pytest.Item]], None]):
        self.loop = loop

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if session.testsfailed:
            os._exit(KILLED)
        self.loop({item.nodeid: item for item in session.items})
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call):
        if call.excinfo and not isinstance(call.excinfo.value, pytest.skip.Exception):
            os._exit(KILLED)


def run_pytest(words: str, plugin: object) -> int:
    from hypothesis import Phase, settings

    settings.register_profile("once", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True)
    settings.load_profile("once")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1), os.dup2(silence, 2)
    os.chdir(SOURCES.parent)
    files, _, picked = words.partition(" -k ")
    chosen = [str(next(TESTS.rglob(f"{name}.py"))) for name in files.split()] + (["-k", picked] if picked else [])
    flags = ["-x", "-s", "-q", "-p", "no:cacheprovider", "-o", "timeout=0", "--assert=plain", "-m", "not slow"]
    return int(pytest.main([*flags, *chosen], plugins=[plugin]))


def run_items(items: list[pytest.Item]) -> None:
    for item, after in zip(items, [*items[1:], None]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
    os._exit(0)


def limit(seconds: float) -> None:
    """End this process after that CPU time, or when it sleeps for good."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
    used = [-1.0]

    def look(*_):
        if sum(os.times()[:4]) - used[0] < 0.1:
            os.kill(os.getpid(), signal.SIGXCPU)
        used[0] = sum(os.times()[:4])

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, ASLEEP, ASLEEP)


def in_forks(tasks: Iterable, jobs: int, work: Callable, done: Callable[..., None]) -> None:
    """work(task) in a fork each, at most `jobs` at a time; then done(task, exit code, CPU seconds)."""
    tasks, running = iter(tasks), {}
    while True:
        while len(running) < jobs and (task := next(tasks, None)) is not None:
            scratch = tempfile.mkdtemp(prefix="mutant-")
            pid = os.fork()
            if not pid:
                tempfile.tempdir = os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = scratch
                try:
                    os._exit(work(task) or 0)
                finally:
                    os._exit(KILLED)
            running[pid] = task, scratch
        if not running:
            return
        pid, status, used = os.wait4(-1, 0)
        task, scratch = running.pop(pid)
        shutil.rmtree(scratch, ignore_errors=True)
        done(task, os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)


class Group:
    """The same tests look at these mutants; `plain` modules are not compiled by numba."""

    def __init__(self, words: str, plain: bool, options: argparse.Namespace):
        self.words, self.plain, self.options = words, plain, options

    def pytest(self, plugin: object) -> int:
        importlib.import_module("numba").config.DISABLE_JIT = int(self.plain)  # what is kept on the disk is no mutant
        return run_pytest(self.words, plugin)

    def record(self) -> bool:
        """Read the recording of the tests, or make it; False where they fail."""
        files = [text_of(next(TESTS.rglob(f"{name}.py"))) for name in self.words.partition(" -k ")[0].split()]
        path, codes = KEPT / f"{digest(repr((self.words, self.plain, files)))}.json", []

        def work(_):
            recorder = Recorder()
            status = self.pytest(recorder)
            recorder.save(path)
            return status

        if not path.exists() or not holds(json.loads(path.read_text(encoding="utf-8"))):
            in_forks([0], 1, work, lambda _, code, __: codes.append(code))
        if any(codes):
            path.unlink(missing_ok=True)
            return False
        self.recorded = json.loads(path.read_text(encoding="utf-8"))
        return True

    def tests_for(self, name: str, line: int) -> list[str]:
        """Those that execute the statement, or, outside functions, any line of the module: the cheapest first."""
        lines, seconds = self.recorded["lines"].get(name, {}), self.recorded["seconds"]
        asked = statement(text_of(path_of(name)), line)
        numbers = {i for at, tests in lines.items() if not asked or int(at) in asked for i in tests}
        tests = [test for i, test in enumerate(seconds) if i in numbers]
        # about the cheapest first, but not from file to file and back: fixtures of a file are made anew each time
        tests.sort(key=lambda test: (round(math.log2(seconds[test] + 0.05)), test.split("::")[0], seconds[test]))
        spent = itertools.accumulate(seconds[test] for test in tests)
        return [test for i, (test, total) in enumerate(zip(tests, spent)) if not i or total <= self.options.seconds]

    def judge(self, mutants: list[dict], results: Results) -> None:
        for mutant in mutants:
            mutant["tests"] = self.tests_for(mutant["module"], mutant["line"])
            mutant["fresh"] = not statement(text_of(path_of(mutant["module"])), mutant["line"])
            if not mutant["tests"]:
                results.add(mutant, "survived")

        def ended(mutant, code, seconds):
            late = code in (-signal.SIGXCPU, -signal.SIGKILL)
            results.add(mutant, "timeout" if late else {0: "survived", FRESH: "fresh"}.get(code, "killed"), seconds)

        def run(mutant, items):
            limit(20 + 5 * sum(self.recorded["seconds"][test] for test in mutant["tests"]))
            run_items([items[test] for test in mutant["tests"]])

        def among(items):
            living = functions_by_code()

            def work(mutant):
                path = path_of(mutant["module"])
                old, new = (compile(x, str(path), "exec", dont_inherit=True) for x in (text_of(path), mutant["code"]))
                return run(mutant, items) if plant(old, new, living) else FRESH

            in_forks([m for m in mutants if m["tests"] and not m["fresh"]], self.options.jobs, work, ended)
            os._exit(0)

        def alone(mutant):
            sys.meta_path.insert(0, InMemory(path_of(mutant["module"]), mutant["code"]))
            return self.pytest(Chosen(lambda items: run(mutant, items)))

        in_forks([Chosen(among)], 1, self.pytest, lambda *_: None)
        known = results.read()
        left = [m for m in mutants if m["tests"] and known.get(key(m), {"what": "fresh"})["what"] == "fresh"]
        in_forks(left, self.options.jobs, alone, ended)


def functions_by_code() -> dict[CodeType, list[FunctionType]]:
    """The functions of the package that exist in this process."""
    living = defaultdict(list)
    for x in gc.get_objects():
        if isinstance(x, FunctionType) and x.__code__.co_filename.startswith(f"{SOURCES}/"):
            living[x.__code__].append(x)
    gc.freeze()
    return living


def holds(recorded: dict) -> bool:
    """Are the files that the recorded tests have executed still what they were?"""
    seen = recorded["seen"].items()
    return all(path_of(name).exists() and digest(text_of(path_of(name))) == was for name, was in seen)


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
        kept = {name: mutant[name] for name in mutant if name not in ("code", "tests", "fresh")}
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
    KEPT.mkdir(exist_ok=True)
    results = Results(KEPT / "results.jsonl", os.dup(1))
    names = [str(path.relative_to(SOURCES).with_suffix("")) for path in sorted(SOURCES.rglob("*.py"))]
    places = [p for name in names if subject_of(name) and re.search(options.only, name) for p in mutants_of(name)]
    random.Random(options.seed).shuffle(places)
    known, sample, groups = results.read(), [], defaultdict(list)
    for name, kind, occurrence in places:
        if options.sample and len(sample) == options.sample:
            break
        text = text_of(path_of(name))
        mutant = {"module": name, "digest": digest(text), "operator": kind, "occurrence": occurrence}
        before = known.get(key(mutant), {"what": "fresh"})["what"]
        if before == "none":
            continue
        if before == "fresh" or (before == "survived" and options.again):
            code = mutated(name, kind, occurrence)
            if code is None:
                results.add(mutant, "none")
                continue
            line, was, becomes = difference(name, code)
            mutant |= {"line": line, "was": was, "becomes": becomes, "code": code}
            groups[subject_of(name), "compiled" in name].append(mutant)
        sample.append(key(mutant))
    print(f"{len(places)} places; {sum(map(len, groups.values()))} of {len(sample)} mutants to judge", flush=True)
    for (words, plain), mutants in sorted(groups.items()):
        group = Group(words, plain, options)
        if not group.record():
            print(f"these tests fail without a mutant: {words}")
            return 2
        group.judge(mutants, results)
    return report([results.read()[name] for name in sample], options)


def report(mutants: list[dict], options: argparse.Namespace) -> int:
    """A line for each module and folder; are enough of the mutants killed?"""
    told = yaml.safe_load((HERE / "mutants_accepted.yaml").read_text(encoding="utf-8")) or []
    accepted = {(a["module"], a["was"], a["becomes"]) for a in told}
    count, kinds = defaultdict(Counter), ("killed", "timeout", "survived", "accepted")
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
    return 0 if caught >= CONFIG["goal"] * of else 1


if __name__ == "__main__":
    sys.exit(main())
