"""Which of a model's detections a user is given: those above a score, of some classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import OptionError

# Where nobody says otherwise, on the command line, in Python and on a server alike: an object is shown where
# the model holds it for likelier than not. Metrics and parity take all rows (EVERYTHING).
DEFAULT_SCORE = 0.5


@dataclass(frozen=True)
class Keep:
    """Detections whose score is above `min_score` (0 to 1), of the classes named, or of all for None."""

    min_score: float = DEFAULT_SCORE
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        score = self.min_score
        if not isinstance(score, Real) or isinstance(score, bool) or not 0 <= score <= 1:
            raise OptionError(f"min_score is {score!r}, expected a number from 0 to 1.")

    def check(self, classes: tuple[Category, ...]) -> None:
        """Raise OptionError where a class is named that a model with `classes` does not have."""
        labels_of(self.classes or (), classes)

    def rows(
        self, scores: NDArray[np.float32], labels: NDArray[np.int32], classes: tuple[Category, ...]
    ) -> NDArray[np.intp]:
        """Which of the rows are kept. scores, labels: (D,), of a model with `classes`."""
        kept = scores > self.min_score
        if self.classes is not None:
            kept &= np.isin(labels, labels_of(self.classes, classes))
        return np.flatnonzero(kept)


LIKELY, EVERYTHING = Keep(), Keep(min_score=0.0)


def labels_of(names: Sequence[str], classes: tuple[Category, ...]) -> list[int]:
    """The labels of the classes named. Raises OptionError for a name that no class has."""
    known = [category.name for category in classes]
    for name in names:
        if name not in known:
            raise OptionError(f"no class is named {name!r}. This model's are: {', '.join(known)}.")
    return [label for label, name in enumerate(known) if name in names]
