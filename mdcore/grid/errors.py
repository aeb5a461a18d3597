"""What is wrong with a request, all of it at once: one line per problem, with its place and a way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_PROBLEMS = 200  # a list of 100,000 wrong values is one mistake, not 100,000 lines


class GridError(Exception):
    """A grid, override, filter or plug-in is refused. `problems`: one line each; str() is all of them."""

    def __init__(self, problems: str | Iterable[str]):
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self):
        return type(self), (self.problems,)


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


def nearest(given: str, names: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the valid name closest to `given`, or "" when none is close."""
    names = sorted(set(names))
    given = given[:200]  # difflib is quadratic
    by_lower = {name.lower(): name for name in names}
    last_part = [name for name in names if name.rsplit(".", 1)[-1] == given.rsplit(".", 1)[-1] and name != given]
    if given.lower() in by_lower:
        found = [by_lower[given.lower()]]
    elif last_part:  # 'eta' or 'steps.eta' for 'step.eta'
        found = last_part[:1]
    else:
        found = [by_lower[name] for name in difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)]
    return f"; did you mean '{found[0]}'?" if found else ""


def one_of(names: Iterable[str]) -> str:
    """ "one of a, b, c" for messages; a single name stands alone."""
    names = list(names)
    return names[0] if len(names) == 1 else "one of " + ", ".join(names)
