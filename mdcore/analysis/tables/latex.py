"""LaTeX text: user strings escaped letter by letter, the names of norms and potentials as mathematics."""

from __future__ import annotations

import re
import unicodedata

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "°": r"$^\circ$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "ℓ": r"$\ell$",
    "⁻": "$^{-}$",
    "ᵀ": r"$^\top$",
    "\n": " ",
    "\t": " ",
}
_SYMBOLS = r"""
∑ \sum ∏ \prod ∂ \partial ∇ \nabla √ \surd ≠ \ne ≈ \approx ≡ \equiv ∈ \in ∉ \notin ∀ \forall ∃ \exists ∝ \propto · \cdot
⋅ {\cdot} ∗ \ast ∘ \circ ← \leftarrow ↔ \leftrightarrow ⇒ \Rightarrow ⇔ \Leftrightarrow ∪ \cup ∩ \cap ⊂ \subset
⊆ \subseteq ∅ \emptyset ‖ \Vert ⟨ \langle ⟩ \rangle ′ \prime † \dagger ‡ \ddagger ϕ \phi ϑ \vartheta ϵ \epsilon
ϱ \varrho ϖ \varpi ς \varsigma ℝ \mathbf{R} ℕ \mathbf{N} ℤ \mathbf{Z} ℚ \mathbf{Q} ℂ \mathbf{C} ℒ \mathcal{L}
"""
_STROKES = r"ł \l Ł \L ø \o Ø \O đ \dj Đ \DJ ŋ \ng Ŋ \NG œ \oe Œ \OE ı \i ȷ \j"
_MARKS = (
    "\u0300 ` \u0301 ' \u0302 ^ \u0303 ~ \u0304 = \u0306 u \u0307 . \u0308 \" "
    "\u030a r \u030b H \u030c v \u0323 d \u0327 c \u0328 k \u0331 b"
)
_CAPITALS = "ALPHA A BETA B EPSILON E ZETA Z ETA H IOTA I KAPPA K MU M NU N OMICRON O RHO P TAU T CHI X"


def _pairs(text: str) -> dict[str, str]:
    """{first: second, third: fourth, …} of a text's words."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_ESCAPES |= {c: f"${macro}$" for c, macro in _pairs(_SYMBOLS).items()}
_ESCAPES |= {c: f"{macro}{{}}" for c, macro in _pairs(_STROKES).items()}
_ACCENTS, _LIKE_LATIN = _pairs(_MARKS), _pairs(_CAPITALS)
_NAMES = (
    "ALPHA BETA GAMMA DELTA EPSILON ZETA ETA THETA IOTA KAPPA LAMDA MU NU XI OMICRON PI RHO SIGMA TAU UPSILON PHI CHI "
    "PSI OMEGA"
)
_GREEK = set(_NAMES.split())
_RAISED = {"<super>": "^", "<sub>": "_"}


def escape(text: str) -> str:
    """`text` as LaTeX prints it, with the fonts and macros of the encoding T1 and no package.

    A letter that they lack is written as its number, as in [U+4E2D]: two texts that differ look different.
    """
    return "".join(map(_letter, unicodedata.normalize("NFC", str(text))))


def _letter(c: str) -> str:
    if c in _ESCAPES:
        return _ESCAPES[c]
    if 32 <= ord(c) < 127 or (161 <= ord(c) < 256 and ord(c) != 173):
        return c
    kind, _, name = unicodedata.name(c, "").partition(" LETTER ")
    if kind in ("GREEK SMALL", "GREEK CAPITAL") and name in _GREEK:
        return _greek(name.replace("LAMDA", "LAMBDA"), kind == "GREEK CAPITAL")
    whole, *marks = list(unicodedata.normalize("NFD", c))
    if marks and whole.isascii() and whole.isalpha() and all(mark in _ACCENTS for mark in marks):
        for mark in marks:
            whole = rf"\{_ACCENTS[mark]}{{{whole}}}"
        return whole
    how, _, code = unicodedata.decomposition(c).partition(" ")
    if how in _RAISED and code in {f"{ord(character):04X}" for character in "0123456789+=()in"}:
        return rf"${_RAISED[how]}{{{chr(int(code, 16))}}}$"
    return f"{{[}}U+{ord(c):04X}{{]}}"


def _greek(name: str, capital: bool) -> str:
    if capital:
        return rf"$\mathrm{{{_LIKE_LATIN[name]}}}$" if name in _LIKE_LATIN else rf"$\{name.capitalize()}$"
    return {"PHI": r"$\varphi$", "EPSILON": r"$\varepsilon$", "OMICRON": "$o$"}.get(name, rf"$\{name.lower()}$")


def words(text: str) -> str:
    r"""Escaped text in which lp, l2, l1.5 and l∞ are norms ($\ell_p$) and "p = 1.5", "L = 2" are formulas."""
    text = escape(text)
    text = re.sub(
        r"(?<![\w\\{])l(p|\d+(?:\.\d+)?|\$\\infty\$)(?![\w.]*\w)",
        lambda m: rf"$\ell_{{{m.group(1).strip('$')}}}$",
        text,
    )
    return re.sub(r"(?<![\w\\$])([pLdn]) = ([\d.,]+\d|\d)", r"$\1 = \2$", text)


def slug(text: str) -> str:
    """A label's letters: a-z, 0-9 and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "run"


def short_norm(text: str) -> str:
    """ "lp, p = 1.5" as "l1.5"; other names as they are."""
    return re.sub(r"\blp, p = ([\d.]+)$", r"l\1", text)
