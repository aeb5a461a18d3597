"""The data sources that a grid can name: their keys, parameters with ranges, and labels.

Read without numpy: `load` imports what makes the data when it is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mdcore.math.parameters import Choice, Integer, Number, Parameter, Text

if TYPE_CHECKING:
    from mdcore.problems.datasets import Dataset

IMAGES_A_DIGIT = 500  # of mnist, source bundled


class Source:
    """A kind of data. `images`: it takes digits and pca. `seeded`: each seed draws other data."""

    name: str = ""
    parameters: Mapping[str, Parameter] = {}
    images = False
    seeded = True
    placeless: tuple[str, ...] = ()  # parameters that say where files lie: no part of a cell's identity
    titled: tuple[str, ...] = ()  # parameters that the title says

    @staticmethod
    def label(config: Mapping[str, Any]) -> str:
        """The first part of a cell's name."""
        raise NotImplementedError

    @staticmethod
    def title(config: Mapping[str, Any]) -> str:
        """Words for tables and figures."""
        raise NotImplementedError

    @staticmethod
    def wrong(dataset: Mapping[str, Any], pca: int | None) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) where values that are right by themselves do not go together."""
        yield from ()

    @staticmethod
    def load(dataset: dict, digits: list | None, pca: int | None, seed: int) -> Dataset:
        """The data."""
        raise NotImplementedError


class Synthetic(Source):
    """Points drawn from the seed: planted in closed form, or a pair of Gaussians."""

    name, titled = "synthetic", ("geometry", "dim")
    parameters: Mapping[str, Parameter] = {
        "geometry": Choice(("planted", "gaussian"), default="gaussian"),
        "dim": Integer(2, 100_000, default=lambda given: 2 if given["geometry"] == "planted" else 20),
        "n": Integer(2, 10_000_000, default=60),
        "separation": Number(above=0, most=1e6, default=2.5),
        "noise": Number(least=0, most=1e6, default=1.0),
    }

    @staticmethod
    def label(config):
        return f"synthetic-{config['dataset']['geometry']}-d{config['dataset']['dim']}"

    @staticmethod
    def title(config):
        return f"{config['dataset']['geometry'].capitalize()}, d = {config['dataset']['dim']}"

    @staticmethod
    def load(dataset, digits, pca, seed):
        from mdcore.problems import datasets

        return datasets.synthetic_data(dataset, seed)


class Mnist(Source):
    """A pair of digits of MNIST, reduced by PCA or not."""

    name, images, seeded, placeless = "mnist", True, False, ("path",)
    parameters: Mapping[str, Parameter] = {
        "source": Choice(("bundled", "full"), default="bundled"),
        "path": Text("the directory of the IDX files, a non-empty string, or null (download)"),
        "test_fraction": Number(least=0, below=1, default=0.2, words="a number in [0, 1); 0: all points train"),
    }

    @staticmethod
    def label(config):
        first, second = config["digits"]
        return f"mnist-{first}v{second}" + ("" if config["pca"] is None else f"-pca{config['pca']}")

    @staticmethod
    def title(config):
        pca = "no PCA" if config["pca"] is None else f"PCA {config['pca']}"
        return f"MNIST {config['digits'][0]} vs {config['digits'][1]}, {pca}"

    @staticmethod
    def wrong(dataset, pca):
        path, fraction = dataset["path"], dataset["test_fraction"]
        train = 2 * (IMAGES_A_DIGIT - round(fraction * IMAGES_A_DIGIT))
        if dataset["source"] == "full":
            if path is None:
                yield (
                    "dataset.source",
                    "got 'full' without a path; expected path: DIRECTORY, where the four MNIST IDX files are or "
                    "shall be downloaded to",
                )
        elif path is not None:
            yield (
                "dataset.path",
                f"got {path!r} with source bundled; expected no path: it belongs to source full",
            )
        elif train < 2:
            yield (
                "dataset.test_fraction",
                f"got {fraction}, which leaves no image to train on; expected a smaller fraction",
            )
        elif pca is not None and pca > train - 1:
            yield "pca", f"got {pca} components, but {train} images train; expected at most {train - 1}"

    @staticmethod
    def load(dataset, digits, pca, seed):
        from mdcore.problems import datasets

        return datasets.mnist_data(dataset, digits, pca)


SOURCES: dict[str, type[Source]] = {source.name: source for source in (Synthetic, Mnist)}
