"""The report: its sections, built from results, tables and figures, and its files, made from the executed notebook."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import Results, load
from mdcore.analysis.figures import collection
from mdcore.analysis.figures.captions import NOT_UNIQUE, unique_notes
from mdcore.analysis.figures.study import Study
from mdcore.analysis.report import methods, paper
from mdcore.analysis.report.document import Bullets, Code, Figure, Folded, Section, Table, Text
from mdcore.analysis.report.findings.answer import answer
from mdcore.analysis.report.findings.certainty import certainty_sentences, direction_sentences
from mdcore.analysis.report.findings.macros import results_tex, with_numbers
from mdcore.analysis.report.findings.verdicts import verdicts
from mdcore.analysis.report.findings.wording import plural
from mdcore.analysis.report.provenance import commands, provenance, write_provenance
from mdcore.analysis.report.publishing import publish
from mdcore.analysis.report.verdict_sections import verdict_section, waiting_section
from mdcore.analysis.tables.norms import norms_section
from mdcore.analysis.tables.numbers import DASH, is_number, readable
from mdcore.analysis.tables.statistics_tables import FEWER, QUANTITIES, columns_of, counts, quantity
from mdcore.store.columns import metric

__all__ = ["build", "publish"]


def answer_section(results: Results, sentences: list[str]) -> Section:
    """The question, its answer, the size of the run."""
    sentences = list(map(with_numbers, sentences))
    blocks: list = [Text(results.mixed, lead=True)] * bool(results.mixed)
    blocks += [Text("Question. " + (results.question or "The grid states no question.")), Text(sentences[0], lead=True)]
    blocks += [Bullets(sentences[1:])] if sentences[1:] else []
    return Section("answer", "Answer", [*blocks, Text(methods.size_sentence(results))])


def certainty_section(results: Results, sentences: list[str]) -> Section:
    """How sure that is, and what is wrong with the files of the run."""
    sentences = list(map(with_numbers, sentences))
    blocks: list = (
        [Bullets(sentences)] if sentences else [Text("Nothing came through, so there is nothing to be sure of.")]
    )
    if results.problems:
        blocks += [
            Text(f"{plural(len(results.problems), 'problem')} with the files of this run:"),
            Bullets(results.problems[:30]),
        ]
        if len(results.problems) > 30:
            blocks.append(Text(f"and {len(results.problems) - 30} more."))
    return Section("certainty", "How sure is that", blocks)


def figures_section(output_dir: Path, index: dict) -> Section:
    """How to read them, all figures by section with their captions, and what is absent, with the reason."""
    notes = collection.notes_of(index)
    blocks: list = [Section("figures-notes", "How to read them", [Bullets(notes)], 3)] if notes else []
    number = 0
    for title in dict.fromkeys(f["section"] for f in index["figures"] + index.get("albums", [])):
        blocks.append(Section("figures-" + re.sub(r"\W+", "-", title.lower()), title, [], 3))
        for f in (f for f in index["figures"] if f["section"] == title):
            number += 1
            blocks.append(Figure(output_dir / "figures" / f"{f['name']}.png", f["caption"], f["alt"], number))
        for album in (a for a in index.get("albums", []) if a["section"] == title):
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


def shown_axis(name: str) -> str:
    """Title and unit of a column of numbers; shares are shown in percent."""
    if name in QUANTITIES:
        return f"{metric(name).title} (%)" if QUANTITIES[name].factor == 100 else metric(name).axis
    return f"{metric(name).axis} {({'low': '↓', 'high': '↑'}).get(metric(name).better, '')}".strip()


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
        *results.user_metrics,
    ]
    shown = [m for m in shown if f"{m}_mean" in summary and any(is_number(v) for v in summary[f"{m}_mean"])]
    by_id = {r["condition_id"]: r for r in summary.to_dict("records")}
    titled_conditions = [(facet.title, c) for facet in results.facets for c in facet.conditions]
    stats = [by_id[c.id] for _, c in titled_conditions]
    by_name, fewer, read = columns_of(stats, shown, "n seeds")
    columns = [
        [readable(cell) + " §" * f for cell, f in zip(cells, fewer[m], strict=True)] for m, cells in by_name.items()
    ]
    rows, keys = [], []
    for number, ((title, c), row) in enumerate(zip(titled_conditions, stats, strict=True)):
        cells = [cells[number] for cells in columns]
        if results.ambiguous(c) and "angle_max_margin" in shown and row["angle_max_margin_n"]:
            cells[shown.index("angle_max_margin")] += f" {NOT_UNIQUE}"
        rows.append([title, c.words, str(c.depth), counts(row), *cells])
        sizes = [
            float(row[f"{m}_{'max' if quantity(m).bound else 'mean'}"]) if cell != DASH else float("nan")
            for m, cell in zip(shown, cells, strict=True)
        ]
        keys.append([title, c.words, float(c.depth), float(row["n_used"]), *sizes])
    head = ["data", "potential", "L", "n", *[shown_axis(m) for m in shown]]
    caption = (
        f"{read} L is the depth, p the potential's own; the "
        f"bound of the angle is the largest over seeds.{f' {FEWER}' * any(map(any, fewer.values()))}"
    )
    more = (
        "All metrics are in summary.csv, single runs in master.csv, and the tables for LaTeX in tables/*.tex; "
        "tables/preview.tex shows them."
    )
    notes = [*unique_notes(results, results.conditions, shown), more]
    return Section("numbers", "Numbers", [Table(head, rows, keys, caption), Text(" ".join(notes))])


def build(input_dir: str | Path, output_dir: str | Path) -> dict[str, Section]:
    """All sections of the report by key, in reading order; tables and figures are made where they are not there yet."""
    results, output_dir = load(input_dir), Path(output_dir)
    master, summary = aggregate.read_or_write(results, output_dir)
    index_file = output_dir / "figures" / collection.INDEX
    index = (
        json.loads(index_file.read_text(encoding="utf-8"))
        if index_file.is_file()
        else collection.write(Study(results, master, summary), output_dir)
    )
    all_verdicts = verdicts(results, master, summary)
    record = provenance(results, output_dir)
    write_provenance(record, output_dir)
    answers = answer(results, all_verdicts, master, summary)
    certain = certainty_sentences(results, master) + direction_sentences(all_verdicts)
    (output_dir / "results.tex").write_text(results_tex([*answers, *certain], results.tag), encoding="utf-8")
    paper.write(results, (answers, certain), index, output_dir)
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
            Folded("grid.yaml, as resolved", [Code(results.grid_shown.strip() or "(not readable)", "yaml")]),
        ],
    )
    again = Section(
        "reproduce",
        "Reproduce",
        [Text("The same numbers again, from the commit named above:"), Code(commands(results), "sh")],
    )
    parts = [
        answer_section(results, answers),
        certainty_section(results, certain),
        waiting_section(all_verdicts),
        verdict_section(all_verdicts),
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
        if isinstance(value, dict) and prefix and not any(isinstance(v, dict) for v in value.values()):
            rows.append([name, ", ".join(f"{k} {v}" for k, v in value.items())])
        elif isinstance(value, dict):
            rows += record_rows(value, f"{name}.")
        else:
            rows.append([name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)])
    return rows
