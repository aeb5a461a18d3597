"""make bundle: what an archive holds and what it refuses, how it is unpacked, and that it makes the run again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest
import small_runs
from fake_grids import ROOT
from processes import assert_same_results

from mdcore import run_bundle
from mdcore.files import sealed
from mdcore.store.bundles import archive, contents, reproduction
from mdcore.store.bundles.data_places import moved_grid, without_places
from mdcore.store.commits import committed
from mdcore.store.drafts import Draft
from mdcore.store.runs import RunError, read_manifest, read_run, run_of

TABLE = "hours,age,passed\n1.5,23,no\n2,31,no\n3.5,25,no\n4,22,no\n5,24,yes\n6.5,27,yes\n7,21,yes\n8.5,33,yes\n"
OWN = '''
import numpy as np
from mdcore.math.potentials import Potential


class Cubic(Potential):
    name, limit_p = "cubic", 3.0

    def value_per_entry(self, w):
        return w.abs() ** 3 / 3

    def mirror_map(self, w):
        return w.sign() * w**2

    def inverse_mirror_map(self, z, out=None):
        root = z.sign() * z.abs().sqrt()
        return root if out is None else out.copy_(root)


def largest_share(w, data):
    """Share of the largest entry."""
    return float(np.abs(w).max() / np.abs(w).sum())
'''
GRID = """
question: Does it travel?
fixed:
  dataset: {name: file, path: my_data.csv, label: passed, split: by_seed}
  step: {rule: normalized, eta: 100, anneal: 4}
  epochs: 60
  width: 3
  metrics: ["mine:largest_share"]
vary:
  potential: [quadratic, "mine:Cubic"]
  depth: [1, 2]
  seed: [0, 1]
"""
RUN = "20250101_own"


def write_own(folder: Path) -> Path:
    file = small_runs.write(folder, GRID, mine=OWN)
    (folder / "my_data.csv").write_text(TABLE)
    return file


def analyse(site: Path) -> None:
    """What an analysis leaves that a bundle looks at."""
    with Draft(site / "analysis_results/own") as draft:
        read_run(site / "runs_out" / RUN).final.to_csv(draft.path / "master.csv", index=False)
        (draft.path / "provenance.json").write_text(json.dumps({"run": RUN, "date": "2025-01-01"}))
        (draft.path / "report.html").write_text("the report of 2025-01-01")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """own/ (grid, data, plug-in), runs_out/ and analysis_results/; the run finds its data wherever all this lies."""
    site = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        run = site / "runs_out" / RUN
        small_runs.train(write_own(site / "own"), run, patch)
        manifest = read_manifest(run)
        moved = {"grid_yaml": moved_grid(manifest["grid_yaml"], "../../own", {})}
        (run / "manifest.json").write_text(sealed(manifest | moved))
        analyse(site)
    return site


@pytest.fixture
def site(trained, tmp_path, monkeypatch) -> Path:
    place = tmp_path / "site"
    shutil.copytree(trained, place)
    monkeypatch.chdir(place)
    return place


def bundle(**request) -> contents.Bundle:
    return contents.gather(contents.BundleRequest("own", **request))


def packed(path: Path, **files: bytes) -> Path:
    """A small archive in the form of a bundle."""
    listed = {name: {"sha256": hashlib.sha256(text).hexdigest(), "size": len(text)} for name, text in files.items()}
    index = {"format": contents.FORMAT, "run": RUN, "files": listed}
    archive.write(contents.Bundle("mdcore-own", dict(files), index), path)
    return path


@pytest.fixture
def small(tmp_path) -> Path:
    return packed(tmp_path / "own.tar.gz", **{"data/a.csv": b"1,2", "mdcore/x.py": b"x = 1\n"})


def test_an_archive_holds_everything_by_content(site, tmp_path):
    assert run_bundle.main(["--tag", "own", "--output", "own.tar.gz"]) == 0
    first = Path("own.tar.gz").read_bytes()
    os.utime("own/my_data.csv", (1, 1))
    archive.write(bundle(), Path("own.tar.gz"))
    assert Path("own.tar.gz").read_bytes() == first  # the same files give the same archive
    place = archive.unpack(Path("own.tar.gz"), tmp_path / "elsewhere")
    assert place == tmp_path / "elsewhere/mdcore-own"
    same = {
        "data/my_data.csv": "own/my_data.csv",
        f"runs_out/{RUN}/mine.py": "own/mine.py",
        "analysis_results/own/master.csv": "analysis_results/own/master.csv",
        "mdcore/math/engine/trainer.py": ROOT / "mdcore/math/engine/trainer.py",
        "notebooks/train_cell.ipynb": ROOT / "notebooks/train_cell.ipynb",
        "requirements.txt": ROOT / "requirements.txt",
        "Makefile": ROOT / "Makefile",
    }
    for name, original in same.items():
        assert (place / name).read_bytes() == (site / original).read_bytes(), name
    listed = json.loads((place / "bundle.json").read_text())["files"]
    there = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()} - {"bundle.json"}
    assert there == listed.keys() and not any("__pycache__" in name or name.startswith("grids/") for name in there)
    for name, each in listed.items():
        assert hashlib.sha256((place / name).read_bytes()).hexdigest() == each["sha256"]
    run = read_run(place / "runs_out" / RUN)
    assert "data_dir: ../../data" in run.grid_yaml
    assert_same_results(read_run(site / "runs_out" / RUN), run)
    readme = (place / "README.md").read_text()
    assert "> Does it travel?" in readme and "8 cells, 8 of them" in readme and "`data/my_data.csv`" in readme
    assert "Not whole" not in readme and "not here" not in readme


def test_an_archive_replaces_none_but_ours(small):
    packed(small, b=b"2")
    assert archive.is_bundle(small)
    small.write_bytes(b"a letter of mine")
    with pytest.raises(RunError, match="exists and is no bundle; nothing was touched"):
        packed(small)
    assert small.read_bytes() == b"a letter of mine"


def test_data_may_stay_at_home(site, tmp_path):
    made = bundle(leave_out=("my_data.csv=the clinic, on request",))
    digest = hashlib.sha256(TABLE.encode()).hexdigest()
    assert [name for name in made.files if name.startswith("data/")] == ["data/README.md"]
    (entry,) = made.index["data"]
    assert entry["sha256"] == {"my_data.csv": digest} and "the clinic, on request" in entry["what"]
    for words in ("Data that are not here", "`data/my_data.csv`", digest, "the clinic, on request"):
        assert words in made.files["README.md"].decode()
    assert bundle(largest_mb=1e-6).index["data"][0]["why"] == "larger than 1e-06 MB (--largest_mb)"
    (site / "own/my_data.csv").unlink()  # what does not travel need not be there
    assert bundle(leave_out=("my_data.csv",)).index["data"][0]["sha256"] == {"my_data.csv": digest}
    with pytest.raises(RunError, match=r"--leave_out: got 'my_date.csv'; .*did you mean 'my_data.csv'\?"):
        bundle(leave_out=("my_date.csv",))


def test_what_is_left_out_is_asked_for_and_found(site, capsys):
    run, file = Path("runs_out", RUN), site / "own/my_data.csv"
    asked = (run, read_manifest(run), committed(run))
    assert not reproduction._lacking(*asked)
    file.unlink()
    assert len(reproduction._lacking(*asked)) == 8
    printed = capsys.readouterr().out
    assert f"at {file}" in printed and hashlib.sha256(TABLE.encode()).hexdigest() in printed
    file.write_text(TABLE + "1,1,no\n")
    assert len(reproduction._lacking(*asked)) == 8
    assert "my_data.csv has changed since the run" in capsys.readouterr().out


def test_what_data_sets_of_ones_own_read_is_added(site):
    (site / "own/deep").mkdir()
    (site / "own/deep/more.txt").write_text("1")
    (site / "aside.txt").write_text("2")
    files = bundle(add=("own/deep/more.txt", "aside.txt")).files
    assert {"data/deep/more.txt", "data/aside.txt"} <= files.keys()
    with pytest.raises(RunError, match=r"--add: none\.txt is no file"):
        bundle(add=("none.txt",))


def edit_analysis(site):
    (site / "analysis_results/own/report.html").write_text("edited")


def older_analysis(site):
    with Draft(site / "analysis_results/own") as draft:
        pd.DataFrame({"cell_id": ["x"], "status": ["y"], "weight_norm": [1.0]}).to_csv(draft.path / "master.csv")
        (draft.path / "provenance.json").write_text(json.dumps({"run": RUN}))


def lose_a_stack(site):
    shutil.rmtree(min((site / "runs_out" / RUN / "stacks").glob("[!.]*")))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda site: (site / "runs_out" / RUN).rename(site / "runs_out/20250101_owl"), r"own.*did you mean 'owl'\?"),
        (lambda site: shutil.rmtree(site / "analysis_results"), r"no analysis of .*: make analysis TAG=own"),
        (edit_analysis, r"report.html was edited or removed since the analysis"),
        (older_analysis, r"does not show the results that .* holds now; analyse it: make analysis TAG=own"),
        (lose_a_stack, r"cells have no result\nGo on with the run .* or bundle it as it is with --as_it_is"),
        (lambda site: (site / "own/my_data.csv").write_text(TABLE + "9,9,yes\n"), "has changed since the run"),
        (lambda site: (site / "own/my_data.csv").unlink(), r"my_data.csv does not exist; .*--leave_out my_data.csv"),
        (lambda site: (site / "runs_out" / RUN / "mine.py").unlink(), "does not hold its plug-in mine.py"),
        (lambda site: (site / "runs_out" / RUN / "mine.py").write_text(OWN + "\n"), "trained: plug-in mine.py changed"),
    ],
    ids=["tag", "no analysis", "edited", "older", "unfinished", "changed", "gone", "no plug-in", "other plug-in"],
)
def test_what_would_not_reproduce_is_refused(site, capsys, harm, message):
    harm(site)
    assert run_bundle.main(["--tag", "own"]) == 2
    printed = capsys.readouterr()
    assert re.search(message, printed.err), printed.err
    assert not printed.out and not list(site.glob("analysis_results/*.tar.gz"))


def test_an_unfinished_run_is_bundled_on_request_and_says_so(site):
    lose_a_stack(site)
    (site / "runs_out" / RUN / "mine.py").write_text(OWN + "\n")
    analyse(site)
    made = bundle(as_it_is=True)
    assert len(made.index["reservations"]) == 2
    assert made.files["README.md"].decode().count("**Not whole**: ") == 2


def rewritten(path: Path, change) -> Path:
    """The archive with its members [(TarInfo, content)] changed."""
    with tarfile.open(path) as old:
        members = [(member, old.extractfile(member).read()) for member in old]
    change(members)
    with tarfile.open(path.with_name("evil.tar.gz"), "w:gz") as new:
        for member, content in members:
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return path.with_name("evil.tar.gz")


def added(name, kind=tarfile.REGTYPE, link=""):
    def change(members):
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        members.append((member, b"evil" if kind == tarfile.REGTYPE else b""))

    return change


def spoil(members):
    members[-1] = (members[-1][0], members[-1][1][:-1] + b"!")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (added("../evil.py"), "leads out of the archive's directory"),
        (added("/tmp/evil.py"), "leads out"),
        (added("mdcore-own/../../evil.py"), "leads out"),
        (added("other/evil.py"), "leads out"),
        (added("mdcore-own/mdcore", tarfile.SYMTYPE, "/tmp"), "is no plain file"),
        (added("mdcore-own/link", tarfile.LNKTYPE, "../../evil.py"), "is no plain file"),
        (added("mdcore-own/pipe", tarfile.FIFOTYPE), "is no plain file"),
        (added("mdcore-own/evil.py"), "not as its bundle.json says"),
        (lambda members: members.append(members[-1]), "not as its bundle.json says"),
        (lambda members: members.pop(), "is missing"),
        (spoil, "is not as it was packed"),
        (lambda members: members.pop(0), "does not begin with bundle.json"),
        (lambda members: members.__setitem__(0, (members[0][0], b"{}")), "its bundle.json cannot be used"),
    ],
    ids=["up", "absolute", "winding", "beside", "symlink", "hard link", "pipe", "more", "twice", "less", "changed",
         "no index", "no seal"],
)  # fmt: skip
def test_nothing_is_unpacked_blindly(small, tmp_path, capsys, change, message):
    evil = rewritten(small, change)
    assert run_bundle.main(["--unpack", str(evil), "--output_dir", str(tmp_path / "there")]) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "there").iterdir()) and not list(tmp_path.glob("evil.py"))


def test_a_damaged_archive_and_a_place_that_is_taken_are_told(small, tmp_path):
    archive.unpack(small, tmp_path)
    with pytest.raises(RunError, match="exists; nothing was unpacked"):
        archive.unpack(small, tmp_path)
    small.write_bytes(small.read_bytes()[:100])
    (tmp_path / "table.csv").write_text(TABLE)
    for broken in (small, tmp_path / "table.csv", tmp_path / "none.tar.gz"):
        with pytest.raises(RunError, match=r"cannot be read as a bundle|does not exist"):
            archive.unpack(broken, tmp_path / "there")


def test_a_bundle_that_was_changed_is_not_run(small, tmp_path, capsys):
    place = archive.unpack(small, tmp_path)
    (place / "data/a.csv").write_text("1,3")
    assert run_bundle.main(["--reproduce", str(place)]) == 2
    assert "data/a.csv is not as it was packed; nothing was run" in capsys.readouterr().err
    assert run_bundle.main(["--reproduce", str(tmp_path)]) == 2
    assert "is no unpacked bundle" in capsys.readouterr().err


def test_the_quickest_condition_is_chosen_with_all_that_was_trained_beside_it(site):
    run = Path("runs_out", RUN)
    manifest, state = read_manifest(run), committed(run)
    ids = [cell["cell_id"] for cell in manifest["cells"]]
    assert sorted(reproduction.chosen(manifest, state, set(), False)) == sorted(ids)  # two seeds, two stacks
    assert reproduction.chosen(manifest, state, set(ids), True) == []
    manifest["cells"] = [cell for cell in manifest["cells"] if cell["config"]["seed"] == 0]
    ids = [cell["cell_id"] for cell in manifest["cells"]]
    assert sorted(reproduction.chosen(manifest, state, set(), False)) == sorted(ids)


def test_one_bit_is_a_difference(site):
    run = site / "runs_out" / RUN
    then, now = read_run(run), read_run(run)
    cells = [cell["cell_id"] for cell in then.cells]
    now.final["seconds"] += 1
    assert list(reproduction.differences(then, now, cells)) == []
    now.final.loc[1, "weight_norm"] *= 1 + 2**-52
    now.history.loc[3, "loss"] *= 1 + 2**-52
    now.predictors[cells[2]] = -now.predictors[cells[2]]
    differences = list(reproduction.differences(then, now, cells))
    assert [line.split(":")[0] for line in differences] == ["final", "history", "predictors"]
    assert cells[1] in differences[0] and "loss differs in 1 rows" in differences[1] and cells[2] in differences[2]
    assert list(reproduction.differences(then, now, cells[3:])) == []


def test_a_grid_is_shown_without_the_places_of_a_machine():
    text = "# head\nquestion: q\ndata_dir: /home/me\nfixed:\n  dataset: {name: file, path: /home/me/a.csv, label: y}\n"
    cells = [{"config": {"dataset": {"name": "file", "path": "/home/me/a.csv", "label": "y"}}}]
    shown = without_places(text, cells)
    assert "/home" not in shown and "path: a.csv" in shown and shown.startswith("# head\nquestion: q\nfixed:\n")
    moved = moved_grid(text, "../../data", {"/home/me/a.csv": "2/a.csv"})
    assert "data_dir: ../../data" in moved and "path: 2/a.csv" in moved
    assert without_places(moved, [{"config": {"dataset": {"name": "file", "path": "2/a.csv"}}}]) == shown
    assert without_places("question: q\n", []) == "question: q\n"


def command(place: Path, name: str, *words: str, source: Path = ROOT) -> str:
    argv = [sys.executable, "-m", f"mdcore.{name}", *words]
    env = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(argv, cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)  # six commands, each of which starts kernels, on whatever machine
def test_a_bundle_makes_the_run_again_where_nothing_of_the_original_is_left(tmp_path):
    """Own CSV, potential, metric and style; data, plug-in, run and analysis are gone before it is unpacked."""
    home, away = tmp_path / "home", tmp_path / "away"
    write_own(home / "own")
    (home / "own/own.style.yaml").write_text("figures: [final_angles]\n")
    command(home, "run_grid", "--config", "own/grid.yaml", "--tag", "own", "--jobs", "1")
    command(home, "run_analysis", "--tag", "own", "--style", "own/own.style.yaml")
    assert "bundle: analysis_results/own.tar.gz" in command(home, "run_bundle", "--tag", "own")
    shutil.move(home / "analysis_results/own.tar.gz", tmp_path / "own.tar.gz")
    shutil.rmtree(home)
    place = away / "mdcore-own"
    printed = command(tmp_path, "run_bundle", "--unpack", "own.tar.gz", "--output_dir", str(away))
    assert f"cd {place} && python -m mdcore.run_bundle --reproduce ." in printed
    printed = command(place, "run_bundle", "--reproduce", ".", source=place)
    assert "every predictor is equal to the bit" in printed and "all of it is equal, to the bit" in printed
    texts = [path for path in away.rglob("*") if path.suffix in (".json", ".yaml", ".md", ".html")]
    assert texts and not [path for path in texts if str(home) in path.read_text(errors="replace")]
    again, first = (read_run(run_of(place / runs, "own")) for runs in ("reproduced/runs_out", "runs_out"))
    assert again.final["metric.mine:largest_share"].tolist() == first.final["metric.mine:largest_share"].tolist()
    assert len(list((place / "reproduced/analysis_results/own/figures").glob("*.png"))) == 1
