"""How the loops are compiled."""

from __future__ import annotations

import numba


def compiled(function):
    """numba.njit, kept on disk where a place for that can be written; NaN and infinity keep their meaning.

    Sums are taken in an order of the compiler's choice, but the same one on every run: results repeat to the bit.
    """
    how = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **how)(function)
    except RuntimeError:  # no folder for the cache: compiled anew in every process
        return numba.njit(**how)(function)
