"""The theorem suite: every claim passes on what theory predicts, and fails on what contradicts it."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_grids import ROOT
from ideal_evidence import IdealEvidence
from scipy.special import erfinv, stdtrit
from sklearn.svm import SVC

from mdcore import run_verify
from mdcore.analysis.data import statistics
from mdcore.config.grid import load_grid
from mdcore.config.plugins.loading import potentials_for
from mdcore.math import metrics
from mdcore.math.engine.block import Block
from mdcore.math.potentials import Lp, signed_power
from mdcore.problems import mnist, synthetic
from mdcore.problems.datasets import load_dataset
from mdcore.training.cell_data import load_data
from mdcore.verification import figures, report
from mdcore.verification.claim import COLUMNS, FAIL, PASS, Claim, ClaimFigure, Measurement, Series, at_most, within
from mdcore.verification.claims import bounds, coverage, decisions, exact, limits, shipped, structure
from mdcore.verification.evidence import PARTS, Evidence

BY_NAME = {claim.name: claim for claim in report.CLAIMS}
UNTRAINED = [
    claim
    for part in (exact, shipped, coverage, decisions, bounds)
    for claim in part.CLAIMS.claims
    if claim.name != "references are exact"
]
TRAINED = [claim for claim in report.CLAIMS if claim not in UNTRAINED]
CONSERVED = "the whole matrix is conserved for p=2 only"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("references")


@pytest.fixture
def ideal(cache, monkeypatch):
    monkeypatch.setattr(structure, "TIME", 4)
    return IdealEvidence(cache)


def scaled(part, column, factor, where=None):
    """A spoiler: multiplies a column of a part's tables."""

    def spoil(evidence):
        for table in (evidence.final(part), evidence.history(part)):
            if column in table:
                rows = slice(None) if where is None else where(table)
                table.loc[rows, column] = table.loc[rows, column] * factor

    return spoil


def moved(part, change, where=lambda config: True):
    """A spoiler: the predictors of a part are others."""

    def spoil(evidence):
        evidence.final(part)
        for cell_id, config in evidence.configs(part).items():
            if where(config):
                evidence.weights[cell_id] = change(evidence.weights[cell_id])

    return spoil


def turn(w, by):
    """w (d,) turned by about `by` radians."""
    u = np.random.default_rng(0).standard_normal(w.shape)
    u -= (u @ w) / (w @ w) * w
    return w + by * np.linalg.norm(w) / np.linalg.norm(u) * u


def turned(part, by=0.02, **where):
    """A spoiler: predictors are turned."""
    return moved(part, lambda w: turn(w, by), **where)


def opposite(part):
    """A spoiler: every predictor is the opposite one, at the same angle up to sign."""
    return moved(part, lambda w: -w)


def emptied(part):
    """A spoiler: the cells are missing."""

    def spoil(evidence):
        final, history = evidence.final(part), evidence.history(part)
        evidence.tables[part] = [final.iloc[:0], history.iloc[:0]]

    return spoil


def times_t_to(exponent):
    """A spoiler of a rate: the angle or loss falls with another power of t."""

    def spoil(evidence):
        table = evidence.history("rates")
        for column in ("angle_max_margin", "loss", "log_inverse_loss"):
            table[column] *= table["epoch"] ** exponent

    return spoil


def steeper(evidence):
    """A spoiler: the norms grow with a power 5 % too large."""
    table = evidence.history("limits")
    table["weight_norm"] = table["weight_norm"] ** 1.05


SPOILERS = {
    **{
        f"limit of linear p-MD, p={p}": [turned("limits"), opposite("limits"), emptied("limits")]
        for p in ("1.5", "2", "3")
    },
    **{
        f"depth keeps the limit, p={p}": [turned("limits", where=lambda c: c["depth"] == 3), opposite("limits")]
        for p in ("1.5", "2", "3")
    },
    **{
        f"transient depth effect, p={p}": [scaled("transient", "angle_linear_md", f) for f in (0.4, 1.7, math.nan)]
        for p in ("1.5", "2", "3")
    },
    "horizon of hypentropy": [turned("horizons"), opposite("horizons")],
    "horizon of scaled": [turned("horizons"), opposite("horizons")],
    "horizon of cosh: training is on its way": [turned("horizons", 0.3), opposite("horizons")],
    "the input layer's potential decides the direction": [turned("layers"), opposite("layers"), emptied("layers")],
    "own norm is smallest": [turned("norms", 0.5), opposite("norms")],
    "constant step is log-slow": [times_t_to(-0.1), scaled("rates", "angle_max_margin", 1.2)],
    "constant step: angle ~ 1/log t": [times_t_to(-0.1), times_t_to(0.1)],
    "constant step: loss ~ 1/t": [times_t_to(-0.1), times_t_to(0.1)],
    "loss-scaled step is fast": [times_t_to(0.1), scaled("rates", "angle_max_margin", 1.2)],
    "loss-scaled step: angle ~ 1/t": [times_t_to(0.3), times_t_to(-0.3)],
    "loss-scaled step: log(1/R) grows by ηγ² a step": [scaled("rates", "log_inverse_loss", 1.05)],
    "norms grow like t^{aL/(p−1)}": [steeper],
    "layers become rank one and aligned": [
        scaled("limits", "stable_rank", 1.01),
        scaled("limits", "layer_alignment", 0.99),
        scaled("limits", "layer_alignment", math.nan),
    ],
    "hidden neurons in use": [scaled("limits", "participation", f) for f in (0.5, 1.5, 3.0)],
    "layers are balanced at the end": [scaled("limits", "norm_balance", 1.1)],
    "invariants: drift halves with the step": [
        scaled("invariants", "balance_drift", 1.3, lambda t: t["step_eta"] == 0.02 if "step_eta" in t else slice(None)),
        scaled("invariants", "balance_drift", 100),
        emptied("invariants"),
    ],
    "invariants: one global normalisation keeps them": [scaled("invariants", "balance_drift", 10)],
    "layer-scaled potentials: α_l‖W_l‖_F² equalise": [
        scaled("layers", "norm_balance_frobenius", 1.01),
        scaled("layers", "norm_balance_frobenius", 0.5),
    ],
    "deep and linear go to one place: certificates": [
        scaled("limits", "margin_lp", 1.02),
        scaled("norms", "gamma_bound", 0.98),
    ],
    "overlap: deep gradient descent finds it": [turned("overlap", 1e-4), opposite("overlap")],
    "overlap: every p and depth find it": [turned("overlap"), opposite("overlap"), emptied("overlap")],
    "quasi-separable: a ray and a finite offset": [turned("quasi", 0.1), opposite("quasi"), emptied("quasi")],
    "references are exact": [scaled("limits", "exact_margin_gap", 1e9), scaled("limits", "exact_margin_kkt", math.nan)],
}  # fmt: skip


@pytest.mark.parametrize("claim", TRAINED, ids=lambda claim: claim.name)
def test_a_claim_passes_on_what_theory_predicts(claim, ideal):
    verdict = claim.judge(ideal)
    assert verdict.verdict == PASS, verdict.measured
    assert any(series.kind == "prediction" for series in verdict.figure.series)
    assert any(series.kind == "data" and len(list(series.y)) for series in verdict.figure.series)


@pytest.mark.parametrize(
    ("name", "spoil"), [pytest.param(n, s, id=f"{n}-{i}") for n, all_ in SPOILERS.items() for i, s in enumerate(all_)]
)
def test_a_claim_fails_on_what_contradicts_it(name, spoil, ideal):
    spoil(ideal)
    assert BY_NAME[name].judge(ideal).verdict == FAIL


def test_every_claim_on_runs_has_something_that_makes_it_fail():
    with_other_code = {name for name, *_ in OTHER_CODE}
    assert {claim.name for claim in TRAINED} <= SPOILERS.keys() | with_other_code | {"overlap: the logistic minimiser"}


def test_another_minimiser_is_seen(monkeypatch, ideal):
    ideal.final("overlap")
    monkeypatch.setitem(next(iter(ideal.configs("overlap").values())), "digits", [4, 9])
    assert BY_NAME["overlap: the logistic minimiser"].judge(ideal).verdict == FAIL


# ---- claims under changes of the code ----------------------------------------------------------------------------


def unsigned_inverse(self, z, out=None):
    return z.abs().pow(1.0 / (self.p - 1.0))


def clamped_inverse(self, z, out=None):
    return signed_power(torch.where(z < 0, -z.abs().clamp(min=1e-6), z.abs().clamp(min=1e-6)), 1.0 / (self.p - 1.0))


def unsigned_angle(u, v):
    return torch.rad2deg(torch.arccos((metrics.unit(u) * metrics.unit(v)).sum(-1).abs().clamp(max=1)))


def imprecise_angle(u, v):
    return torch.rad2deg(torch.arccos((metrics.unit(u) * metrics.unit(v)).sum(-1).clamp(-1, 1)))


def gradient_of_another_function(self, g, right=Block.gradient):
    right(self, g)
    self.factors[1].mul_(1.1)


def with_intercept(A, C):
    y = np.where(np.arange(len(A)) % 2, 1.0, -1.0)
    return SimpleNamespace(w=SVC(kernel="linear", C=C).fit(y[:, None] * A, y).coef_[0])


def by_the_sample_deviation(X_train, *rest, right=mnist._reduce):
    """Coordinates standardised by n − 1."""
    train, test, *others = right(X_train, *rest)
    share = math.sqrt(1 - 1 / len(X_train))
    return share * train, share * test, *others


INVERSE, ANGLES, INTERVALS = "inverse mirror maps", "angles are signed and resolved", "95 % intervals hold their level"
OTHER_CODE = [  # claim, where, name, what is there instead
    (INVERSE, Lp, "inverse_mirror_map", unsigned_inverse),
    (INVERSE, Lp, "inverse_mirror_map", clamped_inverse),
    (ANGLES, metrics, "angle", unsigned_angle),
    (ANGLES, metrics, "angle", imprecise_angle),
    (INTERVALS, statistics, "CONFIDENCE", 0.90),
    (INTERVALS, statistics, "CONFIDENCE", 0.97),
    (INTERVALS, statistics, "stdtrit", lambda n, p: np.sqrt(2) * erfinv(2 * p - 1)),  # normal quantiles
    (INTERVALS, statistics, "stdtrit", lambda n, p: stdtrit(n + 1, p)),
    ("recipe of G20", exact, "load_dataset", lambda keys, seed: load_dataset(keys, seed=seed + 1)),
    (
        "horizon of cosh: l∞ is the limit of its path",
        limits,
        "least_potential",
        lambda A, m: np.linalg.lstsq(A, np.ones(len(A)))[0],
    ),
    (CONSERVED, Block, "gradient", gradient_of_another_function),
    pytest.param("references agree with a second solver", exact, "soft_margin", with_intercept, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "place", "attribute", "other"), OTHER_CODE)
def test_other_code_is_seen(name, place, attribute, other, monkeypatch, ideal):
    monkeypatch.setattr(place, attribute, other)
    judged = BY_NAME[name].judge(ideal)
    assert judged.verdict == FAIL and not judged.measured.startswith("not measured")


MINIMUM = "value of the factorisation minimum"
least = exact.least_factorisation


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place", "attribute", "other"),
    [
        ("MNIST: separability and margins", mnist, "_reduce", by_the_sample_deviation),
        ("planted data: the direction is ψ_p(a_0)", synthetic, "CLEARANCE", -0.2),  # points before the planted one
        (MINIMUM, exact, "least_factorisation", lambda w, p, widths, starts: least(w, p, (1,) * len(widths), starts)),
        (MINIMUM, exact, "least_factorisation", lambda w, p, widths, starts: least(w, 1.001 * p, widths, starts)),
    ],
)
def test_a_defect_fails_its_claim_and_no_other(name, place, attribute, other, monkeypatch):
    monkeypatch.setattr(place, attribute, other)
    shipped.cases.cache_clear()  # the grids' data are made with the defect too
    failed = {claim.name for claim in UNTRAINED if claim.judge(None).verdict == FAIL}
    shipped.cases.cache_clear()
    assert failed == {name}


@pytest.mark.parametrize(
    "name",
    [
        claim.name if claim.name in (INVERSE, ANGLES, INTERVALS, "recipe of G20")
        else pytest.param(claim.name, marks=pytest.mark.slow)
        for claim in UNTRAINED
    ],
)  # fmt: skip
def test_claims_without_training_pass(name):
    judged = BY_NAME[name].judge(None)
    assert judged.verdict == PASS, judged.measured


@functools.cache
def small_cases():
    """The references of the shipped grids without those of images, which take a minute."""
    with pytest.MonkeyPatch.context() as patch:
        whole = shipped.load_grid
        patch.setattr(shipped, "load_grid", lambda path: SimpleNamespace(
            cells=[cell for cell in whole(path).cells if cell.config["dataset"]["name"] != "mnist"]))  # fmt: skip
        return [case for case in shipped.cases.__wrapped__(True) if len(case.data.A) < 100]


EXACT, AGREE = (claim.name for claim in shipped.CLAIMS.claims)


@pytest.mark.parametrize(
    ("spoil", "failed"),
    [
        (lambda best: best, set()),
        (lambda best: dataclasses.replace(best, gap=2e-7), {EXACT}),
        (lambda best: dataclasses.replace(best, gap=-2e-7), {EXACT}),
        (lambda best: dataclasses.replace(best, kkt=math.nan), {EXACT}),
        (lambda best: dataclasses.replace(best, w=turn(best.w, 1e-4)), {AGREE}),  # with the old certificate
        (lambda best: dataclasses.replace(best, w=-best.w), {AGREE}),
    ],
)
def test_one_spoiled_reference_among_all_is_seen(spoil, failed, monkeypatch):
    kept = [case for case in small_cases() if case.known.max_margin][-4:]
    *rest, last = kept
    p = max(last.known.max_margin)
    worse = last.known.max_margin | {p: spoil(last.known.max_margin[p])}
    spoiled = copy.copy(last.known)
    spoiled.max_margin = worse
    kept = [*rest, dataclasses.replace(last, known=spoiled)]
    monkeypatch.setattr(shipped, "cases", lambda quick: kept)
    assert {claim.name for claim in shipped.CLAIMS.claims if claim.judge(None).verdict == FAIL} == failed


def test_a_second_solver_that_finds_nothing_agrees_with_nothing(monkeypatch):
    small = small_cases()
    monkeypatch.setattr(shipped, "cases", lambda quick: small)
    monkeypatch.setattr(shipped.conic, "solve", lambda A, p: (np.ones(A.shape[1]), np.ones(len(A))))
    assert BY_NAME[AGREE].judge(None).verdict == FAIL


@pytest.mark.slow
def test_every_data_set_and_exponent_of_the_shipped_grids_has_its_reference():
    """Counted another way: by the fingerprints of the data."""
    prints: dict[str, str] = {}
    for path in sorted((ROOT / "grids").glob("*.yaml")):
        for cell in load_grid(path).cells:
            if cell.config["seed"] == 0 or path.stem == "theorems_invariants":
                about = repr([cell.config[key] for key in ("dataset", "digits", "pca")])
                if about not in prints:
                    prints[about] = load_data(cell.config, ROOT / "grids").fingerprint
                (case,) = [c for c in shipped.cases(True) if c.data.fingerprint == prints[about]]
                wanted = {phi.limit_p for phi in potentials_for(cell.config)}
                assert case.known.separability != "separable" or wanted <= set(case.known.max_margin)


# ---- the suite as a command ---------------------------------------------------------------------------------------


def claim_that(holds):
    def measure(evidence):
        if holds is None:
            raise LookupError("no run")
        return Measurement('1.0, "quoted"', holds, ClaimFigure("x", "y", (Series("a", [1, 2], [1, 2]),)))

    return Claim("toy claim", "nobody", "here", "1", "±0", measure, ours=True)


@pytest.mark.parametrize(("holds", "verdict"), [(True, PASS), (False, FAIL), (None, FAIL), (np.bool_(False), FAIL)])
def test_the_table_has_the_columns_of_the_contract(tmp_path, holds, verdict):
    report.write_claims(report.judge(None, [claim_that(holds)]), tmp_path / "claims.csv")
    assert (tmp_path / "claims.csv").read_text().splitlines()[0] == (
        "claim,source,setting,expected,tolerance,measured,verdict"
    )
    (row,) = report.read_claims(tmp_path / "claims.csv")
    assert tuple(row) == COLUMNS
    assert row["source"] == "nobody (ours)"
    assert row["measured"] == ("not measured: LookupError: no run" if holds is None else '1.0, "quoted"')
    assert row["verdict"] == verdict
    assert report.all_pass([row]) == (verdict == PASS)


def test_no_claims_at_all_are_no_success():
    assert not report.all_pass([])
    assert not at_most([], 1)
    assert not at_most([math.nan], 1)
    assert not within([math.nan, 1.0], 1.0, 0.1)


def test_other_columns_are_refused(tmp_path):
    (tmp_path / "claims.csv").write_text("claim,verdict\na,pass\n")
    with pytest.raises(ValueError, match="expected claim, source"):
        report.read_claims(tmp_path / "claims.csv")


@pytest.mark.parametrize(
    ("trained", "verdicts", "status"),
    [(0, [PASS, PASS], 0), (0, [PASS, FAIL], 1), (1, [PASS], 1), (0, [], 1), (2, [PASS], 2), (130, [PASS], 130)],
)
def test_the_exit_status(tmp_path, monkeypatch, capsys, trained, verdicts, status):
    monkeypatch.chdir(tmp_path)
    rows = [dict.fromkeys(COLUMNS, "x") | {"verdict": v} for v in verdicts]
    monkeypatch.setattr(run_verify, "train", lambda options: trained)
    monkeypatch.setattr(run_verify, "judge", lambda options: rows)
    assert run_verify.main([]) == status
    if trained < 2:
        assert f"{verdicts.count(PASS)} of {len(verdicts)} claims pass" in capsys.readouterr().out


def test_the_command_trains_every_grid_and_stale_cells_again(monkeypatch):
    from mdcore import run_grid

    calls = []
    monkeypatch.setattr(run_grid, "main", lambda argv: calls.append(argv) or 0)
    assert run_verify.train(run_verify.parser().parse_args(["--quick", "--jobs", "2"])) == 0
    assert [Path(argv[1]).stem for argv in calls] == sorted(
        (p.stem for p in (ROOT / "grids").glob("theorems*.yaml")), key=[p.grid for p in PARTS.values()].index
    )
    assert all("--rerun" in argv and argv[argv.index("--rerun") + 1] == "stale" for argv in calls)
    assert any("seed=0" in argv for argv in calls)


def test_a_failed_claim_fails_the_notebook_run(tmp_path):
    """The whole way without any run: every trained claim fails, says why, and the table is there all the same."""
    claims = [claim for claim in TRAINED if claim.name != CONSERVED]  # which trains by itself, and needs no run
    verdicts = report.judge(Evidence(tmp_path, quick=True), claims)
    failed = [v for v in verdicts if v.verdict == FAIL]
    assert len(failed) == len(claims)
    assert all("no run of theorems" in v.measured for v in failed)
    made = report.sections(verdicts, tmp_path, quick=True)
    assert "no figure" in made["limits"].html()


def test_a_figure_a_claim(tmp_path, ideal):
    (tmp_path / "figures").mkdir()
    verdicts = report.judge(ideal, [BY_NAME["own norm is smallest"], BY_NAME["constant step: loss ~ 1/t"]])
    made = report.sections(verdicts, tmp_path, quick=False)
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    assert names == {f"{figures.stem(v.claim.name)}.{kind}" for v in verdicts for kind in ("png", "pdf")}
    assert "data:image/png" in made["limits"].html()
    assert made["answer"].html().count("2 of 2 claims pass") == 1


def test_names_of_claims_and_figures_are_different():
    assert len(BY_NAME) == len(report.CLAIMS)
    assert len({figures.stem(name) for name in BY_NAME}) == len(report.CLAIMS)
