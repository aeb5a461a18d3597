"""Notebooks executed by papermill, each in a kernel of its own (kernels/)."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from mdcore.runner.kernels.servers import Kernels
from mdcore.store.fingerprint import SOURCE_ROOT

START_TIMEOUT = 300  # seconds; many kernels may start at once on a loaded machine


# jsonschema compiles a grammar of foreign addresses when it finds this package, which takes longer than all else that
# papermill imports; no notebook's schema has one.
GRAMMAR = "rfc3987_syntax"


class NotebookFailed(Exception):
    """A cell raised: `name` and `value` of the exception; the notebook was saved as it stood."""

    def __init__(self, name: str, value: str):
        self.name, self.value = name, value
        super().__init__(f"{name}: {value}")


class KernelDied(Exception):
    """The kernel's process ended: killed from outside, out of memory, or a crash in compiled code."""


def execute(
    notebook: Path, output: Path, parameters: dict, cwd: Path, kernels: Kernels, log: Path | None = None
) -> None:
    """Execute `notebook` with `parameters` in `cwd` and save it once, at the end, as `output`.

    Places of this machine (home, installation, run directory) are cut from what is saved. Raises
    NotebookFailed when a cell raises, KernelDied when the kernel ends.
    """
    with without(GRAMMAR):
        import papermill
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    _register_engine()
    log = log or kernels.log
    log.unlink(missing_ok=True)  # the last words in it are those of this kernel
    manager = kernels.manager(log)
    try:
        papermill.execute_notebook(
            *(str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, output)),  # papermill formats them
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
            cut=private_places(cwd),
        )
    except papermill.PapermillExecutionError as error:
        raise NotebookFailed(error.ename, error.evalue) from None
    except DeadKernelError:
        raise KernelDied(how_it_ended(manager.forked, log)) from None
    except TimeoutError as error:  # nbclient's: the messages of the kernel do not come through
        raise NotebookFailed("TimeoutError", f"what the kernel says was not received in time: {error}") from None
    except RuntimeError as error:
        # jupyter_client's words for a kernel that ends, or is not there, before the first cell
        if "ernel died" in str(error) and manager.forked:
            raise KernelDied(how_it_ended(manager.forked, log)) from None
        if "ernel died" in str(error) or "Kernel didn't respond" in str(error) or "stopping" in str(error):
            raise KernelDied(str(error)) from None
        raise


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
    said = (crash or lines)[-1:]
    return how + (f"; it said: {said[0].strip()[:200]}" if said else "")


@contextmanager
def without(module: str):
    """What is imported inside does not find `module`, unless that was imported before."""
    hidden = module not in sys.modules
    if hidden:
        sys.modules[module] = None
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
        """papermill's own engine; what it hands back has no place of this machine in it."""

        @classmethod
        def execute_notebook(cls, nb, kernel_name, cut=(), **kwargs):
            return without_places(super().execute_notebook(nb, kernel_name, **kwargs), cut)

    papermill_engines.register("private", PrivateEngine)


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
