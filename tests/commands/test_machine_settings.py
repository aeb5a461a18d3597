"""The machine's settings change nothing: locale, streams, environment, configuration files, home, odd paths."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
from fake_grids import GRID_TEXT, ROOT, SUPPORT, fake_cells
from fake_run import grid_cells, write_run
from fake_training import LIGHT_KERNELS
from processes import gone, make_notebook, runner_for, stack_and_runner, wait_for

from mdcore import run_grid, streams
from mdcore.config.errors import GridError
from mdcore.config.grid import load_grid
from mdcore.config.plugins.loading import load_metric
from mdcore.runner import execution
from mdcore.runner.execution import run_stack
from mdcore.runner.kernels.app import LEFT_OUT, MOST_PRINTED
from mdcore.runner.kernels.servers import LISTED, LISTED_PREFIXES, PINNED, Kernels, kernel_environment
from mdcore.runner.notebooks import KernelDied, KernelHung, Watch, execute, private_places
from mdcore.runner.runner import Trial
from mdcore.runner.stacks import compose
from mdcore.runner.times.progress import Log, Progress, bounded_prints
from mdcore.runner.times.running import NUMBERS
from mdcore.store.runs import read_run

LIGHT = ("ipykernel.kernelapp",)  # a server of kernels that imports no torch


# letters


def sources() -> list[tuple[str, str]]:
    """(name, Python text) of the package and of the code cells of its notebooks."""
    texts = [(str(p.relative_to(ROOT)), p.read_text(encoding="utf-8")) for p in sorted((ROOT / "mdcore").rglob("*.py"))]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        texts.append((path.name, "\n".join(cell.source for cell in cells if cell.cell_type == "code")))
    return texts


def without_encoding(text: str) -> list[int]:
    """Lines that open, read or write text in whatever encoding the locale has."""
    lines = []
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given = {word.arg: word.value for word in call.keywords}
        of_bytes = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in ("os", "tarfile")
        is_text = name in ("read_text", "write_text")
        if name in ("open", "fdopen", "makefile", "TextIOWrapper", "NamedTemporaryFile"):
            modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            mode = getattr(given.get("mode"), "value", None) or (modes[-1] if modes else "r")
            is_text = "b" not in mode and not (of_bytes and name == "open")
        elif name in ("run", "Popen", "check_output", "check_call"):
            is_text = bool(given.keys() & {"text", "universal_newlines"})
        if is_text and "encoding" not in given and not (name == "TextIOWrapper" and len(call.args) > 1):
            lines.append(call.lineno)
    return lines


def test_every_text_is_read_and_written_in_a_named_encoding():
    known = "open('a')\nPath(p).read_text()\nrun(w, text=True)\nopen(p, 'rb')\nos.open(p, 1)\ntarfile.open(p)"
    assert without_encoding(known) == [1, 2, 3]
    assert [f"{name}:{line}" for name, text in sources() for line in without_encoding(text)] == []


ASCII = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LETTERS = GRID_TEXT.replace("Does it run?", '"Größe δ: hängt die Richtung davon ab?"')


GRID = ["--config", "grid.yaml", "--tag", "t", "--jobs", "1"]


def python(place: Path, *words: str, env: dict[str, str] = {}, **how) -> subprocess.CompletedProcess:  # noqa: B006
    """A python in `place` that has the package; `env` is added to the environment."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | env
    return subprocess.run([sys.executable, *words], cwd=place, env=env, stderr=subprocess.PIPE, timeout=200, **how)


@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "ascii"}, ASCII], ids=["ascii-output", "posix-locale"])
def test_letters_that_the_terminal_lacks_are_escaped(tmp_path, env):
    code = "from mdcore.streams import steady_streams as s; s(); print('aggregate \\u2026 \\u03b4')"
    assert python(tmp_path, "-c", code, env=env, stdout=subprocess.PIPE).stdout == b"aggregate \\u2026 \\u03b4\n"
    (tmp_path / "grid.yaml").write_text(LETTERS, encoding="utf-8")
    done = python(tmp_path, "-m", "mdcore.run_grid", *GRID, "--dry_run", "--set", "seed=[0, 99", env=env)
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)


@pytest.mark.slow
def test_a_run_and_its_analysis_do_not_depend_on_the_locale(tmp_path):
    """Warnings about a locale's encoding are errors, and the kernels have the locale too."""
    (tmp_path / "grid.yaml").write_text(LETTERS, encoding="utf-8")
    grid = ["-m", "mdcore.run_grid", *GRID, "--set", "seed=0", "--set", "epochs=50", "--set", "width=3"]
    for _ in range(2):
        done = python(tmp_path, *grid, env=ASCII, stdout=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        assert b"damaged" not in done.stdout
    assert b"nothing to do" in done.stdout
    analysis = ["-X", "warn_default_encoding", "-m", "mdcore.run_analysis", "--tag", "t"]
    done = python(tmp_path, *analysis, env=ASCII | {"PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "analysis_results" / "t" / "report.md").read_text(encoding="utf-8")
    assert "Größe δ: hängt die Richtung davon ab?" in report


def test_a_log_takes_every_letter(tmp_path):
    Log(tmp_path / "grid.log").write("Größe \udcc3")
    assert "Größe \\udcc3" in (tmp_path / "grid.log").read_text(encoding="utf-8")


# standard output


COMMAND = """
from mdcore.streams import end_with, steady_streams
def main():
    steady_streams()
    for _ in range(200):  # 200 kB: more than a pipe holds
        print("x" * 1000)
    return 1
end_with(main)
"""


@pytest.mark.parametrize("how", ["broken", "closed", "full"])
@pytest.mark.parametrize(
    ("words", "status"),
    [(["-c", COMMAND], 1), pytest.param(["-m", "mdcore.run_grid", *GRID, "--dry_run"], 0, marks=pytest.mark.slow)],
    ids=["200 kB", "run_grid"],
)
def test_a_command_whose_output_nobody_takes_ends_as_it_would_have(tmp_path, words, status, how):
    (tmp_path / "grid.yaml").write_text(GRID_TEXT)
    if how == "full":
        with open("/dev/full", "wb") as full:
            done = python(tmp_path, *words, stdout=full)
    elif how == "closed":
        done = python(tmp_path, *words, preexec_fn=lambda: os.close(1))
    else:
        reader, writer = os.pipe()
        os.close(reader)
        done = python(tmp_path, *words, stdout=writer)
        os.close(writer)
    expected = b"standard output cannot be written: No space left on device\n" if how == "full" else b""
    assert (done.returncode, done.stderr) == (status, expected)


def test_a_file_never_takes_the_place_of_a_closed_output(tmp_path):
    code = (
        "from mdcore.streams import steady_streams as s; s()\n"
        "file = open('data', 'w'); print('words', flush=True); file.write('data'); file.close()"
    )
    assert python(tmp_path, "-c", code, preexec_fn=lambda: os.close(1)).returncode == 0
    assert (tmp_path / "data").read_text(encoding="utf-8") == "data"


def test_streams_that_are_somebody_elses_are_left_alone(capsys):
    before = sys.stdout
    streams.steady_streams()
    assert sys.stdout is before


# signals


@pytest.mark.parametrize("ignored", [True, False])
def test_a_hangup_that_was_ignored_stays_ignored(tmp_path, ignored):
    runner = runner_for(tmp_path, [])
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with runner.signals(lambda: None):
            os.kill(os.getpid(), signal.SIGHUP)
            assert runner.result.interrupted is not ignored
            assert signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.default_int_handler)
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


# the environment of kernels

SPOIL = """
import json, os, sys, matplotlib
seen = {"usetex": matplotlib.rcParams["text.usetex"], "pad": matplotlib.rcParams["savefig.pad_inches"],
        "started": "started" in globals(), "warn": sys.warnoptions, "optimise": sys.flags.optimize,
        "names": sorted(os.environ), "mine": os.environ.get("MDCORE_MY_DATA")}
json.dump(seen, open("seen.json", "w"))
"""


def test_nothing_of_the_users_settings_reaches_a_kernel(tmp_path, monkeypatch):
    config = tmp_path / "config"
    for place in (config / "matplotlib", config / "ipython" / "profile_default" / "startup", tmp_path / "here"):
        place.mkdir(parents=True)
    for place in (config / "matplotlib", tmp_path / "here"):
        (place / "matplotlibrc").write_text("text.usetex: True\nsavefig.pad_inches: 2\n")
    for place in ("startup.py", "ipython/profile_default/startup/a.py"):
        (config / place).write_text("started = True")
    spoilt = {
        "PYTHONSTARTUP": config / "startup.py", "IPYTHONDIR": config / "ipython", "MPLCONFIGDIR": config / "matplotlib",
        "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "7",
        "JUPYTER_CONFIG_DIR": config, "TORCH_LOGS": "all", "MY_DATA": "hidden",
        "MDCORE_MY_DATA": "where it is",
    }  # fmt: skip
    for name, value in spoilt.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "ipython_config.py").write_text("c.InteractiveShellApp.exec_lines = ['started = 1']")
    notebook = make_notebook(tmp_path / "probe.ipynb", SPOIL)
    with Kernels((*LIGHT, "matplotlib")) as kernels:
        execute(notebook, tmp_path / "out.ipynb", {}, tmp_path / "here", kernels)
    seen = json.loads((tmp_path / "here" / "seen.json").read_text(encoding="utf-8"))
    names = seen.pop("names")
    assert seen == {"usetex": False, "pad": 0.1, "started": False, "warn": [], "optimise": 0, "mine": "where it is"}
    ours = {*PINNED, "PYTHONPATH", "PYTHONIOENCODING", "IPYTHONDIR", "MPLBACKEND", "MATPLOTLIBRC", "TMPDIR"}
    others = {name for name in names if name not in LISTED and not name.startswith(LISTED_PREFIXES)} - ours
    of_ipykernel = {"PYDEVD_USE_FRAME_EVAL", "JPY_PARENT_PID", "TERM", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE"}
    of_openmp = {"KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK", "__KMP_REGISTERED_LIB"}
    assert others <= of_ipykernel | of_openmp | {"PAGER", "GIT_PAGER"}


def test_somebody_without_a_home_has_kernels(tmp_path, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert kernel_environment(tmp_path)["HOME"] == str(tmp_path)
    assert str(tmp_path) in dict(private_places(tmp_path))


@pytest.mark.parametrize("name", ["{draft}", "{", "a%20b", "s pa ce", "ünï"])
def test_a_notebook_is_written_wherever_it_is_to_be(tmp_path, light, name):
    place = tmp_path / name
    place.mkdir()
    notebook = make_notebook(place / "one.ipynb", "print(6 * 7)")
    execute(notebook, place / "out.ipynb", {"word": name}, place, light)
    assert "42" in (place / "out.ipynb").read_text(encoding="utf-8")


ENDS = {
    "import os; os._exit(3)": "ended with exit status 3",
    "import os; print('my last words', flush=True); os.kill(os.getpid(), 9)": "killed, out of memory.*my last words",
    "import ctypes; ctypes.string_at(0)": "signal 11, .*: a crash in compiled code; it said: Fatal Python error",
    "import os; os.abort()": "signal 6, Abort",
}


@pytest.mark.parametrize("code", ENDS)
def test_how_a_kernel_ended_is_told(tmp_path, light, code):
    with pytest.raises(KernelDied, match=ENDS[code]):
        execute(make_notebook(tmp_path / "one.ipynb", code), tmp_path / "out.ipynb", {}, tmp_path, light)


def test_why_the_server_of_kernels_ended_is_told(tmp_path):
    with Kernels(("no_such_module",)) as kernels, pytest.raises(KernelDied, match="No module named 'no_such_module'"):
        execute(make_notebook(tmp_path / "one.ipynb", "1"), tmp_path / "out.ipynb", {}, tmp_path, kernels)


def test_a_flood_of_prints_is_cut_and_the_notebook_goes_on(tmp_path, light):
    code = "for _ in range(20):\n    print('x' * 1_000_000)\nopen('after', 'w').close()"
    execute(make_notebook(tmp_path / "one.ipynb", code), tmp_path / "out.ipynb", {}, tmp_path, light)
    text = "".join(out["text"] for out in nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs)
    assert MOST_PRINTED <= len(text) < MOST_PRINTED + 100
    assert text.endswith(LEFT_OUT)
    assert (tmp_path / "after").exists()


# pictures and pages


def history() -> pd.DataFrame:
    columns = ("angle_max_margin", "margin_ratio", "angle_logreg", "log_inverse_loss")
    return pd.DataFrame({"cell_id": ["a", "a"], "epoch": [1.0, 10.0]} | {name: [0.5, 0.9] for name in columns})


def test_the_curves_of_a_stack_are_a_note_where_they_cannot_be_drawn():
    from mdcore.training.preview import curves

    with matplotlib.rc_context({"text.usetex": True, "savefig.bbox": "tight", "figure.dpi": 30}):
        picture = curves(history())
        assert matplotlib.rcParams["text.usetex"]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        assert curves(history()).data == picture.data
    assert "could not be drawn (KeyError" in curves(history().drop(columns="margin_ratio"))
    curves(history().iloc[:0])  # every cell diverged before it was logged


def test_figures_are_the_same_whatever_matplotlibrc_says(tmp_path):
    from matplotlib.figure import Figure

    from mdcore.analysis.figures import style

    def drawn(name, **settings) -> bytes:
        with matplotlib.rc_context(settings):
            style.use()
            figure = Figure(figsize=(2, 2))
            figure.subplots().plot([1, 2])
            style.save(figure, tmp_path / name)
        return (tmp_path / f"{name}.png").read_bytes()

    spoilt = {"savefig.bbox": "tight", "savefig.pad_inches": 2, "text.color": "red", "lines.marker": "o"}
    assert drawn("ours") == drawn("theirs", **spoilt)


def test_a_template_of_the_users_does_not_make_our_page(tmp_path, monkeypatch):
    from mdcore.analysis.report.publishing import publish

    theirs = tmp_path / "jupyter" / "nbconvert" / "templates" / "paper"
    theirs.mkdir(parents=True)
    (theirs / "conf.json").write_text('{"base_template": "no_such_template"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    shown = {"text/html": '<section id="a"><h2>A</h2></section>', "text/markdown": "## A"}
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data=shown)])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "report.ipynb")
    publish(tmp_path / "report.ipynb", tmp_path)
    assert "<h2>A</h2>" in (tmp_path / "report.html").read_text(encoding="utf-8")


# what stands in a run directory or at an address


def test_a_bomb_in_a_run_directory_is_named_and_not_expanded(tmp_path):
    run = write_run(tmp_path / "20250319_t", grid_cells(seeds=(0,)))
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    (run / "grid.yaml").write_text("\n".join([*lines, "question: *i"]))
    data = read_run(run)
    assert data.question == "Does depth change the limit direction?"  # the manifest has it
    assert len(data.problems) == 1
    assert data.problems[0].startswith("grid.yaml is damaged or was edited after the run")


@pytest.mark.parametrize("address", ["foo", "tcp://", "tls://127.0.0.1:1", "tcp://127.0.0.1:1", "http://a:1", "a b:c"])
def test_an_address_that_is_no_scheduler_is_told_in_one_line(monkeypatch, address):
    from mdcore.runner import dask_backend

    monkeypatch.setattr(dask_backend, "CONNECT_WITHIN", 0.5)
    with (
        pytest.raises(dask_backend.RunError, match="no Dask scheduler answers at") as error,
        dask_backend.connected(1, address),
    ):
        pass
    assert "\n" not in str(error.value)


def test_a_first_step_that_overflows_is_a_cell_that_diverged(tmp_path):
    from mdcore.store.columns import HISTORY
    from mdcore.training.stack import train_request

    (tmp_path / "grid.yaml").write_text(
        "question: too long a step?\nfixed:\n"
        "  dataset: {name: synthetic, geometry: gaussian, dim: 5, n: 20, separation: 2.5, noise: 1}\n"
        "  step: {rule: constant, eta: 1e12}\n  potential: {hypentropy: {beta: 1}}\n  epochs: 100\nvary: {seed: [0]}\n"
    )
    cells = load_grid(tmp_path / "grid.yaml").cells
    (tmp_path / "request.json").write_text(json.dumps({"cells": [cell.config for cell in cells], "device": "cpu"}))
    done = train_request(tmp_path / "request.json")
    assert list(done.final["status"]) == ["diverged"]
    assert "first non-finite value at epoch 1" in done.final["message"][0]
    assert set(HISTORY) <= set(done.final.columns)
    assert done.final[HISTORY].isna().all(axis=None)
    assert (len(done.history), np.isnan(done.w).all()) == (0, True)


# what a user's own files do wrong is told before anything is trained

LATE = """
import numpy as np
from mdcore.problems.datasets import Dataset

def data(seed, record="ok"):
    if record == "exit":
        raise SystemExit(3)
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(20) < 10, 1.0, -1.0)
    X = y[:, None] * np.ones(3) + 0.3 * rng.standard_normal((20, 3))
    kept = {"classes": np.unique(y)} if record == "ok" else {"classes": {1, 2}}
    return Dataset("late", X, y, np.empty((0, 3)), np.empty(0), kept)

def two(w, data): return np.abs(w)[:2]
def none(w, data): return None
def crash(w, data): return {}["missing"]
def text(w, data): return "0.5"
def leave(w, data): raise SystemExit(4)
def nan(w, data): return float("nan")
def inf(w, data): return np.float32("inf")
def array(w, data): return np.array(0.5)
def mutate(w, data): w[:] = 0; return 1.0
def later(w, data):
    if np.abs(w).max() > 3: raise ValueError("too large for me")
    return 1
"""


@pytest.fixture
def late(tmp_path, monkeypatch):
    """call(metric, record) -> what train_request makes of one cell; fails when it trains unasked."""
    from mdcore.training import stack as training

    (tmp_path / "late.py").write_text(LATE)

    def call(metric=None, record="ok", train=False):
        lines = [
            "question: q", "fixed:", f"  dataset: {{name: 'late:data', record: {record}}}",
            "  step: {rule: normalized, eta: 1}", "  epochs: 20", "  log_points: 5", "  potential: quadratic",
            *([f"  metrics: ['late:{metric}']"] if metric else []), "vary: {seed: [0]}",
        ]  # fmt: skip
        (tmp_path / "grid.yaml").write_text("\n".join(lines))
        cells = [cell.config for cell in load_grid(tmp_path / "grid.yaml").cells]
        request = {"cells": cells, "device": "cpu", "plugin_dir": str(tmp_path)}
        (tmp_path / "request.json").write_text(json.dumps(request))
        if not train:
            monkeypatch.setattr(training, "StackTrainer", lambda *_: pytest.fail("a stack was trained"))
        return training.train_request(tmp_path / "request.json")

    return call


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"metric": "two"}, r"the metric late:two returned ndarray of shape \(2,\); expected one real number"),
        ({"metric": "none"}, "the metric late:none returned NoneType; expected one real number"),
        ({"metric": "crash"}, "the metric late:crash raised KeyError: 'missing'"),
        ({"metric": "text"}, "the metric late:text returned str; expected one real number"),
        ({"metric": "leave"}, "the metric late:leave raised SystemExit: 4"),
        ({"record": "set"}, "late: preprocessing cannot be written as JSON"),
        ({"record": "exit"}, "SystemExit: 3"),
    ],
)
def test_what_a_plug_in_returns_is_refused_before_training(late, asked, says):
    from mdcore.training.stack import RequestRefused

    with pytest.raises(RequestRefused, match=says):
        late(**asked)


@pytest.mark.parametrize(("metric", "number"), [("nan", np.nan), ("inf", np.inf), ("array", 0.5), ("mutate", 1.0)])
def test_a_metric_may_return_any_number_and_changes_nothing(late, metric, number):
    done = late(metric, train=True)
    (column,) = [name for name in done.history.columns if name.endswith(f"late:{metric}")]
    np.testing.assert_equal(done.history[column].iloc[-1], number)
    assert np.abs(done.w).max() > 0


def test_a_metric_that_fails_after_training_costs_its_value_and_no_cell(late):
    done = late("later", train=True)
    (column,) = [name for name in done.history.columns if name.endswith("late:later")]
    assert (done.history[column].iloc[0], np.isnan(done.history[column].iloc[-1])) == (1.0, True)
    assert [note for note in done.notes if "late:later raised ValueError: too large for me; NaN" in note]


# a plug-in that prints, leaves, starts others, hangs


def test_what_a_plug_in_prints_is_bounded_in_the_command_too(capsys):
    with bounded_prints(100):
        for _ in range(50):
            print("x" * 1_000)
    assert 100 <= len(capsys.readouterr().out) < 200


def test_nothing_is_left_of_what_a_plug_in_has_started(tmp_path):
    code = (
        "import subprocess, sys, tempfile\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "pids = [subprocess.Popen(sleep, start_new_session=new).pid for new in (False, True)]\n"
        "tempfile.mkdtemp()\nopen('pids', 'w').write(repr((pids, tempfile.gettempdir())))"
    )
    with Kernels(LIGHT) as kernels:
        execute(make_notebook(tmp_path / "one.ipynb", code), tmp_path / "out.ipynb", {}, tmp_path, kernels)
        pids, temporary = ast.literal_eval((tmp_path / "pids").read_text())
        assert Path(temporary).is_relative_to(kernels.directory)
        children = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    wait_for(lambda: gone(children), 30)
    assert not Path(temporary).exists()


def test_a_kernel_that_takes_no_step_is_ended_after_the_time_out(tmp_path, light):
    code = "import time\nopen('step', 'w').write('1')\ntime.sleep(600)"
    watch = Watch(tmp_path / "log", tmp_path / "step", timeout=2.0)
    with pytest.raises(KernelHung, match="no step was taken for 2 s"):
        execute(make_notebook(tmp_path / "one.ipynb", code), tmp_path / "out.ipynb", {}, tmp_path, light, watch)
    assert "time.sleep(600)" in (tmp_path / "out.ipynb").read_text()


def test_a_stack_that_takes_no_step_is_told_with_doubling_times(tmp_path, monkeypatch):
    (stack,) = compose(fake_cells(2))
    now = [0.0]
    monkeypatch.setattr("mdcore.runner.times.progress.time.monotonic", lambda: now[0])
    progress = Progress([stack], 1, 0, Log(None))
    progress.began(stack, tmp_path)
    messages = []
    for now[0] in range(0, 1000, 10):
        if now[0] <= 300:
            (tmp_path / "progress.json").write_text(json.dumps(dict.fromkeys(NUMBERS, now[0]) | {"total": 1000}))
        messages += progress.stalls()
    assert [text.partition(" (")[0] for text in messages] == [
        f"{stack.name}: no step for {t}" for t in ("02:00", "04:00", "08:00")
    ]


def test_results_that_are_written_count_whatever_comes_after(tmp_path, monkeypatch):
    """The kernel dies, or the cell raises, where the curves are drawn."""
    monkeypatch.setattr(execution, "TRAIN_NOTEBOOK", tmp_path / "train_cell.ipynb")
    write = (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\nfrom fake_training import results\n"
        "from mdcore.store.results import write_results\nimport os\n"
        f"write_results(output, results({[cell.cell_id for cell in fake_cells(2)]!r}))\n"
    )
    parameters = nbformat.v4.new_code_cell("request = output = None", metadata={"tags": ["parameters"]})
    file = make_notebook(tmp_path / "train_cell.ipynb", write)
    with Kernels(LIGHT_KERNELS) as kernels:
        for number, after in enumerate(("raise KeyError('colour')", "os.kill(os.getpid(), 9)")):
            notebook = nbformat.read(file, 4)
            notebook.cells = [parameters, notebook.cells[1], nbformat.v4.new_code_cell(after)]
            nbformat.write(notebook, file)
            run_dir = tmp_path / str(number)
            stack, runner = stack_and_runner(run_dir, 2)
            result = run_stack(runner.prepare(trial := Trial(stack)), kernels)
            runner.show_begun(trial)
            assert runner.follow_up(trial, result) == []
            assert (runner.result.trained, runner.result.failed) == (2, {})
            assert "after the results were written: " in (run_dir / "grid.log").read_text()


@pytest.mark.parametrize(
    "how", ["import sys; sys.exit(0)", "import os; os._exit(0)", "raise BaseException('no')", "1/0"]
)
def test_a_plug_in_whose_import_leaves_is_told(tmp_path, how):
    (tmp_path / "leaves.py").write_text(how)
    with pytest.raises(GridError, match=r"leaves.py: cannot be imported: (SystemExit|BaseException|ZeroDivisionError)"):
        load_metric("leaves:f", tmp_path)


def test_an_interrupt_is_one_line_and_130_before_the_work_has_begun(tmp_path, capsys):
    """While a plug-in is imported, that is while the grid is read."""
    (tmp_path / "slow.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    (tmp_path / "grid.yaml").write_text(GRID_TEXT.replace("  epochs: 100", "  epochs: 100\n  metrics: ['slow:f']"))
    argv = ["--config", str(tmp_path / "grid.yaml"), "--tag", "t", "--output_dir", str(tmp_path)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as end:
            streams.end_with(lambda: run_grid.main(argv))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (end.value.code, capsys.readouterr().err) == (130, "interrupted\n")
