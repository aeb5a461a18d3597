"""The parts of the report as data, and how they are written as HTML and as Markdown."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHORT = 24  # letters of a cell that is not broken into lines


@dataclass(frozen=True)
class Text:
    """A paragraph of plain words; `lead` is set larger."""

    words: str
    lead: bool = False

    def html(self) -> str:
        look = ' class="lead"' if self.lead else ""
        return f"<p{look}>{escape(self.words)}</p>"

    def markdown(self) -> str:
        return f"**{md(self.words)}**\n" if self.lead else md(self.words) + "\n"


@dataclass(frozen=True)
class Bullets:
    """A list of plain sentences."""

    items: list[str]

    def html(self) -> str:
        return "<ul>" + "".join(f"<li>{escape(i)}</li>" for i in self.items) + "</ul>"

    def markdown(self) -> str:
        return "\n".join(f"- {md(i)}" for i in self.items) + "\n"


@dataclass(frozen=True)
class Code:
    """Commands or a file, letter by letter."""

    text: str
    language: str = ""

    def html(self) -> str:
        return f"<pre><code>{html.escape(self.text)}</code></pre>"

    def markdown(self) -> str:
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", self.text)), default=0))
        return f"{fence}{self.language}\n{self.text}\n{fence}\n"


@dataclass(frozen=True)
class Table:
    """A table: `rows` of strings, `keys` of the same shape for sorting (numbers or strings), a caption."""

    head: list[str]
    rows: list[list[str]]
    keys: Sequence[Sequence[Any]] | None = None
    caption: str = ""

    def html(self) -> str:
        keys: Sequence[Sequence[Any]] = self.keys or self.rows
        head = "".join(f'<th scope="col" tabindex="0" aria-sort="none">{escape(h)}</th>' for h in self.head)
        body = "".join(
            "<tr>" + "".join(f"<td{_look(c, k)}>{escape(c)}</td>" for c, k in zip(row, key, strict=True)) + "</tr>"
            for row, key in zip(self.rows, keys, strict=True)
        )
        caption = f'<p class="caption">{escape(self.caption)}</p>' if self.caption else ""
        return (
            f'{caption}<p class="hint" hidden>The table goes on to the right: swipe or scroll.</p><div class="scroll">'
            f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def markdown(self) -> str:
        lines = [f"| {' | '.join(md(h) for h in self.head)} |", "|" + "---|" * len(self.head)]
        lines += [f"| {' | '.join(md(c) for c in row)} |" for row in self.rows]
        return (f"*{md(self.caption)}*\n\n" if self.caption else "") + "\n".join(lines) + "\n"


WIDE = 300 * 4.5  # pixels: a figure of two columns of a paper takes the page's whole width


@dataclass(frozen=True)
class Figure:
    """A figure of figures/: inline in HTML, a link in Markdown."""

    path: Path
    caption: str
    alt: str
    number: int = 0

    def html(self) -> str:
        png = self.path.read_bytes()
        data = base64.b64encode(png).decode()
        label = f"Figure {self.number}. " if self.number else ""
        pixels = int.from_bytes(png[16:20], "big")  # the first number of a PNG's header
        wide = ' class="wide"' if pixels > WIDE else ""
        return (
            f'<figure id="fig-{html.escape(self.path.stem)}"{wide}><img alt="{html.escape(self.alt, quote=True)}" '
            f'src="data:image/png;base64,{data}"><figcaption><b>{label}</b>{escape(self.caption)} '
            f'<span class="file">figures/{html.escape(self.path.stem)}.pdf</span></figcaption></figure>'
        )

    def markdown(self) -> str:
        label = f"**Figure {self.number}.** " if self.number else ""
        return f"![{md(self.alt)}](figures/{self.path.name})\n\n{label}{md(self.caption)}\n"


@dataclass(frozen=True)
class Folded:
    """Blocks that open on a click; open in print."""

    title: str
    blocks: list

    def html(self) -> str:
        inner = "".join(b.html() for b in self.blocks)
        return f"<details><summary>{escape(self.title)}</summary>{inner}</details>"

    def markdown(self) -> str:
        return f"**{md(self.title)}**\n\n" + "\n".join(b.markdown() for b in self.blocks)


@dataclass
class Section:
    """A part of the report with a heading; shows itself in a notebook as HTML, and as Markdown for report.md."""

    key: str
    title: str
    blocks: list = field(default_factory=list)
    level: int = 2

    def html(self) -> str:
        tag = f"h{self.level}"
        return (
            f'<section id="{self.key}"><{tag}>{escape(self.title)}'
            f'<a class="anchor" href="#{self.key}" aria-label="Link to this section">¶</a></{tag}>'
            + "".join(b.html() for b in self.blocks)
            + "</section>"
        )

    def markdown(self) -> str:
        return f"{'#' * self.level} {md(self.title)}\n\n" + "\n".join(b.markdown() for b in self.blocks)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/html": self.html(), "text/markdown": self.markdown(), "text/plain": self.title}


def _look(text: str, key: float | str) -> str:
    """Attributes of a cell: short ones stay on one line, numbers have their key."""
    names = ["short"] * (len(text) <= SHORT) + ["num"] * isinstance(key, (int, float))
    look = f' class="{" ".join(names)}"' if names else ""
    if isinstance(key, (int, float)):
        look += f' data-key="{f"{float(key)!r}" if key == key and abs(key) != float("inf") else ""}"'
    return look


def escape(text: str) -> str:
    """User text as HTML, with lp and l2 set as norms; "95 %" and "L = 2" stay on one line."""
    together = r"(?<=\d) (?=%)|(?<=≤) |(?<=\b[a-zA-ZαβηL]) (?== )|(?<= [a-zA-Zαβη] =) "
    text = html.escape(re.sub(together, "\u00a0", str(text)))
    return re.sub(r"(?<![\w&;])l(p|∞|\d+(?:\.\d+)?)(?![\w-]*\w)", r"ℓ<sub>\1</sub>", text)


def md(text: str) -> str:
    """User text as Markdown shows it letter by letter."""
    text = re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", str(text))
    return re.sub(r"\s*\n\s*", " ", text)
