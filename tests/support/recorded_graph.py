"""A CUDA graph without a GPU: what torch is asked to do is recorded, and done again on the same memory.

As with the real one, what is captured is not done while it is captured, a replay knows nothing of Python, and whatever
needs a value back is refused.
"""

from __future__ import annotations

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS_BACK = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "lift_fresh", "is_nonzero", "item")


def tensors(tree):
    """The tensors in a nest of arguments."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class Recorder(TorchDispatchMode):
    """Keeps every call, and how memory was before the first call that saw it."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.before = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.__name__.split(".")[0]
        if name in READS_BACK or (name == "index" and any(t.dtype == torch.bool for t in tensors(args[1]))):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        for tensor in tensors((args, kwargs)):
            storage = tensor.untyped_storage()
            self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        out = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, out))
        return out


class RecordedGraph:
    """Takes the place of mdcore.math.engine.cuda_graph.Graph."""

    made = 0

    def __init__(self, launch, stream):
        with torch.no_grad(), Recorder() as recorder:
            launch()
        self.calls = recorder.calls
        assert self.calls
        for storage, clone in recorder.before.values():
            storage.copy_(clone)
        type(self).made += 1

    def replay(self):
        """The calls again; what is new then goes where it was when it was recorded."""
        for function, args, kwargs, out in self.calls:
            again = function(*args, **kwargs)
            for new, place in zip(tensors(again), tensors(out), strict=True):
                if new.untyped_storage().data_ptr() != place.untyped_storage().data_ptr():
                    place.copy_(new)


def reads_back(potentials, like):
    """Takes the place of mdcore.math.engine.cuda_graph.reads_back."""
    for phi in potentials:
        try:
            with Recorder():
                phi.inverse_mirror_map(torch.zeros_like(like), out=torch.empty_like(like))
        except RuntimeError as error:
            return f"{phi!r}: {error}"
    return ""


class NoStream:
    """Takes the place of a CUDA stream."""

    def wait_stream(self, other):
        pass


def take_the_place_of_cuda(monkeypatch):
    """The engine then runs on the CPU as it does on a GPU: loops in torch, steps captured and replayed."""
    from mdcore.math import potentials
    from mdcore.math.engine import block, cuda_graph, data_pass, torch_loops
    from mdcore.math.engine import trainer as engine

    RecordedGraph.made = 0
    for module in (block, data_pass, engine):
        monkeypatch.setattr(module, "loops_for", lambda tensor: torch_loops)
    for module in (data_pass, engine, potentials):
        monkeypatch.setattr(module, "is_asynchronous", lambda tensor: True)
    monkeypatch.setattr(cuda_graph, "Graph", RecordedGraph)
    monkeypatch.setattr(cuda_graph, "reads_back", reads_back)
    monkeypatch.setattr(cuda_graph.CapturedSteps, "_side_stream", lambda self: NoStream())
    monkeypatch.setattr(cuda_graph.torch.cuda, "current_stream", lambda device: NoStream())
    monkeypatch.setattr(cuda_graph.torch.cuda, "stream", lambda stream: contextlib.nullcontext())
