"""Steps on a GPU, replayed as a CUDA graph: launching the many small kernels of a step takes longer than running them.

A graph asks of a step that the processor reads nothing back and that no buffer changes its place; `torch_loops.py` and
the trainer keep to that. Two steps make a graph, since a step exchanges buffers (`now` and `before`, Z and its spare)
and after two every name means the same memory again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mdcore.math.engine.data_pass import Pass
from mdcore.math.potentials import Potential

WARM_UP = 2  # steps that are launched one by one first: libraries set themselves up in them
LOOK_EVERY = 64  # steps between two looks at whether a cell has diverged


class Graph:
    """What `launch` does on a GPU, to be done again on the same memory."""

    def __init__(self, launch: Callable[[], None], stream: torch.cuda.Stream):
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            launch()

    def replay(self) -> None:
        """All of it, behind what the current stream still has to do."""
        self.graph.replay()


class CapturedSteps:
    """The steps of a stack whose cells stay the same.

    Parameters
    ----------
    step : takes the number of a step, t = 1, 2, …, a 0-dim tensor on the GPU, and does it.
    state : the pass that the next step starts from, one of two buffers; `smallest` is finite while a cell is.
    epoch : steps done before.
    potentials : whose inverse mirror maps a step takes. One that reads a value back cannot be captured: `why_not`
        names it, and the steps are launched one by one.
    """

    def __init__(
        self, step: Callable[[Tensor], None], state: Callable[[], Pass], epoch: int, potentials: Iterable[Potential]
    ):
        self._step, self._state = step, state
        self.why_not = reads_back(potentials, state().w)
        like = state().smallest
        self.number = torch.full((), float(epoch), dtype=torch.float64, device=like.device)
        self.finite = torch.ones_like(like, dtype=torch.bool)
        self.steps_finite = torch.zeros_like(like, dtype=torch.long)
        self.graph: Graph | None = None
        self.begins_at: Pass | None = None  # the state that the graph was captured in
        self.stream = self._side_stream()
        self.launched = 0

    def take(self, most: int) -> tuple[int, list[int]]:
        """Do at least one step and at most `most`: how many, and how many of them each cell stayed finite (K,)."""
        steps = min(most, LOOK_EVERY)
        self.finite.fill_(True)
        self.steps_finite.zero_()
        done = 0
        while done < steps:
            if steps - done >= 2 and (graph := self._ready()):
                graph.replay()
                done += 2
            else:
                self._launch()
                done += 1
        return steps, self.steps_finite.tolist()

    def _ready(self) -> Graph | None:
        if self.graph is None and self.launched >= WARM_UP and not self.why_not:
            self.begins_at = self._state()
            self.graph = Graph(self._two_steps, self.stream)
        return self.graph if self._state() is self.begins_at else None

    def _two_steps(self) -> None:
        self._one_step()
        self._one_step()

    def _one_step(self) -> None:
        self.number.add_(1.0)
        self._step(self.number)
        self.finite.logical_and_(torch.isfinite(self._state().smallest))
        self.steps_finite.add_(self.finite)

    def _side_stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.number.device)  # type: ignore[no-untyped-call]  # torch's own

    def _launch(self) -> None:
        """One step outside the graph; on the stream that the graph is captured on, as its warm-up has to be."""
        here = torch.cuda.current_stream(self.number.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            self._one_step()
        here.wait_stream(self.stream)
        self.launched += 1


def reads_back(potentials: Iterable[Potential], like: Tensor) -> str:
    """'' when no inverse mirror map makes the processor wait for the GPU; else which one does, in words."""
    z, w = torch.zeros_like(like), torch.empty_like(like)
    for phi in dict.fromkeys(potentials):
        mode = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            phi.inverse_mirror_map(z, out=w)
        except RuntimeError as error:
            return f"{phi!r}: {str(error).splitlines()[0]}"
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    return ""
