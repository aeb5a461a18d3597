"""What the README shows is run as it stands."""

import json
import re

import pytest
from fake_grids import ROOT

from mdcore.config.cell import METRIC, PARAM
from mdcore.config.grid import load_grid
from mdcore.training.stack import train_request

README = (ROOT / "README.md").read_text()


def blocks(language, heading):
    """The code blocks of a section."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.S)


@pytest.fixture
def quartic(tmp_path):
    (tmp_path / "my_potential.py").write_text(blocks("python", "A potential of your own")[0])
    (tmp_path / "my_grid.yaml").write_text(blocks("yaml", "A potential of your own")[0])
    return load_grid(tmp_path / "my_grid.yaml")


def test_a_potential_of_ones_own_takes_part_in_everything(quartic, tmp_path):
    cells = [cell for cell in quartic.cells if cell.config["seed"] == 0]
    request = {
        "cells": [cell.config for cell in cells],
        "references_dir": None,
        "plugin_dir": str(tmp_path),
        "device": "cpu",
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    final = train_request(tmp_path / "request.json").final.set_index(["potential", "depth"])
    assert len(final) == 4
    own = final[final["limit_p"] == 4.0]
    assert len(own) == 2 and (own["status"] == "converged").all()
    assert (own["angle_max_margin"] < 1.0).all()  # the exact l_4 direction was solved for it, too
    assert (own["gamma_bound"] >= own["exact_margin"] * (1 - 1e-7)).all()


def test_the_library_does_what_is_shown():
    place = {}
    for text in blocks("python", "The library"):
        exec(compile(text, "README.md", "exec"), place)
    assert place["fit"].status == "converged" and place["fit"].gap <= 0.01
    assert place["best"].gap <= 1e-7 and place["search"].best_score_ == 1.0
    assert place["search"].best_estimator_[-1].gap_ <= 0.01
    assert place["accuracy"] > 0.95


def test_the_grid_shown_is_the_shipped_one():
    shown = re.search(r"(    question: Does depth.*?)\n\n", README, flags=re.S).group(1)
    shipped = (ROOT / "grids" / "mnist_pairs.yaml").read_text().split("\n\n", 1)[1].strip()
    assert "\n".join(line[4:] for line in shown.splitlines()).strip() == shipped


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "grids").glob("*.yaml"))])
def test_every_shipped_grid_is_documented_with_its_cells(name):
    grid = load_grid(ROOT / "grids" / f"{name}.yaml")
    opening = (ROOT / "grids" / f"{name}.yaml").read_text().split("\n\n")[0] + (
        ROOT / "grids" / f"{name}.yaml"
    ).read_text().split("\nquestion:")[0]
    assert re.search(rf"\b{len(grid.cells)} cells?\b", opening), f"{name}: has {len(grid.cells)} cells"
    if name in ("quick_debug", "synthetic_potentials", "mnist_pairs"):
        (row,) = re.findall(rf"\| `{name}` \|(.*?)\|\n", README)
        assert f"| {len(grid.cells)} |" in row


def test_every_make_target_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named <= targets, named - targets


def test_every_column_named_exists():
    from mdcore.analysis.data.columns import METRICS, WORDS

    section = README.split("### Columns\n")[1].split("\n## ")[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for cell in first for name in re.findall(r"`([\w.<>]+)`", cell)]
    assert len(named) >= 10
    for name in named:
        assert name in METRICS or name in WORDS or name in (PARAM + "<name>", METRIC + "<name>"), name
