"""mdcore: the implicit bias of mirror descent in deep linear networks, run as grids of experiments."""

__version__ = "0.1.0"
