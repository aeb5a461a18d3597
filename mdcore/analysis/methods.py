"""The methods paragraph, ready to paste, out of the configurations and the recorded preprocessing."""

from __future__ import annotations

import json

from mdcore.analysis.columns import USED
from mdcore.analysis.conditions import data_title, pretty_potential
from mdcore.analysis.numbers import count, is_number, percent
from mdcore.analysis.results import Results
from mdcore.analysis.sentences import listed, plural


def _values(results: Results, column: str, deep: bool = False) -> list:
    found = [c.flat[column] for c in results.conditions if not deep or c.depth > 1]
    return sorted({v for v in found if v is not None}, key=lambda v: (isinstance(v, str), v))


def _numbers(values: list) -> str:
    return listed([f"{v:g}" if is_number(v) else str(v) for v in values], 6)


def _record(results: Results, cell: str) -> dict:
    try:
        record = json.loads(results.row.get(cell, {}).get("preprocessing") or "{}")
        return record if isinstance(record, dict) else {}
    except ValueError:
        return {}


def data_sentences(results: Results) -> list[str]:
    """One sentence for each data set: source, sizes, split, PCA and its explained variance, standardisation."""
    out, seen = [], set()
    for facet in results.facets:
        c = facet.conditions[0]
        if c.data in seen:
            continue
        seen.add(c.data)
        rows = [results.row[i] for d in facet.conditions for i in d.cells.values() if i in results.row]
        record = next((r for r in (_record(results, row["cell_id"]) for row in rows) if r), {})
        text = data_title(c.flat)
        if c.flat["dataset"] == "synthetic":
            text += (
                f": n = {c.flat['dataset_n']}, separation {c.flat['dataset_separation']}, noise "
                f"{c.flat['dataset_noise']}, another draw for every seed, every point a training point, no "
                "preprocessing"
            )
        elif record:
            sizes = next(((r["n_train"], r["n_test"]) for r in rows if is_number(r.get("n_train"))), None)
            text += f": {record.get('source', c.flat['dataset_source'])}"
            if sizes:
                split = record.get("split", "fixed split")
                text += f", {int(sizes[0]):,} training and {int(sizes[1]):,} test images ({split})"
            if is_number(record.get("explained_variance")):
                explained = percent(record["explained_variance"])
                text += f", PCA fitted on the training split (explains {explained} of the variance)"
            text += f", standardisation: {record['standardisation']}" if record.get("standardisation") else ""
        verdicts = sorted({r["separability"] for r in rows if r["separability"]})
        out.append(text + (f"; {listed(verdicts)}" if verdicts else "") + ".")
    return out


def _steps(results: Results) -> str:
    rules: dict[str, list[str]] = {}
    for c in results.conditions:
        f = c.flat
        rule = f"the {f['step_rule']} rule" if f["step_rule"] else "the step rule of the grid"
        rule += f", η = {f['step_eta']:g}" if is_number(f["step_eta"]) else ""
        rule += f", decay {f['step_decay']:g}" if is_number(f["step_decay"]) else ""
        anneal = f.get("step_anneal")
        rule += f", annealed with exponent {anneal:g}" if is_number(anneal) and anneal else ""
        rules.setdefault(rule, []).append(pretty_potential(c.label, c.flat))
    if len(rules) == 1:
        return f"Steps follow {next(iter(rules))}."
    return "Steps follow " + "; ".join(f"{rule} ({listed(names, 6)})" for rule, names in rules.items()) + "."


def methods(results: Results) -> list[str]:
    """Paragraphs: data, model and training, references, metrics and statistics."""
    if not results.conditions:
        return ["The run has no cells."]
    depths, widths = _values(results, "depth"), _values(results, "width", True)
    names = list(dict.fromkeys(pretty_potential(c.label, c.flat) for c in results.conditions))
    scale, epochs, stops = (
        _values(results, "init_scale", True),
        _values(results, "epochs"),
        _values(results, "stop_gap"),
    )
    model = (
        f"We train deep linear networks without bias of depth L = {_numbers(depths)}"
        + (f" and hidden width {_numbers(widths)}" if widths else "")
        + " by full-batch mirror descent on the "
        f"mean {' and '.join(_values(results, 'loss')) or 'logistic'} loss, the mirror map acting on every entry of "
        f"every layer, with the potentials {listed(names, 12)}. {_steps(results)} A run has at most "
        f"{' or '.join(count(e) for e in epochs)} steps"
        + (f" and ends early at a certified gap of {' or '.join(percent(s) for s in stops)}" if stops else "")
        + "."
    )
    if scale:
        model += (
            f" Hidden networks start at entries {_numbers(scale)}·N(0, 1)/√fan-in, the same for every potential; "
            "depth 1 starts at zero unless the grid says otherwise."
        )
    dtypes = _values(results, "dtype")
    model += f" Arithmetic is {' and '.join(dtypes)}; losses and norms are kept in the log domain." if dtypes else ""
    Cs = [_numbers(_values(results, k)) for k in ("svm_C", "logreg_C")]
    references = (
        "References have no bias. A linear program decides whether the data are separable. If they are, the lp "
        "max-margin direction of each potential's exponent is solved to a relative duality gap of at most 1e-7 (the "
        "reached gap is in tables/references.tex), the SVM is the hard-margin one and logistic regression is "
        f"l2-regularised (C = {Cs[1]}), as no unregularised minimiser exists. If they overlap, there is no max-margin, "
        f"the SVM is the soft-margin one (C = {Cs[0]}) and logistic regression is the unregularised minimiser. Each "
        "deep run is compared with its linear companion: depth 1, same data, input potential, seed and step rule, at "
        "equal steps and at equal loss."
    )
    seeds = sorted({len(c.cells) for c in results.conditions})
    statistics = (
        "Angles are in degrees, 0° to 180°, signed. The certified gap is 1 − γ_p(w)/‖Aᵀλ‖_q with λ from the weights of "
        "the training points along the run: an upper bound of the missing share of the margin that needs no solver; a "
        "run counts as converged at 1 % or less, else as transient. Statistics are over "
        f"{' or '.join(str(s) for s in seeds)} seed{'s' * (seeds != [1])} per condition and over runs with status "
        f"{listed(list(USED), 6)}: mean, standard deviation with ddof 1, range, and the 95 % interval of the mean by "
        "Student's t (Student 1908). Differences are paired by seed. Two directions count as the same below 1°."
    )
    return [" ".join(data_sentences(results)), model, references, statistics]


def size_sentence(results: Results) -> str:
    """ "72 runs: 24 conditions on 4 data conditions, 3 seeds each"."""
    seeds = sorted({len(c.cells) for c in results.conditions})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}" if seeds else "no"
    return (
        f"{plural(len(results.cells), 'run')}: {plural(len(results.conditions), 'condition')} on "
        f"{plural(len(results.facets), 'data condition')}, {each} seed{'s' * (seeds != [1])} each."
    )
