"""--set key=value: what the command line changes in a grid.

A value fixes the key. A list of values for a key that varies replaces its list; another key then varies. Where a value
is itself a list (digits, metrics, a potential per layer) a list of lists is a list of values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mdcore.config.errors import Spot
from mdcore.config.expansion.sections import LISTS, Axis, ParsedGrid, Row, read_question, typed, user_groups
from mdcore.config.schema import KEYS, leaves_of, unknown_key
from mdcore.config.yaml_lines import parse


def apply_overrides(parsed: ParsedGrid, overrides: Iterable[str]) -> None:
    """Change a grid file in place. Each problem names its override: "--set depth=zwei: depth: got 'zwei' …"."""
    seen: dict[str, str] = {}
    problems = parsed.spot.problems
    for text in overrides:
        key, equals, value = text.partition("=")
        key, place = key.strip(), f"--set {text[:120]}"
        if not equals or not key:
            problems.add(place, "", "expected key=value: --set depth=2")
            continue
        document = parse(value, place, problems.add, lines=False)
        if document is None:
            continue
        spot, data = Spot(document, (), key[:80], problems), document.data
        if key == "question":
            parsed.question = read_question({key: data}, Spot(document, (), "", problems)) or parsed.question
            continue
        parsed.user_groups |= user_groups({key: data})
        if key not in KEYS and key.partition(".")[0] not in parsed.user_groups:
            spot.tell(unknown_key(key))
            continue
        names = set(leaves_of(key, parsed.leaves()))
        for leaf in sorted(names & seen.keys()):
            spot.tell(f"{leaf} is set already by --set {seen[leaf]}; expected it once")
        seen.update(dict.fromkeys(names, text[:120]))
        _apply(parsed, key, data, spot)


def _apply(parsed: ParsedGrid, key: str, data: Any, spot: Spot) -> None:
    names = set(leaves_of(key, parsed.leaves()))
    axis = next((axis for axis in parsed.axes if key in axis.keys), None)
    if not _is_several(key, data, axis is not None):
        settings = parsed.read(key, data, spot)
        _remove(parsed, names | settings.keys(), spot)
        parsed.fixed.update(settings)
        return None
    if not data:
        return spot.tell("got an empty list; expected at least one value")
    values = [parsed.read(key, value, spot.at(position)) for position, value in enumerate(data)]
    if axis is not None and len(axis.keys) > 1:
        if len(values) != len(axis.rows):
            others = ", ".join(other for other in axis.keys if other != key)
            return spot.tell(f"got {len(values)} values; expected {len(axis.rows)}: {key} moves together with {others}")
        for row, settings in zip(axis.rows, values, strict=True):
            row[key] = settings
        return None
    rows: list[Row] = [{key: settings} for settings in values]
    if len({typed(row) for row in rows}) < len(rows):
        spot.tell("got a value twice; expected every value once")
    new = Axis(axis.section if axis else "vary", rows)
    if axis is not None:
        parsed.axes[parsed.axes.index(axis)] = new
    _remove(parsed, names, spot, keep=new)
    if axis is None:  # zip comes after vary, as in the file
        parsed.axes.insert(sum(other.section == "vary" for other in parsed.axes), new)
    return None


def _is_several(key: str, data: Any, varied: bool) -> bool:
    """Whether a list is a list of values rather than one value that is a list."""
    if not isinstance(data, list):
        return False
    if key in LISTS:
        return bool(data) and all(isinstance(item, list) for item in data)
    user_data = key.startswith("dataset.") and key not in KEYS  # may take a list; a step rule takes numbers
    return varied if key == "potential" or user_data else True


def _remove(parsed: ParsedGrid, leaves: Iterable[str], spot: Spot, keep: Axis | None = None) -> None:
    """Take leaves out of wherever they are set; axes left without keys go, values made equal become one."""
    leaves = set(leaves)
    for leaf in leaves:
        parsed.fixed.pop(leaf, None)
    axes = []
    for axis in parsed.axes:
        if axis is keep or not any(leaves & settings.keys() for row in axis.rows for settings in row.values()):
            axes.append(axis)
            continue
        rows: dict[str, Row] = {}
        for row in axis.rows:
            left = {key: {name: s for name, s in part.items() if name not in leaves} for key, part in row.items()}
            left = {key: part for key, part in left.items() if part}
            rows.setdefault(typed(left), left)
        kept = list(rows.values())
        if len({tuple(row) for row in kept}) > 1:  # some values of a mapping would be left with nothing
            group = next(iter(axis.rows[0]))
            message = f"{group} varies as a whole; expected all of it: --set '{group}={{…}}'"
            spot.problems.add(spot.place, "", message)
        elif kept[0]:
            axes.append(Axis(axis.section, kept))
    parsed.axes = axes
