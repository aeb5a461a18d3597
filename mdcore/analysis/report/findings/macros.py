r"""Numbers of the report's sentences, each stated once: as words in the report, as a macro in results.tex.

A sentence is built with `stated`, which puts the number's name and meaning into the text between control characters.
`with_numbers` leaves the number alone, `with_macros` puts \mdcore<Name> in its place, and `macros` lists what was
stated: so no number can be in a sentence and not in results.tex.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mdcore.analysis.tables import latex

_OPEN, _NEXT, _CLOSE = "\x02", "\x1f", "\x03"
_STATED = re.compile(f"{_OPEN}([A-Za-z]+){_NEXT}([^{_CLOSE}]*){_NEXT}([^{_CLOSE}]*){_CLOSE}")
_DIGITS = ["Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"]
_POWER = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")


def stated(name: str, number: object, meaning: str) -> str:
    """The number within a sentence; name: CamelCase letters, meaning: what it is, for who reads results.tex."""
    return f"{_OPEN}{name}{_NEXT}{meaning}{_NEXT}{number}{_CLOSE}"


def with_numbers(sentence: str) -> str:
    """The sentence as people read it."""
    return _STATED.sub(lambda m: m.group(3), sentence)


def macro_name(*words: str) -> str:
    """Letters for a macro's name: ("bound", "lp, p = 1.5") is BoundLpOnePointFive."""
    text = re.sub(r"(\d)\.(\d)", r"\1 point \2", " ".join(words)).replace("∞", " infinity")
    text = re.sub(r"\bp = ", " ", text)
    text = re.sub(r"\d", lambda m: f" {_DIGITS[int(m.group())]} ", text)
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z]+", text))


def number_as_latex(text: str) -> str:
    """ "2.2×10⁻⁵" and "12,345" as TeX sets them, in text and in formulas."""
    match = re.fullmatch(r"(−?[\d.,]*)×?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
    if match:
        factor, power = (g.translate(_POWER) for g in match.groups())
        return rf"\ensuremath{{{factor}{chr(92) + 'times ' if factor else ''}10^{{{power}}}}}"
    if re.fullmatch(r"−?[\d.,]+", text):
        return rf"\ensuremath{{{text.translate(_POWER).replace(',', '{,}')}}}"
    return " ".join(
        number_as_latex(w) if re.match(r"−?\d", w) and w != text else latex.escape(w) for w in text.split(" ")
    )


def macros(sentences: Iterable[str]) -> dict[str, tuple[str, str]]:
    """{name: (number, meaning)} of all that is stated, in order. ValueError where one name has two numbers."""
    by_name: dict[str, tuple[str, str]] = {}
    for name, meaning, number in _STATED.findall("\n".join(sentences)):
        if by_name.setdefault(name, (number, meaning))[0] != number:
            raise ValueError(
                f"the number {name} is stated as {by_name[name][0]} and as {number}; give one another name"
            )
    return by_name


def with_macros(sentence: str) -> str:
    """The sentence as LaTeX, with a macro in place of each number."""
    parts = _STATED.split(sentence)  # text, name, meaning, number, text, …
    texts, names = parts[0::4], parts[1::4]
    out = [latex.words(texts[0])]
    for name, text in zip(names, texts[1:], strict=True):
        out += [rf"\mdcore{name}{{}}", latex.words(text)]
    return "".join(out)


def results_tex(sentences: Iterable[str], run: str) -> str:
    """results.tex: a macro a line, with its value and meaning in a comment."""
    lines = [rf"% Numbers of the run {run}: \input this file and cite them; another run gives them new values."]
    for name, (number, meaning) in macros(sentences).items():
        value = f"{number}: {meaning}"
        lines.append(rf"\newcommand{{\mdcore{name}}}{{{number_as_latex(number)}}} % {' '.join(value.split())}")
    return "\n".join(lines) + "\n"
