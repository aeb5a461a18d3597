"""README.md of a bundle: what it is, how it is reproduced, and what is not in it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from mdcore.config.cell import dataset_label, is_user_defined
from mdcore.problems.sources import SOURCES
from mdcore.store.bundles.data_places import sections_of

TEXT = """# {tag}: a run of mdcore, with what reproduces it

{question}
This is the run `{run}`: {cells} cells, {finished} of them with results. Its report is
`analysis_results/{tag}/report.html`.
{reservations}
## Reproduce it

In this directory, with Python {python} and `make`:

    make reproduce

It builds `.venv/` from requirements.txt (the one step that needs a network), checks every file of this archive
against its sha256, trains the quickest condition again (with what was trained together with it), analyses the run
again, and compares both with what is here, to the bit. `make reproduce ALL=1` trains all of it. Where the packages of
requirements.txt are installed already, the same is

    python -m mdcore.run_bundle --reproduce .

What it makes goes to `reproduced/`. Equal to the bit is expected with the versions of requirements.txt on a processor
with the same vector instructions; it says where these differ. The run was made on {platform} ({cpu}).

## What is here

| place | what it holds |
|---|---|
| `runs_out/{run}/` | the run: `grid.yaml` as resolved{plugins}, `manifest.json`, the results of each stack |
| `analysis_results/{tag}/` | report, tables, figures, master.csv (one row a cell), summary.csv (one row a condition) |
{data}| `mdcore/`, `notebooks/`, … | the code that made it; `README-mdcore.md` explains it |
| `bundle.json` | sha256 and size of every file, and of the data |

Because the layout is that of mdcore's own directory, its commands work here, such as `make lab` and
`make plan GRID=runs_out/{run}/grid.yaml TAG={tag}`. Those that write into the run or the analysis change what
`make reproduce` checks: give them another TAG.

## Data

| data | from | in this archive |
|---|---|---|
{rows}
{missing}"""

MISSING = """
### Data that are not here

Put them where the table says, and `make reproduce` finds them, checks them, and trains with them. Without them it
compares what does not need them.

| put it at | what it is | sha256 (of the content, where files are packed) | why it is not here |
|---|---|---|---|
{rows}
"""


def readme(index: dict[str, Any], manifest: dict[str, Any], finished: int) -> bytes:
    """The text of the README for what bundle.json and the manifest of the run say."""
    question = sections_of(manifest["grid_yaml"]).get("question", "")
    provenance = manifest.get("provenance", {})
    configs = {dataset_label(cell["config"]): cell["config"] for cell in manifest["cells"]}
    rows = [f"| {label} | {_from(config)} | {_whether(config, index['data'])} |" for label, config in configs.items()]
    left = [
        f"| `{each['place']}` | {each['what']} | {_sums(each['sha256'])} | {each['why']} |"
        for each in index["data"]
        if each["why"]
    ]
    has_plugins = any(":" in str(cell["config"]) for cell in manifest["cells"])
    here = any(not each["why"] for each in index["data"])
    reservations = "".join(f"\n**Not whole**: {each}.\n" for each in index["reservations"])
    return TEXT.format(
        tag=index["tag"],
        run=index["run"],
        question=f"> {question}\n" if question else "",
        cells=len(manifest["cells"]),
        finished=finished,
        reservations=reservations,
        python=".".join(str(provenance.get("python", "3.11")).split(".")[:2]),
        platform=provenance.get("platform") or "a machine that is not recorded",
        cpu=provenance.get("cpu") or "processor not recorded",
        plugins=", its plug-ins (`*.py`)" if has_plugins else "",
        data="| `data/` | the data files, as they were read |\n" if here else "",
        rows="\n".join(rows),
        missing=MISSING.format(rows="\n".join(left)) if left else "",
    ).encode()


def _from(config: dict[str, Any]) -> str:
    dataset = config["dataset"]
    if is_user_defined(dataset["name"]):
        return f"the function `{dataset['name']}` of the run's plug-in"
    return SOURCES[dataset["name"]].read(
        config, {"source": f"IDX files in {PurePath(dataset.get('path') or '').name}/"}
    )


def _whether(config: dict[str, Any], data: list[dict[str, Any]]) -> str:
    dataset = config["dataset"]
    if is_user_defined(dataset["name"]):
        return "its source"
    name = PurePath(dataset.get("path") or "").name
    entry = next((each for each in data if each["name"] == name), None)
    if entry:
        return "no, see below" if entry["why"] else f"`{entry['place']}`"
    return "made from the seed" if dataset["name"] == "synthetic" else "comes with the packages of requirements.txt"


def _sums(digests: dict[str, str]) -> str:
    return "<br>".join(f"{name}: `{digest}`" for name, digest in digests.items())
