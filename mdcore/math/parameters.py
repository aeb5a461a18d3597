"""What a parameter may be: declared on the class that takes it, read by whoever validates, documents or labels it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

REQUIRED: Any = ...  # the default of a parameter that must be given


def one_of(names: Iterable[str]) -> str:
    """ "one of a, b, c" for messages; a single name stands alone."""
    names = list(names)
    return names[0] if len(names) == 1 else "one of " + ", ".join(names)


def first_of(names: Sequence[str], most: int = 3) -> str:
    """ "a, b, c and 5 more" for messages."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def nearest(given: str, names: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the valid name closest to `given`, or "" when none is close."""
    by_lower = {name.lower(): name for name in sorted(set(names))}
    matches = difflib.get_close_matches(given[:200].lower(), by_lower, n=1)  # difflib is quadratic
    return f"; did you mean '{by_lower[matches[0]]}'?" if matches else ""


def nearest_key(given: str, keys: Iterable[str]) -> str:
    """`nearest` among dotted keys: 'eta' and 'steps.eta' mean 'step.eta'."""
    keys = sorted(set(keys))
    same_end = [key for key in keys if key.rsplit(".", 1)[-1] == given.rsplit(".", 1)[-1] and key != given]
    if same_end and given.lower() not in map(str.lower, keys):
        return f"; did you mean '{same_end[0]}'?"
    return nearest(given, keys)


@dataclass(frozen=True)
class Number:
    """A finite float, `above` < x or `least` ≤ x, and x < `below` or x ≤ `most`.

    `default` is a value, REQUIRED, or a function of the parameters declared before it. `null` allows None.
    `per_layer`: a grid gives a list of it, one for each layer. `example` and `symbol` are for messages and for tables.
    """

    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None
    default: Any = REQUIRED
    words: str = ""
    symbol: str = ""
    example: Any = 1
    per_layer: bool = False
    null: bool = False

    @property
    def expected(self) -> str:
        """The range in words."""
        if self.words:
            return self.words
        ends = {"> ": self.above, "≥ ": self.least, "< ": self.below, "at most ": self.most}
        words = ", ".join(f"{word}{end:g}" for word, end in ends.items() if end is not None)
        return f"a number {words}".rstrip().replace("e+0", "e").replace("e+", "e")

    def check(self, owner: str, name: str, value: float) -> float:
        """`value` as a float. Raises ValueError outside the range."""
        value = float(value)
        low = self.above if self.above is not None else self.least
        inside = low is None or (value > low if self.above is not None else value >= low)
        inside &= (self.below is None or value < self.below) and (self.most is None or value <= self.most)
        if not (math.isfinite(value) and inside):
            raise ValueError(
                f"{owner}: {name} = {value}; expected a finite number" + self.expected.removeprefix("a number")
            )
        return value


@dataclass(frozen=True)
class Integer:
    """An integer from `least` to `most`; `null` is what null means, where it is allowed."""

    least: int
    most: int
    default: Any = REQUIRED
    null: str = ""

    @property
    def expected(self) -> str:
        return f"an integer ≥ {self.least}" + (f" or null ({self.null})" if self.null else "")


@dataclass(frozen=True)
class Choice:
    """One of some names."""

    names: tuple[str, ...]
    default: Any = REQUIRED

    @property
    def expected(self) -> str:
        return one_of(self.names)


@dataclass(frozen=True)
class Flag:
    """true or false."""

    default: Any = REQUIRED
    expected: str = "true or false"


@dataclass(frozen=True)
class Text:
    """A non-empty printable string, or None where it need not be given."""

    words: str
    default: Any = None

    @property
    def expected(self) -> str:
        return self.words


@dataclass(frozen=True)
class Names:
    """A list of different names, `count` of them where that is given, or None. A whole number is read as its digits."""

    words: str
    default: Any = None
    count: int | None = None

    @property
    def expected(self) -> str:
        return self.words


Parameter = Number | Integer | Choice | Flag | Text | Names
