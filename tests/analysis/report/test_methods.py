"""The methods paragraphs say what was done: every key of a grid changes them, and changes them to the right clause."""

import itertools
import json
import math

import fake_run as fake
import pytest
import yaml

from mdcore.analysis.data.results import load
from mdcore.analysis.report import methods
from mdcore.config.cell import make_cell
from mdcore.config.grid import load_grid
from mdcore.config.schema import LEAVES

SYNTHETIC = {
    "dataset.name": "synthetic",
    "dataset.geometry": "gaussian",
    "dataset.dim": 20,
    "dataset.n": 60,
    "dataset.separation": 2.5,
    "dataset.noise": 1,
    "potential": "quadratic",
    "depth": 2,
    "width": 50,
    "step.rule": "normalized",
    "step.eta": 1,
    "step.decay": 1,
    "step.anneal": 0,
    "epochs": 1000,
    "stop.gap": 0.01,
    "seed": 0,
}
MNIST = {k: v for k, v in SYNTHETIC.items() if not k.startswith("dataset.")} | {
    "dataset.name": "mnist",
    "dataset.source": "bundled",
    "digits": [3, 5],
    "pca": 50,
    "dataset.test_fraction": 0.2,
}
SPLIT = {"dataset.test_fraction": 0.2, "dataset.split": "fixed", "dataset.subsample": None}
NOT_DATA = {k: v for k, v in SYNTHETIC.items() if not k.startswith("dataset.")}
FILE = (
    NOT_DATA
    | SPLIT
    | {
        "dataset.name": "file",
        "dataset.path": "survey.csv",
        "dataset.label": "outcome",
        "dataset.features": None,
        "dataset.standardize": True,
    }
)
SKLEARN = (
    NOT_DATA
    | SPLIT
    | {
        "dataset.name": "sklearn",
        "dataset.set": "wine",
        "dataset.classes": ["class_0", "class_1"],
        "dataset.standardize": True,
    }
)
LINEAR = SYNTHETIC | {"depth": 1}
OVERLAP = {"overlap": lambda config: True}
# key: [(grid, other value, words of the grid's own value, words of the other one, options of the run)]
CHANGES = {
    "dataset.name": [(SYNTHETIC, "mnist", "Gaussian, d = 20", "MNIST 3 vs 5, PCA 50", {})],
    "dataset.geometry": [(SYNTHETIC, "planted", "two Gaussian classes", "one planted support vector", {})],
    "dataset.dim": [(SYNTHETIC, 30, "d = 20", "d = 30", {})],
    "dataset.n": [(SYNTHETIC, 61, "n = 60", "n = 61", {})],
    "dataset.separation": [(SYNTHETIC, 3, "separation 2.5", "separation 3", {})],
    "dataset.noise": [(SYNTHETIC, 0.5, "noise 1;", "noise 0.5;", {})],
    "dataset.source": [
        (MNIST, "full", "bundled sample of 500 images a digit", "70,000 images", {}),
        (MNIST, "full", "20 % of the images", "the official split", {}),
    ],
    "dataset.split": [
        (leaves, "by_seed", f"held out for testing{then}", f"for testing, drawn anew for every seed{then}", {})
        for leaves, then in ((MNIST, "; PCA"), (FILE, ";"), (SKLEARN, ";"))
    ],
    "dataset.subsample": [
        (leaves, 60, f"held out for testing{then}", "and 60 of the others drawn for every seed", {})
        for leaves, then in ((MNIST, "; PCA"), (FILE, ";"), (SKLEARN, ";"))
    ],
    "dataset.path": [(FILE, "poll.parquet", "the file survey.csv", "the file poll.parquet", {})],
    "dataset.label": [(FILE, "answer", "labels in outcome", "labels in answer", {})],
    "dataset.features": [(FILE, ["age", "height"], "labels in outcome; 60", "features age, height", {})],
    "dataset.standardize": [
        (leaves, False, "for testing; separable", "standardisation: none", {}) for leaves in (FILE, SKLEARN)
    ],
    "dataset.set": [
        (
            SKLEARN | {"dataset.set": "breast_cancer", "dataset.classes": None},
            {"dataset.set": "wine", "dataset.classes": ["class_0", "class_1"]},
            "set breast_cancer",
            "set wine",
            {},
        )
    ],
    "dataset.classes": [
        (SKLEARN, ["class_0", "class_2"], "class_0 vs class_1", "class_0 vs class_2", {}),
    ],
    "dataset.test_fraction": [
        (MNIST, 0.3, "20 % of the images of each digit", "30 % of the images of each digit", {}),
        (MNIST, 0, "20 % of the images", "every image a training image", {}),
    ],
    "digits": [(MNIST, [4, 9], "MNIST 3 vs 5", "MNIST 4 vs 9", {})],
    "pca": [
        (MNIST, 60, "PCA to 50 components", "PCA to 60 components", {}),
        (MNIST, None, "PCA to 50 components", "no PCA", {}),
    ],
    "potential": [
        (SYNTHETIC, {"lp": {"p": 1.5}}, "are quadratic.", "p = 1.5", {}),
        (
            SYNTHETIC,
            {"hypentropy": {"beta": 0.1}},
            "are quadratic.",
            "β = 0.1. Hypentropy is that of Ghai et al. 2020",
            {},
        ),
        (SYNTHETIC, [{"lp": {"p": 1.5}}, "quadratic"], "are quadratic.", "input layer first", {}),
        (SYNTHETIC, {"layer_scaled": {"alpha": [1, 4]}}, "are quadratic.", "α = (1, 4)", {}),
    ],
    "depth": [
        (SYNTHETIC, 3, "L = 2", "L = 3", {}),
        (SYNTHETIC, 1, "0.3·N(0, 1)/√fan-in", "Networks start at zero.", {}),
    ],
    "width": [(SYNTHETIC, 40, "width 50", "width 40", {})],
    "init.scale": [
        (SYNTHETIC, 0.1, "0.3·N(0, 1)/√fan-in", "0.1·N(0, 1)/√fan-in", {}),
        (LINEAR, 0.2, "Networks start at zero.", "0.2·N(0, 1)/√fan-in", {}),
    ],
    "init.distribution": [(SYNTHETIC, "uniform", "0.3·N(0, 1)/√fan-in", "0.3·U(−1, 1)/√fan-in", {})],
    "loss": [(SYNTHETIC, "exponential", "mean logistic loss", "mean exponential loss", {})],
    "step.rule": [
        (SYNTHETIC, "adaptive", "η t^(a−1)/N", "Lyu & Li 2020", {}),
        (SYNTHETIC, "constant", "η t^(a−1)/N", "the constant rule s = η", {}),
        (SYNTHETIC, "constant", "Nacson et al. 2019", "the constant rule s = η", {}),
        (LINEAR, "loss_scaled", "η t^(a−1)/N", "s = η/R", {}),
    ],
    "step.eta": [(SYNTHETIC, 0.25, "η = 1 ", "η = 0.25 ", {})],
    "step.decay": [(SYNTHETIC, 2, "a = 1.", "a = 2.", {})],
    "step.anneal": [(SYNTHETIC, 4, "a = 1.", "c = 4 over the T steps", {})],
    "epochs": [(SYNTHETIC, 2000, "1,000 steps", "2,000 steps", {})],
    "stop.gap": [
        (SYNTHETIC, 0.02, "falls to 1.0 %", "falls to 2.0 %", {}),
        (SYNTHETIC, None, "at most 1,000 steps", "A run has 1,000 steps.", {}),
    ],
    "log_points": [(SYNTHETIC, 60, "up to 120 epochs", "up to 60 epochs", {})],
    "seed": [(SYNTHETIC, 7, "seed 0)", "seed 7)", {})],
    "svm_C": [(SYNTHETIC, 3, "soft-margin one, C = 1.", "soft-margin one, C = 3.", OVERLAP)],
    "logreg_C": [(SYNTHETIC, 3, "l2-regularised, C = 1.", "l2-regularised, C = 3.", {})],
    "dtype": [(SYNTHETIC, "float32", "float64", "float32", {})],
    "metrics": [(SYNTHETIC, ["mine:my_metric"], "log domain.\nReferences", "user's own: mine:my_metric", {})],
}
NOT_SAID = {}
PLUGIN = "def my_metric(w, data):\n    return 0.0\n\n\ndef my_data(seed, n=9, shift=0.5):\n    pass\n"


def nested(leaves):
    out = {}
    for leaf, value in leaves.items():
        *groups, name = leaf.split(".")
        part = out.setdefault(groups[0], {}) if groups else out
        part[name] = value
    return out


def paragraph(place, leaves, **options):
    """The methods of a fake run of the grid whose fixed keys are `leaves`: cells as load_grid resolves them."""
    place.mkdir()
    (place / "mine.py").write_text(PLUGIN)
    fixed = nested(leaves)
    if fixed["step"]["rule"] != "normalized":
        fixed["step"] = {k: v for k, v in fixed["step"].items() if k in ("rule", "eta")}
    if fixed.get("stop") == {"gap": None}:
        fixed["stop"] = None
    if fixed["dataset"]["name"] == "mnist":
        keep = ("name", "source", "path", "test_fraction", "split", "subsample")
        fixed["dataset"] = {k: v for k, v in fixed["dataset"].items() if k in keep}
        fixed = {"digits": [3, 5], "pca": 50, **fixed}
        if fixed["dataset"].get("source") == "full":
            fixed["dataset"]["path"] = "somewhere"
    (place / "grid.yaml").write_text(yaml.safe_dump({"question": "?", "fixed": fixed}))
    cells = [{"cell_id": c.cell_id, "config": c.config} for c in load_grid(place / "grid.yaml").cells]
    return "\n".join(methods.methods(load(fake.write_run(place / "20250319_x", cells, **options))))


@pytest.fixture(scope="module")
def own_paragraph(tmp_path_factory):
    """The paragraph of a grid of CHANGES as it is: (leaves, options) -> text, made once for each."""
    made = {}

    def call(leaves, options):
        key = yaml.safe_dump(leaves), *options
        if key not in made:
            made[key] = paragraph(tmp_path_factory.mktemp("own") / "a", leaves, **options)
        return made[key]

    return call


@pytest.mark.parametrize(
    ("key", "number"), [(key, number) for key, some in CHANGES.items() for number in range(len(some))]
)
def test_a_changed_key_changes_the_paragraph_to_its_own_clause(tmp_path, own_paragraph, key, number):
    leaves, other, before, after, options = CHANGES[key][number]
    one = own_paragraph(leaves, options)
    changed = other if key == "dataset.set" else {key: other}  # another set has other classes
    two = paragraph(tmp_path / "b", leaves | changed, **options)
    assert before in one and before not in two, (one, two)
    assert after in two and after not in one, (one, two)
    assert paragraph(tmp_path / "c", leaves, **options) == one  # changed back


def test_every_key_of_a_grid_is_changed_by_the_test_above_or_is_left_out_for_a_reason():
    assert CHANGES.keys() | NOT_SAID.keys() == LEAVES.keys() and not CHANGES.keys() & NOT_SAID.keys()


def test_where_the_files_lie_is_not_said(tmp_path):
    leaves = MNIST | {"dataset.source": "full"}
    place = paragraph(tmp_path / "a", leaves)
    assert "somewhere" not in place


def method(place, cells, **options):
    return methods.methods(load(fake.write_run(place / "20250319_x", cells, **options)))


def test_a_data_set_of_the_users_own_is_called_that_with_its_parameters(tmp_path):
    data = {"name": "mine:my_data", "n": 9, "shift": 0.5}
    text = method(tmp_path, fake.grid_cells(datasets=[{"dataset": data}]))[0]
    assert "A data set of the user's own, mine:my_data with n = 9 and shift = 0.5" in text
    assert "60 training points" in text and "image" not in text and "fixed" not in text and "split" not in text


def test_what_a_users_data_set_records_of_itself_is_said(tmp_path):
    run = fake.write_run(tmp_path / "20250319_x", fake.grid_cells(datasets=[{"dataset": {"name": "mine:my_data"}}]))
    results = load(run)
    results.final["preprocessing"] = json.dumps({"source": "a survey", "split": "by year", "standardisation": "none"})
    text = methods.methods(results)[0]
    assert "source: a survey; split: by year; standardisation: none" in text


def test_two_data_sets_of_one_label_are_both_described(tmp_path):
    text = method(tmp_path, fake.grid_cells(datasets=[{"dataset": {**fake.GAUSSIAN, "n": n}} for n in (60, 90)]))[0]
    assert "n = 60" in text and "n = 90" in text and text.count("Gaussian, d = 20") == 2


def test_what_all_data_sets_share_is_said_once(tmp_path):
    """And nothing that only some of them have; one data set alone shares nothing."""
    dataset = {"name": "mnist", "source": "bundled", "test_fraction": 0.2, "split": "fixed", "subsample": None}
    some = [{"dataset": dataset, "digits": [0, 1], "pca": k} for k in (50, 200)]
    results = load(fake.write_run(tmp_path / "20250319_x", fake.grid_cells(datasets=some)))
    first, *unshared = methods.data_sentences(results)
    assert first.startswith("Shared by both data sets: the bundled") and len(unshared) == 2
    clauses = first.removeprefix("Shared by both data sets: ").removesuffix(".").split("; ")
    for number, text in zip((50, 200), unshared, strict=True):
        assert text.startswith(f"MNIST 0 vs 1, PCA {number}: PCA to {number} components")
        assert not [clause for clause in clauses if clause in text]
    alone = methods.data_sentences(load(fake.write_run(tmp_path / "20250319_y", fake.grid_cells(datasets=some[:1]))))
    assert len(alone) == 1 and alone[0].startswith("MNIST 0 vs 1, PCA 50: the bundled")
    assert all(clause in alone[0] for clause in clauses)


@pytest.mark.parametrize(
    ("explained", "dropped", "clauses"),
    [
        ((0.92, 0.92), ([], []), ["(explains 92 % of the variance)"]),
        ((0.92, 0.9249), (["a"], ["a"]), ["(explains 92 % of the variance)", "; a dropped, constant in training;"]),
        (
            (0.95, 0.92),
            (["a"], ["b", "a"]),
            ["(explains 92 % to 95 % of the variance)", "a and b dropped, constant in training at some of its seeds"],
        ),
        ((0.92, None), ([], ["b"]), ["(explains 92 % of", "b dropped, constant in training at some of its seeds"]),
    ],
)
def test_what_differs_between_the_draws_of_the_seeds_is_said_of_all(tmp_path, explained, dropped, clauses):
    dataset = {"name": "mnist", "source": "bundled", "test_fraction": 0.2, "split": "by_seed", "subsample": None}
    cells = fake.grid_cells(
        ["quadratic"], (1,), datasets=[{"dataset": dataset, "digits": [0, 1], "pca": 50}], seeds=(0, 1)
    )
    results = load(fake.write_run(tmp_path / "20250319_x", cells))
    for row, share, names in zip(results.row.values(), explained, dropped, strict=True):
        row["preprocessing"] = json.dumps(
            {"standardisation": "none", "explained_variance": share, "dropped_constant": names}
        )
    (text,) = methods.data_sentences(results)
    assert all(words in text for words in clauses) and ("dropped" in text) == any(dropped)


def test_clauses_that_differ_name_what_has_them(tmp_path):
    cells = fake.grid_cells(depths=(1, 2, 3))
    for cell in cells:
        c = cell["config"]
        p = c["potential"].get("lp", {}).get("p") if isinstance(c["potential"], dict) else 2
        c["step"] = {"rule": "normalized", "eta": 1.0, "decay": 2.0 if p == 3 else 1.0, "anneal": 4.0 * (p == 3)}
        c["init"] = {
            "scale": 0.0 if c["depth"] == 1 else 0.3,
            "distribution": "uniform" if c["depth"] > 1 else "normal",
        }
        cell["cell_id"] = make_cell(c).cell_id
    _, model, *_ = method(tmp_path, cells)
    assert "start at zero (L = 1); entries 0.3·U(−1, 1)/√fan-in (L = 2 and L = 3)" in model
    assert "decay a = 1 (quadratic; lp, p = 1.5); " in model
    assert "decay a = 2, annealed" in model and "c = 4 over the T steps of the run (lp, p = 3)" in model
    assert "Sun et al. 2022" in model


def test_nothing_is_said_of_references_that_no_run_was_compared_with(tmp_path):
    apart = method(tmp_path / "a", fake.grid_cells(depths=(1,)))
    over = method(tmp_path / "b", fake.grid_cells(depths=(1,)), overlap=lambda c: True)
    assert "finds the data separable." in apart[2] and "finds the data overlapping." in over[2]
    for words in ("max-margin direction", "hard-margin", "l2-regularised"):
        assert words in apart[2] and words not in over[2]
    for words in ("soft-margin", "is the unregularised minimiser"):
        assert words in over[2] and words not in apart[2]
    assert "certified gap" in apart[3] and "certified gap" not in over[3]
    assert "linear companion" not in apart[2] + over[2]  # no run is deep
    assert "companion" in method(tmp_path / "c", fake.grid_cells())[2]


@pytest.mark.parametrize("gaps", [[1e-9, 3e-8, 2e-12], [4e-7, -1e-16, 1e-7], [math.nan, 2.41e-5, 1e-9]])
def test_the_reached_gap_of_the_references_is_the_largest_of_the_run(tmp_path, gaps):
    results = load(fake.write_run(tmp_path / "20250319_x", fake.grid_cells()))
    results.final["exact_margin_gap"] = list(itertools.islice(itertools.cycle(gaps), len(results.final)))
    text = methods.methods(results)[2]
    digit, power = f"{max(g for g in gaps if g == g):.1e}".split("e-0")
    digit = {"2.4": "2.5"}.get(digit, digit)  # never rounded down
    assert f"at most {digit}×10" in text and "⁻" + "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(power)] in text and "1e-7" not in text


def test_one_seed_has_no_interval_in_the_methods(tmp_path):
    one = method(tmp_path / "a", fake.grid_cells(seeds=(3,)))[3]
    assert "neither standard deviation nor interval" in one and "Student" not in one and "(seed 3)" in one
    assert "Student's t" in method(tmp_path / "b", fake.grid_cells())[3]


@pytest.mark.parametrize(
    "options",
    [{"status": "diverged"}, {"status": "failed"}, {"missing": [c["cell_id"] for c in fake.grid_cells()]}],
)
def test_a_run_without_ends_has_methods_all_the_same(tmp_path, options):
    text = " ".join(method(tmp_path, fake.grid_cells(), **options))
    assert "no run came through" in text and "nan" not in text and "none" not in text


def test_optima_that_are_not_unique_are_told(tmp_path):
    cells = fake.grid_cells(["quadratic", {"hypentropy": {"beta": 0.1}}])
    assert "not proved to be the only one" in method(tmp_path / "a", cells)[2]
    assert "not proved" not in method(tmp_path / "b", fake.grid_cells(["quadratic"]))[2]


OTHERS = "IDX files that are not MNIST's (train-images-idx3-ubyte)"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A fake run of `source: full`, and one of which nothing came through."""
    place = tmp_path_factory.mktemp("full")
    data = {"name": "mnist", "source": "full", "path": "somewhere", "test_fraction": 0.2}
    cells = fake.grid_cells(datasets=[{"dataset": data, "digits": [3, 5], "pca": 50}], seeds=(0,))
    return (
        fake.write_run(place / "20250319_all", cells),
        fake.write_run(place / "20250319_none", cells, missing=[c["cell_id"] for c in cells]),
    )


@pytest.mark.parametrize("source", ["MNIST, 70,000 images", OTHERS])
def test_files_are_named_as_what_was_read(full, source):
    """`source: full` reads whatever lies under MNIST's file names: only what has MNIST's checksums is called MNIST."""
    results = load(full[0])
    called = "IDX images" if source == OTHERS else "MNIST"
    results.final["preprocessing"] = json.dumps({"source": source, "called": called})
    text = " ".join(methods.methods(results))
    shown = [text, results.facets[0].title, results.conditions[0].data_words, results.conditions[0].family_words]
    if source == OTHERS:
        assert OTHERS in text and "70,000" not in text and "official" not in text
        assert all("IDX images 3 vs 5" in words and "MNIST 3 vs 5" not in words for words in shown)
        assert results.conditions[0].data == "IDX.images-3v5-pca50" and results.conditions[0].flat["dataset"] != "mnist"
    else:
        assert "the 70,000 images" in text and "the official split" in text
        assert all("MNIST 3 vs 5" in words for words in shown)


def test_files_that_no_run_has_read_are_not_described(full):
    text = " ".join(methods.methods(load(full[1])))
    assert "70,000" not in text and "official" not in text and "IDX files that no run has read" in text
