"""Small samples of `make fuzz` and of the analyses under faults of `make chaos`, and that both instruments can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from random import Random

import analysis_faults
import fuzz
import pandas as pd
import pytest
from processes import in_a_fork

from mdcore.store.drafts import _held


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return fuzz.Fuzz(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.slow
def test_no_damage_to_a_file_changes_a_number_in_silence(place):
    random = Random(1)
    rows = [place.one(random) for _ in range(40)]
    assert not [row for row in rows if row[2].startswith("SILENT")]
    came = Counter(row[2] for row in rows)
    assert came["told"] and came["refused"] and len({row[0] for row in rows}) >= 6
    assert fuzz.verdict(place.before, place.run) == "unchanged"  # every trial is mended


def test_the_fuzz_sees_a_number_that_changes_in_silence(place, monkeypatch):
    """Checksums that are not looked at, and no number that is computed again."""
    monkeypatch.setattr(
        "mdcore.store.commits.sha256",
        lambda path: json.loads((path.parent / "stack.json").read_bytes())["files"][path.name],
    )
    monkeypatch.setattr("mdcore.store.reading.recomputed.contradiction", lambda *_: "")
    (table, *_) = sorted(place.run.glob("stacks/[!.]*/final.parquet"))
    good = table.read_bytes()
    frame = pd.read_parquet(table)
    frame.assign(gap=frame["gap"] * 0.5).to_parquet(table, index=False)
    assert fuzz.verdict(place.before, place.run).startswith("SILENT")
    table.write_bytes(good)


def test_a_second_analysis_waits_for_the_lock_of_the_first_and_not_the_first_for_it(tmp_path):
    file = tmp_path / "order"

    def second() -> int:
        with _held(tmp_path):
            file.write_text(file.read_text() + " second")
        return 0

    def first() -> int:
        with _held(tmp_path):
            analysis_faults.doubled(second)
            file.write_text("first")
        analysis_faults.others_have_ended()
        return 0

    assert in_a_fork(first) == 0 and file.read_text() == "first second"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_analyses_under_faults_leave_whole_results_and_touch_nothing_else(tmp_path):
    argv = [sys.executable, analysis_faults.__file__, "--faults", "10", "--output_dir", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed: 1" in (tmp_path / "analysis.md").read_text()
