"""torch, imported at its first use: what a potential or a step rule declares is then read without it.

Importing torch takes a second or more, and a grid file is validated from the declarations alone.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Later(ModuleType):
    def __getattr__(self, name: str) -> Any:
        import torch

        value = getattr(torch, name)
        setattr(self, name, value)  # the next use is an ordinary look-up
        return value


if TYPE_CHECKING:
    import torch as torch
else:
    torch = _Later("torch")
