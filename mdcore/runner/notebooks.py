"""Notebooks executed by papermill, each in a kernel of its own (kernels/)."""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mdcore.runner.kernels.servers import KernelNotReady, Kernels
from mdcore.store.fingerprint import SOURCE_ROOT
from mdcore.training.failures import Failure, Kind, one_line, printable

START_TIMEOUT = 300  # seconds; many kernels may start at once on a loaded machine
START_TRIES = 3  # a kernel that ends before it has answered was told nothing yet
FAILURE = "application/vnd.mdcore.failure+json"  # the output in which a kernel reports a failure (kernels/app.py)

# jsonschema compiles a grammar of foreign addresses when it finds this package, which takes longer than all else that
# papermill imports; no notebook's schema has one.
GRAMMAR = "rfc3987_syntax"


class NotebookFailed(Exception):
    """A cell raised; the notebook was saved as it stood."""

    def __init__(self, failure: Failure):
        self.failure = failure
        super().__init__(failure.message)


class KernelDied(Exception):
    """The kernel's process ended: killed from outside, out of memory, or a crash in compiled code."""


class KernelNotStarted(KernelDied):
    """It ended, or did not answer, before the first cell, several times."""


class KernelHung(Exception):
    """It was killed, as it had not taken a step within the time-out."""


@dataclass
class Watch:
    """Where a kernel's own streams go, and how long its progress file may stay as it is."""

    log: Path
    progress: Path | None = None
    timeout: float | None = None  # seconds; None: for ever

    def step(self) -> bytes:
        """What changes with every step that is told."""
        with suppress(OSError):
            return self.progress.read_bytes() if self.progress else b""
        return b""


@dataclass
class _Execution:
    """What papermill's engine hands back, also when it raises."""

    cut: list[tuple[str, str]]
    notebook: object = None
    failures: list[Failure] = field(default_factory=list)


def execute(
    notebook: Path, output: Path, parameters: dict, cwd: Path, kernels: Kernels, watch: Watch | None = None
) -> None:
    """Execute `notebook` with `parameters` in `cwd` and save it once, at the end, as `output`.

    Places of this machine (home, installation, run directory) are cut from what is saved. Raises NotebookFailed when a
    cell raises, KernelDied when the kernel ends, KernelNotStarted when it does not begin, KernelHung by `watch`.
    """
    watch = watch or Watch(kernels.log)
    for last in range(START_TRIES - 1, -1, -1):
        try:
            _execute_once(notebook, output, parameters, cwd, kernels, watch)
            return
        except KernelNotStarted:
            if not last or kernels.stopped:
                raise


def _execute_once(notebook: Path, output: Path, parameters: dict, cwd: Path, kernels: Kernels, watch: Watch) -> None:
    with without(GRAMMAR):
        import papermill
    import nbformat
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    _register_engine()
    watch.log.unlink(missing_ok=True)  # the last words in it are those of this kernel
    manager = kernels.manager(watch.log)
    execution = _Execution(private_places(cwd))
    with _hung_after(watch, manager) as hung:
        try:
            papermill.execute_notebook(
                *(str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, output)),  # it formats them
                parameters=parameters,
                engine_name="private",
                kernel_name="python3",
                progress_bar=False,
                request_save_on_cell_execute=False,
                autosave_cell_every=0,
                start_timeout=START_TIMEOUT,
                kernel_manager_class=manager,
                shutdown_kernel="immediate",
                resources={"metadata": {"path": str(cwd)}},
                execution=execution,
            )
        except KernelNotReady as error:
            how = f" {how_it_ended(manager.process, watch.log)}" if manager.process else ""
            raise KernelNotStarted(f"{error}{how}") from None
        except papermill.PapermillExecutionError as error:
            raise NotebookFailed(_first(execution, Failure(Kind.ERROR, f"{error.ename}: {error.evalue}"))) from None
        except DeadKernelError:
            if execution.notebook is not None:
                nbformat.write(execution.notebook, output)
            if hung.is_set():
                raise KernelHung(f"no step was taken for {watch.timeout:g} s, the time-out") from None
            if execution.failures:  # it raised SystemExit
                raise NotebookFailed(execution.failures[0]) from None
            raise KernelDied(how_it_ended(manager.process, watch.log)) from None
        except TimeoutError as error:  # nbclient's: the messages of the kernel do not come through
            message = f"what the kernel says was not received in time: {one_line(error)}"
            raise NotebookFailed(_first(execution, Failure(Kind.ERROR, message))) from None
    if execution.failures:  # SystemExit(0), which papermill takes for an ordinary end
        raise NotebookFailed(execution.failures[0])


def _first(execution: _Execution, otherwise: Failure) -> Failure:
    return execution.failures[0] if execution.failures else otherwise


@contextmanager
def _hung_after(watch: Watch, manager):
    """Kill the kernel when it takes no step within the time-out; yields the event that tells so."""
    hung, ended = threading.Event(), threading.Event()
    timeout = math.inf if watch.timeout is None else watch.timeout

    def look() -> None:
        step, since = watch.step(), time.monotonic()
        while not ended.wait(min(1.0, timeout / 4)):
            now = watch.step()
            if now != step:
                step, since = now, time.monotonic()
            elif time.monotonic() - since > timeout and manager.process:
                hung.set()
                manager.process.kill()
                return

    if watch.timeout:
        threading.Thread(target=look, daemon=True).start()
    try:
        yield hung
    finally:
        ended.set()


def how_it_ended(process, log: Path) -> str:
    """How a kernel's process ended, with the last line that it wrote to its own streams."""
    status = process.poll()
    if status is None or status == -signal.SIGKILL:
        how = "the kernel died (killed, out of memory, or a crash in compiled code)"
    elif status < 0:
        how = f"the kernel died of signal {-status}, {signal.strsignal(-status)}: a crash in compiled code"
    else:
        how = f"the kernel ended with exit status {status}"
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    crash = [line for line in lines if line.startswith("Fatal Python error")]
    last = (crash or lines)[-1:]
    return how + (f"; it said: {printable(last[0], 200)}" if last else "")


@contextmanager
def without(module: str):
    """What is imported inside does not find `module`, unless that was imported before."""
    hidden = module not in sys.modules
    if hidden:
        sys.modules[module] = None  # type: ignore[assignment]  # as the language reference says
    try:
        yield
    finally:
        if hidden:
            sys.modules.pop(module, None)


def _register_engine() -> None:
    from papermill.engines import NBClientEngine, papermill_engines

    if "private" in papermill_engines._engines:
        return

    class PrivateEngine(NBClientEngine):
        """papermill's own engine; what it hands back has no place of this machine in it, and failures apart."""

        @classmethod
        def execute_notebook(cls, nb, kernel_name, execution, **kwargs):
            execution.notebook = nb
            try:
                return super().execute_notebook(nb, kernel_name, **kwargs)
            finally:
                execution.failures = _take_failures(nb)
                without_places(nb, execution.cut)

    papermill_engines.register("private", PrivateEngine)


def _take_failures(nb) -> list[Failure]:
    """The failures that the kernel has reported, moved from the outputs to the notebook's metadata."""
    reported = []
    for cell in nb.cells:
        for out in list(cell.get("outputs", ())):
            if FAILURE in out.get("data", {}):
                reported.append(dict(out["data"][FAILURE]))
                cell.outputs.remove(out)
    if reported:
        nb.metadata["failures"] = reported
    return [Failure(Kind(one["kind"]), one["message"], tuple(one["cells"])) for one in reported]


def private_places(cwd: Path) -> list[tuple[str, str]]:
    """(path, what to write in its stead), longest first."""
    places = {
        str(Path(cwd).resolve()): ".",
        str(cwd): ".",
        str(SOURCE_ROOT): "mdcore-source",
        sys.prefix: "python",
        sys.base_prefix: "python",
    }
    with suppress(RuntimeError):  # nobody's: a user without a home
        places[str(Path.home())] = "~"
    return sorted(((p, w) for p, w in places.items() if len(p) > 1), key=lambda pair: -len(pair[0]))


def without_places(nb, cut: list[tuple[str, str]]):
    """The notebook without absolute paths in its outputs and without papermill's record of them."""
    meta = nb.metadata.get("papermill", {})
    for key in ("input_path", "output_path"):
        if meta.get(key):
            meta[key] = Path(str(meta[key])).name
    meta.pop("environment_variables", None)
    for cell in nb.cells:
        for out in cell.get("outputs", ()):
            if "text" in out:
                out["text"] = _cut(out["text"], cut)
            if "traceback" in out:
                out["traceback"] = [_cut(line, cut) for line in out["traceback"]]
                out["evalue"] = _cut(out["evalue"], cut)
            data = out.get("data", {})
            for kind in [k for k in data if k.startswith("text/") and isinstance(data[k], str)]:
                data[kind] = _cut(data[kind], cut)
    return nb


def _cut(text: str, cut: list[tuple[str, str]]) -> str:
    for path, word in cut:
        text = text.replace(path, word)
    return text
