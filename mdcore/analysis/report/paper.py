r"""A short Results section for LaTeX: paper/paper.tex, made of results.tex, the tables, the figures and the methods.

`write` leaves the sources beside the results; `build` compiles them with latexmk or tectonic, where there is one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from mdcore.analysis.data.results import Results
from mdcore.analysis.figures.collection import notes_of
from mdcore.analysis.report.findings.macros import with_macros
from mdcore.analysis.report.methods import methods
from mdcore.analysis.tables import latex
from mdcore.analysis.tables.layout import PREAMBLE
from mdcore.config.errors import nearest

FIGURES = ("final_angles", "angles_vs_epochs", "margins_vs_epochs", "decision_boundaries")
TABLES = ("compact", "main", "angles")
COLUMN, PAGE = 3.3 * 72, 6.8 * 72  # points: a figure wider than a column stands across both
_ENTRY = """@{kind}{{{key},
  author = {{{author}}},
  title = {{{{{title}}}}},
  {where},
  year = {{{year}}},
}}
"""
# As the methods cite a source: key, kind, author, title, where it appeared, year.
SOURCES = {
    "Sun et al. 2022": (
        "sun2022", "inproceedings", "Sun, Haoyuan and Ahn, Kwangjun and Thrampoulidis, Christos and Azizan, Navid",
        "Mirror Descent Maximizes Generalized Margin and Can Be Implemented Efficiently",
        "booktitle = {Advances in Neural Information Processing Systems}, volume = {35}", 2022,
    ),
    "Pesme et al. 2024": (
        "pesme2024", "inproceedings", "Pesme, Scott and Dragomir, Radu-Alexandru and Flammarion, Nicolas",
        "Implicit Bias of Mirror Flow on Separable Data",
        "booktitle = {Advances in Neural Information Processing Systems}, volume = {37}", 2024,
    ),
    "Soudry et al. 2018": (
        "soudry2018", "article",
        "Soudry, Daniel and Hoffer, Elad and Nacson, Mor Shpigel and Gunasekar, Suriya and Srebro, Nathan",
        "The Implicit Bias of Gradient Descent on Separable Data",
        "journal = {Journal of Machine Learning Research}, volume = {19}, number = {70}, pages = {1--57}", 2018,
    ),
    "Nacson et al. 2019": (
        "nacson2019", "inproceedings",
        "Nacson, Mor Shpigel and Lee, Jason and Gunasekar, Suriya and Savarese, Pedro H. P. and Srebro, Nathan and "
        "Soudry, Daniel", "Convergence of Gradient Descent on Separable Data",
        "booktitle = {International Conference on Artificial Intelligence and Statistics (AISTATS)}, "
        "series = {Proceedings of Machine Learning Research}, volume = {89}", 2019,
    ),
    "Ji & Telgarsky 2019a": (
        "ji2019align", "inproceedings", "Ji, Ziwei and Telgarsky, Matus",
        "Gradient Descent Aligns the Layers of Deep Linear Networks",
        "booktitle = {International Conference on Learning Representations (ICLR)}", 2019,
    ),
    "Ji & Telgarsky 2019": (
        "ji2019nonseparable", "inproceedings", "Ji, Ziwei and Telgarsky, Matus",
        "The Implicit Bias of Gradient Descent on Nonseparable Data",
        "booktitle = {Conference on Learning Theory (COLT)}, "
        "series = {Proceedings of Machine Learning Research}, volume = {99}", 2019,
    ),
    "Ji & Telgarsky 2021": (
        "ji2021", "inproceedings", "Ji, Ziwei and Telgarsky, Matus",
        "Characterizing the Implicit Bias via a Primal-Dual Analysis",
        "booktitle = {International Conference on Algorithmic Learning Theory (ALT)}, "
        "series = {Proceedings of Machine Learning Research}, volume = {132}", 2021,
    ),
    "Lyu & Li 2020": (
        "lyu2020", "inproceedings", "Lyu, Kaifeng and Li, Jian",
        "Gradient Descent Maximizes the Margin of Homogeneous Neural Networks",
        "booktitle = {International Conference on Learning Representations (ICLR)}", 2020,
    ),
    "Ghai et al. 2020": (
        "ghai2020", "inproceedings", "Ghai, Udaya and Hazan, Elad and Singer, Yoram",
        "Exponentiated Gradient Meets Gradient Descent",
        "booktitle = {International Conference on Algorithmic Learning Theory (ALT)}, "
        "series = {Proceedings of Machine Learning Research}, volume = {117}", 2020,
    ),
    "Student 1908": (
        "student1908", "article", "{Student}", "The Probable Error of a Mean",
        "journal = {Biometrika}, volume = {6}, number = {1}, pages = {1--25}", 1908,
    ),
}  # fmt: skip


class NotCompiled(RuntimeError):
    """No PDF: what is missing or what LaTeX said, and what to do."""


def bibliography() -> str:
    """references.bib: every source that methods and sentences can name."""
    return "\n".join(
        _ENTRY.format(key=key, kind=kind, author=author, title=title, where=where, year=year)
        for key, kind, author, title, where, year in SOURCES.values()
    )


def cited(text: str) -> str:
    """LaTeX text with natbib's citations in place of the sources' names."""
    for name, (key, *_) in sorted(SOURCES.items(), key=lambda item: -len(item[0])):
        name = re.escape(latex.escape(name))
        text = re.sub(rf"\({name}\)", rf"\\citep{{{key}}}", text)
        text = re.sub(rf"{name}(?!\w)", rf"\\citet{{{key}}}", text)
    return text


def formulas(text: str) -> str:
    """LaTeX of methods: indices, powers and roots of formulas as they are set in a line of text."""
    text = latex.words(text)
    text = re.sub(r"(\\_|\\textasciicircum\{\})\(([^()]*)\)", lambda m: _raised(m.group(1), m.group(2)), text)
    return re.sub(r"(\\_|\\textasciicircum\{\})([A-Za-z0-9])", lambda m: _raised(m.group(1), m.group(2)), text)


def _raised(mark: str, text: str) -> str:
    return rf"\textsubscript{{{text}}}" if mark == r"\_" else rf"\textsuperscript{{{text}}}"


def _width(pdf: Path) -> float:
    """Width of a figure's page in points, from the PDF that matplotlib wrote."""
    match = re.search(rb"/MediaBox \[ ?([\d.]+) ([\d.]+) ([\d.]+)", pdf.read_bytes())
    return float(match.group(3)) - float(match.group(1)) if match else PAGE


def _figure(pdf: Path, caption: str) -> str:
    width = _width(pdf)
    kind = "figure" if width <= COLUMN else "figure*"
    size = r"[width=\textwidth]" if width > PAGE else ""  # else in its own size, so that type keeps its size
    return "\n".join(
        [
            rf"\begin{{{kind}}}[tbp]",
            rf"\centering\includegraphics{size}{{../figures/{pdf.name}}}",
            rf"\caption{{{latex.words(caption)}}}",
            rf"\label{{fig:{latex.slug(pdf.stem)}}}",
            rf"\end{{{kind}}}",
        ]
    )


def document(
    results: Results, sentences: tuple[list[str], list[str]], figures: list[tuple[Path, str]], notes: list
) -> str:
    """paper.tex: two columns, the sentences with the macros of results.tex, figures, tables, methods, references."""
    answers, certain = sentences
    title = latex.words(results.question or f"Results of {results.tag}")
    return "\n".join(
        [
            r"\documentclass[10pt,twocolumn]{article}",
            PREAMBLE,
            r"\usepackage[letterpaper,textwidth=6.75in,textheight=9in,columnsep=0.25in]{geometry}",
            r"\usepackage{graphicx}",
            r"\usepackage{natbib}",
            r"\renewcommand{\bibfont}{\small}\setlength{\bibsep}{2pt plus 1pt}",
            r"\emergencystretch=2em",
            r"\renewcommand{\topfraction}{0.9}\renewcommand{\dbltopfraction}{0.9}\renewcommand{\textfraction}{0.05}",
            r"\renewcommand{\floatpagefraction}{0.7}\renewcommand{\dblfloatpagefraction}{0.7}",
            r"\input{../results.tex}",
            r"\begin{document}",
            rf"\title{{{title}}}\author{{}}\date{{}}",
            r"\maketitle",
            r"\section{Results}",
            cited(with_macros(answers[0])) + "\n",
            *[rf"\input{{../tables/{name}}}" for name in (*TABLES, *["own"] * bool(results.user_metrics))],
            *[_figure(pdf, caption) for pdf, caption in figures],  # early, so that they do not pile up at the end
            "\n\n".join(cited(with_macros(s)) for s in answers[1:]) + "\n",
            rf"\paragraph{{Reading the figures.}} {latex.words(' '.join(notes))}",
            r"\subsection{Certainty}",
            "\n\n".join(cited(with_macros(s)) for s in certain),
            r"\section{Methods}",
            "\n\n".join(cited(formulas(p)) for p in methods(results)),
            r"\bibliographystyle{plainnat}",
            r"\bibliography{references}",
            r"\end{document}",
            "",
        ]
    )


def write(results: Results, sentences: tuple[list[str], list[str]], index: dict, output_dir: Path) -> None:
    """Write paper/paper.tex and paper/references.bib; `sentences` are those of answer and certainty."""
    chosen = [f for f in index["figures"] if f["name"] in FIGURES] or index["figures"][: len(FIGURES)]
    figures = [(output_dir / "figures" / f"{f['name']}.pdf", f["caption"]) for f in chosen]
    place = output_dir / "paper"
    place.mkdir(exist_ok=True)
    notes = notes_of({"figures": chosen})
    (place / "paper.tex").write_text(document(results, sentences, figures, notes), encoding="utf-8")
    (place / "references.bib").write_text(bibliography(), encoding="utf-8")


def build(output_dir: Path) -> Path:
    """Compile paper/paper.tex; returns paper/paper.pdf. NotCompiled says what is missing, or what LaTeX said."""
    source = output_dir / "paper" / "paper.tex"
    if not source.is_file():
        there = [path.parent.parent.name for path in output_dir.parent.glob("*/paper/paper.tex")]
        raise NotCompiled(
            f"{source} is not there; analyse the run first: make analysis TAG={output_dir.name}"
            + nearest(output_dir.name, there)
        )
    if shutil.which("latexmk"):
        command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-silent", source.name]
    elif shutil.which("tectonic"):
        command = ["tectonic", source.name]
    else:
        raise NotCompiled(
            f"neither latexmk nor tectonic is installed; install one (Debian: apt install latexmk texlive-latex-extra "
            f"texlive-science), or compile {source} elsewhere, with results.tex, tables/ and figures/ beside paper/"
        )
    done = subprocess.run(command, cwd=source.parent, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        log = source.with_suffix(".log")
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else done.stdout + done.stderr
        first = re.search(r"^! .*(?:\n.*){0,4}", text, re.M)
        raise NotCompiled(f"{command[0]} failed on {source}: {first.group() if first else text[-600:]}")
    for suffix in (".aux", ".bbl", ".blg", ".fdb_latexmk", ".fls", ".out"):
        source.with_suffix(suffix).unlink(missing_ok=True)
    return source.with_suffix(".pdf")
