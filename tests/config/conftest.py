"""Grids from text, read or refused."""

from __future__ import annotations

import os

import pytest

from mdcore.config.grid import GridError, load_grid


@pytest.fixture
def load(tmp_path):
    """call(text, *overrides): the Grid."""

    def call(text: str, *overrides: str):
        path = tmp_path / "grid.yaml"
        path.write_text(text, encoding="utf-8")
        return load_grid(path, list(overrides))

    return call


@pytest.fixture
def refused(load, tmp_path):
    """call(text, *overrides): the problems of a grid, its directory left out."""

    def call(text: str, *overrides: str) -> list[str]:
        with pytest.raises(GridError) as error:
            load(text, *overrides)
        assert str(error.value) == "\n".join(error.value.problems)
        return [line.replace(f"{tmp_path}{os.sep}", "") for line in error.value.problems]

    return call
