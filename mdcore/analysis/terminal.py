"""A section of text, lists and tables as plain text for a terminal of a given width."""

from __future__ import annotations

import textwrap

from mdcore.analysis.report.document import Bullets, Section, Table, Text

GAP = "  "  # between columns
NAMES = 2  # columns that name a row and are repeated where a table is cut
LEAST = 9  # letters of a heading before it is broken


def as_text(section: Section, width: int) -> str:
    """The section, no line wider than `width` where its words allow."""
    parts = [f"{section.title}\n{'=' * len(section.title)}"]
    for block in section.blocks:
        if isinstance(block, Text):
            parts.append(textwrap.fill(block.words, width))
        elif isinstance(block, Bullets):
            parts.append(
                "\n".join(textwrap.fill(i, width, initial_indent="- ", subsequent_indent="  ") for i in block.items)
            )
        elif isinstance(block, Table):
            parts += [textwrap.fill(block.caption, width)] if block.caption else []
            parts += table(block, width)
    return "\n\n".join(parts) + "\n"


def table(block: Table, width: int) -> list[str]:
    """The table, cut into several where it is wider than the terminal; numbers stand at the right of their columns."""
    columns = []
    for head, *cells in zip(block.head, *block.rows, strict=True):
        room = max([LEAST, *map(len, cells), *map(len, head.split())])
        columns.append((textwrap.wrap(head, room), cells))
    wide = [max(map(len, [*head, *cells])) for head, cells in columns]
    parts: list[str] = []
    rest = list(range(NAMES, len(columns)))
    while rest or not parts:
        shown = list(range(min(NAMES, len(columns))))
        while rest and (len(shown) == NAMES or sum(wide[k] + len(GAP) for k in [*shown, rest[0]]) <= width + len(GAP)):
            shown.append(rest.pop(0))
        deep = max(len(columns[k][0]) for k in shown)
        lines = [[([""] * deep + columns[k][0])[-deep:][i] for k in shown] for i in range(deep)]
        lines += [["-" * wide[k] for k in shown], *([columns[k][1][i] for k in shown] for i in range(len(block.rows)))]
        parts.append(
            "\n".join(
                GAP.join(w.ljust(wide[k]) if k < NAMES else w.rjust(wide[k]) for k, w in zip(shown, line)).rstrip()
                for line in lines
            )
        )
    return parts
