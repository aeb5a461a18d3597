"""Floats of LaTeX tables: rows packed into pages, each with caption, label and a booktabs tabular."""

from __future__ import annotations

from mdcore.analysis.tables import latex

ROWS_PER_FLOAT = 36
# A table wider than the text is made as wide as the text; others keep their size.
FIT = r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def _float(body: list[str], columns: str, head: str, caption: str, label: str, comment: str) -> str:
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"  \centering",
            r"  \footnotesize",
            r"  \setlength{\tabcolsep}{3pt}",
            r"  \setlength{\abovecaptionskip}{0pt}\setlength{\belowcaptionskip}{5pt}",
            rf"  \caption{{{caption}}}",
            rf"  \label{{{label}}}",
            f"  % columns: {comment}",
            FIT,
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {head} \\\\",
            r"    \midrule",
            *[f"    {line}" for line in body],
            r"    \bottomrule",
            r"  \end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def floats(
    parts: list[tuple[str, list[str]]], columns: int, head: str, spec: str, caption: str, label: str, comment: str
) -> str:
    """Blocks (title, lines) packed into floats of at most ROWS_PER_FLOAT rows, each with caption and label."""
    pages: list[list[str]] = [[]]
    for title, lines in parts:
        if pages[-1] and len(pages[-1]) + len(lines) > ROWS_PER_FLOAT:
            pages.append([])
        if pages[-1]:
            pages[-1].append(r"\addlinespace")
        pages[-1] += [rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{latex.words(title)}}}}} \\", *lines]
    out = []
    for i, body in enumerate(pages):
        more = f" (Part {i + 1} of {len(pages)}.)" if len(pages) > 1 else ""
        out.append(_float(body, spec, head, caption + more, label + (f":{i + 1}" if i else ""), comment))
    return "\n".join(out)
