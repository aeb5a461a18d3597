"""pip installs the package with the grids and notebooks that its commands need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from fake_grids import ROOT

USE = """
import mdcore, sys
from mdcore.store.locations import shipped
assert mdcore.__file__.startswith(sys.argv[1]) and str(shipped("grids")).startswith(sys.argv[1])
only = "potential=quadratic,dataset_dim=2"
run = mdcore.run_grid("quick_debug", tag="installed", jobs=1, only=only, set={"epochs": 50})
print(len(run.cells), (run.cells["status"] == "converged").all())
"""


def test_the_run_time_requirements_are_those_above_the_tests():
    text = (ROOT / "requirements.txt").read_text()
    needed, tests = text.split("\n# tests\n")
    assert "pytest==" in tests and "pytest" not in needed and "torch==2.13.0" in needed
    assert "# tests" in (ROOT / "setup.py").read_text()


@pytest.mark.slow
def test_an_installed_package_finds_its_grids_and_notebooks(tmp_path):
    pytest.importorskip("setuptools")
    source, site, work = tmp_path / "source", tmp_path / "site", tmp_path / "work"
    work.mkdir()
    source.mkdir()
    for name in ("mdcore", "notebooks", "grids"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("mdcore-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        needed = re.findall(r"^Requires-Dist: (.*)$", archive.read(metadata).decode(), re.M)
    assert "torch==2.13.0" in needed and all("extra ==" in line for line in needed if line.startswith("pytest"))
    env = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", USE, str(site)], cwd=work, env=env, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["2 True"], done.stderr
    assert [place.name for place in work.iterdir()] == ["runs_out"]
