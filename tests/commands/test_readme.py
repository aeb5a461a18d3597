"""What the README shows is run as it stands."""

import json
import re

import pytest
import small_runs
from fake_grids import ROOT

from mdcore.analysis.data import aggregate
from mdcore.analysis.figures import collection, style
from mdcore.analysis.figures.drawings.curves import user_metrics
from mdcore.analysis.figures.study import Study
from mdcore.analysis.report.sections import build
from mdcore.analysis.tables import statistics_tables
from mdcore.config.grid import GridError, load_grid
from mdcore.training.content import ContentNow
from mdcore.training.stack import train_request

README = (ROOT / "README.md").read_text()


def blocks(language, heading):
    """The code blocks of a section."""
    section = re.split(r"\n##+ ", README.split(f"# {heading}\n")[1])[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.S)


def file_shown(name):
    """The text of a file that the README shows under its name."""
    (text,) = re.findall(rf"`{re.escape(name)}`:\n\n```\w+\n(.*?)```", README, flags=re.S)
    return text


def train_seed_0(grid, **places):
    """What training makes of the cells of seed 0, as one stack."""
    cells = [cell.config for cell in grid.cells if cell.config["seed"] == 0]
    request = grid.path.with_name("request.json")
    request.write_text(json.dumps({"cells": cells, "device": "cpu", **places}))
    return train_request(request)


def test_a_potential_of_ones_own_takes_part_in_everything(tmp_path):
    for name in ("my_potential.py", "my_grid.yaml"):
        (tmp_path / name).write_text(file_shown(name))
    final = train_seed_0(load_grid(tmp_path / "my_grid.yaml"), plugin_dir=str(tmp_path)).final
    assert len(final) == 4
    quartic = final[final["limit_p"] == 4.0]
    assert len(quartic) == 2 and (quartic["status"] == "converged").all()
    assert (quartic["angle_max_margin"] < 1.0).all()  # the exact l_4 direction was solved for it, too
    assert (quartic["gamma_bound"] >= quartic["exact_margin"] * (1 - 1e-7)).all()


@pytest.mark.slow
def test_the_library_does_what_is_shown():
    place = {}
    for text in blocks("python", "The library"):
        exec(compile(text, "README.md", "exec"), place)
    assert place["fit"].status == "converged" and place["fit"].gap <= 0.01
    assert place["best"].gap <= 1e-7 and place["search"].best_score_ == 1.0
    assert place["search"].best_estimator_[-1].gap_ <= 0.01
    assert place["accuracy"] > 0.95


def test_a_step_rule_a_data_set_and_a_metric_are_found_everywhere(tmp_path, monkeypatch):
    """In the validation of the grid, training, tables, figures and report; only their own file was written."""
    file = small_runs.write(tmp_path, file_shown("my_parts.yaml"), my_parts=file_shown("my_parts.py"))
    with pytest.raises(GridError, match=r"power = 2\.0; expected a finite number ≥ 0, at most 1"):
        load_grid(file, ["step={rule: 'my_parts:PowerDecay', power: 2}"])
    run = tmp_path / "20250101_t"
    results = small_runs.train(file, run, monkeypatch)
    master, summary = aggregate.write(results, tmp_path / "out")
    rows = master[master["step_rule"] == "my_parts:PowerDecay"]
    assert len(rows) == 2 and set(rows["param.power"]) == {0.2} and (master["gap"] < 0.1).all()
    assert master["metric.my_parts:largest_share"].between(50, 100).all() and len(master) == 4
    statistics_tables.write(results, master, summary, tmp_path / "out")
    main = (tmp_path / "out" / "tables" / "main.tex").read_text()
    assert "PowerDecay" in main and "two" in main
    style.use()
    (curves,) = user_metrics(Study(results, master, summary))
    assert all(
        word in curves.caption + curves.alt for word in ("PowerDecay", "two_rays", "largest entry (lower is better)")
    )
    table = (tmp_path / "out" / "tables" / "own.tex").read_text()
    assert r"largest entry (\% of" in table and r"$\downarrow$" in table and "smaller values are better" in table
    (tmp_path / "out" / "figures").mkdir()  # the report shows no figures then: they take ten seconds
    (tmp_path / "out" / "figures" / collection.INDEX).write_text('{"figures": [], "absent": []}')
    report = "".join(section._repr_mimebundle_()["text/html"] for section in build(run, tmp_path / "out").values())
    assert "PowerDecay" in report and "largest entry (% of ‖w‖_1) ↓" in report and "two_rays" in report


def test_a_file_of_ones_own_is_planned_and_trained(tmp_path):
    (tmp_path / "my_data.csv").write_text(blocks("csv", "Your own data")[0])
    (tmp_path / "my_data.yaml").write_text(blocks("yaml", "Your own data")[0])
    grid = load_grid(tmp_path / "my_data.yaml")
    lines, wrong = ContentNow(grid).report(grid.cells)
    assert not wrong and "8 × 2 to train (4 of +1, 4 of -1), 2 to test; yes is +1, no is -1; separable" in lines[1]
    output = train_seed_0(grid, data_dir=grid.data_dir)
    assert (output.final["status"] == "converged").all() and output.final["dataset_path"].eq("my_data.csv").all()
    assert list(output.data["files"]) == ["my_data.csv"]


def test_the_grid_shown_is_the_shipped_one():
    shown = re.search(r"(    question: Does depth.*?)\n\n", README, flags=re.S).group(1)
    shipped = (ROOT / "grids" / "mnist_pairs.yaml").read_text().split("\n\n", 1)[1].strip()
    assert "\n".join(line[4:] for line in shown.splitlines()).strip() == shipped


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "grids").glob("*.yaml"))])
def test_every_shipped_grid_is_documented_with_its_cells(name):
    file = ROOT / "grids" / f"{name}.yaml"
    grid = load_grid(file)
    opening = file.read_text().split("\nquestion:")[0]
    assert re.search(rf"\b{len(grid.cells)} cells?\b", opening), f"{name}: has {len(grid.cells)} cells"
    if name in ("quick_debug", "synthetic_potentials", "mnist_pairs"):
        (row,) = re.findall(rf"\| `{name}` \|(.*?)\|\n", README)
        assert f"| {len(grid.cells)} |" in row


def test_every_make_target_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named <= targets, named - targets


def test_the_list_of_files_and_columns_is_that_of_the_code():
    from mdcore.store.columns import METRICS, page

    text = (ROOT / "mdcore" / "store" / "README.md").read_text(encoding="utf-8")
    assert text == page(), "python -m mdcore.store.columns writes it anew"
    assert all(metric.meaning for metric in METRICS.values() if "_effect_" not in metric.name)
