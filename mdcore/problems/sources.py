"""The data sources that a grid can name: their keys, parameters with ranges, labels, and words for the report.

A new source is one class here, with the function that makes its data beside the others. Read without numpy: `load`
imports what makes the data when it is called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from mdcore.math.parameters import REQUIRED, Choice, Flag, Integer, Names, Number, Parameter, Text, one_of

if TYPE_CHECKING:
    from mdcore.problems.datasets import Dataset

Config = Mapping[str, Any]
IMAGES_A_DIGIT = 500  # of mnist, source bundled
PUBLISHED = "70,000 images"  # what the record of IDX files says whose checksums are those of a published set
BY_SEED = "by_seed"
SPLIT: Mapping[str, Parameter] = {
    "test_fraction": Number(least=0, below=1, default=0.2, words="a number in [0, 1); 0: all points train"),
    "split": Choice(("fixed", BY_SEED), default="fixed"),
    "subsample": Integer(2, 10_000_000, default=None, null="all training points"),
}


class Source(ABC):
    """A kind of data. `images`: it takes digits and pca. `path_keys`: parameters that name files or directories."""

    name: str
    parameters: Mapping[str, Parameter]
    images = False
    path_keys: tuple[str, ...] = ()  # relative to the directory of the grid file
    titled: tuple[str, ...] = ()  # parameters that the title says
    unit = "points"
    quick = False  # loaded in a moment: before anything is trained, and what is wrong is told then

    def identified(self, dataset: dict[str, Any]) -> dict[str, Any]:
        """What of the keys is part of a cell's identity: the place of files is not."""
        return dataset

    def seeded(self, dataset: Config) -> bool:
        """Whether each seed draws other data."""
        return dataset.get("split") == BY_SEED or dataset.get("subsample") is not None

    @abstractmethod
    def label(self, config: Config) -> str:
        """The first part of a cell's name."""

    @abstractmethod
    def title(self, config: Config) -> str:
        """Words for tables and figures."""

    @abstractmethod
    def read(self, config: Config, record: Config) -> str:
        """For the methods paragraph: what was read; `record`: what the data recorded of themselves, {} if unread."""

    def split(self, config: Config, record: Config) -> str:
        """For the methods paragraph: how training and test points were told apart, and what a seed draws."""
        return split_words(config["dataset"], self.unit, "class")

    def size(self, config: Config) -> tuple[int, int]:
        """(training points, coordinates) as far as the configuration tells."""
        return 1000, 100

    def wrong(self, dataset: Config, pca: int | None) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) where values that are right by themselves do not go together."""
        if dataset.get("split") == BY_SEED and dataset["test_fraction"] == 0:
            yield (
                "dataset.split",
                "got by_seed with test_fraction 0, which leaves nothing to draw; expected test_fraction > 0, or "
                "split: fixed with subsample",
            )

    def files(self, dataset: Config) -> dict[str, str]:
        """{name: sha256} of the files that are read now. Raises DataError."""
        return {}

    def lie(self, dataset: Config) -> list[Path]:
        """Where these files lie, as far as they are there."""
        return [Path(dataset[key]) for key in self.path_keys if Path(dataset[key]).is_file()]

    @abstractmethod
    def load(self, dataset: dict, digits: list | None, pca: int | None, seed: int) -> Dataset:
        """The data; paths are absolute, or relative to the working directory. Raises DataError."""


def split_words(dataset: Config, unit: str, kind: str) -> str:
    """ "20 % of the points of each class held out for testing, drawn anew for every seed"."""
    share, by_seed, kept = dataset["test_fraction"], dataset.get("split") == BY_SEED, dataset.get("subsample")
    words = f"every {unit.removesuffix('s')} a training {unit.removesuffix('s')}"
    if share:
        words = f"{100 * share:.3g} % of the {unit} of each {kind} held out for testing"
        words += ", drawn anew for every seed" if by_seed else ""
    return words + (f", and {kept:,} of the others drawn for every seed to train on" if kept else "")


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

    def seeded(self, dataset):
        return True

    def label(self, config):
        return f"synthetic-{config['dataset']['geometry']}-d{config['dataset']['dim']}"

    def title(self, config):
        return f"{config['dataset']['geometry'].capitalize()}, d = {config['dataset']['dim']}"

    def read(self, config, record):
        data = config["dataset"]
        shape = (
            "two Gaussian classes, x = yμ + noise·N(0, I) with ‖μ‖ = separation"
            if data["geometry"] == "gaussian"
            else "one planted support vector of norm separation, all other points beyond it for every p"
        )
        return f"{shape}: n = {data['n']}, separation {data['separation']:g}, noise {data['noise']:g}"

    def split(self, config, record):
        return "another draw for every seed, every point a training point"

    def size(self, config):
        return int(config["dataset"]["n"]), int(config["dataset"]["dim"])

    def load(self, dataset, digits, pca, seed):
        from mdcore.problems import synthetic

        return synthetic.synthetic_data(dataset, seed)


class Mnist(Source):
    """A pair of digits of MNIST, or of other images in its format, reduced by PCA or not."""

    name, images, path_keys, unit = "mnist", True, ("path",), "images"
    parameters: Mapping[str, Parameter] = {
        "source": Choice(("bundled", "full"), default="bundled"),
        "path": Text("the directory of the IDX files, a non-empty string, or null (download)"),
        **SPLIT,
    }

    def identified(self, dataset):
        defaults = {"split": "fixed", "subsample": None}  # as before these keys were there
        return {k: v for k, v in dataset.items() if k != "path" and not (k in defaults and v == defaults[k])}

    def label(self, config):
        first, second = config["digits"]
        return f"mnist-{first}v{second}" + ("" if config["pca"] is None else f"-pca{config['pca']}")

    def title(self, config):
        pca = "no PCA" if config["pca"] is None else f"PCA {config['pca']}"
        return f"MNIST {config['digits'][0]} vs {config['digits'][1]}, {pca}"

    def read(self, config, record):
        if config["dataset"]["source"] == "bundled":
            return f"the bundled sample of {IMAGES_A_DIGIT} images a digit"
        source = str(record.get("source", "IDX files that no run has read"))
        return "the 70,000 images" if PUBLISHED in source else source

    def split(self, config, record):
        data = config["dataset"]
        if data["source"] == "bundled" or data["test_fraction"] == 0 or data.get("split") == BY_SEED:
            return split_words(data, self.unit, "digit")
        official = "the official split" if PUBLISHED in str(record.get("source")) else "split as the files are"
        kept = data.get("subsample")
        return official + (f", and {kept:,} of its training images drawn for every seed to train on" if kept else "")

    def size(self, config):
        data = config["dataset"]
        n = 12000 if data["source"] == "full" else int(2 * IMAGES_A_DIGIT * (1 - data["test_fraction"]))
        return data.get("subsample") or n, int(config.get("pca") or 784)

    def wrong(self, dataset, pca):
        path, fraction = dataset["path"], dataset["test_fraction"]
        train = 2 * (IMAGES_A_DIGIT - round(fraction * IMAGES_A_DIGIT))
        kept = min(train, dataset["subsample"] or train)
        yield from super().wrong(dataset, pca)
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
        elif (dataset["subsample"] or 0) > train:
            yield "dataset.subsample", f"got {dataset['subsample']}, but {train} images train; expected at most that"
        elif pca is not None and pca > kept - 1:
            yield "pca", f"got {pca} components, but {kept} images train; expected at most {kept - 1}"

    def files(self, dataset):
        from mdcore.problems import mnist

        return mnist.read_files(dataset["path"]).digests if dataset["source"] == "full" else {}

    def lie(self, dataset):
        from mdcore.problems import mnist

        return [place for place in mnist.find_files(Path(dataset["path"])).values() if place]

    def load(self, dataset, digits, pca, seed):
        from mdcore.problems import mnist

        return mnist.mnist_data(dataset, digits, pca, seed)


class File(Source):
    """The rows of a CSV, Parquet or NPZ file of one's own, with a column of two labels."""

    name, path_keys, titled, quick = "file", ("path",), ("path",), True
    parameters: Mapping[str, Parameter] = {
        "path": Text("a .csv, .parquet or .npz file; relative to the grid file", default=REQUIRED),
        "label": Text("the name of the column (NPZ: array) of the two labels", default=REQUIRED),
        "features": Names("a list of different column names: [age, height], or null (all others)"),
        "standardize": Flag(default=True),
        **SPLIT,
    }

    def identified(self, dataset):
        return {**dataset, "path": PurePath(dataset["path"]).name}

    def label(self, config):
        return PurePath(config["dataset"]["path"]).stem

    def title(self, config):
        return PurePath(config["dataset"]["path"]).name

    def read(self, config, record):
        data = config["dataset"]
        chosen = f", features {', '.join(data['features'])}" if data.get("features") else ""
        return f"the file {self.title(config)}, labels in {data['label']}{chosen}"

    def wrong(self, dataset, pca):
        yield from super().wrong(dataset, pca)
        if dataset["label"] in (dataset["features"] or ()):
            yield "dataset.features", f"got the label {dataset['label']!r} among the features; expected other columns"

    def files(self, dataset):
        from mdcore.problems import tables

        return tables.digest(dataset["path"])

    def load(self, dataset, digits, pca, seed):
        from mdcore.problems import tables

        return tables.file_data(dataset, seed)


class Sklearn(Source):
    """A data set that scikit-learn ships, of more than two classes two."""

    name, titled, quick = "sklearn", ("set", "classes"), True
    sets: Mapping[str, tuple[tuple[str, ...], tuple[int, int]]] = {  # classes, (points, features)
        "breast_cancer": (("malignant", "benign"), (569, 30)),
        "iris": (("setosa", "versicolor", "virginica"), (150, 4)),
        "wine": (("class_0", "class_1", "class_2"), (178, 13)),
        "digits": (tuple("0123456789"), (1797, 64)),
    }
    parameters: Mapping[str, Parameter] = {
        "set": Choice(tuple(sets), default=REQUIRED),
        "classes": Names("two classes of the set, the first is +1: [versicolor, virginica]", count=2),
        "standardize": Flag(default=True),
        **SPLIT,
    }

    def label(self, config):
        data = config["dataset"]
        return data["set"] + "".join(f"-{name}" for name in data["classes"] or ())

    def title(self, config):
        data = config["dataset"]
        return data["set"].replace("_", " ") + (f", {' vs '.join(data['classes'])}" if data["classes"] else "")

    def read(self, config, record):
        return f"the set {config['dataset']['set']} of scikit-learn"

    def size(self, config):
        classes, (n, d) = self.sets[config["dataset"]["set"]]
        train = round(2 * n / len(classes) * (1 - config["dataset"]["test_fraction"]))
        return config["dataset"].get("subsample") or train, d

    def wrong(self, dataset, pca):
        yield from super().wrong(dataset, pca)
        there, wanted = self.sets[dataset["set"]][0], dataset["classes"]
        if wanted is None and len(there) > 2:
            yield "dataset.classes", f"missing; {dataset['set']} has {len(there)}: expected two of {', '.join(there)}"
        for name in wanted or ():
            if name not in there:
                yield "dataset.classes", f"got {name!r}, which {dataset['set']} has not; expected {one_of(there)}"

    def load(self, dataset, digits, pca, seed):
        from mdcore.problems import tables

        return tables.sklearn_data(dataset, seed)


SOURCES: dict[str, Source] = {source.name: source for source in (Synthetic(), Mnist(), File(), Sklearn())}
