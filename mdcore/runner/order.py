"""Which stack is trained next: the one expected to take longest, by what the run has seen of its data.

A stopping rule ends the cells of some data early (a margin soon certified) and never those of others (data that
overlap), however many components are kept of them. What waits longest to be begun should not also take longest.
"""

from __future__ import annotations

import json
from collections import defaultdict

from mdcore.runner.stacks import Stack


class Evidence:
    """The share of their cap of epochs that finished stacks have used, by the source of their data."""

    def __init__(self):
        self._seen: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # source -> [steps taken, steps at most]

    def learn(self, cells, steps: int) -> None:
        """`cells`, trained together, have taken `steps` in all; 0: nobody has counted them."""
        if cells and steps > 0:
            seen = self._seen[source(cells[0])]
            seen[0] += steps
            seen[1] += sum(cell.config["epochs"] for cell in cells)

    def expected(self, stack: Stack) -> float:
        """The stack's cost times that share; all of its cost where none has finished: it never takes more."""
        taken, most = self._seen.get(source(stack.cells[0]), (1, 1))
        return stack.cost * taken / most

    def longest(self, waiting: list[Stack]) -> Stack:
        """The stack to begin with; of equals the first."""
        return max(waiting, key=self.expected)


def source(cell) -> str:
    """What decides whether data are separable, whatever is made of them afterwards: data set and digits."""
    return json.dumps([cell.config["dataset"], cell.config.get("digits")], sort_keys=True)


def evidence_of(cells, records) -> Evidence:
    """What the committed stacks tell of a grid's cells."""
    known = {cell.cell_id: cell for cell in cells}
    evidence = Evidence()
    for record in records:
        if all(cell_id in known for cell_id in record.cells):
            evidence.learn([known[cell_id] for cell_id in record.cells], record.steps)
    return evidence
