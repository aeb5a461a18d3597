"""LaTeX text: user strings escaped letter by letter, the names of norms and potentials as mathematics."""

from __future__ import annotations

import re

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
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "η": r"$\eta$",
    "λ": r"$\lambda$",
    "φ": r"$\varphi$",
    "ψ": r"$\psi$",
    "μ": r"$\mu$",
    "σ": r"$\sigma$",
    "π": r"$\pi$",
    "ℓ": r"$\ell$",
    "\n": " ",
    "\t": " ",
}


def escape(text: str) -> str:
    """`text` as LaTeX prints it. What a pdflatex font does not hold becomes a question mark."""
    return "".join(_ESCAPES.get(c, c if 32 <= ord(c) < 127 or 161 <= ord(c) < 256 else "?") for c in str(text))


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
