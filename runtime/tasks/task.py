"""The interface of a task: everything in the runtime that depends on the kind of thing that a model finds.

A task is a folder beside this file, registered in `maskrt.runtime.tasks`. The runtime holds a task's results
(`Found`), a metric's parts and comparisons. Of a result it reads the length, the height and the width alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
from maskrt.runtime.tasks.answers import Answer
from maskrt.runtime.tasks.comparison import Comparison
from maskrt.runtime.tasks.keep import EVERYTHING, Keep
from maskrt.runtime.tasks.metric import Metric
from maskrt.runtime.tasks.style import Wanted

Painter = Callable[[Frame, Any], NDArray[np.uint8]]


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
        their names in `Comparison.limits`."""

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
