"""What an original finds in photographs, beside a file of ours in FP16 or INT8, held to its precision's
tolerance."""

from __future__ import annotations

from maskrt.runtime.contract import Contract
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.flips import flips
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.tolerances import BY_PRECISION
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.rows import Share


class Tolerated:
    """Over all photographs so far; in their own pixels, of which a canvas has fewer where it is smaller."""

    def __init__(self, contract: Contract) -> None:
        """contract: the file's."""
        self._contract = contract
        self._limit = BY_PRECISION[contract.precision.name]
        self._comparison = InstancesComparison(self._limit)

    def add(self, name: str, theirs: Result, ours: Result) -> None:
        """One photograph."""
        matching = match(theirs, ours)
        flipped = flips(theirs, ours, matching, self._contract, self._limit)
        self._comparison.add_matching(name, matching, theirs.scores, ours.scores, flipped)

    def rows(self) -> list[str]:
        """Lines of a table: what is held to limits, its median, the worst of nine in ten, and the limits."""
        lines = [f"  {self._comparison.title} in {len(self._comparison.images)} photographs"]
        for row in self._comparison.rows:
            if row.there and row.limit is not None and row.held:
                median, tail, allowed = row.shown
                values = f"{row.mean:.1%} |" if isinstance(row, Share) else f"{median} | {tail}"
                lines.append(f"  | {row.label} | {values} | {allowed} |")
        return lines
