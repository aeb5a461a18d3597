"""master.csv, summary.csv, conditions/*.json; reading back what may be broken; facets and pairs."""

import json
import math
from types import SimpleNamespace
from typing import ClassVar

import fake_run as fake
import numpy as np
import pandas as pd
import pytest
import yaml

from mdcore.analysis.data import aggregate, pairs, validate
from mdcore.analysis.data.conditions import conditions_of
from mdcore.analysis.data.facets import facets_of
from mdcore.analysis.data.pairs import at_equal_loss, pairings
from mdcore.analysis.data.results import load, newest_run
from mdcore.store.columns import BASE, HISTORY, STATUSES, USED


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """(results, output directory, master, summary) of a fake mnist_pairs."""
    place = tmp_path_factory.mktemp("mnist")
    run = fake.write_run(
        place / "20250319_pairs", fake.mnist_cells(), overlap=lambda c: c["digits"] == [3, 5] and c["pca"] == 50
    )
    results = load(run)
    return results, place / "out", *aggregate.write(results, place / "out")


def test_mnist_pairs_has_72_rows_and_24_conditions(mnist):
    results, out, _, _ = mnist
    assert not results.problems
    read, conditions = pd.read_csv(out / "master.csv"), pd.read_csv(out / "summary.csv")
    assert len(read) == 72 and len(conditions) == 24 == len(list((out / "conditions").glob("*.json")))
    assert read["cell_id"].is_unique and conditions["condition_id"].is_unique
    assert [c for c in read if c in BASE] == BASE
    assert set(HISTORY) <= set(read) and {"status", "seed"} <= set(read)
    assert (conditions["n"] == 3).all() and (conditions["n_diverged"] == 0).all()


def test_every_statistic_is_what_master_says(mnist):
    _, out, _, _ = mnist
    master, summary = (pd.read_csv(out / "master.csv"), pd.read_csv(out / "summary.csv").set_index("condition_id"))
    for condition, rows in master.groupby("condition_id"):
        used = rows[rows["status"].isin(USED)]
        for m in ("gap", "angle_svm", "margin_ratio", "depth_effect_equal_loss_gap", "angle_reference_potential"):
            v = used[m].dropna()
            row = summary.loc[condition]
            assert row[f"{m}_n"] == len(v)
            if len(v):
                assert row[f"{m}_mean"] == pytest.approx(v.mean(), rel=1e-12)
                assert row[f"{m}_std"] == pytest.approx(v.std(ddof=1), rel=1e-9)
                assert (row[f"{m}_min"], row[f"{m}_max"]) == (v.min(), v.max())
                half = 4.302652729911275 * v.std(ddof=1) / math.sqrt(3)  # Student's t, 2 degrees of freedom
                assert row[f"{m}_ci_low"] == pytest.approx(v.mean() - half, rel=1e-9, abs=1e-12)
                assert row[f"{m}_ci_high"] == pytest.approx(v.mean() + half, rel=1e-9, abs=1e-12)


def test_overlapping_conditions_have_no_margin_anywhere(mnist):
    results, _, master, summary = mnist
    over = master["separability"] == "overlapping"
    assert over.sum() == 18
    for column in ("margin_l2", "margin_lp", "margin_ratio", "gap", "angle_max_margin", "exact_margin", "gamma_bound"):
        assert master.loc[over, column].isna().all() and master.loc[~over, column].notna().all()
        assert summary.loc[summary["separability"] == "overlapping", f"{column}_n"].eq(0).all()
    for cell in master.loc[over, "cell_id"]:
        assert np.isnan(results.curves.get(cell, "gap")).all()


def test_margins_that_a_run_reports_on_overlapping_data_are_blanked(tmp_path):
    run = fake.write_run(tmp_path / "20250319_x", fake.grid_cells(depths=(1,)))
    final = pd.read_parquet(run / "stacks/stack-000/final.parquet").assign(separability="overlapping", status="overlap")
    out, _, problems, _ = validate.check(fake.grid_cells(depths=(1,)), final, None)
    assert out["gap"].isna().all() and out["margin_lp"].isna().all() and not problems


def test_lost_cells_are_counted_and_in_no_mean(tmp_path):
    cells = fake.grid_cells(seeds=range(5), depths=(1, 2))
    ids = [c["cell_id"] for c in cells if c["config"]["potential"] == "quadratic" and c["config"]["depth"] == 2]
    run = fake.write_run(
        tmp_path / "20250319_x", cells, status={ids[0]: "diverged", ids[1]: "failed"}, missing=[ids[2]]
    )
    master, summary = aggregate.write(load(run), tmp_path / "out")
    row = summary[(summary["potential"] == "quadratic") & (summary["depth"] == 2)].iloc[0]
    assert (row["n"], row["n_used"], row["n_diverged"], row["n_failed"], row["n_missing"]) == (5, 2, 1, 1, 1)
    kept = master[master["cell_id"].isin(ids[3:])]
    assert row["angle_svm_n"] == 2 and row["angle_svm_mean"] == pytest.approx(kept["angle_svm"].mean())
    lost = master.set_index("cell_id").loc[ids[:3]]
    assert list(lost["status"]) == ["diverged", "failed", "missing"]
    assert lost["depth_effect_gap"].isna().all()
    assert len(master) == len(cells)
    assert summary[[f"n_{s.replace('-', '_')}" for s in STATUSES]].sum(axis=1).equals(summary["n"])


def test_one_seed_gives_no_std_and_no_interval(tmp_path):
    run = fake.write_run(tmp_path / "20250319_x", fake.grid_cells(seeds=(4,)))
    _, summary = aggregate.write(load(run), tmp_path / "out")
    assert summary["gap_mean"].notna().all()
    for stat in ("std", "ci_low", "ci_high"):
        assert summary[[c for c in summary if c.endswith(f"_{stat}")]].isna().all().all()


def test_twice_the_same_bytes(mnist, tmp_path):
    results, out, _, _ = mnist
    aggregate.write(results, tmp_path)
    for path in sorted(out.rglob("*.*")):
        assert (tmp_path / path.relative_to(out)).read_bytes() == path.read_bytes(), path.name


def test_deep_minus_linear_is_paired_by_seed(mnist):
    results, _, master, _ = mnist
    rows = master.set_index("cell_id")
    kinds = {(kind, c.id): other for kind, c, other in pairings(results)}
    deep = [c for c in results.conditions if c.depth == 2]
    for c in deep:
        linear = kinds["depth", c.id]
        assert linear.depth == 1 and linear.label == c.label and linear.data == c.data
        for seed, cell in c.cells.items():
            expected = rows.loc[cell, "angle_svm"] - rows.loc[linear.cells[seed], "angle_svm"]
            assert rows.loc[cell, "depth_effect_angle_svm"] == pytest.approx(expected, abs=1e-12)
    one = master[master["depth"] == 1]
    assert one[[c for c in one if c.startswith("depth_effect")]].isna().all().all()


def test_potentials_are_paired_with_quadratic(mnist):
    results, _, master, _ = mnist
    rows = master.set_index("cell_id")
    for kind, c, other in pairings(results):
        if kind == "potential":
            assert other.label == "quadratic" and other.depth == c.depth
            for seed, cell in c.cells.items():
                expected = rows.loc[cell, "test_accuracy"] - rows.loc[other.cells[seed], "test_accuracy"]
                assert rows.loc[cell, "potential_effect_test_accuracy"] == pytest.approx(expected, abs=1e-12)
                u, v = results.predictors[cell], results.predictors[other.cells[seed]]
                cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
                assert rows.loc[cell, "angle_reference_potential"] == pytest.approx(np.degrees(np.arccos(cosine)))


class _TwoCurves:
    """Stands for Results in at_equal_loss: two cells with known curves."""

    class curves:
        data: ClassVar = {
            "deep": ([0.5, 1.0, 3.0, 2.5, 5.0], [9.0, 8.0, 4.0, 100.0, 0.0]),
            "linear": ([0.4, 1.0, 2.0], [5.0, 4.0, 3.0]),
            "late": ([7.0, 8.0], [1.0, 1.0]),
            "empty": ([], []),
            "leap": ([-9.0, 100.0], [8.0, 1.0]),
            "landing": ([-9.0, 2.0], [8.0, 1.0]),
        }

        @classmethod
        def get(cls, cell, column):
            return np.array(cls.data[cell][column != "log_inverse_loss"], float)


@pytest.mark.parametrize(
    ("cell", "other", "expected"),
    [
        (
            "deep",
            "linear",
            6.0 - 3.0,
        ),  # both at log(1/R) = 2: half way between 8 and 4; the step back to 2.5 is left out
        ("linear", "deep", -3.0),
        ("deep", "deep", 0.0),
        ("deep", "late", math.nan),
        ("empty", "deep", math.nan),
        ("leap", "linear", math.nan),  # from misclassified points past the level: read nowhere
        ("linear", "leap", math.nan),
        ("landing", "linear", 1.0 - 3.0),  # on the level itself
    ],
)
def test_equal_loss_compares_at_the_largest_common_level(cell, other, expected):
    got = at_equal_loss(_TwoCurves, cell, other, "gap")
    assert got == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("potential", "label", "first"),
    [
        ("quadratic", "quadratic", "quadratic"),
        ({"lp": {"p": 1.5}}, "lp1.5", {"lp": {"p": 1.5}}),
        ({"lp": {"p": 3.0}}, "lp3", {"lp": {"p": 3.0}}),
        ({"layer_scaled": {"alpha": [1.0, 4.0]}}, "layer_scaled1+4", "quadratic"),
        ({"layer_scaled": {"alpha": [4.0, 1.0]}}, "layer_scaled4+1", {"layer_scaled": {"alpha": [4.0]}}),
        ([{"lp": {"p": 1.5}}, "quadratic"], "lp1.5+quadratic", {"lp": {"p": 1.5}}),
        ({"hypentropy": {"beta": 0.1}}, "hypentropy0.1", {"hypentropy": {"beta": 0.1}}),
        ("scaled", "scaled", "scaled"),
        ({"my_file:Mine": {"a": "2 %"}}, "my_file.Mine-a2.", {"my_file:Mine": {"a": "2 %"}}),
    ],
)
def test_labels_and_the_linear_companion(potential, label, first):
    deep, linear, other = conditions_of(
        [{"cell_id": str(i), "config": c} for i, c in enumerate([fake.config(potential, 2), fake.config(first, 1)])]
        + [{"cell_id": "2", "config": fake.config({"lp": {"p": 7.0}}, 1)}]
    )
    by_id = {c.cells[0]: c for c in (deep, linear, other)}
    assert by_id["0"].label == label
    assert by_id["0"].input_key == by_id["1"].input_key != by_id["2"].input_key


def test_a_snippet_of_a_condition_is_the_condition_again(tmp_path):
    spec = pytest.importorskip("mdcore.config.grid")
    potentials = ["quadratic", {"lp": {"p": 3.0}}, {"layer_scaled": {"alpha": [1.0, 4.0]}}]
    cells = [
        c
        for c in fake.grid_cells(potentials, depths=(1, 2))
        if not (
            c["config"]["depth"] == 1
            and isinstance(c["config"]["potential"], dict)
            and "layer_scaled" in c["config"]["potential"]
        )
    ]
    run = fake.write_run(tmp_path / "20250319_x", cells)
    results = load(run)
    aggregate.write(results, tmp_path / "out")
    for path in (tmp_path / "out" / "conditions").glob("*.json"):
        record = json.loads(path.read_text())
        file = tmp_path / "again.yaml"
        file.write_text(record["grid_yaml"])
        grid = spec.load_grid(file)
        flats = [c.flat() for c in grid.cells]
        assert [f.pop("seed") for f in flats] == [c["seed"] for c in record["cells"]]
        wanted = {k: v for k, v in record["columns"].items() if k in flats[0]}
        assert all({k: f[k] for k in wanted} == wanted for f in flats)
        assert yaml.safe_load(record["grid_yaml"]) == record["grid"]


def test_condition_files_hold_what_is_needed_and_no_nan(mnist):
    _, out, _, summary = mnist
    for path in (out / "conditions").glob("*.json"):
        text = path.read_text()
        record = json.loads(text, parse_constant=lambda s: pytest.fail(f"{s} is no JSON"))
        row = summary.set_index("condition_id").loc[record["condition_id"]]
        assert record["statistics"]["angle_svm"]["mean"] == row["angle_svm_mean"]
        assert len(record["cells"]) == record["counts"]["n"] == 3
        assert record["provenance"]["commit"] == "0123abc" and record["configuration"]["epochs"] == 10000
        assert "seed" not in record["configuration"] and "path" not in record["configuration"]["dataset"]


def test_tables_are_read_back_as_written_and_made_again_where_they_do_not_fit(mnist, tmp_path):
    results, out, master, summary = mnist
    again, conditions = aggregate.read_or_write(results, out)
    pd.testing.assert_frame_equal(again, master, check_dtype=False)
    pd.testing.assert_frame_equal(conditions[summary.columns], summary, check_dtype=False)
    changed = load(results.references_dir.parent)
    changed.final.loc[3, "angle_svm"] += 1e-9
    assert aggregate.read_or_write(changed, out)[0].equals(aggregate.master_table(changed))
    aggregate.write(results, out)
    (tmp_path / "master.csv").write_text("cell_id\nx\n")
    (tmp_path / "summary.csv").write_text("broken")
    fresh, _ = aggregate.read_or_write(results, tmp_path)
    assert len(fresh) == 72 and len(pd.read_csv(tmp_path / "master.csv")) == 72


# reading back what may be broken


def _frames(tmp_path, **options):
    cells = fake.grid_cells(depths=(1, 2), seeds=(0,))
    run = fake.write_run(tmp_path / "20250319_x", cells, **options)
    place = run / "stacks/stack-000"
    return cells, pd.read_parquet(place / "final.parquet"), pd.read_parquet(place / "history.parquet")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda f, h: (f.drop(columns="gap"), h), "column gap is absent"),
        (lambda f, h: (f.assign(gap="wide"), h), "are not numbers"),
        (lambda f, h: (f.assign(angle_svm=190.0), h), "angle_svm is 190"),
        (lambda f, h: (f.assign(train_accuracy=1.5), h), "train_accuracy is 1.5"),
        (lambda f, h: (f.assign(cell_id=["strange", *f["cell_id"][1:]]), h), "not in the manifest"),
        (lambda f, h: (pd.concat([f, f]), h), "committed twice"),
        (lambda f, h: (f.assign(status="splendid"), h), "not one of"),
        (lambda f, h: (f.assign(exact_margin=f["gamma_bound"] * 2), h), "does not bracket"),
        (lambda f, h: (f, h.drop(columns="epoch")), "no curves"),
        (lambda f, h: (f, pd.concat([h, h])), "repeat an epoch"),
        (lambda f, h: (f, h.assign(cell_id="strange")), "not in the manifest"),
        (lambda f, h: (f, h.assign(angle_logreg=-3.0)), "angle_logreg is -3"),
    ],
)
def test_what_is_wrong_with_a_result_file_is_said_and_nothing_crashes(tmp_path, spoil, word):
    cells, final, history = _frames(tmp_path)
    final, history, problems, _ = validate.check(cells, *spoil(final, history))
    assert any(word in p for p in problems), problems
    assert set(final["cell_id"]) <= {c["cell_id"] for c in cells} and final["cell_id"].is_unique
    assert set(HISTORY) <= set(final) and not history.duplicated(["cell_id", "epoch"]).any()


def test_good_files_have_no_problems_and_own_metrics_are_found(tmp_path):
    cells, final, history = _frames(tmp_path, user_metrics={"metric.mine:loss_%": 2.0})
    _, _, problems, user_metrics = validate.check(cells, final, history)
    assert problems == [] and user_metrics == ["metric.mine:loss_%"]


def test_own_metrics_get_statistics(tmp_path):
    run = fake.write_run(tmp_path / "20250319_x", fake.grid_cells(), user_metrics={"metric.mine:loss_%": 2.0})
    _, summary = aggregate.write(load(run), tmp_path / "out")
    assert (summary["metric.mine:loss_%_mean"] == 2.0).all() and (summary["metric.mine:loss_%_std"] == 0.0).all()


def test_a_damaged_stack_leaves_its_cells_missing(tmp_path):
    cells = fake.grid_cells(seeds=range(4))
    run = fake.write_run(tmp_path / "20250319_x", cells, per_stack=8)
    with open(run / "stacks/stack-001/final.parquet", "ab") as file:
        file.write(b"x")
    results = load(run)
    assert sum(s == "missing" for s in results.status.values()) == 8
    assert any("stack-001" in p for p in results.problems)
    assert not any(str(tmp_path) in p for p in results.problems)


def test_no_run_there_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="run a grid first"):
        newest_run(tmp_path)


# facets


def facets(cells):
    return facets_of(conditions_of(cells))


def test_facets_of_mnist_pairs():
    all_facets = facets(fake.mnist_cells())
    assert [f.title for f in all_facets] == [
        "MNIST 0 vs 1, PCA 50",
        "MNIST 0 vs 1, PCA 200",
        "MNIST 3 vs 5, PCA 50",
        "MNIST 3 vs 5, PCA 200",
    ]
    assert all(len(f.conditions) == 6 for f in all_facets)


def test_a_step_rule_that_follows_the_potential_makes_no_facet():
    cells = fake.grid_cells()
    for c in cells:
        if c["config"]["potential"] == {"lp": {"p": 3.0}}:
            c["config"]["step"] = {"rule": "normalized", "eta": 1.0, "decay": 2.0}
    all_facets = facets(cells)
    assert len(all_facets) == 1 and len(all_facets[0].conditions) == 6


def test_a_linear_condition_stands_in_the_facet_of_every_width():
    cells = fake.grid_cells(datasets=[{"width": 10}, {"width": 50}])
    all_facets = facets(cells)
    assert [f.title for f in all_facets] == ["Gaussian, d = 20, width 10", "Gaussian, d = 20, width 50"]
    for f in all_facets:
        assert all(f.linear(c) is not None for c in f.conditions if c.depth == 2)


def test_an_init_scale_that_depth_one_has_too_separates_it():
    cells = fake.grid_cells(
        datasets=[
            {"init": {"scale": 0.1, "distribution": "normal"}},
            {"init": {"scale": 0.5, "distribution": "normal"}},
        ]
    )
    for f in facets(cells):
        assert len({c.flat["init_scale"] for c in f.conditions}) == 1 and len(f.conditions) == 6


def test_layer_scaled_is_paired_with_its_input_layer():
    cells = fake.grid_cells(["quadratic"], depths=(1,)) + fake.grid_cells(
        [{"layer_scaled": {"alpha": [1.0, 4.0]}}], depths=(2,)
    )
    (facet,) = facets(cells)
    deep = next(c for c in facet.conditions if c.depth == 2)
    assert facet.linear(deep).label == "quadratic"


def test_how_sure_a_direction_is_stands_in_master(tmp_path):
    """angle_bound, exact_angle_bound, flow_time and reference_unique, as the run has left them."""
    cells = fake.grid_cells(
        ["quadratic", {"hypentropy": {"beta": 0.1}}], datasets=({}, {"dataset": {**fake.GAUSSIAN, "n": 9}})
    )
    run = fake.write_run(tmp_path / "20250319_x", cells, overlap=lambda c: c["dataset"]["n"] == 9)
    results = load(run)
    aggregate.write(results, tmp_path / "out")
    read, _ = aggregate.read_or_write(results, tmp_path / "out")
    final = pd.concat([pd.read_parquet(p) for p in run.glob("stacks/*/final.parquet")]).set_index("cell_id")
    for row in read.to_dict("records"):
        left = final.loc[row["cell_id"]]
        for column in ("angle_bound", "exact_angle_bound", "flow_time"):
            assert row[column] == pytest.approx(left[column], nan_ok=True)
        overlap = row["separability"] == "overlapping"
        expected = "True" if overlap or row["potential"] == "quadratic" else "False"  # the minimiser's
        assert row["reference_unique"] == expected
        assert np.isnan(row["angle_bound"]) == (overlap or expected != "True")
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert {"angle_bound_max", "exact_angle_bound_max", "flow_time_mean"} <= set(summary)


@pytest.mark.parametrize("column", ["angle_bound", "exact_angle_bound", "flow_time", "reference_unique"])
def test_a_run_without_the_newer_columns_is_read_all_the_same(tmp_path, column):
    cells, final, history = _frames(tmp_path)
    out, _, problems, _ = validate.check(
        cells, final.drop(columns=column), history.drop(columns=column, errors="ignore")
    )
    assert column == "reference_unique" or any(f"column {column} is absent" in p for p in problems)
    assert (out[column] == "").all() if column == "reference_unique" else out[column].isna().all()


@pytest.mark.parametrize(
    ("u", "v", "degrees"),
    [
        ([1.0, 0.0], [0.0, 3.0], 90.0),
        ([2e200, 2e200], [1e-200, 0.0], 45.0),
        ([1.0, 1.0], [-5.0, -5.0], 180.0),
        ([0.0, 0.0], [1.0, 0.0], np.nan),
        ([1.0, 0.0], [0.0, 0.0], np.nan),
        ([np.inf, 0.0], [1.0, 0.0], np.nan),
        ([1.0, 0.0], [np.nan, 0.0], np.nan),
        ([1.0, 0.0], [1.0, 0.0, 0.0], np.nan),
        ([1.0, 0.0], None, np.nan),
    ],
)
def test_the_angle_between_two_end_predictors(u, v, degrees):
    """Also of vectors that have no direction: not a number, and no complaint of numpy's."""
    kept = {name: np.array(w) for name, w in (("u", u), ("v", v)) if w is not None}
    with np.errstate(all="raise", under="ignore"):
        angle = pairs._direction_angle(SimpleNamespace(predictors=kept), "u", "v")
    assert angle == pytest.approx(degrees, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("same_seed", [True, False])
def test_cells_that_are_compared_were_trained_on_the_same_numbers(same_seed):
    """Two depths on one data set and seed with other contents: said. Two seeds of a drawn data set: as it should be."""
    depths, seeds = ((1, 2), (0,)) if same_seed else ((1,), (0, 1))
    one, two = fake.grid_cells(["quadratic"], depths, seeds, [{"dataset": fake.PLANTED}])
    assert (one["config"]["seed"] == two["config"]["seed"]) == same_seed
    final = pd.DataFrame({"cell_id": [one["cell_id"], two["cell_id"]], "data_sha256": ["a" * 64, "b" * 64]})
    problems = validate.check([one, two], final, None)[2]
    mismatches = [p for p in problems if "trained on different data" in p]
    assert bool(mismatches) == same_seed
    assert not mismatches or all(
        part in mismatches[0] for part in ("aaaaaaaa", "bbbbbbbb", one["cell_id"], two["cell_id"])
    )
    final["data_sha256"] = "a" * 64
    assert not [p for p in validate.check([one, two], final, None)[2] if "different data" in p]
