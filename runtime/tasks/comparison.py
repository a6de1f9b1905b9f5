"""The interface of a task's comparison: how parity holds two models' answers to a tolerance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.answers import Answer, Case, Detail, Exercised, OutputError
from maskrt.runtime.tasks.rows import Row


class Seen(ABC):
    """One image of both sides."""

    @property
    @abstractmethod
    def errors(self) -> list[OutputError]:
        """The outputs, in the order of the computation; none where they are judged over all images alone."""

    @abstractmethod
    def same_rows(self, within_px: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of the outputs, of the reference and of the candidate, that are the same thing: what is
        computed for them inside is compared."""

    @abstractmethod
    def causes(self, output: str) -> list[str]:
        """Sentences on why an output is out of tolerance, the likeliest first; at least one."""


class Comparison(ABC):
    """Two models' answers over a set of images, held to a tolerance: `add` what was seen of each image."""

    #: What is compared, for people: "instances".
    things: str

    @property
    @abstractmethod
    def cases(self) -> list[Case]:
        """Pictures of the worst differences, the worst first."""

    @property
    @abstractmethod
    def limits(self) -> dict[str, Any]:
        """The tolerance, by name."""

    @abstractmethod
    def look(
        self,
        expected: Answer,
        outputs: Outputs,
        batch: Batch,
        contract: Contract,
        *,
        shared_only: bool = False,
    ) -> Seen:
        """One image: what the reference answers, and the candidate's outputs and contract.

        batch: of one, whose canvas is its image. shared_only: what one side alone finds is no difference.
        """

    @abstractmethod
    def add(self, image: str, seen: Any) -> None:
        """Count an image."""

    @abstractmethod
    def picture(self, image: str, canvas: NDArray, seen: Any) -> None:
        """Keep pictures of the image's worst differences, if they are among the worst of all.

        canvas: (H, W, 3), RGB 0–255, from the corner of the valid area on.
        """

    @property
    @abstractmethod
    def images(self) -> list[str]:
        """The names of those that were added."""

    @property
    @abstractmethod
    def rows(self) -> list[Row]:
        """The measures, in the order in which failures are named."""

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Numbers of things that were compared, missed and so on, by name, for JSON."""

    @property
    @abstractmethod
    def title(self) -> str:
        """Title of the table: "12 instances"."""

    @property
    @abstractmethod
    def undecided(self) -> str:
        """Why what was seen proves nothing, empty where it does."""

    @property
    @abstractmethod
    def matched(self) -> float:
        """The share of things that both sides have; 1 of none."""

    @property
    @abstractmethod
    def loss(self) -> float:
        """One number to rank candidates by; 0 for the reference."""

    @abstractmethod
    def per_image(self) -> list[dict[str, Any]]:
        """Everything, image by image, for JSON."""

    @property
    @abstractmethod
    def detail(self) -> Detail:
        """Everything, for the page."""

    @abstractmethod
    def apart(self, ours: Any, theirs: Any) -> str:
        """Say in words how far two results of one image are apart."""

    @abstractmethod
    def exercised(self, answer: Answer) -> Exercised:
        """Count each class in an answer."""
