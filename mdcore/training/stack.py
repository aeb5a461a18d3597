"""One stack from request to results: data, references, training, and the tables history and final."""

from __future__ import annotations

import hashlib
import io
import json
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mdcore.config.cell import Cell, is_user_defined, make_cell
from mdcore.config.plugins.loading import companion_config, load_metric, potentials_for, rule_for
from mdcore.config.plugins.sources import loaded_plugins
from mdcore.files import atomic_write
from mdcore.math.engine.compiled import jit as compiled_code
from mdcore.math.engine.data_pass import FEW_COLUMNS, LEAST_COLUMNS
from mdcore.math.engine.plans import CellPlan, StackPlan, log_spaced_epochs
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Lp, Potential
from mdcore.math.step_rules import StepRule
from mdcore.problems.references import solve_references
from mdcore.training import exploring, measures, own_metrics
from mdcore.training.cell_data import load_data
from mdcore.training.failures import RequestRefused, one_line, refused
from mdcore.training.progress import steps_taken, tell

STEPS_BETWEEN_LOOKS = 256  # at most, between looks at the clock; numbers do not depend on it
LOOK_EVERY_S = 0.5  # with fewer steps where they are slow: one step, if that takes longer
PROGRESS_EVERY_S = 1.0
STATE_EVERY_S = 30.0  # where the request does not say


@dataclass
class StackOutput:
    """Results of a stack: history and final tables, ids (K,) and predictors w (K, d) in final's order."""

    history: pd.DataFrame
    final: pd.DataFrame
    cell_ids: list[str]
    w: np.ndarray
    seconds: dict[str, float]
    notes: list[str] = field(default_factory=list)
    z: np.ndarray | None = None  # (K, d): A^Tλ of the best certificate, Σλ = 1
    z_rounding: np.ndarray | None = None  # (K,): its κ, see math.certificate
    data: dict = field(default_factory=dict)  # {"sha256": of the arrays, "files": {name: sha256}}: what was trained on
    kept: dict[str, np.ndarray] | None = None  # for exploring, see training.exploring; None: the grid keeps nothing
    products: str = ""  # the module that multiplied with the data: few_columns, compiled or torch_loops


def train_request(path: str | Path) -> StackOutput:
    """Train the stack that the request file describes.

    The request is JSON: cells (canonical configurations that share data, loss, step rule, epochs and stop),
    references_dir, state_path, progress_path (each may be null), device, state_every_s, plugin_dir, data_dir, keep.
    """
    request = json.loads(Path(path).read_bytes())
    start, notes = time.monotonic(), []
    cells = [make_cell(config) for config in request["cells"]]
    plugin_dir = request.get("plugin_dir")
    with refused():
        data = load_data(cells[0].config, plugin_dir, request.get("data_dir"))
        metrics = {name: load_metric(name, plugin_dir) for name in cells[0].config.get("metrics", ())}
        own_metrics.try_all(metrics, data)
    plans, companions = plan_cells(cells, plugin_dir)
    limits = {plan.limit_p for plan in plans if plan.limit_p is not None}
    shared = cells[0].config
    cache = request.get("references_dir")
    references = solve_references(data, limits, shared["svm_C"], shared["logreg_C"], Path(cache) if cache else None)
    solved = time.monotonic()
    with refused():
        device = choose_device(request.get("device", "auto"))
        plan = stack_plan(shared, references.separability == "separable", device, plugin_dir)
    A_test = torch.from_numpy(data.y_test[:, None] * data.X_test) if len(data.y_test) else None
    with blaming(cells, plans, companions):
        trainer = StackTrainer(torch.tensor(data.A), plans, plan, A_test)
        if trainer.captured and trainer.captured.why_not:
            notes.append(f"slow: steps are launched one by one on the GPU, since {trainer.captured.why_not}")
        spent = _train(trainer, request, data.fingerprint, notes)
    trained = time.monotonic()
    extra = {name: partial(own_metrics.value_or_nan, name, metric, notes) for name, metric in metrics.items()}
    history, final, w = measures.tables(cells, companions, trainer, data, references, extra)
    if references.separability == "overlapping":  # the limit is the logistic minimiser, unique at full column rank
        final["reference_unique"] = bool(references.logreg.unique)
    final["seconds"] = spent * final["steps"] / final["steps"].sum()
    seconds = {"references": solved - start, "training": spent, "tables": time.monotonic() - trained}
    notes += [f"l{p:g} max-margin: {m.message}" for p, m in references.max_margin.items() if m.message]
    notes += compiled_code.NOTES
    kept = None
    if request.get("keep", True):
        kept, left_out = exploring.kept(len(cells), trainer, data.basis)
        notes += left_out
    ids, proofs = [cell.cell_id for cell in cells], trainer.observer.certificates
    z, rounding = (None, None) if proofs is None else (part[: len(ids)].numpy() for part in (proofs.z, proofs.rounding))
    content = {"label": cells[0].dataset_label, "sha256": data.fingerprint}
    if not is_user_defined(shared["dataset"]["name"]):
        content["files"] = data.preprocessing.get("files", {})
    products = trainer.data_pass.products.__name__.rpartition(".")[2]
    return StackOutput(history, final, ids, w, seconds, notes, z, rounding, content, kept, products)


@contextmanager
def blaming(cells: list[Cell], plans: list[CellPlan], companions: dict[int, int]):
    """An exception out of a potential's own method becomes RequestRefused for the cells that have this potential."""
    try:
        yield
    except Exception as error:
        raised = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        potentials = [phi for phi in raised if isinstance(phi, Potential)]
        to_blame = {i for i, plan in enumerate(plans) if any(phi in plan.potentials for phi in potentials)}
        ids = tuple(c.cell_id for i, c in enumerate(cells) if i in to_blame or companions.get(i) in to_blame)
        if not ids:
            raise
        raise RequestRefused(one_line(error), ids) from error


def plan_cells(cells: list[Cell], plugin_dir=None) -> tuple[list[CellPlan], dict[int, int]]:
    """Plans of the cells, then of the linear companions that the grid itself does not hold.

    Returns (plans, {position of a deep cell: position of its depth-1 companion}).
    """
    configs = [cell.config for cell in cells]
    positions = {cell.cell_id: position for position, cell in enumerate(cells)}
    companions: dict[int, int] = {}
    for position, config in enumerate(list(configs)):
        if config["depth"] > 1:
            companion = companion_config(config)
            key = make_cell(companion).cell_id
            if key not in positions:
                positions[key] = len(configs)
                configs.append(companion)
            companions[position] = positions[key]
    potentials = []
    for position, config in enumerate(configs):
        users = [deep for deep, linear in companions.items() if linear == position]
        with refused(tuple(cells[i].cell_id for i in {position, *users} if i < len(cells))):
            potentials.append(tuple(potentials_for(config, plugin_dir)))
    plans = [
        CellPlan(
            potentials=potentials[position],
            seed=config["seed"],
            width=config["width"],
            init_scale=config["init"]["scale"],
            init_distribution=config["init"]["distribution"],
            companion_of=tuple(deep for deep, linear in companions.items() if linear == position),
        )
        for position, config in enumerate(configs)
    ]
    return plans, companions


def stack_plan(config: dict, separable: bool, device: str, plugin_dir=None) -> StackPlan:
    """What all cells of a stack share, from the configuration of any of them."""
    epochs = config["epochs"]
    return StackPlan(
        step=rule_for(config, plugin_dir),
        epochs=epochs,
        log_epochs=log_spaced_epochs(epochs, config["log_points"]),
        loss=config["loss"],
        stop_gap=config["stop"]["gap"] if config["stop"] and separable else None,
        separable=separable,
        dtype=getattr(torch, config["dtype"]),
        device=device,
    )


def choose_device(wanted: str) -> str:
    """cuda where it is asked for, or auto, and there is one; else cpu. Raises ValueError if cuda is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch finds none here; use --device cpu or auto")
    return "cuda" if wanted in ("cuda", "auto") and torch.cuda.is_available() else "cpu"


def _train(trainer: StackTrainer, request: dict, data: str, notes: list[str]) -> float:
    """Run to the end, saving the state now and then; returns the seconds spent training, earlier runs included.

    A state that was saved for another request or other `data` (its fingerprint) is not gone on from.
    """
    state_path, progress_path = request.get("state_path"), request.get("progress_path")
    fingerprint = _request_fingerprint(request, data)
    spent_before = 0.0
    if state_path and Path(state_path).exists():
        try:
            saved = _read_state(state_path)
            if saved["request"] != fingerprint:
                raise ValueError("it answers another request, or was trained on other data")
            trainer.load_state_dict(saved["trainer"])
            spent_before = saved["spent"]
            notes.append(f"resumed at epoch {trainer.epoch} from a saved training state")
        except Exception as error:  # a damaged state costs a restart of this stack, never a crash
            notes.append(f"saved training state not used ({error.__class__.__name__}: {error}); started again")
    start, began = time.monotonic(), steps_taken(trainer)
    last_saved = last_reported = start
    steps, looked = 1, start
    if progress_path:  # that training has begun, and whether cells can stop early
        tell(trainer, progress_path, began, 0.0)
    while not trainer.done:
        before = trainer.epoch
        trainer.advance(max_steps=steps)
        now = time.monotonic()
        each, looked = (now - looked) / max(1, trainer.epoch - before), now
        steps = max(1, min(STEPS_BETWEEN_LOOKS, 2 * steps, int(LOOK_EVERY_S / max(each, 1e-9))))
        if progress_path and now - last_reported >= PROGRESS_EVERY_S:
            tell(trainer, progress_path, began, now - start)
            last_reported = now
        # saved when the next look would come too late: no more than state_every_s is ever trained again
        if state_path and now + steps * each - last_saved > request.get("state_every_s", STATE_EVERY_S):
            state = {"request": fingerprint, "trainer": trainer.state_dict(), "spent": spent_before + now - start}
            _write_state(state_path, state)
            last_saved = looked = time.monotonic()
    if progress_path:
        tell(trainer, progress_path, began, time.monotonic() - start)
    return spent_before + time.monotonic() - start


def _write_state(path: str, state: dict) -> None:
    """The state behind its own sha256: torch's reader checks no checksum, and a flipped bit would train on."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    sealed = hashlib.sha256(buffer.getbuffer()).digest() + buffer.getvalue()
    atomic_write(path, sealed, durable=False)


def warm_up(compiling: Callable[[], None] | None = None) -> None:
    """Two steps of small stacks: what is compiled for training is then loaded, for this process and its forks.

    `compiling` is called where loops are not found and have to be compiled first.
    """
    compiled_code.BEFORE_COMPILING[:] = [compiling] if compiling else []
    cells = [CellPlan((Lp(p),) * 2, seed=0, width=2) for p in (1.5, 2.0, 3.0)]
    for columns in (FEW_COLUMNS, LEAST_COLUMNS):  # each has products of its own
        A = torch.ones(9, columns, dtype=torch.float64)
        StackTrainer(A, cells, StackPlan(StepRule("normalized", 1.0), 2, (2,))).advance()
    compiled_code.BEFORE_COMPILING.clear()


def _read_state(path: str) -> dict:
    """The state that `_write_state` wrote; ValueError if a bit of it is another one."""
    sealed = Path(path).read_bytes()
    if hashlib.sha256(sealed[32:]).digest() != sealed[:32]:
        raise ValueError("it does not match its checksum")
    return torch.load(io.BytesIO(sealed[32:]), weights_only=True, map_location="cpu")


def _request_fingerprint(request: dict, data: str) -> str:
    decides = {key: request.get(key) for key in ("cells", "code", "device", "plugin_dir", "data_dir")}
    decides |= {"data": data, "plugins": loaded_plugins()}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
