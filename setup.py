"""What pyproject.toml cannot say: requirements.txt is the list of dependencies; notebooks and grids are data."""

from pathlib import Path

from setuptools import find_packages, setup

needed, _, tests = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8").partition("\n# tests\n")

setup(
    install_requires=needed,  # setuptools drops the comments
    extras_require={"tests": tests},
    packages=[*find_packages(include=["mdcore*"]), "mdcore.notebooks", "mdcore.grids"],
    package_dir={"mdcore.notebooks": "notebooks", "mdcore.grids": "grids"},
    package_data={
        "mdcore.notebooks": ["*.ipynb"],
        "mdcore.grids": ["*.yaml", "*.py"],
        "mdcore.analysis.report": ["templates/*/*"],
    },
)
