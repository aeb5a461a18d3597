"""Numbers under their own names: identity by configuration and content, never by label, position or first row."""

import gzip
import hashlib
import json
import math
import re
import struct
from pathlib import Path

import fake_run as fake
import numpy as np
import pandas as pd
import pytest
import small_runs
import torch
from small_runs import STEPS

from mdcore.analysis import compare
from mdcore.analysis.data import aggregate
from mdcore.analysis.data.conditions import conditions_of
from mdcore.analysis.data.facets import facets_of
from mdcore.analysis.data.results import load
from mdcore.analysis.figures import style
from mdcore.analysis.figures.drawings.heatmaps import norm_balance
from mdcore.analysis.figures.study import Study
from mdcore.config import labels
from mdcore.config.cell import data_key, flatten, make_cell, potential_key
from mdcore.config.errors import GridError
from mdcore.config.expansion.selection import select
from mdcore.config.grid import load_grid
from mdcore.config.plugins.conformance import check_potential
from mdcore.config.plugins.loading import load_potential, potentials_for
from mdcore.config.yaml_lines import dump
from mdcore.math import metrics
from mdcore.math.potentials import BUILTIN, Cosh, Hypentropy, Lp, Quadratic, Scaled
from mdcore.problems import mnist
from mdcore.problems.datasets import Dataset
from mdcore.runner.command import other_data
from mdcore.runner.plan import Rerun, describe, make_plan
from mdcore.store.commits import committed
from mdcore.store.fingerprint import code_parts
from mdcore.store.runs import Run
from mdcore.training.cell_data import load_data
from mdcore.training.content import ContentNow
from mdcore.training.measures import typed_parameters
from mdcore.training.stack import _request_fingerprint

GRIDS = Path(__file__).resolve().parents[2] / "grids"
HEAD = f'question: "?"\n{STEPS}'
SHORT = HEAD.replace("epochs: 500", "epochs: 100")
PLANE = "  dataset: {name: synthetic, geometry: planted, dim: 2, n: 20}\n"
RAY = """
import numpy as np
from mdcore.problems.datasets import Dataset

def make(seed, stretch=1.0, **other):
    x = np.array([3.0, 1.0])
    X = np.array([x, (1 + stretch) * x, -x, -(1 + stretch) * x])
    return Dataset("ray", X, np.array([1.0, 1, -1, -1]), np.empty((0, 2)), np.empty(0), {})
"""
TWO_POINTS = """
import numpy as np
from mdcore.problems.datasets import Dataset

def load(seed):
    x = np.array([np.cos({angle}), np.sin({angle})])
    return Dataset("d", np.array([x, -x]), np.array([1.0, -1]), np.empty((0, 2)), np.empty(0), {{}})
"""
MIX = """
from mdcore.math.potentials import Potential

class Mix(Potential):
    limit_p = 2.0

    def __init__(self, a=1, b=1):
        self.c = float(a) * float(b)

    def value_per_entry(self, w):
        return self.c * w**2 / 2

    def mirror_map(self, w):
        return self.c * w

    def inverse_mirror_map(self, z, out=None):
        r = z / self.c
        return r if out is None else out.copy_(r)
"""


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """call(grid, tag, **plug-ins): the results of its run 20250101_<tag>; the grid file lies in <tag>/."""

    def call(grid: str, tag: str = "t", **sources: str):
        file = small_runs.write(tmp_path / tag, grid, **sources)
        return small_runs.train(file, tmp_path / f"20250101_{tag}", monkeypatch)

    return call


# ---- a parameter that only some data sets have ----------------------------------------------------------------------


def test_parameters_of_a_later_data_set_move_nothing(trained, tmp_path):
    """angle(l_3, l_2) = arctan(3^{-1/2}) − arctan(1/3) = 11.565° on the ray through (3, 1), whatever is called 77."""
    names = ("path", "loss", "p", "stretch", "n", "epochs", "gap", "angle_svm", "cell_id")
    more = json.dumps({"name": "ray:make"} | dict.fromkeys(names, 77))
    vary = f'vary:\n  dataset: [{{name: "ray:make"}}, {more}]\n  potential: [quadratic, {{lp: {{p: 3}}}}]\n'
    results = trained(f"{HEAD}{vary}  depth: [1, 2]\n", ray=RAY)
    master, summary = aggregate.write(results, tmp_path / "out")
    assert master.columns.is_unique and summary.columns.is_unique and len(master) == 8
    angle = math.degrees(math.atan(3**-0.5) - math.atan(1 / 3))
    lp = master[master["potential"] == "lp"]
    assert len(lp) == 4 and lp["angle_reference_potential"].to_numpy() == pytest.approx(angle, abs=0.05)
    assert summary["angle_reference_potential_mean"].dropna().to_numpy() == pytest.approx(angle, abs=0.05)
    assert master.filter(like="depth_effect_").abs().max().max() < 0.5
    for name in names:
        assert master[f"param.{name}"].dropna().tolist() == [77.0] * 4
    assert len(results.facets) == 2 and len({f.title for f in results.facets}) == 2
    assert pd.read_csv(tmp_path / "out" / "master.csv")["seed"].tolist() == [0] * 8


def test_columns_do_not_depend_on_which_cell_comes_first():
    cells = [
        {"cell_id": str(i), "config": fake.config(dataset={"name": "my:data", **more})}
        for i, more in enumerate([{}, {"a": 1}, {"b": "x"}, {"a": [1, {"c": None}]}])
    ]
    for order in (cells, cells[::-1]):
        conditions = conditions_of(order)
        assert all(set(c.flat) == set(conditions[0].flat) >= {"param.a", "param.b"} for c in conditions)
        assert len(conditions) == 4 == len(facets_of(conditions))
        assert len({c.data for c in conditions}) == 4 == len({c.data_words for c in conditions})


def test_names_of_several_kinds_are_told_apart():
    step = {"rule": "my:Rule", "scale": 4}
    config = fake.config({"my:Phi": {"scale": 3}}, dataset={"name": "my:data", "scale": 2}, step=step)
    flat = flatten(config)
    assert [flat[f"param.{kind}.scale"] for kind in ("dataset", "potential", "step")] == [2, 3, 4]
    other = fake.config({"my:Phi": {"scale": 3}})
    assert flatten(other)["param.scale"] == 3
    one, two = (c.flat for c in conditions_of([{"cell_id": "a", "config": config}, {"cell_id": "b", "config": other}]))
    assert {one["param.potential.scale"], two["param.potential.scale"]} == {3}
    assert "param.scale" not in {**flat, **one, **two}


def test_a_parameter_of_mixed_types_is_written_and_read(tmp_path):
    frame = pd.DataFrame(
        {"param.a": [1, "1", None], "param.b": [1, 2.5, None], "param.c": [2**70, 1, 1], "x": [1, 2, 3]}
    )
    typed_parameters(frame).to_parquet(tmp_path / "f.parquet")
    read = pd.read_parquet(tmp_path / "f.parquet")
    assert read["param.a"].tolist()[:2] == ["1", '"1"'] and read["param.c"].tolist() == [str(2**70), "1", "1"]
    assert read["param.b"].tolist()[:2] == [1.0, 2.5] and np.isnan(read["param.b"][2])


def test_a_data_set_has_no_seed_of_its_own(tmp_path):
    grid = f'{HEAD}  potential: quadratic\n  dataset: {{name: "ray:make", seed: 3}}\n'
    with pytest.raises(GridError, match="gets the grid's seed"):
        load_grid(small_runs.write(tmp_path, grid, ray=RAY))


# ---- labels ---------------------------------------------------------------------------------------------------------


def test_functions_of_one_name_in_two_files_stay_apart(trained, tmp_path):
    vary = 'vary:\n  dataset: [{name: "data_a:load"}, {name: "data_b:load"}]\n  potential: [quadratic, {lp: {p: 3}}]\n'
    angles = {"data_a": 0.3, "data_b": 1.2}
    sources = {stem: TWO_POINTS.format(angle=angle) for stem, angle in angles.items()}
    results = trained(f"{HEAD}{vary}  depth: [1, 2]\n", **sources)
    assert [f.title for f in results.facets] == ["data_a:load", "data_b:load"]
    master, _ = aggregate.write(results, tmp_path / "out")
    quadratic = master[master["potential"] == "quadratic"]
    assert quadratic["angle_reference_potential"].isna().all()
    for angle, facet in zip(angles.values(), results.facets, strict=True):
        expected = abs(math.degrees(math.atan(math.tan(angle) ** 0.5)) - math.degrees(angle))
        lp = master[master["condition_id"].isin([c.id for c in facet.conditions]) & (master["potential"] == "lp")]
        assert lp["angle_reference_potential"].to_numpy() == pytest.approx(expected, abs=0.1)


AMBIGUOUS = [
    [{"m:P": {"a": 2}}, {"m:P": {"b": 2}}, "m:P", {"m:P": {"a": "2"}}],
    [{"m:P": {"a": 2}}, {"n:P": {"a": 2}}],
    [{"m:P": {"a": "x y"}}, {"m:P": {"a": "x/y"}}, {"m:P": {"a": "x.y"}}],
    [{"m:P": {"a": value}} for value in ([1, 2], [1, [2]], {"b": 1}, None, "null")],
    [{"lp": {"p": 1.5}}, {"lp": {"p": 1.5000000000000002}}],
    [["m:P", "quadratic"], ["n:P", "quadratic"], [{"m:P": {"a": 1}}, "quadratic"]],
    [["quadratic"] * 60 + ["scaled", "quadratic"], ["quadratic"] * 60 + ["quadratic", "scaled"]],
]


@pytest.mark.parametrize("potentials", AMBIGUOUS)
def test_potentials_have_names_of_their_own(potentials):
    configs = [fake.config(p, len(p) if isinstance(p, list) else 1) for p in potentials]
    cells = [{"cell_id": make_cell(c).cell_id, "config": c} for c in configs]
    assert len({c["cell_id"] for c in cells}) == len(cells)
    conditions = conditions_of(cells)
    for attribute in ("id", "label", "words"):
        assert len({getattr(c, attribute) for c in conditions}) == len(potentials)
    assert conditions_of(cells[::-1])[0].words == conditions[0].words  # whatever the order


DATA = [
    [{"name": "a:f"}, {"name": "b:f"}, {"name": "a:f", "n": 1}, {"name": "a:f", "n": "1"}, {"name": "a:f", "n": None}],
    [{"name": "a:f", "path": "x"}, {"name": "a:f", "path": "y"}],
    [fake.PLANTED, *(fake.GAUSSIAN | change for change in ({}, {"n": 61}, {"noise": 2.0}, {"dim": 21}))],
]


@pytest.mark.parametrize("datasets", DATA)
def test_data_sets_have_names_of_their_own(datasets):
    cells = [{"cell_id": str(i), "config": fake.config(dataset=d)} for i, d in enumerate(datasets)]
    conditions = conditions_of(cells)
    for attribute in ("id", "data", "data_words"):
        assert len({getattr(c, attribute) for c in conditions}) == len(datasets)
    facets = facets_of(conditions)
    assert len(facets) == len({f.title for f in facets}) == len({f.slug for f in facets}) == len(datasets)


def test_a_name_is_told_apart_by_the_least_that_does():
    names = labels.unique_names({"1": ["a", "f:a"], "2": ["a", "g:a"], "3": ["b", "f:b"]})
    assert names == {"1": "f:a", "2": "g:a", "3": "b"}
    same = labels.unique_names({"1": ["a"], "2": ["a"]})
    assert len(set(same.values())) == 2 and all(re.fullmatch("a-[0-9a-f]{6}", name) for name in same.values())
    assert len(set(labels.unique_names({"1": ["a", "b"], "2": ["a", "c"], "3": ["b"]}).values())) == 3


def test_condition_ids_are_the_same_with_and_without_results():
    configs = [
        fake.config({"m:P": {"a": 1}}, dataset={"name": "m:f", "path": "here"}),
        fake.config(dataset=fake.MNIST, digits=[3, 5]),
    ]
    cells = [make_cell(c) for c in configs]
    conditions = conditions_of([{"cell_id": c.cell_id, "config": c.config} for c in cells])
    assert {c.id for c in conditions} == {c.condition_id for c in cells}


def test_keys_hold_what_decides_and_nothing_else():
    mnist = fake.config(dataset=fake.MNIST, digits=[3, 5])
    elsewhere = {**mnist, "dataset": {**fake.MNIST, "path": "elsewhere"}}
    assert data_key(mnist) == data_key(elsewhere) and make_cell(mnist).cell_id == make_cell(elsewhere).cell_id
    users = [fake.config(dataset={"name": "m:f", "path": p}) for p in ("x", "y")]
    assert len({data_key(c) for c in users}) == len({make_cell(c).condition_id for c in users}) == 2
    assert potential_key(mnist) == potential_key(users[0])


# ---- parameters of a potential --------------------------------------------------------------------------------------


def test_parameters_of_a_potential_are_named_everywhere(trained, tmp_path):
    vary = 'vary:\n  potential: ["mine:Mix", {"mine:Mix": {a: 2}}, {"mine:Mix": {b: 2}}]\n  depth: [1, 2, 3]\n'
    results = trained(SHORT + PLANE + vary, mine=MIX)
    grid = load_grid(tmp_path / "t" / "grid.yaml")
    assert grid.varied == ["depth", "param.a", "param.b"] and len(select(grid.cells, ["param.a=2"])) == 3
    master, summary = aggregate.write(results, tmp_path / "out")
    pairs = {(r["param.a"], r["param.b"]) for r in master.fillna(0).to_dict("records")}
    assert pairs == {(0, 0), (2, 0), (0, 2)} and {"param.a", "param.b"} <= set(summary)
    assert {c.words for c in results.conditions} == {"Mix", "Mix, a = 2", "Mix, b = 2"}
    style.use()
    (figure,) = [item.figure for item in norm_balance(Study(results, master, summary)) if hasattr(item, "figure")]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["Mix", "Mix, a = 2", "Mix, b = 2"]
    changes, different, only_a, only_b = compare.compare(results, load(tmp_path / "20250101_t"))
    assert len(changes) == 9 and all(c.same for c in changes) and (different, only_a, only_b) == ({}, [], [])
    # trained with their own parameters: φ = c w²/2 is gradient descent with 1/c times the step
    norm = master[(master["depth"] == 1)].set_index("potential_label")["weight_norm"]
    assert norm["mine.Mix"] == pytest.approx(2 * norm["mine.Mix-a2"]) == pytest.approx(2 * norm["mine.Mix-b2"])


def test_potentials_are_equal_only_with_equal_state(tmp_path):
    (tmp_path / "mine.py").write_text(MIX)
    Mix = load_potential("mine:Mix", tmp_path)
    assert Mix() == Mix(1, 1) and Mix(a=2) == Mix(b=2) != Mix()
    assert Quadratic() == Quadratic() and Lp(3) != Lp(2) and hash(Lp(3)) == hash(Lp(3))

    class Tensors(Quadratic):
        def __init__(self):
            self.table = torch.ones(2)

    one = Tensors()
    assert one == one and one != Tensors()


# ---- conformance of a plug-in ---------------------------------------------------------------------------------------

GOOD = {
    "value_per_entry": "w * w / 2",
    "mirror_map": "w.clone()",
    "inverse_mirror_map": "z.clone() if out is None else out.copy_(z)",
    "conjugate_per_entry": "z * z / 2",
}
ARGUMENTS = {"inverse_mirror_map": "z, out=None", "conjugate_per_entry": "z"}
FAULTS = [
    ("inverse_mirror_map", "(z.mul_(1.5), z.clone() if out is None else out.copy_(z))[1]", "changes its argument"),
    ("mirror_map", "w.add_(0.5)", "changes its argument"),
    ("value_per_entry", "w.square_() / 2", "changes its argument"),
    ("conjugate_per_entry", "z.mul_(z) / 2", "changes its argument"),
    ("inverse_mirror_map", "z.clone()", "does not write the result into out"),
    ("inverse_mirror_map", "z.float() if out is None else out.copy_(z)", "float32"),
    ("mirror_map", "w.sum()", "expected the shape"),
    ("mirror_map", "w.numpy()", "gives a ndarray"),
    ("mirror_map", "w / 0", "NaN or infinity"),
    ("mirror_map", "w.log()", "NaN or infinity"),
    ("mirror_map", "-w", "does not rise"),
    ("mirror_map", "w + 1", "is not w|as φ is even"),
    ("mirror_map", "2 * w", "is not w"),
    ("value_per_entry", "w * w", "not the derivative|conjugate_per_entry"),
    ("mirror_map", "undefined", "raises NameError"),
]


def class_of(bodies: dict[str, str]) -> str:
    """The source of a potential P with these methods."""
    return "from mdcore.math.potentials import Potential\nclass P(Potential):\n    limit_p = 2.0\n" + "".join(
        f"    def {name}(self, {ARGUMENTS.get(name, 'w')}):\n        return {body}\n" for name, body in bodies.items()
    )


@pytest.mark.parametrize(("method", "body", "message"), FAULTS)
def test_a_potential_that_does_not_conform_is_refused_before_training(tmp_path, method, body, message):
    grid = f'{HEAD}  dataset: {{name: synthetic}}\n  potential: "bad:P"\n'
    with pytest.raises(GridError, match=f"bad:P: .*({message})"):
        load_grid(small_runs.write(tmp_path, grid, bad=class_of(GOOD | {method: body})))


def test_potentials_that_conform_are_taken(tmp_path):
    (tmp_path / "good.py").write_text(class_of(GOOD))
    assert len(potentials_for(fake.config("good:P", 2), tmp_path)) == 2


@pytest.mark.parametrize(
    "phi", [Quadratic(), Lp(1.1), Lp(6), Scaled(), Hypentropy(0.1), Cosh(1.0), BUILTIN["layer_scaled"](4.0)]
)
def test_every_potential_of_the_framework_conforms(phi):
    check_potential(phi, "built-in")


# ---- copies for a user's code ---------------------------------------------------------------------------------------

SPOIL = """
import numpy as np

def unit_share(w, data):
    w /= np.linalg.norm(w)
    return abs(w[0])

def zero(w, data):
    w[:] = 0
    return 1.0

def data_too(w, data):
    for name in ("X_train", "y_train", "A"):
        try:
            getattr(data, name)[:] = 0
        except ValueError:
            continue
        raise AssertionError(f"{name} can be written to")
    return float(data.A.sum())
"""


def test_metrics_change_nothing(trained, tmp_path):
    grid = f"{SHORT}{PLANE}  potential: quadratic\n"
    metrics = '  metrics: ["unit:unit_share", "unit:zero", "unit:data_too"]\n'
    results, without = trained(grid + metrics, unit=SPOIL), trained(grid, "without")
    ((cell, w),) = results.predictors.items()
    assert np.array_equal(w, next(iter(without.predictors.values())))
    assert np.linalg.norm(w) == pytest.approx(results.row[cell]["weight_norm"], rel=1e-12)
    assert results.user_metrics == ["metric.unit:unit_share", "metric.unit:zero", "metric.unit:data_too"]
    assert results.row[cell]["metric.unit:unit_share"] == pytest.approx(abs(w[0]) / np.linalg.norm(w))
    master, _ = aggregate.write(results, tmp_path / "out")
    assert master["metric.unit:zero"].tolist() == [1.0]


def test_a_data_set_keeps_no_live_handle():
    X, y, record = np.array([[1.0, 2.0], [-1.0, -2.0]]), np.array([1.0, -1.0]), {"list": [1]}
    data = Dataset("d", X, y, np.empty((0, 2)), np.empty(0), record)
    signed = data.A.copy()
    X[:], y[:] = 7.0, 1.0
    record["list"].append(2)
    assert (data.X_train == [[1, 2], [-1, -2]]).all() and data.preprocessing == {"list": [1]}
    assert (signed == data.A).all()
    for name in ("X_train", "y_train", "X_test", "y_test", "A"):
        assert not getattr(data, name).flags.writeable


# ---- a condition's own grid -----------------------------------------------------------------------------------------

D = """
import numpy as np
from mdcore.problems.datasets import Dataset

def make(seed, kind="a", **more):
    x = np.array([3.0, 1.0])
    return Dataset("d", np.array([x, -x]), np.array([1.0, -1.0]), np.empty((0, 2)), np.empty(0), {})
"""
ADVERSARIAL = [
    "1e3", "1E3", "1.5e+3", "0x1F", "0o17", "010", "1_000", "12:30", "12:30:45", "yes", "no", "on", "off", "true",
    "True", "null", "~", "None", "", " ", " a", "a ", "a: b", "a #b", "- a", "[a]", "{a: 1}", "*a", "&a", "!a", "|",
    ">", "'", '"', "%", "@", "`", "2024-01-01", "2024-01-01T00:00:00Z", ".inf", "-.inf", ".nan", ".5", "5.", "+1", "-1",
    "1e-3", "=", "<<", "é", "日本", "🦊", "line\nbreak", "tab\tstop", "\\", "a\u2028b", "x" * 300, "back\\slash\n", "-",
    "--- a", "...", "?", "? a", ":", ",", None, True, False, 0, -1, 2**52, 1e300, 1e-300, 0.1, 1e16, 1e22,
    123456789.123456789, 5e-324, [], [1, "1", None, [True, "true"]], {"a": {"b": ["1e3", None]}},
    {"1e3": "~", "yes": 1}, {},
]  # fmt: skip


def as_yaml(value) -> str:
    """JSON is YAML, but for letters beyond 16 bits, which JSON writes as two."""
    return json.dumps(value).replace("\\ud83e\\udd8a", "\\U0001f98a")


def again(tmp_path, cells):
    """The cells of the conditions' own grids, read again from their YAML."""
    file, read = tmp_path / "again.yaml", []
    for c in conditions_of([{"cell_id": cell.cell_id, "config": cell.config} for cell in cells]):
        file.write_text(dump(aggregate.grid_snippet(c, "q: 1e3?")), encoding="utf-8")
        read += load_grid(file).cells
    return read


def test_a_condition_s_own_grid_gives_its_cells_whatever_the_values(tmp_path):
    vary = f'vary:\n  dataset.name: ["d:make"]\n  dataset.kind: {as_yaml(ADVERSARIAL)}\n  seed: [0, 3]\n'
    grid = f"{HEAD}  potential: quadratic\n{vary}"
    cells = load_grid(small_runs.write(tmp_path, grid, d=D)).cells
    assert len(cells) == 2 * len(ADVERSARIAL)
    assert [c.config["dataset"]["kind"] for c in cells[::2]] == ADVERSARIAL
    assert {c.cell_id: c.config for c in again(tmp_path, cells)} == {c.cell_id: c.config for c in cells}


def test_a_run_s_own_grid_gives_its_cells_whatever_the_values(tmp_path):
    datasets = as_yaml([{"name": "d:make", "kind": value} for value in ADVERSARIAL])
    grid = f'question: "1e3"\n{STEPS}  potential: quadratic\nvary:\n  dataset: {datasets}\n'
    first = load_grid(small_runs.write(tmp_path, grid, d=D))
    (tmp_path / "resolved.yaml").write_text(first.resolved_yaml(), encoding="utf-8")
    second = load_grid(tmp_path / "resolved.yaml")
    assert [c.config for c in second.cells] == [c.config for c in first.cells] and second.question == "1e3"


@pytest.mark.parametrize("name", sorted(path.name for path in GRIDS.glob("*.yaml")))
def test_the_conditions_of_every_shipped_grid_run_again(tmp_path, name):
    for plugin in GRIDS.glob("*.py"):
        (tmp_path / plugin.name).write_bytes(plugin.read_bytes())
    cells = load_grid(GRIDS / name).cells[:100]
    assert {c.cell_id for c in again(tmp_path, cells)} == {c.cell_id for c in cells}


# ---- data are known by their content --------------------------------------------------------------------------------


def idx_files(folder: Path, seed: int) -> Path:
    """Small IDX files under MNIST's names, gzipped or not."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    prototypes = rng.integers(0, 200, (10, 28, 28))
    for part, n in (("train", 60), ("t10k", 20)):
        digits = np.arange(n) % 10
        images = np.clip(prototypes[digits] + rng.integers(0, 56, (n, 28, 28)), 0, 255).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, n, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, n) + bytes(digits.astype(np.uint8)))
    return folder


IDX = (
    f'{SHORT}  dataset: {{name: mnist, source: full, path: "PLACE"}}\n'
    "  digits: [0, 1]\n  pca: 3\n  potential: quadratic\n"
)


def planned(grid_file: Path, run_dir: Path, overrides=(), rerun=None):
    """(plan, grid) of a run as the command makes it."""
    grid = load_grid(grid_file, overrides)
    state = committed(run_dir)
    parts = code_parts(grid.plugin_files)
    return make_plan(grid.cells, grid.cells, state, parts, Rerun(rerun), ContentNow(grid)), state


def test_other_images_under_the_same_names_are_other_data(trained, tmp_path):
    one, two = idx_files(tmp_path / "one", 1), idx_files(tmp_path / "two", 2)
    results = trained(IDX.replace("PLACE", str(one)))
    file, run = tmp_path / "t" / "grid.yaml", tmp_path / "20250101_t"
    ((cell, row),) = results.row.items()
    record = json.loads(row["preprocessing"])
    assert "70,000" not in record["source"] and "not MNIST" in record["source"]
    assert str(tmp_path) not in json.dumps(record)
    assert (record["n_train"], record["n_test"]) == (12, 4) and set(record["files"]) == set(mnist.FILES)
    config = load_grid(file).cells[0].config
    assert row["data_sha256"] == load_data(config).fingerprint
    plan, state = planned(file, run)
    assert not plan.stale and not plan.other_data and state.newest[cell].data["sha256"] == row["data_sha256"]
    moved = [f"dataset.path={one.rename(tmp_path / 'moved')}"]
    assert not planned(file, run, moved)[0].stale  # the same content elsewhere is the same data
    other = [f"dataset.path={two}"]
    plan, state = planned(file, run, other)
    assert list(plan.other_data) == list(plan.stale) == [cell] and not plan.stacks
    assert "train-images-idx3-ubyte has another content" in describe(plan, state, 1)
    assert "other data" in other_data(Run(run, new=False), plan)
    plan, _ = planned(file, run, other, "stale")
    assert plan.to_run == 1 and not plan.other_data
    for name in mnist.FILES:
        (two / name).unlink()
    assert not planned(file, run, other)[0].stale  # nothing is known of files that are not there


def test_mnist_itself_is_called_so(tmp_path, monkeypatch):
    folder = idx_files(tmp_path / "one", 1)
    config = fake.config(dataset={**fake.MNIST, "source": "full", "path": str(folder)}, digits=[0, 1], pca=3)
    sums = tuple(hashlib.md5((folder / name).read_bytes()).hexdigest() for name in mnist.FILES)
    monkeypatch.setattr(mnist, "PUBLISHED_SUMS", (("MNIST", sums),))
    assert load_data(config).preprocessing["source"] == "MNIST, 70,000 images"
    for name in mnist.FILES:  # gzipped files are the same content
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).rename(folder / name.replace("-idx", ".idx"))  # another usual name of the same files
    assert load_data(config).preprocessing["source"] == "MNIST, 70,000 images"
    for name in mnist.FILES:
        (folder / name.replace("-idx", ".idx")).unlink()
    assert load_data(config).preprocessing["source"] == "MNIST, 70,000 images"


CSV = """
import numpy as np
from mdcore.problems.datasets import Dataset

def load(seed, path):
    table = np.loadtxt(path, delimiter=",")
    return Dataset("csv", table[:, 1:], table[:, 0], np.empty((0, 2)), np.empty(0), {})
"""
A, B = "1,3.0,1.0\n-1,-3.0,-1.0\n", "1,1.0,3.0\n-1,-1.0,-3.0\n"


def test_a_parameter_called_path_is_a_parameter(trained, tmp_path):
    vary = 'vary:\n  dataset: [{name: "c:load", path: a.csv}, {name: "c:load", path: b.csv}]\n'
    file, run = tmp_path / "t" / "grid.yaml", tmp_path / "20250101_t"
    file.parent.mkdir()
    (file.parent / "a.csv").write_text(A)
    (file.parent / "b.csv").write_text(B)
    results = trained(f"{SHORT}  potential: quadratic\n{vary}", c=CSV)
    master, _ = aggregate.write(results, tmp_path / "out")
    assert master["param.path"].tolist() == ["a.csv", "b.csv"] and len(results.conditions) == len(results.facets) == 2
    for c, expected in zip(results.conditions, ((3, 1), (1, 3)), strict=True):
        w = results.predictors[c.cells[0]]
        assert w / np.linalg.norm(w) == pytest.approx(np.array(expected) / 10**0.5)
    assert not planned(file, run)[0].stale
    (file.parent / "a.csv").write_text(B)  # another content under the same name
    plan, _ = planned(file, run)
    assert list(plan.other_data) == [results.conditions[0].cells[0]]


def test_a_training_state_of_other_data_is_not_gone_on_from():
    request = {"cells": [], "code": "c", "device": "cpu"}
    assert _request_fingerprint(request, "one") == _request_fingerprint(dict(request), "one")
    assert _request_fingerprint(request, "one") != _request_fingerprint(request, "two")


# ---- norm balance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "phi", [Cosh(1.0), Cosh(0.3), Hypentropy(0.1), Hypentropy(2.0), Quadratic(), Lp(1.5), Lp(3), Scaled()]
)
@pytest.mark.parametrize("size", [1e-3, 1.0, 20.0])
def test_norm_balance_is_a_ratio_of_positive_sums_for_every_potential(phi, size):
    """φ even and strictly convex: φ* is least at 0, so Σφ*(Z) − φ*(0) > 0 unless Z = 0, and max/min ≥ 1."""
    torch.manual_seed(0)
    Z = [size * torch.randn(3, *shape, dtype=torch.float64) for shape in ((5, 4), (5, 5), (1, 5))]
    W = [phi.inverse_mirror_map(z) for z in Z]
    sums = metrics.layer_potentials([phi] * 3, Z)
    assert bool((sums > 0).all()) and bool((metrics.max_over_min(sums) >= 1).all())
    at_zero = phi.value_per_entry(torch.zeros(1, 1, dtype=torch.float64))  # −φ*(0)
    exact = [(z * w - phi.value_per_entry(w) + at_zero).sum(dim=(-2, -1)) for w, z in zip(W, Z)]
    torch.testing.assert_close(sums, torch.stack(exact, dim=-1), rtol=1e-6, atol=1e-14)
    if float(at_zero) == 0.0:  # quadratic, lp, scaled: the sum of φ*(Z), to the bit
        conjugates = [phi.conjugate_per_entry(z).sum(dim=(-2, -1)) for z in Z]
        assert torch.equal(sums, torch.stack(conjugates, dim=-1))


def test_norm_balance_of_a_layer_at_zero_is_not_defined():
    balance = metrics.max_over_min(torch.tensor([[1.0, 0.0], [2.0, 1.0], [-1.0, 3.0]]))
    assert balance.isnan().tolist() == [True, False, True]


@pytest.mark.parametrize("potential", ["{cosh: {beta: 1}}", "{hypentropy: {beta: 0.5}}"])
def test_a_network_raises_no_false_alarm(trained, potential):
    results = trained(f"{SHORT.replace('eta: 10', 'eta: 1')}{PLANE}  potential: {potential}\nvary:\n  depth: [2, 3]\n")
    assert results.problems == []
    for cell in results.row:
        balance = results.curves.get(cell, "norm_balance")
        assert len(balance) > 10 and (balance >= 1).all()
