"""What is wrong with a request, all of it at once: one line per problem, with its place and a way out.

pydantic says what failed and where; the table WORDS says it as a user of grid files wants to hear it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
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

    def lines(self) -> list[str]:
        tail = [f"… and {self._left_out} more like these"] if self._left_out else []
        return [*self._lines, *tail]

    def raise_if_any(self) -> None:
        """Raise GridError with everything collected so far, if there is anything."""
        if self._lines:
            raise GridError(self.lines())


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a request: the document, the path in it, the key as messages show it, where to tell problems."""

    document: Document
    path: tuple[str | int, ...]
    key: str
    problems: Problems

    def at(self, *names: str | int) -> Spot:
        """Further in. The positions of a list are part of the path, not of the key."""
        words = [name[:80] for name in names if isinstance(name, str)]
        return Spot(
            self.document, (*self.path, *names), ".".join([self.key, *words] if self.key else words), self.problems
        )

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
                owner, name = str(loc[-2]), str(loc[-1])
                spot = self.at(*loc[:-1])
                path = spot.path if detail["type"] == "missing" else (*spot.path, name)
                message = WORDS[detail["type"]](detail, accepts[owner], name)
                self.problems.add(spot.document.place(path, of_key=True), spot.key, message)
            else:
                kind = detail["type"] if detail["type"] in WORDS else "unexpected"
                takes = accepts.get(str(loc[-1]) if loc else "", Accepts("", ()))
                self.at(*loc).tell(WORDS[kind](detail, takes, ""))


@dataclass(frozen=True)
class Accepts:
    """What a potential takes: the names of its parameters, and how it is written."""

    form: str
    names: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"parameter {one_of(self.names)}" if self.names else "no parameter"


def _words_of_unexpected(detail: ErrorDetails, owner: Accepts, name: str) -> str:
    given, context = detail["input"], detail.get("ctx", {})
    names = context.get("names", ())
    what = shown(given) if names and isinstance(given, str) else got(given)
    return f"got {what}; expected {context.get('words', detail['msg'])}" + _hint(given, names)


def _words_of_mapping(detail: ErrorDetails, owner: Accepts, name: str) -> str:
    takes = f"its {owner.words}" if owner.names else owner.words
    return f"got {got(detail['input'])}; expected {takes}: write {owner.form}"


def _words_of_unknown(detail: ErrorDetails, owner: Accepts, name: str) -> str:
    takes = f"the {owner.words}" if owner.names else owner.words
    return f"got the unknown key {name[:60]!r}; expected {takes}" + nearest(name, owner.names)


WORDS: dict[str, Callable[[ErrorDetails, Accepts, str], str]] = {
    "unexpected": _words_of_unexpected,
    "model_type": _words_of_mapping,
    "extra_forbidden": _words_of_unknown,
    "missing": lambda detail, owner, name: f"parameter {name} missing; expected {owner.form}",
}


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
    if not isinstance(value, str) or names:
        return nearest(value, names) if isinstance(value, str) else ""
    bare = value.replace("_", "").strip()
    if not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?", bare):
        return ""
    return f": write {bare}" + (" (no underscores in YAML 1.2)" if "_" in value else " without quotes")
