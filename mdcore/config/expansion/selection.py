"""--only filters: 'depth=2,potential=lp' picks the cells with both; several filters pick the union."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mdcore.config.cell import COLUMNS, PARAM, Cell, short_number
from mdcore.config.errors import Problems, nearest, one_of
from mdcore.config.yaml_lines import scalar

IDS = ("cell_id", "condition_id")
MOST_SHOWN = 20


def select(cells: list[Cell], only: Iterable[str]) -> list[Cell]:
    """The cells that match one of the filters, in their order; all of them when there is no filter.

    Keys are the flat columns (dots may stand for their underscores: step.eta), cell_id and condition_id.
    Values are as in the columns (potential=lp, digits=3v5, p=1.5, pca=null); potential also by its label
    (lp1.5). Raises GridError for an unknown key, a value that no cell has, a combination that no cell has."""
    filters = list(only)
    if not filters:
        return list(cells)
    problems = Problems()
    flats = [{**cell.flat(), "cell_id": cell.cell_id, "condition_id": cell.condition_id} for cell in cells]
    chosen: set[int] = set()
    for text in filters:
        wanted = _filter(text, flats, problems)
        if wanted:
            hits = {i for i, flat in enumerate(flats) if all(_matches(flat, key, value) for key, value in wanted)}
            if not hits:
                way_out = "see make plan, and give --only twice for either-or"
                message = f"no cell has all of these; expected a combination of this grid: {way_out}"
                problems.add(f"--only {text[:120]}", "", message)
            chosen |= hits
    problems.raise_if_any()
    return [cell for i, cell in enumerate(cells) if i in chosen]


def _filter(text: str, flats: list[dict[str, Any]], problems: Problems) -> list[tuple[str, str]]:
    """(column, value) pairs of one filter; [] when something in it was told as wrong."""
    place, pairs, good = f"--only {text[:120]}", [], True
    columns = list(dict.fromkeys(column for flat in flats for column in flat)) or [*COLUMNS, *IDS]
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        column = _column(key, columns)
        if not equals or not key or not value:
            message = f"got {part[:60]!r}; expected key=value, several joined by commas: depth=2,potential=lp"
            problems.add(place, "", message)
        elif column is None:
            problems.add(place, key[:60], f"unknown key; expected {one_of(columns)}" + nearest(key, columns))
        elif not any(_matches(flat, column, value) for flat in flats):
            there = _there(flats, column, value)
            problems.add(place, key, f"got {value[:60]!r}, which no cell of this grid has; {there}")
        else:
            pairs.append((column, value))
            continue
        good = False
    return pairs if good else []


def _there(flats: list[dict[str, Any]], column: str, given: str) -> str:
    """The values that the cells have in a column, and the nearest to what was given."""
    columns = ("potential", "potential_label") if column == "potential" else (column,)
    distinct = dict.fromkeys(flat.get(name) for name in columns for flat in flats)
    values = list(dict.fromkeys("null" if value is None else short_number(value) for value in distinct))
    more = f", … ({len(values)} in all)" if len(values) > MOST_SHOWN else ""
    start = "there is " if len(values) == 1 else "there are "
    return start + ", ".join(values[:MOST_SHOWN]) + more + nearest(given, values)


def _column(key: str, columns: list[str]) -> str | None:
    group, _, part = key.partition(".")  # as the grid file writes it
    user_column = PARAM + part if group in ("dataset", "step") and part else key
    names = (user_column, key, key.replace(".", "_"), {"dataset.name": "dataset"}.get(key, key))
    return next((name for name in names if name in columns), None)


def _matches(flat: dict[str, Any], column: str, text: str) -> bool:
    value, typed_ = flat.get(column), scalar(text)
    if column == "potential" and text == flat["potential_label"]:
        return True
    if isinstance(value, (int, float)):
        return type(typed_) in (int, float) and typed_ == value
    return typed_ is None if value is None else value == text
