"""Separable points for fits."""

import pytest
from fake_run import GAUSSIAN

from mdcore.problems.datasets import load_dataset


@pytest.fixture(scope="session")
def g20():
    """X (60, 20) and y (60,) of two Gaussian classes."""
    data = load_dataset(GAUSSIAN)
    return data.X_train, data.y_train
