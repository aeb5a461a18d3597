"""The methods paragraphs, ready to paste: every clause from the resolved configurations and from what the run recorded.

A clause that differs between conditions is said once for each of its values, with what has it: the potentials, the
depths, the widths or the data. Nothing is said of what was not done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results, record_of
from mdcore.analysis.report.findings.wording import listed, plural
from mdcore.analysis.tables.numbers import (
    angle_at_most,
    count,
    is_number,
    number_as_text,
    percent,
    rounded_up,
    written,
)
from mdcore.problems.proofs.directions import CONVERGED_GAP
from mdcore.problems.sources import BY_SEED, SOURCES
from mdcore.store.columns import USED

# Rules and potentials that have a source.
_STEPS = {
    "constant": "the constant rule s = η with η = {eta}",
    "normalized": "the normalised rule s_t = η t^(a−1)/N with η = {eta} and decay a = {decay}",
    "adaptive": (
        "the adaptive rule of Lyu & Li 2020: the length is h/N from h = η = {eta}, a step is taken only if the risk "
        "falls, and then h grows by 5 %, else it is halved"
    ),
    "loss_scaled": "the loss-scaled rule s = η/R with η = {eta} (Ji & Telgarsky 2021)",
}
_SOURCES = {
    "quadratic": "the quadratic potential gives gradient descent (Soudry et al. 2018)",
    "lp": "mirror descent with lp potentials is that of Sun et al. 2022",
    "hypentropy": "hypentropy is that of Ghai et al. 2020",
    "cosh": "cosh is that of Pesme et al. 2024",
}
_NORM = (
    " N = (Σ ‖G‖_q^q)^(1/q) over the gradients G of all layers, with q = p/(p−1) where all layers have one lp "
    "potential, else q = 2."
)


def _numbers(values: Iterable) -> str:
    known = sorted({v for v in values if v is not None}, key=lambda v: (isinstance(v, str), v))
    return listed([f"{v:g}" if is_number(v) else str(v) for v in known], 12)


def _potential(c: Condition) -> str:
    return c.words


_FACTORS: tuple[Callable[[Condition], str], ...] = (
    lambda c: f"L = {c.depth}",
    _potential,
    lambda c: f"{_potential(c)} at L = {c.depth}",
    lambda c: c.data_words,
    lambda c: f"width {c.flat.get('width')}",
)


def _among(names: list[str]) -> str:
    """Names in a list, kept apart by semicolons where they have commas."""
    return "; ".join(names) if any(", " in name for name in names) and len(names) <= 7 else listed(names, 6)


def _each(conditions: list[Condition], clause: Callable[[Condition], str]) -> str:
    """The clause where all conditions share it; else each one with what has it: "a (L = 1); b (L = 2 and L = 3)"."""
    groups: dict[str, list[Condition]] = {}
    for c in conditions:
        if clause(c):
            groups.setdefault(clause(c), []).append(c)
    if len(groups) < 2:
        return next(iter(groups), "")
    for factor in _FACTORS:
        names = [list(dict.fromkeys(map(factor, members))) for members in groups.values()]
        if len({n for some in names for n in some}) == sum(map(len, names)):
            return "; ".join(f"{text} ({_among(some)})" for text, some in zip(groups, names, strict=True))
    return "; ".join(f"{text} (in {plural(len(some), 'condition')})" for text, some in groups.items())


def _rows(results: Results, conditions: Iterable[Condition]) -> list[dict]:
    return [results.row[i] for c in conditions for i in c.cells.values() if i in results.row]


def _largest(rows: list[dict], column: str) -> float:
    return max((float(r[column]) for r in rows if is_number(r.get(column))), default=float("nan"))


def _user_data_set(c: Condition) -> str:
    """The user's own data set: the function's name and the parameters that the grid gives it."""
    given = [f"{k} = {v}" for k, v in c.config["dataset"].items() if k != "name" and v is not None]
    return f"a data set of the user's own, {c.config['dataset']['name']}" + (
        f" with {listed(given, 12)}" if given else ""
    )


# Of a record, what a sentence of its own says, or what no reader of a paper asks for.
_SAID = {
    "source", "split", "labels", "standardisation", "pca", "explained_variance", "svd_solver", "component_signs",
    "n_train", "n_test", "called", "files", "digits", "test_fraction", "label", "seed",
}  # fmt: skip


def _recorded_clauses(record: dict) -> list[str]:
    """What else a data set of the user's own records of itself, as far as it is short."""
    yes = {True: "yes", False: "no"}
    words = {k: yes[v] if isinstance(v, bool) else str(v) for k, v in record.items() if k not in _SAID}
    short_keys = [k for k in words if isinstance(record[k], (str, int, float)) and len(words[k]) <= 200]
    return [f"{k.replace('_', ' ')}: {words[k]}" for k in short_keys[:8]]


def data_sentences(results: Results) -> list[str]:
    """One sentence for each data set: what was read, sizes, labels, split, PCA, scaling, verdict.

    What all of them share stands in a sentence before them.
    """
    groups: dict[str, list[Condition]] = {}
    for c in results.conditions:
        groups.setdefault(c.data_key, []).append(c)
    clauses = [_data_clauses(members, _rows(results, members)) for members in groups.values()]
    shared = [part for part in clauses[0] if all(part in some for some in clauses)] if len(clauses) > 1 else []
    many = "both" if len(clauses) == 2 else f"all {len(clauses)}"
    sentences = [f"Shared by {many} data sets: {'; '.join(shared)}."] if shared else []
    for (c, *_), some in zip(groups.values(), clauses, strict=True):
        source = SOURCES.get(c.config["dataset"]["name"])
        unshared = "; ".join(part for part in some if part not in shared)
        text = unshared if source is None and unshared else f"{c.data_words}: {unshared}" if unshared else c.data_words
        sentences.append((text if source and source.path_keys else text[0].upper() + text[1:]) + ".")
    return sentences


def _data_clauses(members: list[Condition], rows: list[dict]) -> list[str]:
    """What is said of one data set; the first clause of a user's own names it."""
    c = members[0]
    source, config = SOURCES.get(c.config["dataset"]["name"]), c.config
    records = [r for r in map(record_of, rows) if r]
    record = records[0] if records else {}
    words = {key: record[key] for key in ("source", "label", "split", "labels", "standardisation")
             if isinstance(record.get(key), str)}  # fmt: skip
    parts = [_user_data_set(c) if source is None else source.read(config, record)]
    unit = "points" if source is None else source.unit
    sizes = sorted({(int(r["n_train"]), int(r["n_test"])) for r in rows if is_number(r.get("n_train"))})
    if sizes:
        held = f" and {sizes[0][1]:,} test" if sizes[0][1] else ""
        parts.append(f"{sizes[0][0]:,} training{held} {unit}" + (" at one of its seeds" if len(sizes) > 1 else ""))
    if source is None:
        parts += [f"{key}: {words[key]}" for key in ("label", "source") if key in words]
    if "labels" in words:
        parts.append(words["labels"].replace(" -", " −"))
    if source is not None:
        parts.append(source.split(config, record))
    elif "split" in words:
        parts.append(f"split: {words['split']}")
    if config.get("pca") is not None:
        explained = sorted(r["explained_variance"] for r in records if is_number(r.get("explained_variance")))
        ends = list(dict.fromkeys(map(percent, (explained[0], explained[-1])))) if explained else []
        tail = f" (explains {' to '.join(ends)} of the variance)" if ends else ""
        parts.append(f"PCA to {config['pca']} components fitted on the training split{tail}")
    dropped = [tuple(map(str, r.get("dropped_constant") or ())) for r in records]
    if source is not None and any(dropped):
        names = listed(list(dict.fromkeys(name for some in dropped for name in some)), 6)
        parts.append(f"{names} dropped, constant in training" + " at some of its seeds" * (len(set(dropped)) > 1))
    if "standardisation" in words:
        parts.append(f"standardisation: {words['standardisation']}")
    if source is None:
        parts += _recorded_clauses(record)
    verdicts = sorted({r["separability"] for r in rows if r.get("separability")})
    return parts + [" or ".join(verdicts)] * bool(verdicts)


def _model(results: Results) -> str:
    conditions = results.conditions
    deep = [c for c in conditions if c.depth > 1]
    names = list(dict.fromkeys(map(_potential, conditions)))
    kinds = dict.fromkeys(part for c in conditions for part in str(c.flat["potential"]).split("+"))
    sources = [_SOURCES[k] for k in kinds if k in _SOURCES]
    layered = any(isinstance(c.config["potential"], list) for c in conditions)
    text = (
        f"We train {'deep linear networks' if deep else 'linear predictors'} without bias of depth L = "
        f"{_numbers(c.depth for c in conditions)}"
        + (f" and hidden width {_numbers(c.flat.get('width') for c in deep)}" if deep else "")
        + f" by full-batch mirror descent on the mean {_each(conditions, lambda c: c.config['loss'])} loss. The mirror "
        f"map acts on every entry of every layer; the potentials are {'; '.join(names)}"
        + (" (potentials of single layers are joined by +, input layer first)" if layered else "")
        + "."
    )
    if sources:
        cited = listed(sources)
        text += f" {cited[0].upper()}{cited[1:]}."
    return text


def _step(c: Condition) -> str:
    step = c.config.get("step") or {}
    numbers = {"decay": 1.0, "eta": 1.0, **step}
    text = _STEPS.get(str(step.get("rule")), "the rule " + str(step.get("rule"))).format(
        **{key: written(value) if is_number(value) else value for key, value in numbers.items()}
    )
    if step.get("anneal"):
        text += f", annealed by the factor (1 − (t−1)/T)^c with c = {step['anneal']:g} over the T steps of the run"
    return text


def _start(c: Condition) -> str:
    init = c.config.get("init") or {}
    if not init.get("scale"):
        return "zero"
    law = "U(−1, 1)" if init.get("distribution") == "uniform" else "N(0, 1)"
    return f"entries {init['scale']:g}·{law}/√fan-in"


def _length(c: Condition) -> str:
    gap = (c.config.get("stop") or {}).get("gap")
    steps = f"{count(c.config['epochs'])} steps"
    return f"at most {steps}, fewer where the certified gap falls to {percent(gap)}" if gap else steps


def _training(results: Results) -> str:
    conditions = results.conditions
    text = f"Steps follow {_each(conditions, _step)}."
    if any((c.config.get("step") or {}).get("rule") in ("normalized", "adaptive") for c in conditions):
        text += _NORM
    if any((c.config.get("step") or {}).get("rule") == "normalized" for c in conditions):
        text += " Normalised steps on separable data were studied for gradient descent by Nacson et al. 2019."
    text += f" A run has {_each(conditions, _length)}. Networks start at {_each(conditions, _start)}"
    random = any((c.config.get("init") or {}).get("scale") for c in conditions)
    text += "; a start depends on the seed and the shapes alone, not on the potential." if random else "."
    points = _each(conditions, lambda c: str(c.config.get("log_points") or ""))
    text += f" Runs are measured at up to {points} epochs, evenly spaced in log t." if points else ""
    text += (
        f" Arithmetic is {_each(conditions, lambda c: str(c.config.get('dtype') or ''))}; losses and norms are kept in "
    )
    text += "the log domain."
    user_metrics = list(dict.fromkeys(m for c in conditions for m in c.config.get("metrics") or ()))
    return text + (f" Metrics of the user's own: {listed(user_metrics, 12)}." if user_metrics else "")


def _references(results: Results) -> str:
    """What the angles and shares refer to: only the references that some run of the grid was compared with."""
    rows = _rows(results, results.conditions)
    kinds = {(k, r.get(k)) for r in rows for k in ("svm_kind", "logreg_kind")}
    verdicts = sorted({r["separability"] for r in rows if r.get("separability")})

    def met(column: str, kind: str) -> list[Condition]:
        return [c for c in results.conditions if any(r.get(column) == kind for r in _rows(results, [c]))]

    if not verdicts:
        return "No run has left its references."
    out = [f"References have no bias. A linear program finds the data {' or '.join(verdicts)}."]
    if "separable" in verdicts:
        gap, angle_bound = _largest(rows, "exact_margin_gap"), _largest(rows, "exact_angle_bound")
        ambiguous = any(r.get("reference_unique") == "False" for r in rows)
        if is_number(gap):
            text = (
                "Each run is compared with the lp max-margin direction of its potential's own exponent, solved here to "
                f"a relative duality gap of at most {number_as_text(rounded_up(max(gap, 0.0)), digits=2)}"
            )
            if is_number(angle_bound):
                unique = " where it is the only one" if ambiguous else ""
                text += f", which fixes the direction{unique} to within {angle_at_most(angle_bound)}"
            out.append(text + " (each gap is in tables/references.tex).")
        if ambiguous:
            out.append("Where that optimum is not proved to be the only one, tables and figures mark the angle to it.")
    if ("svm_kind", "hard-margin") in kinds:
        out.append("On separable data the SVM is the hard-margin one.")
    soft, regular = met("svm_kind", "soft-margin"), met("logreg_kind", "l2")
    if soft:
        out.append(
            f"Where no margin exists the SVM is the soft-margin one, C = {_each(soft, lambda c: _C(c, 'svm_C'))}."
        )
    if regular:
        out.append(
            "Where no unregularised minimiser exists logistic regression is l2-regularised, C = "
            f"{_each(regular, lambda c: _C(c, 'logreg_C'))}."
        )
    if ("logreg_kind", "unregularised") in kinds:
        out.append(
            "On overlapping data logistic regression is the unregularised minimiser, to which gradient descent "
            "converges (Ji & Telgarsky 2019)."
        )
    if any(c.depth > 1 for c in results.conditions):
        out.append(
            "Layers of deep linear networks align with each other (Ji & Telgarsky 2019a); the alignment reported is "
            "the mean absolute inner product of the top singular vectors of adjacent layers."
        )
        out.append(
            "Each deep run is compared with its linear companion, depth 1 from a start at zero with the same data, "
            "input potential, seed and step rule, at equal steps and at equal loss."
        )
    return " ".join(out)


def _C(c: Condition, key: str) -> str:
    return f"{c.config[key]:g}"


def _statistics(results: Results) -> str:
    sizes = {len(c.cells) for c in results.conditions}
    seeds = sorted({s for c in results.conditions for s in c.cells})
    separable = any(r.get("separability") == "separable" for r in _rows(results, results.conditions))
    met = [s for s in USED if s in results.status.values()]
    text = "Angles are in degrees, 0° to 180°, signed. "
    if separable:
        text += (
            "The certified gap is 1 − γ_p(w)/‖Aᵀλ‖_q with λ ≥ 0 from the weights of the training points along the run: "
            "an upper bound of the missing share of the margin that needs no solver; a run counts as converged at "
            f"{percent(CONVERGED_GAP)} or less, else as transient. "
        )
    text += _what_seeds_draw(results.conditions) if len(seeds) > 1 else ""
    text += f"Statistics are over {_numbers(sizes).replace(' and ', ' or ')} seed{'s' * (sizes != {1})} per condition "
    text += f"(seeds {_numbers(seeds)}) " if len(seeds) > 1 else f"(seed {_numbers(seeds)}) "
    text += f"and over runs with status {listed(met, 6)}: " if met else "(no run came through): "
    if sizes == {1}:
        return text + "a single run has neither standard deviation nor interval."
    return text + (
        "mean, standard deviation with ddof 1, range, and the 95 % interval of the mean by Student's t (Student 1908). "
        "Differences are paired by seed."
    )


def _what_seeds_draw(conditions: list[Condition]) -> str:
    """What differs between the seeds of a condition, and so what an interval is of."""
    datasets = [c.config["dataset"] for c in conditions]
    sources = [SOURCES.get(data["name"]) for data in datasets]
    drawn = [s is None or s.seeded(data) for s, data in zip(sources, datasets, strict=True)]
    deep, words = any(c.depth > 1 for c in conditions), ""
    if all(drawn):
        words = "A seed draws the data" + (" and the start of a deep network" if deep else "") + ". "
    elif not any(drawn) and deep:
        words = "A seed draws the start of a deep network; the data, and so runs at L = 1, are the same at all seeds. "
    elif not any(drawn):
        words = "The data are the same at all seeds. "
    if any(data.get("split") == BY_SEED or data.get("subsample") for data in datasets):
        words += (
            "Where a seed draws the split or a subsample, training sets of two seeds share points: intervals are of "
            "these draws, not of new samples of the population. "
        )
    return words


def methods(results: Results) -> list[str]:
    """Paragraphs: data, model and training, references, metrics and statistics."""
    if not results.conditions:
        return ["The run has no cells."]
    model = f"{_model(results)} {_training(results)}"
    return [" ".join(data_sentences(results)), model, _references(results), _statistics(results)]


def size_sentence(results: Results) -> str:
    """ "72 runs: 24 conditions on 4 data sets, 3 seeds each"."""
    seeds = sorted({len(c.cells) for c in results.conditions})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}" if seeds else "no"
    return (
        f"{plural(len(results.cells), 'run')}: {plural(len(results.conditions), 'condition')} on "
        f"{plural(len({c.data_key for c in results.conditions}), 'data set')}, {each} seed{'s' * (seeds != [1])} each."
    )
