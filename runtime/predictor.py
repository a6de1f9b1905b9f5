"""The Python API: a model that takes images and gives results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.inputs.pictures import Picture, as_image, is_picture
from maskrt.runtime.pipeline.batching import Batcher
from maskrt.runtime.pipeline.run import batch_size, filled
from maskrt.runtime.preprocess import canvas_size, check_image, preprocess
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.keep import DEFAULT_SCORE, Keep

if TYPE_CHECKING:
    from maskrt.runtime.tasks import Result

CLASSES_NAMED = 5  # in a model's repr


class Predictor:
    """Images in, results out: `Predictor(open_session("model.onnx"))(image)`.

    May be called from several threads at once: it holds nothing between calls but its session, and every
    session may. One thread is enough to keep a CPU or a GPU busy.
    """

    def __init__(self, session: Session, *, batch: int | None = None) -> None:
        """batch: images a call, for a model of any batch size (default 1)."""
        self.session = session
        self._size = batch_size(session, batch)

    @property
    def classes(self) -> list[str]:
        """Names of what the model finds, by label."""
        return self.session.contract.class_names

    def __repr__(self) -> str:
        contract = self.session.contract
        height, width = contract.canvas.height_px, contract.canvas.width_px
        size = f"{height}x{width} px" if height else "any size"
        more = ", …" if len(self.classes) > CLASSES_NAMED else ""
        return (
            f"<maskrt model {self.session.name}: {contract.family} in {contract.precision.name}, {size}, "
            f"{len(self.classes)} classes: {', '.join(self.classes[:CLASSES_NAMED])}{more}>"
        )

    def __call__(
        self,
        images: Picture | Sequence[Picture],
        *,
        min_score: float = DEFAULT_SCORE,
        classes: str | Sequence[str] | None = None,
    ) -> list[Result]:
        """A Result for each image, with the detections above min_score, whatever their sizes.

        images: one picture, or a sequence of them: file names, bytes of encoded images, uint8 arrays (RGB,
        RGBA, grey), PIL images (`inputs.pictures.as_image`). Images of one canvas size share a call, so each
        result is that of the image alone. A model of fixed batch size is filled up with an image it has.
        min_score: from 0 to 1; 0 for all that the model gives. classes: names of those to keep; default all.
        Raises ImageError for what is no image, OptionError for a score or a class that cannot be.
        """
        listed = [images] if is_picture(images) else cast(Sequence[Picture], images)
        names = (classes,) if isinstance(classes, str) else classes
        keep = Keep(min_score, None if names is None else tuple(names))
        keep.check(self.session.contract.classes)
        batcher: Batcher[tuple[int, NDArray[np.uint8]]] = Batcher(self._size)
        results: dict[int, Result] = {}
        for number, picture in enumerate(listed):
            pixels = as_image(picture)
            height, width = check_image(pixels)
            canvas = canvas_size(height, width, self.session.contract.canvas)
            results |= self._infer(batcher.add(canvas, (number, pixels)), keep)
        while group := batcher.oldest():
            results |= self._infer(group, keep)
        return [results[number] for number in sorted(results)]

    def _infer(self, group: list[tuple[int, NDArray[np.uint8]]] | None, keep: Keep) -> dict[int, Result]:
        if not group:
            return {}
        contract = self.session.contract
        images = [image for _, image in group]
        canvas = self.session.empty_canvas
        batch = preprocess(filled(images, contract.batch), contract.canvas, empty=canvas)
        outputs = self.session.infer(batch.images, batch.image_sizes)
        results = task_of(contract).decode(outputs, batch, contract, keep=keep)
        return {
            number: replace(result, image=image)
            for (number, image), result in zip(group, results, strict=False)
        }

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.session.close()


def load(
    path: str | Path,
    *,
    device: str = "cpu",
    backend: str = "onnxruntime",
    threads: int | None = None,
    batch: int | None = None,
) -> Predictor:
    """Open a model file (.onnx, .engine, .pt) for prediction; see `open_session` and `Predictor`."""
    return Predictor(open_session(path, device=device, backend=backend, threads=threads), batch=batch)
