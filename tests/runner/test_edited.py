"""What decides a number is hashed where it was loaded: a stack of other code than the run's is not kept."""

from __future__ import annotations

import json
import sys

import nbformat
import pytest
from fake_stacks import leave_results, results
from processes import runner_for

from mdcore.config.plugins import loading as plugins
from mdcore.runner import execution
from mdcore.runner.execution import StackResult, Status
from mdcore.runner.runner import Trial
from mdcore.runner.stacks import Stack
from mdcore.store import fingerprint
from mdcore.store.commits import NOTEBOOK, committed
from mdcore.store.fingerprint import PROCESSOR, code_parts, loaded_parts, notebook_sha256

SOURCE = "def m(w, data):\n    return 0.0\n"


def test_a_plugin_is_known_by_the_bytes_that_were_run(tmp_path):
    (tmp_path / "pp.py").write_text(SOURCE)
    (before,) = code_parts([tmp_path / "pp.py"]).keys() - code_parts().keys()
    plugins._load("pp:m", tmp_path)
    (tmp_path / "pp.py").write_text(SOURCE + "# edited\n")
    was = loaded_parts()[before]
    assert was != code_parts([tmp_path / "pp.py"])[before]
    (tmp_path / "pp.py").write_text(SOURCE)
    assert was == code_parts([tmp_path / "pp.py"])[before]


def test_a_module_is_known_as_it_was_when_it_was_imported(monkeypatch):
    """The server of kernels remembers what it has imported; what changes on the disk later is not what runs."""
    name, on_disk = "mdcore/config/plugins/loading.py", fingerprint.sources()
    monkeypatch.setattr(fingerprint, "_loaded", {})
    fingerprint.remember(on_disk)
    assert loaded_parts().items() >= {name: on_disk[name], PROCESSOR: code_parts()[PROCESSOR]}.items()
    monkeypatch.setattr(fingerprint, "sources", lambda: on_disk | {name: "0" * 64})
    assert loaded_parts()[name] == on_disk[name]
    fingerprint.remember(on_disk)
    assert loaded_parts()[name] == "edited while it was loaded"
    monkeypatch.setattr(fingerprint, "_loaded", {})
    assert loaded_parts()[name] == "0" * 64
    assert "mdcore/runner/runner.py" not in loaded_parts() and "mdcore.runner.runner" in sys.modules


def test_a_notebook_is_known_by_its_code_executed_or_not(tmp_path):
    def written(*cells):
        nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), tmp_path / "n.ipynb")
        return notebook_sha256(tmp_path / "n.ipynb")

    code = nbformat.v4.new_code_cell("a = 1\nb = 2")
    unexecuted = written(code)
    parameters = nbformat.v4.new_code_cell("a = 9", metadata={"tags": ["injected-parameters"]})
    code.outputs = [nbformat.v4.new_output("stream", text="said")]
    assert unexecuted == written(code, parameters, nbformat.v4.new_markdown_cell("words"))
    assert unexecuted != written(nbformat.v4.new_code_cell("a = 1\nb = 3"))
    assert notebook_sha256(tmp_path / "none").startswith("unreadable")


@pytest.mark.parametrize(
    ("loaded", "source", "says"),
    [
        ({"code": "1", PROCESSOR: "another"}, "pass", ""),
        ({"code": "1", "not of the run": "2"}, "pass", ""),
        ({"code": "2"}, "pass", "code 1 -> 2"),
        ({"code": "1"}, "edited", "train_cell.ipynb changed"),
    ],
)
def test_a_stack_of_other_code_ends_the_run_and_is_not_kept(run, monkeypatch, loaded, source, says):
    notebook = run.path.parent / NOTEBOOK
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("pass")]), notebook)
    monkeypatch.setattr(execution, "TRAIN_NOTEBOOK", notebook)
    trial = Trial(Stack(tuple(run.grid.cells[:4])))
    runner = runner_for(run.path, [trial.stack])
    place = runner.prepare(trial).place
    runner.show_begun(trial)
    output = place / "out-1"
    notes = leave_results(output, results(run.ids[:4])) | {"loaded": loaded}
    (output / "results.json").write_text(json.dumps(notes))
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), output / NOTEBOOK)
    before = len(committed(run.path).records)
    assert runner.guarded_follow_up(trial, StackResult(Status.DONE, output, 1.0)) == []
    assert (says in runner.result.fatal) and bool(says) == runner.stopping.is_set()
    assert len(committed(run.path).records) == before + (not says)
    if not says:
        newest = next(r for r in committed(run.path).records if r.path.name == place.name[1:].removesuffix(".partial"))
        assert newest.code_parts == {"code": "1"}
    assert not place.exists()
