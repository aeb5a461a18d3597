r"""LaTeX tables: columns of cells as a booktabs tabular, written by pandas' Styler, in floats that fit a page.

Numbers stand in siunitx's S columns, aligned at the decimal point; nothing is scaled: the type is \footnotesize.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from mdcore.analysis.tables import latex

ROWS_PER_FLOAT = 36
# What a document needs to \input a table; the last lines keep indices and daggers at 7 pt.
PREAMBLE = r"""\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{amsmath}
\usepackage{booktabs}
\usepackage{siunitx}
\DeclareMathSizes{8}{8}{7}{7}
\DeclareMathSizes{9}{9}{7}{7}
\DeclareMathSizes{10}{10}{7}{7}"""
# Marks behind a number; they take no room, so that numbers stay aligned.
ASTERISK, DAGGER, DOUBLE, SECTION = (rf"{{\rlap{{$^\{name}$}}}}" for name in ("ast", "dagger", "ddagger", "S"))


@dataclass(frozen=True)
class Column:
    """One column: its head and cells as LaTeX, the cells of a column of numbers as siunitx reads them."""

    head: str
    cells: list[str]
    numbers: bool = True

    @property
    def form(self) -> str:
        """The column's letter, for numbers with the room that they need: S[table-format=2.3(2)]."""
        words = "l" if self.head else r"@{\,}l"  # without a head it belongs to the column on its left
        return f"S[table-format={number_format(self.cells)}]" if self.numbers else words

    def cell(self, row: int) -> str:
        text = self.cells[row]
        return "{--}" if self.numbers and not text else text


def number_format(cells: list[str]) -> str:
    """siunitx's table-format of cells such as "12.30 +- 0.04", "<0.001" and "2.5e11", whatever follows in braces."""
    matches = [re.match(r"([<>]?)(-?)(\d+)(?:\.(\d+))?(?: \+- ([\d.]+))?(?:e(-?)(\d+))?", c) for c in cells if c]
    if not matches:
        return "1"
    signs, minus, whole, decimals, spread, low, power = zip(*(m.groups("") for m in matches if m), strict=True)
    text = ("<" if any(signs) else "") + ("-" if any(minus) else "") + str(max(map(len, whole)))
    text += f".{max(map(len, decimals))}" if any(decimals) else ""
    if any(spread):
        text += f"({max(len(s.replace('.', '').lstrip('0')) for s in spread)})"
    return text + (f"e{'-' * any(low)}{max(map(len, power))}" if any(power) else "")


@dataclass(frozen=True)
class Float:
    """What stands around a table's rows; `wide`: across both columns of a page; `label` without the tag's part."""

    caption: str
    notes: str
    label: str
    wide: bool = True


def tables(columns: list[Column], rows: list[str], titles: list[str], around: Float) -> str:
    """The table as LaTeX, in floats of at most about ROWS_PER_FLOAT rows.

    rows: what the comment above each row names; titles: for each row the block that it belongs to, with a line of
    its own above the block.
    """
    pages: list[list[int]] = [[]]
    for title in dict.fromkeys(titles):
        block = [i for i, t in enumerate(titles) if t == title]
        for start in range(0, len(block), ROWS_PER_FLOAT - 2):
            part = block[start : start + ROWS_PER_FLOAT - 2]
            if pages[-1] and len(pages[-1]) + len({titles[i] for i in pages[-1]}) + len(part) > ROWS_PER_FLOAT:
                pages.append([])
            pages[-1] += part
    whole = []
    for number, page in enumerate(pages):
        lines: list[list[str]] = []
        last = None
        for i in page:
            if titles[i] != last:
                space = r"\addlinespace" if lines else ""
                name = rf"{space}\makebox[0pt][l]{{\emph{{{latex.words(titles[i])}}}}}"
                lines.append([name, *[""] * (len(columns) - 1)])
                last = titles[i]
            lines.append([f"% {rows[i]}\n{columns[0].cell(i)}", *(c.cell(i) for c in columns[1:])])
        which = f" (Part {number + 1} of {len(pages)}.)" if len(pages) > 1 else ""
        whole.append(_float(columns, lines, around, which, f":{number + 1}" if number else ""))
    return "\n".join(whole)


def _float(columns: list[Column], lines: list[list[str]], around: Float, part: str, more: str) -> str:
    heads = [f"{{{c.head}}}" if c.numbers else c.head for c in columns]
    frame = pd.DataFrame(lines, columns=pd.Index(range(len(columns))))
    styler = frame.style.hide(axis="index").format_index(lambda i: heads[i], axis=1)
    form = "@{}" + " ".join(c.form for c in columns) + "@{}"
    body = styler.to_latex(column_format=form, hrules=True)
    kind = "table*" if around.wide else "table"
    return "\n".join(
        [
            rf"\begin{{{kind}}}[tbp]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            r"\sisetup{separate-uncertainty=true, table-align-uncertainty=false, group-digits=none}",
            rf"\caption{{{around.caption}{part}}}",
            rf"\label{{{around.label}{more}}}",
            r"\smallskip",
            body.rstrip(),
            rf"\par\smallskip\raggedright {around.notes}",
            rf"\end{{{kind}}}",
            "",
        ]
    )
