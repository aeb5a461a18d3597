"""The verdict on a condition, by hand: what its runs prove together, what they are compared with, when it would end."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mdcore.analysis.data.directions import MAX_MARGIN, NO, OPEN, YES, End
from mdcore.analysis.report.findings import verdicts
from mdcore.analysis.report.findings.verdicts import Estimate, Forecast, Verdict, answers, estimate, forecast, verdict

NAN, INF = float("nan"), float("inf")


def condition(name="c", depth=1, seeds=1):
    cells = {seed: f"{name}{seed}" for seed in range(seeds)}
    return SimpleNamespace(id=name, depth=depth, words="the words", cells=cells)


def verdict_of(counts, ends=(), depth=1, **more):
    none = Estimate()
    n = sum(counts.values())
    return Verdict(condition(depth=depth), "data", "p", "separable", n, counts, list(ends), none, none, none, True, 2.0,
                   **more)  # fmt: skip


def test_estimates():
    row = {"gap_n": 3.0, "gap_mean": 2.0, "gap_ci_low": 1.5, "gap_ci_high": 2.5, "gap_min": 1.0, "gap_max": 3.0}
    assert estimate(row, "gap") == Estimate(2.0, 1.5, 2.5, 3, 1.0, 3.0) and estimate(row, "gap").known
    assert Estimate(1.0, n=1).known
    for empty in (estimate(row, "ratio"), estimate({"gap_n": NAN}, "gap"), Estimate()):
        assert empty.n == 0 and not empty.known and np.isnan([empty.mean, empty.low, empty.min]).all()
    assert not Estimate(1.0, n=0).known and not Estimate(NAN, n=2).known


@pytest.mark.parametrize(
    ("counts", "ran", "used", "certified"),
    [
        ({"converged": 1}, 1, 1, True),
        ({"converged": 3, "missing": 2}, 3, 3, True),
        ({"converged": 2, "transient": 1}, 3, 3, False),
        ({"converged": 2, "failed": 1}, 3, 2, False),
        ({"transient": 1}, 1, 1, False),
        ({"missing": 2}, 0, 0, False),
        ({}, 0, 0, False),
    ],
)
def test_runs_that_ended(counts, ran, used, certified):
    v = verdict_of(counts)
    assert (v.ran, v.used, v.converged) == (ran, used, certified)


def test_what_the_ends_prove_together():
    two, three = (MAX_MARGIN, 2.0), (MAX_MARGIN, 3.0)
    assert verdict_of({}).bound == 180.0 and not verdict_of({}).reached
    near = [End(0.2, two, True), End(0.9, two, True)]
    assert verdict_of({}, near).bound == 0.9 and verdict_of({}, near).reached
    for last in (End(1.1, two, True), End(0.9, three, True), End(why="transient")):
        assert not verdict_of({}, [near[0], last]).reached
    v = verdict_of({}, [near[0], End(why="transient"), End(why="transient"), End(why="failed")])
    assert v.bound == 180.0 and v.why == "2 of 4 runs: transient; 1 of 4 runs: failed"
    assert verdict_of({}, [End(why="transient")] * 2).why == "transient"


def test_what_depth_changed_is_asked_of_deep_conditions_with_a_linear_one():
    assert verdict_of({}, path_pairs=[NO]).path_changed == "" and verdict_of({}, limit_pairs=[NO]).limit_changed == ""
    deep = verdict_of({}, depth=2, path_pairs=[NO, NO], limit_pairs=[YES, OPEN], linear="l")
    assert (deep.path_changed, deep.limit_changed) == (NO, OPEN)


def test_pairs_are_of_one_seed_and_of_runs_that_ended():
    c, other = condition("c", 2, 4), condition("l", 1, 3)
    ends = {name: End(0.1, (MAX_MARGIN, p), True) for name, p in (("c0", 2.0), ("l0", 3.0), ("c1", 2.0), ("l2", 2.0))}
    assert answers(c, other, ends, {"c0": 5.0, "c1": 5.0, "c2": 5.0, "c3": 5.0}) == [YES]


def run_of(status, histories, seconds=10.0):
    """Results of the cells c0, c1, … with that status; histories: (epochs, gaps) of each."""
    data = {f"c{i}": dict(zip(("epoch", "gap"), map(np.array, history))) for i, history in enumerate(histories)}
    return SimpleNamespace(
        status=dict(zip(data, status, strict=True)),
        curves=SimpleNamespace(get=lambda cell, column: data[cell][column]),
        row={name: {"seconds": seconds} for name in data},
    )


T = np.array([1.0, 10, 20, 40, 80, 100])


def test_the_forecast_is_of_the_slowest_run_that_is_on_its_way():
    def of(status, *histories):
        return forecast(run_of(status, histories), condition(seeds=len(histories)))

    assert of(["converged", "failed"], (T, 1 / T), (T, 1 / T)) is None
    # gap = 4/t: 1 % at t = 400, four times as many steps and seconds
    fast = of(["transient"], (T, 4 / T))
    assert vars(fast) == pytest.approx(vars(Forecast(1.0, 400.0, 4.0, 40.0)))
    # gap = t^(−1/2): 1 % at t = 10,000
    slow = pytest.approx(vars(Forecast(0.5, 1e4, 100.0, 1000.0)))
    assert vars(of(["transient"] * 2, (T, 4 / T), (T, T**-0.5))) == slow
    assert vars(of(["transient"] * 2, (T, T**-0.5), (T, 4 / T))) == slow
    nothing = np.full(len(T), NAN)
    assert vars(of(["converged", "transient", "transient"], (T, 1 / T), (T, nothing), (T, T**-0.5))) == slow
    never = of(["transient"] * 2, (T, 0 * T + 1), (T, 4 / T))
    assert never.steps == never.factor == never.seconds == INF
    start = np.append(0.0, T)  # epoch 0, and epochs without a gap, count for nothing
    assert vars(of(["transient"], (start, np.append(9.0, T**-0.5)))) == slow
    late = np.append(T, 200.0)
    assert vars(of(["transient"], (late, np.append(T**-0.5, NAN)))) == slow
    assert of(["transient"], (np.array([0.0]), np.array([0.5]))) is None
    assert of(["transient"], (np.array([1.0]), np.array([0.5]))).steps == INF


def rows_of(*statuses, **more):
    row = {"limit_p": 2.0, "logreg_kind": "l2", "reference_unique": "True", "angle_bound": 0.3, "message": ""}
    return [row | {"cell_id": f"c{i}", "status": s} | more for i, s in enumerate(statuses)]


SUMMARY = {"separability": "separable", "angle_max_margin_mean": 1.0, "angle_logreg_mean": 2.0, "gap_mean": 3.0}
SUMMARY |= {"margin_ratio_mean": 4.0} | {f"{m}_n": 1 for m in ("angle_max_margin", "angle_logreg", "gap")}


def verdict_on(rows, **summary):
    results, facet = run_of(["failed"], [(T, T)]), SimpleNamespace(title="the data")
    return verdict(results, facet, condition(), SUMMARY | summary, rows)


def test_a_verdict_is_of_all_runs():
    v = verdict_on(rows_of("converged", "failed", "missing", message="why"))
    assert (v.facet, v.potential, v.separability, v.n) == ("the data", "the words", "separable", 3)
    assert v.counts == {"converged": 1, "failed": 1, "missing": 1} and [e.known for e in v.ends] == [True, False]
    assert (v.gap.mean, v.ratio.mean, v.angle.mean, v.messages) == (3.0, 4.0, 1.0, ["why"])
    assert v.unique and v.limit_p == 2.0 and v.forecast is None and not v.overlap
    assert not verdict_on(rows_of("failed")).unique
    some = rows_of("converged", "converged")
    some[1] |= {"reference_unique": "False", "limit_p": 3.0, "message": NAN}
    v = verdict_on(some)
    assert not v.unique and np.isnan(v.limit_p) and v.messages == []
    some[1]["status"] = "diverged"
    assert verdict_on(some).unique and verdict_on(some).limit_p == 2.0
    assert np.isnan(verdict_on([]).limit_p)


@pytest.mark.parametrize(
    ("separability", "kinds", "angle"),
    [
        ("overlapping", ["unregularised"] * 2, 2.0),
        ("overlapping", ["unregularised", "l2"], 1.0),
        ("overlapping", ["l2", "l2"], 1.0),
        ("separable", ["unregularised"] * 2, 1.0),
    ],
)
def test_on_overlapping_data_the_angle_is_to_the_minimiser_where_there_is_one(separability, kinds, angle):
    rows = rows_of("overlap", "overlap")
    for row, kind in zip(rows, kinds, strict=True):
        row["logreg_kind"] = kind
    v = verdict_on(rows, separability=separability)
    assert v.angle.mean == angle and v.overlap == (separability == "overlapping")


def test_deep_conditions_are_held_against_linear_ones():
    linear, deep, alone = condition("l", 1, 1), condition("d", 2, 2), condition("a", 2, 1)
    facet = SimpleNamespace(title="data", conditions=[linear, deep, alone])
    facet.linear = lambda c: linear if c is deep else None
    results = SimpleNamespace(facets=[facet], status=dict.fromkeys(("l0", "d0", "d1", "a0"), "converged"))
    rows = [
        row | {"cell_id": cell, "condition_id": cell[0], "angle_linear_md_ends": 0.2, "angle_linear_md_equal_loss": far}
        for (row,), cell, far in (
            (rows_of("converged"), "l0", 0.0),
            (rows_of("converged"), "d0", 3.0),
            (rows_of("failed"), "d1", 0.0),
            (rows_of("converged"), "a0", 0.5),
        )
    ]
    one = {f"{m}_n": 1 for m in ("angle_linear_md_equal_loss", "angle_linear_md_ends")}
    summary = [
        SUMMARY | one | {"condition_id": k, "angle_linear_md_equal_loss_mean": x, "angle_linear_md_ends_mean": x + 1}
        for k, x in (("l", 0.0), ("d", 3.0), ("a", 0.5))
    ]
    one, two, three = verdicts.verdicts(results, pd.DataFrame(rows), pd.DataFrame(summary))
    assert (one.equal_loss, one.path_pairs, one.limit_pairs, one.linear) == (Estimate(), [], [], "")
    assert (two.equal_loss.mean, two.path_pairs, two.linear, two.linear_ends.mean) == (3.0, [YES], "l", 4.0)
    assert two.limit_pairs == [NO] and [v.condition for v in (one, two, three)] == [linear, deep, alone]
    assert (three.equal_loss.mean, three.path_pairs, three.linear, three.linear_ends) == (0.5, [NO], "", Estimate())
    assert verdicts.angles_of(pd.DataFrame({"cell_id": ["x"]}), "angle")["x"] != 0.0
