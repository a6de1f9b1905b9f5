"""The interface of a task's metric: what measures models on annotated images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: From places of images in a list, each as often as it is drawn, to what a model scores on these.
Score = Callable[[NDArray[np.intp]], float]


class Metric(ABC):
    """Measures models of one contract on annotated images (maskrt.training.data.Dataset).

    A part is what is kept of one image; it can be pickled, and parts of several processes be put together.
    """

    #: Of `figures`, the one that a model is judged by, from 0 to 1, higher is better.
    main: str
    #: What all of it is called, for people: "COCO AP".
    title: str
    #: Of `figures`, those that a training's curves show, where a model has them.
    curves: tuple[str, ...]

    @abstractmethod
    def part(self, sample: Any, result: Any) -> Any:
        """Make the part of one image, from a sample of the data set and its result, of every score."""

    @abstractmethod
    def figures(self, dataset: Any, parts: Sequence[Any]) -> dict[str, float]:
        """The figures over the images whose parts are given, by name. dataset: of the model's classes."""

    @abstractmethod
    def examine(self, dataset: Any, parts: Sequence[Any], min_score: float) -> dict[str, Any]:
        """Compute the figures and more, for JSON: of each class, and of results above a score."""

    @abstractmethod
    def tables(self, facts: dict[str, Any], title: str) -> list[Any]:
        """Show what `examine` gave as rich's tables."""

    @abstractmethod
    def page(self, facts: dict[str, Any]) -> str:
        """Show what `examine` gave, and facts on the model, as an HTML page."""

    @abstractmethod
    def named(self, figure: str) -> str:
        """A figure's name for people: "mask AP"."""

    @abstractmethod
    def headline(self, figures: dict[str, float]) -> str:
        """The one or two figures that matter most, in words."""

    @abstractmethod
    def progress(self, figures: dict[str, float]) -> dict[str, float]:
        """The one or two figures that are shown while a model is trained, by short names."""

    @abstractmethod
    def scores(
        self, dataset: Any, images: Sequence[int], parts: Sequence[Sequence[Any]]
    ) -> dict[str, list[Score]]:
        """Make a score for each thing measured and each model, over any draw of the images. A model is judged
        by the first thing, which is `main`.

        images: places in the data set. parts: for each model those of the images, in their order.
        """
