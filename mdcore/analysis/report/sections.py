"""The report: its sections, built from results, tables and figures, and its files, made from the executed notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.columns import metric
from mdcore.analysis.data.results import Results, load
from mdcore.analysis.figures import collection
from mdcore.analysis.figures.captions import NOT_UNIQUE, unique_words
from mdcore.analysis.report import certainty, methods, sentences
from mdcore.analysis.report.document import Bullets, Code, Figure, Folded, Section, Table, Text
from mdcore.analysis.report.provenance import commands, provenance, write_provenance
from mdcore.analysis.report.publishing import publish
from mdcore.analysis.report.verdict_sections import verdict_section, waiting_section
from mdcore.analysis.report.verdicts import Verdict, verdicts
from mdcore.analysis.tables.norms import norms_section
from mdcore.analysis.tables.numbers import DASH, is_number, plain

__all__ = ["build", "publish"]

FAMILIES = {
    "angles": "Angles to the references",
    "margins": "Margins",
    "gap": "Certified gap",
    "boxplots": "Across seeds",
    "boundaries": "Decision boundaries",
    "heatmaps": "Balance and alignment",
    "structure": "Layers and hidden neurons",
    "own_metrics": "Metrics of one's own",
}


def answer_section(results: Results, found: list[Verdict], master: pd.DataFrame, summary: pd.DataFrame) -> Section:
    """The question, its answer, the size of the run."""
    said = sentences.answer(results, found, master, summary)
    blocks = [Text("Question. " + (results.question or "The grid states no question.")), Text(said[0], lead=True)]
    blocks += [Bullets(said[1:])] if said[1:] else []
    return Section("answer", "Answer", [*blocks, Text(methods.size_sentence(results))])


def certainty_section(results: Results, found: list[Verdict], master: pd.DataFrame) -> Section:
    """How sure that is, and what is wrong with the files of the run."""
    said = certainty.certainty_sentences(results, master) + certainty.direction_sentences(found)
    blocks: list = [Bullets(said)] if said else [Text("Nothing came through, so there is nothing to be sure of.")]
    if results.problems:
        blocks += [
            Text(f"{sentences.plural(len(results.problems), 'problem')} with the files of this run:"),
            Bullets(results.problems[:30]),
        ]
        if len(results.problems) > 30:
            blocks.append(Text(f"and {len(results.problems) - 30} more."))
    return Section("certainty", "How sure is that", blocks)


def figures_section(output_dir: Path, index: dict) -> Section:
    """All figures by family with their captions, and what is absent, with the reason."""
    blocks: list = []
    number = 0
    for family, title in FAMILIES.items():
        members = [f for f in index["figures"] if f["family"] == family]
        if members:
            blocks.append(Section(f"figures-{family}", title, [], 3))
        for f in members:
            number += 1
            blocks.append(Figure(output_dir / "figures" / f"{f['name']}.png", f["caption"], f["alt"], number))
        for album in (a for a in index.get("albums", []) if a["family"] == family):
            first, last = album["first"], album["first"] + len(album["captions"]) - 1
            pages = f"Page {first} is" if first == last else f"Pages {first} to {last} are"
            blocks.append(
                Folded(f"{pages} in figures/{album['name']}.pdf, with these captions", [Bullets(album["captions"])])
            )
    if not number:
        blocks.append(Text("No figure could be drawn."))
    if index["absent"]:
        blocks.append(
            Section(
                "figures-absent", "Not drawn", [Bullets([f"{a['name']}: {a['reason']}." for a in index["absent"]])], 3
            )
        )
    return Section("figures", "Figures", blocks)


def numbers_section(results: Results, summary: pd.DataFrame) -> Section:
    """Final metrics of every condition, mean ± std, and where the LaTeX tables are."""
    shown = [
        "angle_max_margin",
        "angle_svm",
        "angle_logreg",
        "margin_ratio",
        "gap",
        "angle_bound",
        "test_accuracy",
        "norm_balance",
        "layer_alignment",
        *results.own_metrics,
    ]
    shown = [m for m in shown if f"{m}_mean" in summary and any(is_number(v) for v in summary[f"{m}_mean"])]
    rows, keys = [], []
    by_id = {r["condition_id"]: r for r in summary.to_dict("records")}
    for facet in results.facets:
        for c in facet.conditions:
            row = by_id[c.id]
            show = [m for m in shown if not (metric(m).deep and c.depth == 1)]
            words = [plain(row[f"{m}_mean"], row[f"{m}_std"]) if m in show else DASH for m in shown]
            if results.ambiguous(c) and "angle_max_margin" in show:
                words[shown.index("angle_max_margin")] += f" {NOT_UNIQUE}"
            rows.append([facet.title, c.words, str(c.depth), f"{row['n_used']}/{row['n']}", *words])
            keys.append(
                [
                    facet.title,
                    rows[-1][1],
                    float(c.depth),
                    float(row["n_used"]),
                    *(float(row[f"{m}_mean"]) if m in show else float("nan") for m in shown),
                ]
            )
    head = ["data", "potential", "L", "n", *[metric(m).axis for m in shown]]
    caption = (
        "Mean ± standard deviation (ddof 1) over seeds; n: runs in the statistics / runs of the grid. All metrics: "
        "summary.csv; single runs: master.csv; LaTeX: tables/*.tex, compiled by tables/preview.tex."
    ) + unique_words(results, results.conditions, shown)
    return Section("numbers", "Numbers", [Table(head, rows, keys, caption)])


def build(input_dir: str | Path, output_dir: str | Path) -> dict[str, Section]:
    """All sections of the report by key, in reading order; tables and figures are made where they are not there yet."""
    results, output_dir = load(input_dir), Path(output_dir)
    master, summary = aggregate.read_or_write(results, output_dir)
    index_file = output_dir / "figures" / collection.INDEX
    index = (
        json.loads(index_file.read_text(encoding="utf-8"))
        if index_file.is_file()
        else collection.write(results, master, summary, output_dir)
    )
    found = verdicts(results, master, summary)
    record = provenance(results, output_dir)
    write_provenance(record, output_dir)
    method = Section("methods", "Methods, ready to paste", [Text(p) for p in methods.methods(results)])
    origin = Section(
        "provenance",
        "Provenance",
        [
            Text(
                "Where the numbers come from; the same is in provenance.json. Each number of a table is in master.csv, "
                "whose cell_id names the run; conditions/*.json hold what is needed to run one condition again."
            ),
            Table(["what", "value"], record_rows(record)),
            Folded("grid.yaml, as resolved", [Code(results.grid_yaml.strip() or "(not readable)", "yaml")]),
        ],
    )
    again = Section(
        "reproduce",
        "Reproduce",
        [Text("The same numbers again, from the commit named above:"), Code(commands(results), "sh")],
    )
    parts = [
        answer_section(results, found, master, summary),
        certainty_section(results, found, master),
        waiting_section(found),
        verdict_section(found),
        figures_section(output_dir, index),
        numbers_section(results, summary),
        norms_section(results),
        method,
        origin,
        again,
    ]
    return {s.key: s for s in parts}


def record_rows(record: dict, prefix: str = "") -> list[list[str]]:
    """A nested record as rows of two words."""
    rows = []
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += record_rows(value, f"{name}.")
        else:
            rows.append([name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)])
    return rows
