"""The norm table: its numbers are those of raw arrays, and at the limits the diagonal is smallest."""

import re
from types import SimpleNamespace

import fake_run as fake
import numpy as np
import pytest

from mdcore.analysis.data.results import load
from mdcore.analysis.tables import norms
from mdcore.problems.datasets import load_dataset
from mdcore.problems.solvers.max_margin import max_margin
from mdcore.problems.solvers.separability import separability

PS = (1.5, 2.0, 3.0)
LABELS = {"lp, p = 1.5": 1.5, "quadratic": 2.0, "lp, p = 3": 3.0}


def signed(config):
    data = load_dataset(config["dataset"], None, None, config["seed"])
    return data.y_train[:, None] * data.X_train


def results_of(place, predictor, seeds=(0, 1), depths=(1, 2), **options):
    """Results whose predictors are predictor(A, p, seed) and whose l_2 margins are those of the raw data."""
    cells = fake.grid_cells(seeds=seeds, depths=depths)
    results = load(fake.write_run(place / "20250319_x", cells, **options))
    margins = {}
    for cell in cells:
        config, name = cell["config"], cell["cell_id"]
        p = config["potential"]["lp"]["p"] if isinstance(config["potential"], dict) else 2.0
        A = signed(config)
        w = results.predictors[name] = predictor(A, p, config["seed"])
        margins[name] = (A @ w).min() / np.sqrt((w * w).sum())
    results.final["margin_l2"] = [margins[name] for name in results.final["cell_id"]]
    return results


def exact(A, p, seed):
    return (1.0 + seed) * max_margin(A, p, separability(A).w).w


def test_every_number_is_recomputed_from_the_data_and_the_predictor(tmp_path):
    results = results_of(tmp_path, exact)
    text = norms.norms_table(results)
    rows = re.findall(r"^% (.*)\n(.*) \\\\$", text, re.M)
    assert len(rows) == 6 and r"{$r = 1.5$} & {$r = 2$} & {$r = 3$}" in text
    for cells, condition in ((row.split(" & "), name) for name, row in rows):
        c = next(c for c in results.conditions if c.id == condition)
        assert cells[1] == "2"
        for r, cell in zip(PS, cells[2:], strict=True):
            raw = []
            for seed, name in c.cells.items():
                w, A = results.predictors[name], signed({**c.config, "seed": seed})
                raw.append((np.abs(w) ** r).sum() ** (1 / r) / (A @ w).min())
            mean = float(re.search(r"\d+\.\d+", cell).group())
            assert mean == pytest.approx(np.mean(raw), abs=0.51 * 10.0 ** -len(str(mean).split(".")[1]))


def test_at_the_exact_directions_the_diagonal_is_smallest(tmp_path):
    for block in norms.norm_blocks(results_of(tmp_path, exact)):
        assert block.exponents == list(PS)
        exponents = [LABELS[c.words] for c in block.conditions]
        expected = [[p == r for r in PS] for p in exponents]
        assert block.smallest.tolist() == expected
        assert block.smallest_at_own_exponent == [True] * 3
    assert "smallest of the column in 6." in norms.norms_section(results_of(tmp_path / "b", exact)).markdown()


def test_a_potential_that_goes_elsewhere_is_seen(tmp_path):
    swapped = {1.5: 3.0, 2.0: 2.0, 3.0: 1.5}
    results = results_of(tmp_path, lambda A, p, seed: exact(A, swapped[p], seed))
    assert [sum(block.smallest_at_own_exponent) for block in norms.norm_blocks(results)] == [1, 1]
    assert "Of 6 places" in norms.norms_section(results).markdown()


def test_one_direction_for_all_has_no_smallest(tmp_path):
    results = results_of(tmp_path, lambda A, p, seed: exact(A, 2.0, 0) * p)
    for block in norms.norm_blocks(results):
        assert not block.smallest.any() and block.smallest_at_own_exponent == []
    assert r"\rlap" not in norms.norms_table(results)


def test_the_scale_of_a_predictor_changes_nothing(tmp_path):
    one = norms.norm_blocks(results_of(tmp_path / "a", exact))
    two = norms.norm_blocks(results_of(tmp_path / "b", lambda A, p, seed: exact(A, p, seed) * 1e150))
    for a, b in zip(one, two, strict=True):
        assert b.mean == pytest.approx(a.mean, rel=1e-12)


def test_runs_without_a_margin_are_in_no_mean(tmp_path):
    cells = fake.grid_cells(seeds=(0, 1), depths=(1, 2))
    lost = next(c["cell_id"] for c in cells)
    results = results_of(tmp_path, lambda A, p, seed: exact(A, p, seed), status={lost: "diverged"})
    by_id = {c.id: n for block in norms.norm_blocks(results) for c, n in zip(block.conditions, block.n, strict=True)}
    assert sorted(by_id.values()) == [1, 2, 2, 2, 2, 2]
    wrong = results_of(tmp_path / "b", lambda A, p, seed: -exact(A, p, seed))
    assert norms.norm_blocks(wrong) == []
    assert norms.norms_table(wrong).startswith("% norms: no run")


@pytest.mark.parametrize("options", [{"overlap": lambda c: True}, {"status": "diverged"}])
def test_no_margin_no_table(tmp_path, options):
    results = load(fake.write_run(tmp_path / "20250319_x", fake.grid_cells(), **options))
    assert norms.norms_table(results).startswith("% norms: no run")
    assert "No run of this grid has a margin" in norms.norms_section(results).markdown()


def test_horizons_of_other_potentials_are_columns(tmp_path):
    cells = fake.grid_cells(["quadratic", {"hypentropy": {"beta": 0.1}}, {"cosh": {"beta": 1.0}}])
    results = load(fake.write_run(tmp_path / "20250319_x", cells))
    assert all(block.exponents == [1.0, 2.0, np.inf] for block in norms.norm_blocks(results))
    assert r"$r = \infty$" in norms.norms_table(results)


# by hand


@pytest.mark.parametrize(
    ("r", "least", "value"),
    [(2.0, 0.5, 10.0), (1.0, 0.5, 14.0), (np.inf, 2.0, 2.0), (2.0, 0.0, np.nan), (2.0, -1.0, np.nan)],
)
def test_norm_at_margin_one(r, least, value):
    assert norms.norm_at_margin_one(np.array([3.0, -4.0]), r, least) == pytest.approx(value, nan_ok=True)


def block(mean, limits, exponents, std=None, n=3):
    conditions = [SimpleNamespace(id=f"c{i}", words=f"lp, p = {i + 1}") for i in range(len(mean))]
    std = np.full_like(mean, 0.1) if std is None else std
    return norms.Block("data, L = 1", conditions, limits, [n] * len(mean), np.array(mean), std, exponents)


def test_the_smallest_of_a_column_and_all_within_1e_5_of_it():
    low, near, far = 2.0, 2.0 * (1 + 0.9e-5), 2.0 * (1 + 1.1e-5)
    one = block([[low, low, 4.0], [near, near, 4.0], [far, near, 4.0]], [1.0, 2.0, 1.0], [1.0, 2.0, 3.0])
    assert one.smallest.T.tolist() == [[True, True, False], [False] * 3, [False] * 3]
    assert one.smallest_at_own_exponent == [True, False]  # in the column r = 2 all are the same
    assert block([[1.0, 5.0], [2.0, 4.0]], [3.0, np.nan], [1.0, 3.0]).smallest_at_own_exponent == [False]


@pytest.mark.filterwarnings("error")
def test_which_runs_have_a_norm_and_of_which_exponents():
    w, rows = dict.fromkeys("abcdef", np.array([3.0, -4.0])), {i: {"margin_l2": 0.2, "limit_p": 3.0} for i in "abcd"}
    rows |= {"c": {"margin_l2": 0.0, "limit_p": 3.0}, "d": {"limit_p": 3.0}}
    w |= {"b": np.array([3.0, -5.0]), "f": np.array([np.nan, 1.0])}
    rows["e"], rows["f"] = {"margin_l2": 0.3, "limit_p": 3.0}, {"margin_l2": 0.2, "limit_p": 1.5}
    status = dict.fromkeys(w, "converged") | {"e": "failed"}
    one = SimpleNamespace(id="one", depth=2, cells=dict(enumerate("abcde")))
    mixed = SimpleNamespace(id="mixed", depth=2, cells={0: "a", 1: "f", 2: "g"})
    first = SimpleNamespace(id="first", depth=1, cells={0: "a"})
    facet = SimpleNamespace(title="data", conditions=[one, mixed, first])
    results = SimpleNamespace(
        predictors=w, row=rows, status=status | {"g": "missing"}, conditions=facet.conditions, facets=[facet]
    )
    a, b = norms.norm_blocks(results)
    assert (a.title, a.conditions, a.n, a.exponents) == ("data, L = 1", [first], [1], [2.0, 3.0])
    assert (b.title, b.conditions, b.n, b.limits[0]) == ("data, L = 2", [one, mixed], [2, 1], 3.0)
    assert np.isnan(b.limits[1]) and a.limits == [3.0]
    # ‖w‖_r/(γ_2(w)·‖w‖_2) of (3, −4) and (3, −5), γ_2 = 0.2
    cubes = [(91 ** (1 / 3)) / (0.2 * 5), 152 ** (1 / 3) / (0.2 * 34**0.5)]
    assert b.mean == pytest.approx(np.array([[5.0, np.mean(cubes)], [5.0, cubes[0]]]))
    assert (
        b.std[0] == pytest.approx([0.0, abs(cubes[0] - cubes[1]) / 2**0.5]) and np.isnan([*a.std[0], *b.std[1]]).all()
    )


@pytest.mark.parametrize("columns", [2, 3, 5, 6])
def test_a_table_says_what_its_numbers_are(monkeypatch, columns):
    exponents = [1.0, 2.0, 3.0, 4.0, 5.0, np.inf][-columns:]
    mean = [[1.0 + i] * (columns - 1) + [9.0 - i] for i in range(2)]
    monkeypatch.setattr(norms, "norm_blocks", lambda _: [block(mean, [2.0, np.inf], exponents)])
    text = norms.norms_table(SimpleNamespace(tag="t"))
    spread = columns <= 5
    assert (r"\pm" in text) == ("+- 0.1" in text) == spread and ("Mean of" in text) != spread
    assert (r"\begin{table*}" in text) == (columns > 2) and r"{$r = \infty$}" in text
    assert r"\begin{tabular}{@{}l l S[" in text and "without" not in text
    (one, other) = re.findall(r"^% c\d\n(.*) \\\\$", text, re.M)
    marks = [[r"\ast" in cell for cell in row.split(" & ")[2:]] for row in (one, other)]
    assert marks == [[True] * (columns - 1) + [False], [False] * (columns - 1) + [True]]
    sentence, table = norms.norms_section(SimpleNamespace()).blocks
    count = 1 + (2.0 in exponents)
    assert sentence.words.startswith(f"Of {count} places") and sentence.words.endswith(f"column in {count}.")
    assert table.keys == [["data, L = 1", f"lp, p = {i + 1}", 3.0, *mean[i]] for i in range(2)]
    assert table.rows == [
        ["data, L = 1", f"lp, p = {i + 1}", "3", *(f"{v:.2f} ± 0.10" + " *" * m for v, m in zip(mean[i], marks[i]))]
        for i in range(2)
    ]


def test_what_is_said_of_the_numbers_is_said_of_all_exponents(monkeypatch):
    blocks = [block([[1.0, 2.0], [2.0, 1.0]], [1.0, 2.0], [1.0, 2.0], std=np.array([[0.1, 0.0]] * 2))]
    monkeypatch.setattr(norms, "norm_blocks", lambda _: blocks)
    text = norms.norms_table(SimpleNamespace(tag="t"))
    assert "standard deviation" in text and "without" in text
