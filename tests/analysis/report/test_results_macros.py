"""results.tex: every number of a sentence is a macro, with the value that the sentence has."""

import re

import fake_run as fake
import pytest

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import load
from mdcore.analysis.report.findings import macros
from mdcore.analysis.report.findings.answer import answer
from mdcore.analysis.report.findings.certainty import certainty_sentences, direction_sentences
from mdcore.analysis.report.findings.verdicts import verdicts

RUNS = {
    "pairs": (fake.mnist_cells, {"overlap": lambda c: c["digits"] == [3, 5] and c["pca"] == 50}),
    "one seed": (lambda: fake.grid_cells(seeds=(0,)), {}),
    "transient": (fake.grid_cells, {"status": "transient"}),
    "mixed": (
        lambda: fake.grid_cells([*fake.POTENTIALS, {"hypentropy": {"beta": 0.1}}], depths=(1, 2, 3)),
        {"status": {fake.grid_cells()[0]["cell_id"]: "failed", fake.grid_cells()[4]["cell_id"]: "transient"}},
    ),
    "unfinished": (fake.grid_cells, {"missing": [c["cell_id"] for c in fake.grid_cells()[::3]]}),
    "lost": (fake.grid_cells, {"status": "diverged"}),
    "overlap": (fake.grid_cells, {"overlap": lambda c: True}),
}
# What may stand in a sentence as digits: names, depths, the tolerance, levels of statistics, years of sources.
KNOWN = (
    r"\b1°|95 %|88 %|n = 3\b|al\. \d{4}|Telgarsky \d{4}|L = [\d, and]*\d|l[123∞](\.\d+)?\b|depth [12]\b|A =|and [23]\b"
)


def sentences_of(place, name):
    make, options = RUNS[name]
    results = load(fake.write_run(place / "20250319_paper", make(), **options))
    master = aggregate.master_table(results)
    summary = aggregate.summary_table(results, master)
    all_verdicts = verdicts(results, master, summary)
    sentences = (
        answer(results, all_verdicts, master, summary)
        + certainty_sentences(results, master)
        + direction_sentences(all_verdicts)
    )
    names = {c.words for c in results.conditions}
    names |= {n.replace(", ", " with ", 1) for n in names} | {
        part for f in results.facets for part in f.title.split(", ")
    }
    return sentences, names


@pytest.mark.parametrize("name", RUNS)
def test_no_number_is_in_a_sentence_without_a_macro(tmp_path, name):
    sentences, names = sentences_of(tmp_path, name)
    for sentence in sentences:
        bare = macros._STATED.sub("#", sentence)
        for known in sorted(names, key=len, reverse=True):
            bare = bare.replace(known, "")
        assert not re.search(r"\d", re.sub(KNOWN, "", bare)), bare
    text = macros.results_tex(sentences, "paper")
    values = macros.macros(sentences)
    assert len(values) >= (1 if name == "lost" else 4)
    for macro, (number, meaning) in values.items():
        (line,) = re.findall(rf"^\\newcommand{{\\mdcore{macro}}}{{(.*)}} % (.*)$", text, re.M)
        assert line[1] == f"{number}: {meaning}" and meaning
        if re.fullmatch(r"[\d.]+", number):
            assert line[0] == rf"\ensuremath{{{number}}}"
    for sentence in sentences:  # what LaTeX reads has a macro wherever people read a number
        used = re.findall(r"\\mdcore([A-Za-z]+)\{\}", macros.with_macros(sentence))
        assert used == [m[0] for m in macros._STATED.findall(sentence)] and set(used) <= set(values)


def test_one_name_has_one_number():
    two = [macros.stated("Runs", 3, "runs"), macros.stated("Runs", 4, "runs")]
    with pytest.raises(ValueError, match="Runs is stated as 3 and as 4"):
        macros.macros(two)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("12,345", r"\ensuremath{12{,}345}"),
        ("2.2×10⁻⁵", r"\ensuremath{2.2\times 10^{-5}}"),
        ("under 10⁻⁶", r"under \ensuremath{10^{-6}}"),
        ("−0.5", r"\ensuremath{-0.5}"),
    ],
)
def test_numbers_as_latex_sets_them(number, text):
    assert macros.number_as_latex(number) == text


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("MaxAngle", "lp, p = 3"), "MaxAngleLpThree"),
        (("bound", "lp, p = 1.5"), "BoundLpOnePointFive"),
        (("x", "hypentropy, β = 0.1"), "XHypentropyZeroPointOne"),
    ],
)
def test_macros_are_named_by_letters(words, name):
    assert macros.macro_name(*words) == name
