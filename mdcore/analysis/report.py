"""The report: its sections, built from results, tables and figures, and its files, made from the executed notebook."""
from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from mdcore.analysis import aggregate, methods, plotting, sentences
from mdcore.analysis.columns import STATUSES, metric
from mdcore.analysis.conditions import pretty_potential
from mdcore.analysis.document import Bullets, Code, Figure, Folded, Section, Table, Text
from mdcore.analysis.numbers import DASH, is_number, percent, plain, share
from mdcore.analysis.provenance import commands, provenance, write_provenance
from mdcore.analysis.publishing import publish
from mdcore.analysis.results import Results, load
from mdcore.analysis.verdicts import Verdict, changed, verdicts

__all__ = ["build", "publish"]

FAMILIES = {
    "angles": "Angles to the references", "margins": "Margins", "gap": "Certified gap", "boxplots": "Across seeds",
    "boundaries": "Decision boundaries", "heatmaps": "Balance and alignment", "structure": "Layers and hidden neurons",
    "own_metrics": "Metrics of one's own"}


def answer_section(results: Results, found: list[Verdict], summary: pd.DataFrame) -> Section:
    """The question, its answer, the size of the run."""
    said = sentences.answer(results, found, summary)
    blocks = [Text("Question. " + (results.question or "The grid states no question.")), Text(said[0], lead=True)]
    blocks += [Bullets(said[1:])] if said[1:] else []
    return Section("answer", "Answer", [*blocks, Text(methods.size_sentence(results))])


def certainty_section(results: Results, master: pd.DataFrame) -> Section:
    """How sure that is, and what is wrong with the files of the run."""
    said = sentences.certainty_sentences(results, master)
    blocks: list = [Bullets(said)] if said else [Text("Nothing came through, so there is nothing to be sure of.")]
    if results.problems:
        blocks += [Text(f"{sentences.plural(len(results.problems), 'problem')} with the files of this run:"),
                   Bullets(results.problems[:30])]
        if len(results.problems) > 30:
            blocks.append(Text(f"and {len(results.problems) - 30} more."))
    return Section("certainty", "How sure is that", blocks)


def waiting_section(found: list[Verdict]) -> Section:
    """What has not converged and what it would take; what failed, diverged or was not run, and why."""
    found, blocks = sentences.distinct(found), []
    waiting = [v for v in found if v.counts.get("transient", 0)]
    if waiting:
        rows = [[v.name, v.facet, f"{v.counts['transient']} of {v.n}", percent(v.gap.mean), percent(v.gap.max),
                 sentences.forecast_sentence(v.forecast)] for v in waiting]
        keys = [[r[0], r[1], float(v.counts["transient"]), v.gap.mean, v.gap.max,
                 v.forecast.steps if v.forecast else float("nan")] for v, r in zip(waiting, rows, strict=True)]
        blocks += [Text("These end points are transients, not limits. The last column extrapolates the slowest run's gap "
                        "along a straight line in log-log over its last decade of steps; it is an estimate."),
                   Table(["condition", "data", "transient runs", "mean gap", "largest gap", "to a gap of 1 %"], rows, keys)]
    lost = [v for v in found if v.used < v.n]
    if lost:
        rows = [[v.name, v.facet, *(str(int(v.counts.get(s, 0))) for s in ("failed", "diverged", "missing")),
                 sentences.listed(v.messages, 2) if v.messages else DASH] for v in lost]
        blocks += [Text("Runs without a usable end:"),
                   Table(["condition", "data", "failed", "diverged", "not run", "why"], rows)]
    if not blocks:
        blocks = [Text("Nothing: every run on separable data carries its certificate, and none failed or diverged.")]
    return Section("waiting", "What has not converged", blocks)


def _direction(v: Verdict) -> str:
    near = v.nearest
    if near is None:
        return "no usable run" if not v.used else "not measured"
    name, angle = v.reference_names[near[0]], plain(near[1].mean, unit="°", digits=2)
    if v.reached:
        return f"{name} ({angle})"
    if v.overlap:
        return f"nearest: {name} ({angle})"
    return f"{'transient; ' if not v.converged else ''}nearest: {name} ({angle})"


def _depth(v: Verdict) -> tuple[str, str]:
    """(did depth change the limit, did it at equal loss), in words with numbers."""
    if v.condition.depth == 1:
        return DASH, DASH
    limit = {"no": "no", "yes": "yes", "open": "open", "": "no linear runs in the grid"}[v.limit_changed]
    if not v.depth_equal_loss.known:
        return limit, "not measured"
    return limit, f"{changed(v.depth_equal_loss)}: {sentences.degrees(v.depth_equal_loss)}"


def verdict_section(found: list[Verdict]) -> Section:
    """A row per condition: which direction, certified gap, margin ratio, whether depth changed it at equal loss."""
    rows, keys = [], []
    for v in found:
        status = ", ".join(f"{int(v.counts[s])} {s}" for s in STATUSES if v.counts.get(s))
        gap = DASH if not v.gap.known else percent(v.gap.mean) if v.n == 1 else f"{percent(v.gap.mean)} (≤ {percent(v.gap.max)})"
        near = v.nearest
        rows.append([v.facet, pretty_potential(v.condition.label, v.condition.flat), str(v.condition.depth), status,
                     _direction(v), gap, share(v.ratio.mean) if v.ratio.known else DASH,
                     plain(v.depth_equal_steps.mean, unit="°", digits=2) if v.depth_equal_steps.known else DASH,
                     *_depth(v)])
        nan = float("nan")
        keys.append([rows[-1][0], rows[-1][1], float(v.condition.depth), status, near[1].mean if near else nan,
                     v.gap.mean, v.ratio.mean, v.depth_equal_steps.mean, rows[-1][-2], v.depth_equal_loss.mean])
    head = ["data", "potential", "L", "runs", "direction reached", "certified gap", "share of exact margin",
            "angle to linear MD, equal steps", "limit changed by depth", "direction changed by depth at equal loss"]
    caption = ("Directions within 1° of a reference in every run count as that reference. The limit is not changed by "
               "depth when deep and linear runs are all certified and within 1° of the same reference. At equal loss: yes "
               "when the 95 % interval of the angle to linear MD lies above 1°, no when below, else open (one run: its "
               "value); that is a difference of paths, not of limits. A click on a head sorts.")
    return Section("verdicts", "Verdict per condition", [Table(head, rows, keys, caption)] if rows else [
        Text("The run has no conditions.")])


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
    if not number:
        blocks.append(Text("No figure could be drawn."))
    if index["absent"]:
        blocks.append(Section("figures-absent", "Not drawn", [Bullets(
            [f"{a['name']}: {a['reason']}." for a in index["absent"]])], 3))
    return Section("figures", "Figures", blocks)


def numbers_section(results: Results, summary: pd.DataFrame) -> Section:
    """Final metrics of every condition, mean ± std, and where the LaTeX tables are."""
    shown = ["angle_max_margin", "angle_svm", "angle_logreg", "margin_ratio", "gap", "test_accuracy", "norm_balance",
             "layer_alignment", *results.own_metrics]
    shown = [m for m in shown if f"{m}_mean" in summary and any(is_number(v) for v in summary[f"{m}_mean"])]
    rows, keys = [], []
    by_id = {r["condition_id"]: r for r in summary.to_dict("records")}
    for facet in results.facets:
        for c in facet.conditions:
            row = by_id[c.id]
            show = [m for m in shown if not (metric(m).deep and c.depth == 1)]
            words = [plain(row[f"{m}_mean"], row[f"{m}_std"]) if m in show else DASH for m in shown]
            rows.append([facet.title, pretty_potential(c.label, c.flat), str(c.depth), f"{row['n_used']}/{row['n']}", *words])
            keys.append([facet.title, rows[-1][1], float(c.depth), float(row["n_used"]),
                         *(float(row[f"{m}_mean"]) if m in show else float("nan") for m in shown)])
    head = ["data", "potential", "L", "n", *[metric(m).axis for m in shown]]
    caption = ("Mean ± standard deviation (ddof 1) over seeds; n: runs in the statistics / runs of the grid. All metrics: "
               "summary.csv; single runs: master.csv; LaTeX: tables/*.tex, compiled by tables/preview.tex.")
    return Section("numbers", "Numbers", [Table(head, rows, keys, caption)])


def build(input_dir: str | Path, output_dir: str | Path) -> dict[str, Section]:
    """All sections of the report by key, in reading order; tables and figures are made where they are not there yet."""
    results, output_dir = load(input_dir), Path(output_dir)
    master, summary = aggregate.read_or_write(results, output_dir)
    index_file = output_dir / "figures" / plotting.INDEX
    index = (json.loads(index_file.read_text(encoding="utf-8")) if index_file.is_file()
             else plotting.write(results, master, summary, output_dir))
    found = verdicts(results, master, summary)
    record = provenance(results, output_dir)
    write_provenance(record, output_dir)
    method = Section("methods", "Methods, ready to paste", [Text(p) for p in methods.methods(results)])
    origin = Section("provenance", "Provenance", [
        Text("Where the numbers come from; the same is in provenance.json. Each number of a table is in master.csv, whose "
             "cell_id names the run; conditions/*.json hold what is needed to run one condition again."),
        Table(["what", "value"], record_rows(record)),
        Folded("grid.yaml, as resolved", [Code(results.grid_yaml.strip() or "(not readable)", "yaml")])])
    again = Section("reproduce", "Reproduce", [Text("The same numbers again, from the commit named above:"),
                                               Code(commands(results), "sh")])
    parts = [answer_section(results, found, summary), certainty_section(results, master), waiting_section(found),
             verdict_section(found), figures_section(output_dir, index), numbers_section(results, summary), method, origin,
             again]
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
