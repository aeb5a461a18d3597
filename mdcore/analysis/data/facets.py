"""Facets: which conditions are compared with each other.

A facet is a set of conditions that differ only in potential and depth: one panel of a figure, one block of a table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from mdcore.analysis.data.conditions import Condition, same_value
from mdcore.config.cell import PARAM, PARAMETERS, dataset_label, short_number
from mdcore.config.labels import unique_names
from mdcore.store.columns import BASE

_NOT_FACET = {"potential", "potential_label", *PARAMETERS, "depth", "seed"}


def varied_columns(conditions: list[Condition]) -> list[str]:
    """Flat columns with more than one value in the grid (null is a value), besides the base ones and the seed."""
    flats = [c.flat for c in conditions]
    names = dict.fromkeys(k for f in flats for k in f)
    return [k for k in names if k not in BASE and len({same_value(f.get(k)) for f in flats}) > 1]


@dataclass
class Facet:
    """Conditions that differ only in potential and depth, with the words for what they share."""

    key: tuple
    title: str
    slug: str
    conditions: list[Condition]

    @cached_property
    def _linear(self) -> dict[str, Condition]:
        return {c.input_key: c for c in reversed(self.conditions) if c.depth == 1}

    def linear(self, condition: Condition) -> Condition | None:
        """The depth-1 condition that trains with this one's input potential, if the grid has it."""
        return self._linear.get(condition.input_key)

    def reference(self, depth: int) -> Condition | None:
        """The condition potentials are compared with at this depth: quadratic, else the first in order."""
        same = [c for c in self.conditions if c.depth == depth]
        return next((c for c in same if c.config["potential"] == "quadratic"), same[0] if same else None)


_SAYS = {
    "width": "width {}",
    "init_scale": "init {}",
    "loss": "{} loss",
    "step_rule": "{} step",
    "step_eta": "step size {}",
    "step_decay": "decay {}",
    "step_anneal": "annealed {}",
    "init_distribution": "{} start",
    "epochs": "{} steps",
    "stop_gap": "stop at gap {}",
    "dataset_n": "n = {}",
    "dataset_separation": "separation {}",
    "dataset_noise": "noise {}",
    "dataset_source": "{}",
    "dataset_test_fraction": "test fraction {}",
    "dtype": "{}",
}


_UNSAID = {("step_anneal", 0), ("init_distribution", "normal")}  # what is not done need not be said


def facets_of(conditions: list[Condition]) -> list[Facet]:
    """Facets in reading order.

    A column divides facets when it varies for one and the same (data, potential, depth). What follows from the
    potential (a step rule zipped with p) or from the depth (the width of a layer that is not there) does not.
    A depth-1 condition, which has no width, stands in the facet of every width.
    """
    groups: dict[tuple, list[Condition]] = {}
    for c in conditions:
        groups.setdefault((c.family_key, c.potential_key, c.depth), []).append(c)
    columns = [
        k
        for k in varied_columns(conditions)
        if k not in _NOT_FACET and any(len({same_value(c.flat.get(k)) for c in g}) > 1 for g in groups.values())
    ]
    loose = [k for k in ("width", "init_scale", "init_distribution") if k in columns]
    at_one = {k: {same_value(c.flat.get(k)) for c in conditions if c.depth == 1} for k in loose}
    keys: dict[tuple, list[Condition]] = {}
    for c in sorted(conditions, key=lambda c: c.depth == 1):  # deep ones first: they make the facets
        full_key = (c.data_key, *(same_value(c.flat.get(k)) for k in columns))
        homes = [full_key]
        if c.depth == 1 and loose:
            homes = [
                key
                for key in keys
                if key[0] == c.data_key
                and all(
                    mine == theirs or (k in loose and theirs not in at_one[k])
                    for k, mine, theirs in zip(columns, full_key[1:], key[1:], strict=True)
                )
            ] or [full_key]
        for key in homes:
            keys.setdefault(key, []).append(c)
    position = {c.id: i for i, c in enumerate(conditions)}
    parts = {key: _words(sorted(members, key=lambda c: position[c.id]), columns) for key, members in keys.items()}
    text = {key: (", ".join(words), _slug("-".join(slugs))) for key, (words, slugs) in parts.items()}
    titles = unique_names({str(key): [title] for key, (title, _) in text.items()})
    slugs = unique_names({str(key): [slug] for key, (_, slug) in text.items()})
    out = [
        Facet(key, titles[str(key)], slugs[str(key)], sorted(members, key=lambda c: position[c.id]))
        for key, members in keys.items()
    ]
    return sorted(out, key=lambda f: min(position[c.id] for c in f.conditions))


def _words(members: list[Condition], columns: list[str]) -> tuple[list[str], list[str]]:
    """(words of the title, words of the slug): the kind of data, then what divides this facet from others."""
    example = next((c for c in members if c.depth > 1), members[0])
    extra = [
        _SAYS.get(k, _default_wording(k)).format(short_number(example.flat[k]))
        for k in columns
        if example.flat.get(k) is not None and (k, example.flat[k]) not in _UNSAID
    ]
    return [example.family_words, *extra], [dataset_label(example.config), *extra]


def _default_wording(column: str) -> str:
    return column.removeprefix(PARAM).replace("_", " ").replace("{", "{{").replace("}", "}}") + " {}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")
