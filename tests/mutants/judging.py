"""The tests that judge mutants: what each executes is recorded, then forks of one process run those that matter."""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import mutation
import pytest

KEPT = mutation.TESTS.parent / ".mutants"
KILLED, FRESH = 1, 77  # how a fork ends that has seen a test fail, or can't give the code to what is imported already
ASLEEP = 120  # seconds without any work after which a fork waits for ever


class Recorder:
    """Plugin of pytest: the CPU time and the lines of each test; what a fixture executes counts for all its users."""

    def __init__(self):
        from coverage import Coverage

        self.coverage = Coverage(data_file=None, include=[f"{mutation.SOURCES}/*"], config_file=False)
        self.seconds, self.users, self.now = {}, {"": [-1]}, ""  # "", −1: while the tests were collected
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.now, start, number = item.nodeid, sum(os.times()[:4]), len(self.seconds)
        self.coverage.switch_context(item.nodeid)
        result = yield
        self.seconds[item.nodeid] = sum(os.times()[:4]) - start
        for name in {item.nodeid, *item.fixturenames}:
            self.users.setdefault(name, []).append(number)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        self.coverage.switch_context(fixturedef.argname)
        result = yield
        self.coverage.switch_context(self.now)
        return result

    def save(self, path: Path) -> None:
        """{"seen": the files as they were, "seconds": {test: s}, "lines": {module: {line: numbers of tests}}}."""
        self.coverage.stop()
        data, lines = self.coverage.get_data(), {}
        for file in (f for f in data.measured_files() if f.endswith(".py")):  # not the templates of the report
            lines[mutation.name_of(Path(file))] = {
                line: sorted({i for context in contexts for i in self.users.get(context, [])})
                for line, contexts in data.contexts_by_lineno(file).items()
            }
        seen = {name: mutation.digest(mutation.text_of(name)) for name in lines}
        path.write_text(json.dumps({"seen": seen, "seconds": self.seconds, "lines": lines}), encoding="utf-8")


class Chosen:
    """Plugin of pytest: `loop` gets the tests that were collected; the first that fails ends the process."""

    def __init__(self, loop: Callable[[dict[str, pytest.Item]], None]):
        self.loop = loop

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if not session.testsfailed:
            self.loop({item.nodeid: item for item in session.items})
        os._exit(KILLED)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call):
        if call.excinfo and not isinstance(call.excinfo.value, pytest.skip.Exception):
            os._exit(KILLED)


def run_pytest(files: Iterable[str], picked: str, plugin: object) -> int:
    from hypothesis import Phase, settings

    settings.register_profile("once", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True)
    settings.load_profile("once")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1), os.dup2(silence, 2)
    os.chdir(mutation.SOURCES.parent)
    flags = ["-x", "-s", "-q", "-p", "no:cacheprovider", "-o", "timeout=0", "--assert=plain", "-m", "not slow"]
    return int(pytest.main([*flags, *files, *(["-k", picked] if picked else [])], plugins=[plugin]))


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


@dataclass
class Group:
    """Mutants that the same tests look at: `words` of mutants.toml; `interpreted`: without the compiler numba."""

    words: str
    interpreted: bool
    jobs: int
    seconds: float  # of tests, for one mutant

    def __post_init__(self):
        self.parts = [(file, picked) for words in self.words.split(";") for file, picked in files_of(words)]
        self.recorded = []

    def pytest(self, plugin: object, files: list[str] | None = None, picked: str = "") -> int:
        # what numba has compiled and kept on the disk is no mutant
        importlib.import_module("numba").config.DISABLE_JIT = int(self.interpreted)
        return run_pytest(files or [file for file, _ in self.parts], picked, plugin)

    def record(self) -> bool:
        """Read or make the recording of each file of tests; False where one fails."""
        KEPT.mkdir(exist_ok=True)
        for file, picked in self.parts:
            text = Path(file).read_text(encoding="utf-8")
            path = KEPT / f"{Path(file).stem}-{mutation.digest(repr((text, picked, self.interpreted)))}.json"
            codes = []

            def work(_, file=file, picked=picked, path=path):
                recorder = Recorder()
                status = self.pytest(recorder, [file], picked)
                recorder.save(path)
                return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status

            if not path.exists() or not holds(json.loads(path.read_text(encoding="utf-8"))):
                in_forks([file], 1, work, lambda _, code, __, codes=codes: codes.append(code))
            if any(codes):
                path.unlink(missing_ok=True)
                return False
            self.recorded.append(json.loads(path.read_text(encoding="utf-8")))
        return True

    def choose(self, mutant: dict) -> None:
        """Its tests: those that execute the statement, the cheapest first; of the module, if it runs at import too."""
        asked, cost, fresh = mutation.statement(mutant["module"], mutant["line"]), {}, False
        for recorded in self.recorded:
            lines = {int(at): tests for at, tests in recorded["lines"].get(mutant["module"], {}).items()}
            early = not asked or any(-1 in lines.get(at, []) for at in asked)
            wanted = {i for at, tests in lines.items() if early or at in asked for i in tests}
            cost |= {test: s for i, (test, s) in enumerate(recorded["seconds"].items()) if i in wanted}
            fresh = fresh or early
        # about the cheapest first, but not from file to file and back: fixtures of a file are made anew each time
        tests = sorted(cost, key=lambda test: (round(math.log2(cost[test] + 0.05)), test.split("::")[0], cost[test]))
        spent = list(itertools.accumulate(cost[test] for test in tests))
        mutant["tests"] = [test for i, test in enumerate(tests) if not i or spent[i] <= self.seconds]
        mutant |= {"fresh": fresh, "limit": 20 + 5 * sum(cost[test] for test in mutant["tests"])}

    def judge(self, mutants: list[dict], note: Callable[..., None]) -> None:
        """note(mutant, "killed", "survived" or "timeout", CPU seconds) in this process or a fork of it."""
        for mutant in mutants:
            self.choose(mutant)
            if not mutant["tests"]:
                note(mutant, "survived", 0.0)
        left = KEPT / f"left-{os.getpid()}"

        def ended(mutant, code, seconds):
            if code == FRESH:
                with left.open("a") as file:
                    file.write(f"{mutants.index(mutant)}\n")
                return
            late = code in (-signal.SIGXCPU, -signal.SIGKILL)
            note(mutant, "timeout" if late else "killed" if code else "survived", seconds)

        def run(mutant, items):
            limit(mutant["limit"])
            run_items([items[test] for test in mutant["tests"]])

        def among(items):  # the tests have been collected: the forks give their code to the functions that live
            living = mutation.living_functions()
            gc.freeze()  # what the forks share with this process

            def planted(mutant):
                given = mutation.plant(mutant["module"], mutant["code"], living)
                return run(mutant, items) if given else FRESH

            works = [mutant for mutant in mutants if mutant["tests"] and not mutant["fresh"]]
            in_forks(works, self.jobs, planted, ended)
            os._exit(0)

        def alone(mutant):
            sys.meta_path.insert(0, mutation.InMemory(mutant["module"], mutant["code"]))
            return self.pytest(Chosen(lambda items: run(mutant, items)))

        in_forks([Chosen(among)], 1, self.pytest, lambda *_: None)
        numbers = left.read_text().split() if left.exists() else []
        left.unlink(missing_ok=True)
        fresh = [mutant for mutant in mutants if mutant["tests"] and mutant["fresh"]]
        in_forks(fresh + [mutants[int(i)] for i in numbers], self.jobs, alone, ended)


def files_of(words: str) -> list[tuple[str, str]]:
    """(file, words of -k) of each name of "test_a test_b -k words"."""
    names, _, picked = words.partition(" -k ")
    return [(str(next(mutation.TESTS.rglob(f"{name}.py"))), picked.strip()) for name in names.split()]


def holds(recorded: dict) -> bool:
    """Are the modules that the recorded tests have executed still what they were?"""
    seen = recorded["seen"].items()
    return all(mutation.path_of(name).exists() and mutation.digest(mutation.text_of(name)) == was for name, was in seen)
