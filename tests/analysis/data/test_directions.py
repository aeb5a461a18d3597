"""The one rule on two directions: never a false claim, decided where the bounds are tight, open for all else."""

import json

import numpy as np
import pytest
import yaml

from mdcore.analysis.data import directions
from mdcore.analysis.data.directions import MAX_MARGIN, MINIMISER, NO, OPEN, SAME, YES, End, decide, end_of, over_runs
from mdcore.config.grid import load_grid
from mdcore.training.stack import train_request
from mdcore.verification.claim import FAIL, PASS
from mdcore.verification.claims import decisions as made

L2, L3 = (MAX_MARGIN, 2.0), (MAX_MARGIN, 3.0)
CERTIFIED = {"status": "converged", "limit_p": 2.0, "reference_unique": True, "angle_bound": 0.4}
OVERLAP = {"status": "overlap", "limit_p": 2.0, "reference_unique": True, "angle_logreg": 0.4}
OVERLAP |= {"logreg_kind": "unregularised"}
(CLAIM,) = made.CLAIMS.claims


@pytest.mark.parametrize(
    ("angle", "bounds", "references", "decision"),
    [
        (9.0, (3.0, 4.0), (L2, L3), YES),  # at least 2° apart
        (9.0, (4.0, 4.5), (L2, L3), OPEN),  # at least 0.5°
        (9.0, (8.0, 0.0), (L2, L3), OPEN),  # 1° and no more
        (0.2, (0.3, 0.4), (L2, L3), NO),
        (0.4, (0.3, 0.4), (L2, L3), OPEN),
        (0.0, (1.0, 0.0), (L2, L3), OPEN),  # exactly the tolerance: rounding decides, so nothing is said
        (1.5, (0.8, 0.9), (L2, L2), NO),  # both have arrived at one direction
        (1.5, (1.0, 1.0), (L2, L2), NO),
        (1.5, (0.4, 1.2), (L2, L2), OPEN),  # one has not
        (9.0, (0.8, 0.9), (L2, L2), OPEN),  # these bounds cannot both be true
        (90.0, (0.1, 180.0), (L2, L3), OPEN),
        (179.0, (0.0, 180.0), (L2, L3), OPEN),
        (9.0, (0.1, np.nan), (L2, L3), OPEN),
        (np.nan, (0.1, 0.1), (L2, L3), OPEN),
        (np.nan, (0.1, 0.1), (L2, L2), OPEN),
        (9.0, (0.1, 0.1), (L2, ()), OPEN),
        (9.0, (0.1, -0.1), (L2, L3), OPEN),
    ],
)
def test_two_directions(angle, bounds, references, decision):
    one, other = (End(b, r) for b, r in zip(bounds, references, strict=True))
    assert decide(angle, one, other) == decide(angle, other, one) == decision


@pytest.mark.parametrize("row", [CERTIFIED, OVERLAP])
@pytest.mark.parametrize(
    "spoiled",
    [
        *({"status": s} for s in ("transient", "failed", "diverged", "missing", "quasi-separable", "")),
        *({"reference_unique": u} for u in (False, "False", "", None, np.nan)),
        {"angle_bound": 180.0, "angle_logreg": 180.0},
        {"angle_bound": np.nan, "angle_logreg": np.nan},
        {"limit_p": np.nan, "logreg_kind": "l2"},
    ],
)
def test_a_run_that_proves_nothing_leaves_it_open(row, spoiled):
    good, bad = end_of(row), end_of(row | spoiled)
    assert good.known and good.bound == 0.4 and not good.why
    assert not bad.known and not bad.reached and bad.why
    assert decide(0.0, good, bad) == decide(90.0, bad, good) == OPEN


@pytest.mark.parametrize(
    ("word", "unique"),
    [*((w, True) for w in (True, "True", 1, "1", 1.0, "1.0")), *((w, False) for w in (False, "False", 0, "0", 0.0)),
     *((w, None) for w in ("", np.nan, None, "yes", 2))],
)  # fmt: skip
def test_what_counts_as_unique(word, unique):
    assert directions.is_unique({"reference_unique": word}) is unique


@pytest.mark.parametrize(
    ("row", "end"),
    [
        (CERTIFIED, End(0.4, L2, True)),
        (CERTIFIED | {"angle_bound": 0.0, "limit_p": 1.0}, End(0.0, (MAX_MARGIN, 1.0), True)),
        (CERTIFIED | {"limit_p": 0.5}, End(why="the potential names no limit")),
        (CERTIFIED | {"angle_bound": -0.5}, End(why="the certificate says nothing of the direction")),
        (CERTIFIED | {"reference_unique": False}, End(why="the l2 optimum is not known to be unique")),
        (OVERLAP, End(0.4, (MINIMISER,))),
        (OVERLAP | {"angle_logreg": 0.0}, End(0.0, (MINIMISER,))),
        (OVERLAP | {"angle_logreg": -0.5}, End(why="no exact minimiser to compare with")),
        (CERTIFIED | {"status": "missing"}, End(why="not run")),
        (CERTIFIED | {"status": "transient"}, End(why="transient")),
        (CERTIFIED | {"status": None}, End(why="no status")),
    ],
)
def test_the_end_of_a_run(row, end):
    assert end_of(row) == end


def test_a_bound_of_180_degrees_proves_nothing():
    assert not End(180.0, L2).known and End(179.9, L2).known and End(0.0, L2).reached and not End(1.1, L2).reached


@pytest.mark.parametrize("row", [CERTIFIED, OVERLAP])
def test_columns_that_are_absent_count_as_unknown(row):
    for column in ("reference_unique", "angle_logreg" if row is OVERLAP else "angle_bound"):
        assert not end_of({k: v for k, v in row.items() if k != column}).known
    assert not end_of({}).known


def test_a_run_on_overlapping_data_records_whether_the_minimiser_is_the_only_one(tmp_path):
    data = {"name": "synthetic", "geometry": "gaussian", "dim": 20, "n": 100, "separation": 0.2, "noise": 1}
    fixed = {"dataset": data, "epochs": 3, "step": {"rule": "constant", "eta": 0.1}, "potential": "quadratic"}
    grid = {"question": "?", "fixed": fixed, "vary": {"seed": [0]}}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
    (cell,) = load_grid(tmp_path / "grid.yaml").cells
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"cells": [cell.config], "references_dir": None, "plugin_dir": str(tmp_path)}))
    (row,) = train_request(request).final.to_dict("records")
    assert row["separability"] == "overlapping" and row["reference_unique"] is True and end_of(row).known


def test_ends_say_what_they_rest_on():
    assert end_of(CERTIFIED) == End(0.4, L2, True) and end_of(OVERLAP) == End(0.4, (MINIMISER,), False)
    assert [directions.reference_name(r) for r in (L2, L3, (MAX_MARGIN, np.inf), (MINIMISER,))] == [
        "l2 max-margin (hard-margin SVM)",
        "l3 max-margin",
        "l∞ max-margin",
        "logistic minimiser",
    ]
    assert End(SAME, L2).reached and not End(1.01, L2).reached and not End(0.0).reached
    assert "l1 optimum is not known to be unique" in end_of(CERTIFIED | {"limit_p": 1.0, "reference_unique": False}).why


@pytest.mark.parametrize(
    ("answers", "decision"),
    [([NO, NO], NO), ([YES], YES), ([YES, NO], OPEN), ([NO, OPEN], OPEN), ([OPEN], OPEN), ([], OPEN)],
)
def test_a_condition_is_decided_where_all_its_runs_agree(answers, decision):
    assert over_runs(answers) == decision


@pytest.mark.parametrize("seed", range(5))
def test_no_claim_on_random_results_is_false(seed):
    """200 conditions a seed; truth by the limits that made them, verdicts by rows of numbers alone."""
    trials = made.trials(200, seed=seed)
    assert not [t for t in trials if t.false]
    assert not [t for t in trials if not t.trusted and t.verdict() != OPEN]
    assert {t.verdict() for t in trials} == {YES, NO, OPEN}
    tight = made.trials(200, tight=True, seed=seed)
    assert [t.verdict() for t in tight] == [YES if t.truth > SAME else NO for t in tight]


def test_the_bounds_of_made_up_runs_are_honest():
    for t in made.trials(50):
        for angle, one, other in t.pairs if t.trusted else ():
            bounds = [row.get("angle_bound", row.get("angle_logreg")) for row in (one, other)]
            if np.isfinite(bounds).all():
                assert abs(angle - t.truth) <= sum(bounds) + 1e-9


def _forgets_a_bound(angle, one, other):
    return decide(angle, one, End(0.0, other.reference) if other.known else other)


def _takes_the_larger_bound(angle, one, other):
    worst = max(one.bound, other.bound) / 2
    return decide(angle, *(End(worst, e.reference) if e.known else e for e in (one, other)))


def _goes_by_the_angle(angle, one, other):
    return YES if angle > SAME else NO


def _wants_no_tolerance(angle, one, other):
    return decide(angle, one, other, 0.0)


def _is_generous(angle, one, other):
    return decide(angle, one, other, 3.0)


def _takes_every_norm_for_one(angle, one, other):
    return decide(angle, *(End(e.bound, L2) if e.known else e for e in (one, other)))


def _never_decides(angle, one, other):
    return OPEN


@pytest.mark.parametrize(
    "wrong",
    [
        _forgets_a_bound,
        _takes_the_larger_bound,
        _goes_by_the_angle,
        _wants_no_tolerance,
        _is_generous,
        _takes_every_norm_for_one,
        _never_decides,
    ],
)
def test_the_claim_fails_on_a_wrong_rule(monkeypatch, wrong):
    monkeypatch.setattr(directions, "decide", wrong)
    assert CLAIM.judge(None).verdict == FAIL


def _believes(row, **more):
    return end_of({**row, **more})


def _halves_the_bound(row):
    return _believes(row, angle_bound=min(row["angle_bound"], 180.0) / 2) if "angle_bound" in row else end_of(row)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda row: _believes(row, status="converged") if row["status"] == "transient" else end_of(row),
        lambda row: _believes(row, status="converged") if row["status"] == "missing" else end_of(row),
        lambda row: _believes(row, reference_unique=True),
        _halves_the_bound,
    ],
)
def test_the_claim_fails_where_runs_are_believed_that_prove_nothing(monkeypatch, wrong):
    monkeypatch.setattr(directions, "end_of", wrong)
    assert CLAIM.judge(None).verdict == FAIL


def test_the_claim_passes():
    verdict = CLAIM.judge(None)
    assert verdict.verdict == PASS and verdict.measured.startswith("0 false of 200"), verdict.measured
