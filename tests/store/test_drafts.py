"""Results are put in place as a whole, whatever ends the process, and nothing of anybody else's is touched."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from processes import in_a_fork

from mdcore.store import drafts
from mdcore.store.drafts import LISTING, PREFIX, Draft, exchange, listing
from mdcore.store.runs import RunError


def write(target: Path, **files: str) -> Draft:
    with Draft(target) as draft:
        for name, text in files.items():
            file = draft.path / name.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    return draft


def tree(place: Path) -> dict[str, str]:
    files = (p for p in place.rglob("*") if p.is_file() and p.name != LISTING)
    return {str(p.relative_to(place)): p.read_text() for p in files}


def test_a_second_draft_replaces_the_files_of_the_first_and_keeps_those_of_others(tmp_path):
    out = tmp_path / "out"
    write(out, a="1", figures__one="1", figures__two="1")
    (out / "figures" / "photo").write_text("mine")
    (out / "deep" / "deeper").mkdir(parents=True)
    (out / "empty").mkdir()
    (out / "deep" / "deeper" / "notes").write_text("mine")
    (out / "link").symlink_to("figures/photo")
    inode = (out / "figures" / "photo").stat().st_ino
    write(out, a="2", figures__one="2")
    theirs = {"figures/photo": "mine", "deep/deeper/notes": "mine", "link": "mine"}
    assert tree(out) == {"a": "2", "figures/one": "2"} | theirs
    assert (out / "figures" / "photo").stat().st_ino == inode and (out / "figures" / "photo").stat().st_nlink == 1
    assert (out / "link").is_symlink() and (out / "empty").is_dir()
    assert set(listing(out)) == {"a", "figures/one"}
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("how", ["no listing", "edited", "in the way", "inside a run", "a file", "a false listing"])
def test_what_is_somebody_elses_is_refused_and_left(tmp_path, how):
    out = tmp_path / "out"
    if how in ("edited", "in the way"):
        write(out, a="1")
        (out / ("a" if how == "edited" else "b")).write_text("mine")
    elif how == "inside a run":
        (tmp_path / "manifest.json").write_text("{}")
    elif how == "a file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "a").write_text("mine")
        if how == "a false listing":
            (out / LISTING).write_text('{"files": {"a": "0"}, "sha256": "0"}')
    before = tree(tmp_path)
    with pytest.raises(RunError, match="run" if how == "inside a run" else "out"):
        write(out, a="2", b="2")
    assert tree(tmp_path) == before and not list(tmp_path.glob(f"{PREFIX}*"))


def test_a_draft_that_fails_leaves_no_trace(tmp_path):
    write(tmp_path / "out", a="1")
    with pytest.raises(ValueError), Draft(tmp_path / "out") as draft:
        (draft.path / "a").write_text("2")
        raise ValueError
    assert tree(tmp_path) == {"out/a": "1"} and os.listdir(tmp_path) == ["out"]


def test_two_drafts_of_one_place_do_not_mix(tmp_path):
    with Draft(tmp_path / "out") as one:
        (one.path / "a").write_text("1")
        (one.path / "only one").write_text("1")
        with Draft(tmp_path / "out") as two:  # does not take the first for a leftover
            (two.path / "a").write_text("2")
    assert tree(tmp_path) == {"out/a": "1", "out/only one": "1"}


def test_only_a_workspace_that_is_proved_ours_is_removed(tmp_path):
    """A directory of the user's with our name; one with a copy of our mark; one of another place; a living one."""
    for name in (f"{PREFIX}mine", f"{PREFIX}copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis").write_text("mine")
    with Draft(tmp_path / "other") as living:
        (tmp_path / f"{PREFIX}copy" / drafts.MARK).write_bytes((living.workspace / drafts.MARK).read_bytes())
        before = tree(tmp_path)
        write(tmp_path / "out", a="1")
        assert tree(tmp_path) == before | {"out/a": "1"}
        drafts.clean(living.target)
        assert living.path.is_dir()


def test_what_comes_into_the_place_during_the_swap_is_kept(tmp_path, monkeypatch):
    write(tmp_path / "out", a="1")

    def late(draft, target):
        (target / "late").write_text("mine")
        (target / "a").write_text("edited")
        exchange(draft, target)

    monkeypatch.setattr(drafts, "exchange", late)
    (left,) = write(tmp_path / "out", a="2").left
    assert tree(left) == {"late": "mine", "a": "edited"} and tree(tmp_path / "out") == {"a": "2"}
    monkeypatch.undo()
    write(tmp_path / "out", a="3")
    assert tree(left) == {"late": "mine", "a": "edited"}


EVENTS = ("open", "os.rename", "os.link", "os.mkdir", "os.rmdir", "os.remove")


def killed_at(moment: int, target: Path, two_renames: bool) -> int:
    """A draft for `target` in a process that is killed before its `moment`-th change of a directory or opened file.

    Returns its exit status; with the moment 0, at which none is killed, the number of moments.
    """
    seen = 0

    def look(event: str, _) -> None:
        nonlocal seen
        seen += event in EVENTS
        if event in EVENTS and seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> int:
        if two_renames:
            set_errno = ctypes.set_errno
            drafts.ctypes = SimpleNamespace(CDLL=lambda *_, **__: None, set_errno=set_errno, get_errno=lambda: 22)
        sys.addaudithook(look)
        write(target, a="2", b="2")
        return seen

    return in_a_fork(work)


@pytest.mark.parametrize(
    "two_renames", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["exchange", "two-renames"]
)
def test_killed_at_any_moment_the_results_are_the_earlier_or_the_new_ones(tmp_path, two_renames):
    """SIGKILL before every system call that changes a directory or opens a file, one after the other."""
    write(tmp_path / "0" / "out", a="1", b="1")
    moments = killed_at(0, tmp_path / "0" / "out", two_renames)
    assert moments > 30
    for moment in range(1, moments + 1):
        out = tmp_path / str(moment) / "out"
        write(out, a="1", b="1")
        (out / "mine").write_text("mine")
        assert killed_at(moment, out, two_renames) == -signal.SIGKILL
        either = [{"a": n, "b": n, "mine": "mine"} for n in "12"]
        if not two_renames:
            assert tree(out) in either, moment
        drafts.clean(out)
        assert tree(out) in either, moment
        write(out, a="3")
        assert tree(out) == {"a": "3", "mine": "mine"}, moment
        left = [p for p in out.parent.iterdir() if p != out]
        assert not any((p / "out").exists() for p in left), moment  # at most a workspace without its mark


def test_a_full_disk_leaves_the_earlier_results(tmp_path, monkeypatch):
    write(tmp_path / "out", a="1")
    calls = count()

    def until_full(real, *args, **more):
        if next(calls) == moment:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **more)

    for moment in range(40):
        calls = count()
        with monkeypatch.context() as patch:
            for name in ("link", "rename", "replace", "fsync", "mkdir"):
                patch.setattr(os, name, partial(until_full, getattr(os, name)))
            try:
                write(tmp_path / "out", a="2", b="2")
            except OSError as error:
                assert error.errno == errno.ENOSPC
        if next(calls) <= moment:
            break
        assert tree(tmp_path / "out") in ({"a": "1"}, {"a": "2", "b": "2"})
        write(tmp_path / "out", a="1")
        assert tree(tmp_path / "out") == {"a": "1"}
    assert moment > 8
