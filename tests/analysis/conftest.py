"""Shared by the tests of figures."""

import pytest
from matplotlib import pyplot as plt

from mdcore.analysis.figures import style


@pytest.fixture
def shipped_style():
    """What a test draws has the style of the analysis, and is closed after it."""
    with plt.rc_context():
        style.use()
        yield
        plt.close("all")
