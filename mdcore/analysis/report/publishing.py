"""report.html, report.md and a clean report.ipynb from the executed notebook."""

from __future__ import annotations

import html
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mdcore.analysis.data.results import newest_run
from mdcore.store.drafts import MARK
from mdcore.store.locations import workplace

if TYPE_CHECKING:
    import nbformat  # imported where it is used: the notebooks choose their places with this module, and do not need it

MOST_TOLD = 5  # lines in the terminal
BY_HAND = ".by-hand"  # in a directory that a notebook opened by hand has begun
_NOISE = ("papermill", "execution", "widgets")


def _outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """What the cells showed, in order, in one media type."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get(kind)
            if text and "text/markdown" in output["data"] and "text/html" in output["data"]:
                texts.append("".join(text) if isinstance(text, list) else text)
    return texts


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without times, counters of papermill and random cell ids: the same bytes every time."""
    for key in _NOISE:
        notebook.metadata.pop(key, None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        for key in _NOISE:
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["source"] = _with_customary_paths(cell["source"])
    return notebook


def _with_customary_paths(source: str) -> str:
    """The parameters papermill wrote, with the customary places instead of those of one machine."""
    for name, parent in (("input_dir", "runs_out"), ("output_dir", "analysis_results")):
        source = re.sub(rf'^{name} = "(?:.*/)?([^/"]+)/?"', rf'{name} = "{parent}/\1"', source, flags=re.M)
    return source


def navigation(sections: list[str]) -> list[tuple[str, str]]:
    """(anchor, title) of each section's heading."""
    heads = [re.search(r'<section id="([^"]+)"><h2>(.*?)<a class="anchor"', s) for s in sections]
    return [(m.group(1), re.sub(r"<[^>]+>", "", html.unescape(m.group(2)))) for m in heads if m]


def publish(executed: str | Path, output_dir: str | Path) -> list[Path]:
    """Write report.html (one file, no network), report.md and report.ipynb under output_dir; returns their paths.

    Raises ValueError when the notebook shows no section: it was not executed.
    """
    import nbformat
    from nbconvert.exporters import HTMLExporter

    executed, output_dir = Path(executed), Path(output_dir)
    notebook = clean(nbformat.read(executed, as_version=4))
    sections = _outputs(notebook, "text/html")
    if not sections:
        raise ValueError(
            f"{executed.name} shows no section of a report; expected it executed, by python -m mdcore.run_analysis"
        )
    tag = output_dir.resolve().name

    class OwnTemplates(HTMLExporter):
        """The template that stands beside this file, and none that the user has installed under its name."""

        def get_prefix_root_dirs(self) -> list[str]:
            return []

    exporter = OwnTemplates(
        template_name="paper", extra_template_basedirs=[str(Path(__file__).parent / "templates")], exclude_input=True
    )
    page, _ = exporter.from_notebook_node(
        notebook,
        resources={"paper": {"title": f"{tag}: report", "sections": sections, "navigation": navigation(sections)}},
    )
    paths = [output_dir / f"report.{kind}" for kind in ("html", "md", "ipynb")]
    paths[0].write_text(page, encoding="utf-8")
    text = f"# {tag}: report\n\n" + "\n".join(_outputs(notebook, "text/markdown"))
    paths[1].write_text(text, encoding="utf-8")
    nbformat.write(notebook, paths[2])
    return paths


def warnings(output_dir: Path) -> list[str]:
    """What whoever asked for the analysis is to be told at once: problems of the run, figures that failed."""
    record = json.loads((output_dir / "provenance.json").read_text(encoding="utf-8"))
    index = json.loads((output_dir / "figures" / "index.json").read_text(encoding="utf-8"))
    problems = [*record["problems"], *(f"{a['name']}: {a['reason']}" for a in index["absent"] if a.get("failed"))]
    return problems[:MOST_TOLD] + [f"{len(problems) - MOST_TOLD} more are in the report"] * (len(problems) > MOST_TOLD)


def repository() -> Path:
    """The directory that holds mdcore/, runs_out/ and analysis_results/."""
    return workplace()


def choose(input_dir: str = "", output_dir: str = "") -> tuple[Path, Path]:
    """(run directory, result directory): as given, else the newest run and a new temporary directory.

    What is opened by hand replaces no results: run_analysis, which puts them in place as a whole, does. Raises
    FileNotFoundError, with what to do, when there is no run, and FileExistsError for a directory with files in it.
    """
    run = Path(input_dir) if input_dir else newest_run(repository() / "runs_out")
    if not output_dir:
        place = Path(tempfile.mkdtemp(prefix="analysis-")) / run.resolve().name.split("_", 1)[-1]
        place.mkdir()
        return run, place
    place = Path(output_dir)
    ours = (place / BY_HAND).exists() or (place.parent / MARK).exists()
    if not ours and place.is_dir() and any(place.iterdir()):
        raise FileExistsError(f"{place} holds files; expected a new or an empty directory, or none for a temporary one")
    if not ours:
        place.mkdir(parents=True, exist_ok=True)
        (place / BY_HAND).touch()
    return run, place
