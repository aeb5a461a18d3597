"""The suite as a whole: all claims judged, claims.csv, and the sections of the report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mdcore.analysis.report.document import Figure, Section, Table, Text
from mdcore.verification import figures
from mdcore.verification.claim import COLUMNS, FAIL, PASS, Claim, JudgedClaim
from mdcore.verification.claims import bounds, coverage, decisions, exact, limits, overlap, rates, shipped, structure
from mdcore.verification.evidence import Evidence

GROUPS: dict[str, tuple[str, list[Claim]]] = {
    "limits": ("Limit directions", limits.CLAIMS.claims),
    "rates": ("Rates", rates.CLAIMS.claims),
    "structure": ("Layers, neurons, invariants, certificates", structure.CLAIMS.claims),
    "overlap": ("Data that no hyperplane separates", overlap.CLAIMS.claims),
    "statistics": ("Intervals over seeds", coverage.CLAIMS.claims),
    "exact": ("Closed forms and references", [*exact.CLAIMS.claims, *shipped.CLAIMS.claims]),
    "bounds": ("Certificates", bounds.CLAIMS.claims),
    "decisions": ("Verdicts of the report", decisions.CLAIMS.claims),
}
CLAIMS: list[Claim] = [claim for _, claims in GROUPS.values() for claim in claims]


def judge(evidence: Evidence, claims: Iterable[Claim] = CLAIMS) -> list[JudgedClaim]:
    """Every claim measured on `evidence`, in order."""
    return [claim.judge(evidence) for claim in claims]


def write_claims(judged: list[JudgedClaim], path: Path) -> None:
    """claims.csv: claim, source, setting, expected, tolerance, measured, verdict."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([one.row() for one in judged], columns=list(COLUMNS)).to_csv(path, index=False)


def read_claims(path: Path) -> list[dict[str, str]]:
    """The rows of claims.csv. Raises ValueError where its columns are others."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table) != COLUMNS:
        raise ValueError(f"{path.name}: columns {list(table)}; expected {', '.join(COLUMNS)}")
    return table.to_dict("records")


def all_pass(rows: list[dict[str, str]]) -> bool:
    """True where there are claims and every one of them passed."""
    return bool(rows) and all(row["verdict"] == PASS for row in rows)


def build(runs_dir: str | Path, output_dir: str | Path, quick: bool = False) -> dict[str, Section]:
    """Judge every claim, write claims.csv and figures/, and return the report's sections by key."""
    output_dir = Path(output_dir)
    judged = judge(Evidence(runs_dir, quick))
    write_claims(judged, output_dir / "claims.csv")
    return sections(judged, output_dir, quick)


def sections(judged: list[JudgedClaim], output_dir: Path, quick: bool) -> dict[str, Section]:
    """The sections: the answer, the table of claims, and a section of figures for each group."""
    (output_dir / "figures").mkdir(parents=True, exist_ok=True)
    by_name = {one.claim.name: one for one in judged}
    failed = [one for one in judged if one.verdict == FAIL]
    headline = f"{len(judged) - len(failed)} of {len(judged)} claims pass."
    blocks = [Text(headline, lead=True)]
    blocks += [Text(f"FAILED: {v.claim.name}: {v.measured}; expected {v.claim.expected}") for v in failed]
    if quick:
        blocks.append(Text("Quick suite: one seed of each experiment."))
    rows = [list(one.row().values()) for one in judged]
    out = {
        "answer": Section("answer", "Does the software reproduce the theorems?", blocks),
        "claims": Section("claims", "Claims", [Table(list(COLUMNS), rows)]),
    }
    number = 0
    for key, (title, claims) in GROUPS.items():
        shown: list[Text | Figure] = []
        for one in (by_name[claim.name] for claim in claims if claim.name in by_name):
            if one.figure is None:
                shown.append(Text(f"{one.claim.name}: no figure; {one.measured}"))
                continue
            number += 1
            place = figures.save(one.figure, one.claim.name, output_dir / "figures")
            caption = (
                f"{one.claim.name}. {one.claim.setting}. Expected: {one.claim.expected} "
                f"({one.claim.tolerance}). Measured: {one.measured}. {one.verdict.capitalize()}."
            )
            shown.append(Figure(place, caption, f"Prediction against data: {one.claim.name}", number))
        out[key] = Section(key, title, shown)
    return out


def table(rows: list[dict[str, str]]) -> str:
    """The claims as lines for a terminal: verdict, claim, expected, measured."""
    width = max((len(row["claim"]) for row in rows), default=0)
    lines = []
    for row in rows:
        lines.append(f"{row['verdict'].upper():4}  {row['claim']:{width}}  {row['measured']}")
        if row["verdict"] != PASS:
            lines.append(f"      {'':{width}}  expected {row['expected']} ({row['tolerance']})")
    passed = sum(row["verdict"] == PASS for row in rows)
    return "\n".join([*lines, f"{passed} of {len(rows)} claims pass"])
