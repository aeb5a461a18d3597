"""The data set of a cell, built in or of the user's own. Nothing here imports torch, so that a plan is quick."""

from __future__ import annotations

import copy
from contextlib import chdir
from pathlib import Path

from mdcore.config.cell import is_user_defined, located
from mdcore.config.plugins.loading import load_dataset
from mdcore.problems.datasets import DataError, Dataset
from mdcore.problems.datasets import load_dataset as builtin_dataset


def load_data(config: dict, plugin_dir=None, data_dir=None) -> Dataset:
    """The data set of a cell; relative paths start at `data_dir`, None: at the working directory.

    A function of the user's own is called with copies of the data set's own keys and the seed, in `data_dir`, or in
    the directory of its file where there is none. Raises DataError; whatever a user's function raises becomes one.
    """
    name = config["dataset"]["name"]
    if not is_user_defined(name):
        config = located(config, data_dir)
        return builtin_dataset(config["dataset"], config["digits"], config["pca"], config["seed"])
    keys = copy.deepcopy({key: value for key, value in config["dataset"].items() if key != "name"})
    make, place = load_dataset(name, plugin_dir), Path(data_dir or plugin_dir or ".").absolute()
    try:
        with chdir(place):
            made = make(**keys, seed=config["seed"])
    except DataError:
        raise
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in {**keys, "seed": config["seed"]}.items())
        where = f" (relative paths start at {place})" if isinstance(error, OSError) else ""
        raise DataError(f"{name}({given[:200]}) raised {type(error).__name__}: {error}{where}") from error
    if isinstance(made, Dataset):
        return made
    raise DataError(f"{name} returned {type(made).__name__}; expected a mdcore.problems.datasets.Dataset")
