"""The norm table: ‖w‖_r of every final predictor scaled to margin 1, over potentials and r (Sun et al. 2022).

The l_p max-margin direction is the one of smallest l_p norm at margin 1, so that at the limit each potential has the
smallest value of the column r that is its own exponent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.analysis.report.document import Section, Table, Text
from mdcore.analysis.tables import latex
from mdcore.analysis.tables.layout import ASTERISK, Column, Float, tables
from mdcore.analysis.tables.numbers import aligned, how_to_read, readable
from mdcore.problems.proofs.certificates import norm
from mdcore.store.columns import USED

MOST_WITH_SPREAD = 5  # exponents of a LaTeX table that has room for standard deviations
SAME = 1e-5  # relative difference under which two values of a column do not differ


def norm_at_margin_one(w: np.ndarray, r: float, least_margin: float) -> float:
    """‖w‖_r/min_n (Aw)_n for w (d,), least_margin = min_n (Aw)_n: 1/γ_r(w), the r-norm of w at margin 1.

    NaN unless the least margin is positive: then some point is misclassified.
    """
    return norm(w, r) / least_margin if least_margin > 0 else float("nan")


@dataclass
class Block:
    """Conditions of one facet and depth; mean and std (over seeds) of the values, (conditions, exponents)."""

    title: str
    conditions: list[Condition]
    limits: list[float]  # the exponent of each condition's own limit; NaN where it names none
    n: list[int]
    mean: np.ndarray
    std: np.ndarray
    exponents: list[float] = field(default_factory=list)

    @property
    def smallest(self) -> np.ndarray:
        """Whether a value is the smallest of its column; nowhere in a column whose values are all the same."""
        least, most = self.mean.min(axis=0), self.mean.max(axis=0)
        return np.asarray((self.mean <= least * (1 + SAME)) & (most > least * (1 + SAME)))

    @property
    def smallest_at_own_exponent(self) -> list[bool]:
        """For each condition whose own exponent is a column with different values: whether it is smallest there."""
        small: np.ndarray = self.smallest
        differs = np.asarray(small.any(axis=0))
        positions = [(i, self.exponents.index(p)) for i, p in enumerate(self.limits) if p in self.exponents]
        return [bool(small[i, j]) for i, j in positions if differs[j]]


def _values(results: Results, c: Condition, exponents: list[float]) -> np.ndarray:
    """(seeds, exponents) of the cells of a condition that came through with a positive margin."""
    norms = []
    for cell in c.cells.values():
        w, row = results.predictors.get(cell), results.row.get(cell, {})
        if results.status[cell] in USED and w is not None and np.isfinite(w).all() and row.get("margin_l2", 0) > 0:
            least = float(row["margin_l2"]) * norm(w, 2.0)  # margin_l2 = min(Aw)/‖w‖_2
            norms.append([norm_at_margin_one(w, r, least) for r in exponents])
    return np.array(norms).reshape(len(norms), len(exponents))


def _limit(results: Results, c: Condition) -> float:
    known = {float(results.row[i]["limit_p"]) for i in c.cells.values() if i in results.row}
    return known.pop() if len(known) == 1 else float("nan")


def norm_blocks(results: Results) -> list[Block]:
    """A Block for each facet and depth with a margin; exponents: 2 and every own exponent of the run, rising."""
    limits = {c.id: _limit(results, c) for c in results.conditions}
    exponents = sorted({2.0, *(p for p in limits.values() if p == p)})
    out = []
    for facet in results.facets:
        for depth in sorted({c.depth for c in facet.conditions}):
            group = [(c, _values(results, c, exponents)) for c in facet.conditions if c.depth == depth]
            group = [(c, v) for c, v in group if len(v)]
            if group:
                mean = np.array([v.mean(axis=0) for _, v in group])
                std = np.array([v.std(axis=0, ddof=1) if len(v) > 1 else np.full(v.shape[1], np.nan) for _, v in group])
                some, n = [c for c, _ in group], [len(v) for _, v in group]
                title = f"{facet.title}, L = {depth}"
                out.append(Block(title, some, [limits[c.id] for c in some], n, mean, std, exponents))
    return out


def _head(r: float) -> str:
    return "∞" if np.isinf(r) else f"{r:g}"


def _columns(blocks: list[Block], spreads: bool = True) -> list[list[str]]:
    """For each exponent the cells of all blocks with the same decimals, the smallest of each block marked by *."""
    marks = np.concatenate([block.smallest for block in blocks])
    means, stds = (np.concatenate([getattr(block, k) for block in blocks]) for k in ("mean", "std"))
    stds = stds if spreads else np.full_like(stds, np.nan)
    cells = [aligned(list(map(float, m)), list(map(float, s))) for m, s in zip(means.T, stds.T, strict=True)]
    return [
        [c + "*" * bool(b) for c, b in zip(row, mark, strict=True)] for row, mark in zip(cells, marks.T, strict=True)
    ]


def norms_table(results: Results) -> str:
    """The norm table as LaTeX."""
    blocks = norm_blocks(results)
    if not blocks:
        return "% norms: no run of this grid has a margin\n"
    conditions, titles = [c for b in blocks for c in b.conditions], [b.title for b in blocks for _ in b.conditions]
    columns = [
        Column("potential", [latex.words(latex.short_norm(c.words)) for c in conditions], False),
        Column("$n$", [str(n) for b in blocks for n in b.n], False),
    ]
    spreads = len(blocks[0].exponents) <= MOST_WITH_SPREAD
    for r, cells in zip(blocks[0].exponents, _columns(blocks, spreads), strict=True):
        head = f"$r = {_head(r)}$".replace("∞", r"\infty")
        columns.append(Column(head, [c.replace("*", ASTERISK) for c in cells]))
    read = how_to_read(
        [n for b in blocks for n in b.n],
        [cell.replace(ASTERISK, "") for column in columns[2:] for cell in column.cells],
        "the $n$ seeds that have a margin",
        r" of $\|w\|_r/\min_n (Aw)_n$",
    )
    notes = (
        read.replace("±", r"$\pm$") + r" $w$: final predictor; $A$ has the rows $y_n x_n$; $L$: "
        r"depth. $^\ast$: the smallest mean of its column and block, and every mean within $10^{-5}$ of it. Each "
        r"$\ell_p$ max-margin direction has the smallest $\ell_p$ norm at margin 1 (Sun et al.\ 2022)."
    )
    label = f"tab:{latex.slug(results.tag)}:norms"
    around = Float("Norms of the final predictors, scaled to margin 1.", notes, label, len(columns) > 4)
    return tables(columns, [c.id for c in conditions], titles, around)


def norms_section(results: Results) -> Section:
    """The norm table of the report, and in how many places a potential's own norm is the smallest."""
    blocks = norm_blocks(results)
    if not blocks:
        return Section("norms", "Norms at margin 1", [Text("No run of this grid has a margin.")])
    smallest = [small for block in blocks for small in block.smallest_at_own_exponent]
    sentence = (
        f"Of {len(smallest)} places where a potential meets its own exponent among others, its value is the smallest "
        f"of the column in {sum(smallest)}."
        if smallest
        else "No potential meets its own exponent in a column in which the values differ."
    )
    rows, keys, columns = [], [], _columns(blocks)
    stubs = [(b.title, c.words, n, m) for b in blocks for c, n, m in zip(b.conditions, b.n, b.mean, strict=True)]
    for (title, words, n, mean), cells in zip(stubs, zip(*columns, strict=True), strict=True):
        rows.append([title, words, str(n), *(readable(c.rstrip("*")) + " *" * c.endswith("*") for c in cells)])
        keys.append([title, words, float(n), *map(float, mean)])
    head = ["data and depth", "potential", "n", *[f"r = {_head(r)}" for r in blocks[0].exponents]]
    unstarred = [cell.rstrip("*") for cells in columns for cell in cells]
    read = how_to_read(
        [n for b in blocks for n in b.n], unstarred, "the n seeds that have a margin", " of ‖w‖_r/min(Aw)"
    )
    caption = (
        f"{read} w is the final predictor, A has the rows y_n x_n. *: the smallest mean of its column among the rows "
        "with the same data and depth. LaTeX: tables/norms.tex."
    )
    return Section("norms", "Norms at margin 1", [Text(sentence), Table(head, rows, keys, caption)])
