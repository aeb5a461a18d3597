"""What is wrong with a request, all of it at once: one line per problem, with its place and a way out.

pydantic says what failed and where; `_words` says it as a user of grid files wants to hear it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails, PydanticCustomError, ValidationError

from mdcore.config.yaml_lines import Document, GridError, flow
from mdcore.math.parameters import nearest, nearest_key, one_of

__all__ = ["GridError", "Problems", "Spot", "got", "nearest", "nearest_key", "one_of", "shown", "unexpected"]

MOST_PROBLEMS = 200  # a list of 100,000 wrong values is one mistake, not 100,000 lines


class Problems:
    """Collects problems in the order they are found; the same line is kept once."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._left_out = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, place: str, key: str, message: str) -> None:
        """Record `place: key: message`; `key` may be empty."""
        line = f"{place}: {key}: {message}" if key else f"{place}: {message}"
        if not line.isprintable():  # one line each, and no control characters for the terminal
            line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        if line in self._lines:
            return
        if len(self._lines) < MOST_PROBLEMS:
            self._lines[line] = None
        else:
            self._left_out += 1

    def raise_if_any(self) -> None:
        """Raise GridError with everything collected so far, if there is anything."""
        if self._lines:
            more = [f"… and {self._left_out} more like these"] if self._left_out else []
            raise GridError([*self._lines, *more])


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a request: the document, the path in it, the key as messages show it, where to tell problems."""

    document: Document
    path: tuple[str | int, ...]
    key: str
    problems: Problems

    def at(self, *names: str | int) -> Spot:
        """Further in. The positions of a list are part of the path, not of the key."""
        key = ".".join(filter(None, [self.key, *(name[:80] for name in names if isinstance(name, str))]))
        return Spot(self.document, (*self.path, *names), key, self.problems)

    @property
    def place(self) -> str:
        return self.document.place(self.path)

    def tell(self, message: str, of_key: bool = False) -> None:
        """Record a problem in the line of the value, or of its key."""
        path = self.path
        while of_key and path and isinstance(path[-1], int):  # one of several values of the key
            path = path[:-1]
        self.problems.add(self.document.place(path, of_key), self.key, message)

    def report(self, error: ValidationError, accepts: Mapping[str, Accepts]) -> None:
        """Record everything that pydantic found. `accepts` words what each potential takes, by its name."""
        for detail in error.errors(include_url=False):
            *above, last = detail["loc"] or ("",)
            loc = [name for name in above if not str(name).startswith("<")]  # <…> are tags of unions
            if detail["loc"] and (detail["type"] == "extra_forbidden" or not str(last).startswith("<")):
                loc.append(last)  # a key of the user's may look like a tag
            if detail["type"] in ("missing", "extra_forbidden"):
                spot, owner = self.at(*loc[:-1]), accepts[str(loc[-2])]
                path = spot.path if detail["type"] == "missing" else (*spot.path, str(loc[-1]))
                message = _words(detail, owner, str(loc[-1]))
                self.problems.add(spot.document.place(path, of_key=True), spot.key, message)
            else:
                self.at(*loc).tell(_words(detail, accepts.get(str(loc[-1]) if loc else "", Accepts("", ()))))


@dataclass(frozen=True)
class Accepts:
    """What a potential takes: the names of its parameters, and how it is written."""

    form: str
    names: tuple[str, ...]

    def words(self, article: str) -> str:
        return f"{article} parameter {one_of(self.names)}" if self.names else "no parameter"


def _words(detail: ErrorDetails, owner: Accepts, name: str = "") -> str:
    """One thing that pydantic found, as a user hears it. `name`: of the parameter that is missing or unknown."""
    given, context = detail["input"], detail.get("ctx", {})
    if detail["type"] == "missing":
        return f"parameter {name} missing; expected {owner.form}"
    if detail["type"] == "extra_forbidden":
        return f"got the unknown key {name[:60]!r}; expected {owner.words('the')}" + nearest(name, owner.names)
    if detail["type"] == "model_type":
        return f"got {got(given)}; expected {owner.words('its')}: write {owner.form}"
    names = context.get("names", ())
    what = shown(given) if names and isinstance(given, str) else got(given)
    return f"got {what}; expected {context.get('words', detail['msg'])}" + _hint(given, names)


def unexpected(words: str, names: Iterable[str] = ()) -> PydanticCustomError:
    """The error of a value that is not what `words` describe; `names` are the words that it may be."""
    return PydanticCustomError("unexpected", "expected {words}", {"words": words, "names": tuple(names)})


def shown(value: Any) -> str:
    """The value as an error shows it, at most about 70 characters."""
    text = flow(value)
    return text if len(text) <= 70 else text[:69] + "…"


def got(value: Any) -> str:
    """`shown`, with the kind where that is not plain to see."""
    kinds = {dict: "a mapping", list: "a list", bool: "a truth value", str: "a string"}
    if value == [] and isinstance(value, list):
        return "an empty list"
    if isinstance(value, dict) and len(value) > 1:
        return f"{shown(value)}, a mapping of {len(value)} keys"
    return f"{shown(value)}, {kinds[type(value)]}" if type(value) in kinds else shown(value)


def _hint(value: Any, names: Iterable[str]) -> str:
    """What was probably meant."""
    if isinstance(value, float) and not math.isfinite(value):
        return ": NaN and infinity are refused"
    if not isinstance(value, str):
        return ""
    if names:
        return nearest(value, names)
    bare = value.replace("_", "").strip()
    if not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?", bare):
        return ""
    return f": write {bare}" + (" (no underscores in YAML 1.2)" if "_" in value else " without quotes")
