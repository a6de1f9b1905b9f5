"""The interface of a task: everything in the runtime that depends on the kind of thing that a model finds.

A task is a folder beside this file, registered in `maskrt.runtime.tasks`. The runtime holds a task's results
(`Found`), a metric's parts and comparisons. Of a result it reads the length, the height and the width alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.files.kinds import Kind
from maskrt.runtime.inputs.frames import Frame
from maskrt.runtime.outputs.sinks import Sink
from maskrt.runtime.outputs.tree import Layout
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.keep import EVERYTHING, Keep
from maskrt.runtime.tasks.rows import Row
from maskrt.runtime.tasks.style import Wanted

Painter = Callable[[Frame, Any], NDArray[np.uint8]]
#: From places of images in a list, each as often as it is drawn, to what a model scores on these.
Score = Callable[[NDArray[np.intp]], float]


class Task(ABC):
    """One kind of thing that models find."""

    #: What `len` of a result counts, for people.
    things: str
    #: The outputs as stages of parity, in the order of the computation: by output, what it is judged as
    #: (`OutputError.output`). Those that a model lacks are there too.
    stages: Mapping[str, str]
    #: The output of which each number is a class by itself; empty where there is none.
    labels = ""

    @abstractmethod
    def decode(
        self, outputs: Outputs, batch: Batch, contract: Contract, *, keep: Keep = EVERYTHING
    ) -> Sequence[Any]:
        """A result for each image of the batch, in the images' own pixels, with what is to be kept.

        Raises ModelError where the outputs are not what the contract promises.
        """

    @abstractmethod
    def whole(self, result: Any) -> Any:
        """Make all that a result holds at the image's full size: a benchmark times it."""

    @abstractmethod
    def record(self, result: Any, image_id: int | str) -> dict[str, Any]:
        """Make an image's line of `results.jsonl`, which is a server's answer too."""

    @abstractmethod
    def check(self, contract: Contract, name: str, wanted: Wanted) -> None:
        """Raise ModelError where a model cannot give what is wanted. name: its file."""

    @abstractmethod
    def painters(self, wanted: Wanted) -> dict[str, Painter]:
        """Make a function for each kind of picture (`Wanted.pictures`): it draws (H, W, 3) uint8 RGB."""

    @abstractmethod
    def draw(self, image: NDArray[np.uint8], result: Any) -> NDArray[np.uint8]:
        """A copy of an image, (H, W, 3) RGB, with a result drawn in, as a user is shown it first."""

    @abstractmethod
    def truth(self, sample: Any, dataset: Any) -> Any:
        """The annotations of an image as a result. sample: of the dataset (maskrt.training.data)."""

    @abstractmethod
    def files(self, wanted: Wanted) -> Files:
        """Name the files of a run beside its lines and pictures."""

    @abstractmethod
    def metric(self, contract: Contract) -> Metric:
        """Make the metric of a model on annotated images."""

    @abstractmethod
    def compare(self, precision: str, limits: Mapping[str, Any] | None = None) -> Comparison:
        """An empty comparison, by the tolerance of a precision. limits: others in place of its own, by
        name; those that the task has no tolerance of count for nothing."""

    @abstractmethod
    def card(self, contract: Contract) -> tuple[str, dict[str, str]]:
        """What a model card says: a sentence on what the model finds, and rows on its outputs, by subject."""

    @abstractmethod
    def pack(self, answer: Answer) -> dict[str, NDArray]:
        """The arrays of an answer, by name, for a bundle."""

    @abstractmethod
    def unpack(self, arrays: Mapping[str, NDArray], batch: Batch, contract: Contract) -> Answer:
        """The answer that `pack` made arrays of. Raises ValueError for the first array that is missing, or of
        another shape, type or range: a bundle comes from elsewhere, and may hold anything."""


class Files(ABC):
    """Files of a run in its output folder, beside results.jsonl and pictures.

    whole: files that appear when they are complete, by name; growing: names of those that grow line by line;
    folders: those that it makes there.
    """

    whole: Mapping[str, Kind]
    growing: tuple[str, ...]
    folders: tuple[str, ...]

    @abstractmethod
    def open(self, folder: Path, layout: Layout, ids: dict[str, int | str], opened: list[Sink]) -> None:
        """Put a sink for each into `opened`, at once: what fails on the way leaves those to be ended.

        ids: of all inputs, by name.
        """


@dataclass(frozen=True)
class Answer:
    """A model's answer to one image. outputs: of a batch of one; result: in pixels of the canvas, as the
    model's own users are given it."""

    contract: Contract
    outputs: Outputs
    result: Any


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
        """Make a score for each thing measured and each model, over any draw of the images.

        images: places in the data set. parts: for each model those of the images, in their order.
        """


@dataclass(frozen=True)
class OutputError:
    """An output of one image, judged as a stage that comes after all that is inside. output: "detections".

    compared: the share of things that both sides have. reason: why it is out of tolerance, else empty.
    """

    output: str
    max_error: float
    compared: float
    reason: str


@dataclass(frozen=True)
class Case:
    """One difference as pictures: how bad it is (0 to 2), what it is, and JPEGs (data URLs) of both sides and
    of the difference."""

    badness: float
    title: str
    reference: str
    candidate: str
    difference: str


@dataclass(frozen=True)
class Detail:
    """The table of everything that was compared, a row each. columns: their names, the image's first; "class"
    holds labels. sorted_by: the column that it is sorted by at first, the worst on top."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    sorted_by: int


@dataclass(frozen=True)
class Exercised:
    """Parts of a model that an image exercised. by_class: the number of things; things: "detections"; branch:
    what each of them has besides, "masks", or empty."""

    by_class: Counter[str]
    things: str
    branch: str


class Seen(ABC):
    """One image of both sides."""

    @property
    @abstractmethod
    def errors(self) -> list[OutputError]:
        """The outputs, in the order of the computation; none where only their means are judged."""

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
