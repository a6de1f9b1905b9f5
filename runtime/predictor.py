"""The Python API: a model that takes images and gives results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from runtime.batching import Batcher
from runtime.pipeline import batch_size, filled
from runtime.postprocess import postprocess
from runtime.preprocess import canvas_size, check_image, preprocess
from runtime.results import Result
from runtime.session import Session, open_session
from runtime.sources import read_image

Image = NDArray[np.uint8] | str | os.PathLike[str]


class Predictor:
    """Images in, results out: `Predictor(open_session("model.onnx"))(image)`.

    May be called from several threads at once: it holds nothing between calls but its session, and every
    session may. One thread is enough to keep a CPU or a GPU busy.
    """

    def __init__(self, session: Session, *, batch: int | None = None) -> None:
        """batch: images a call, for a model of any batch size (default 1)."""
        self.session = session
        self._size = batch_size(session, batch)

    def __call__(self, images: Image | Sequence[Image], *, min_score: float = 0.0) -> list[Result]:
        """A Result for each image, with the detections above min_score, whatever their sizes.

        images: one, or a sequence of them; each a (H, W, 3) uint8 RGB array, or a file's name. Images of one
        canvas size share a call, so each result is that of the image alone. A model of fixed batch size is
        filled up with an image it has. Raises ImageError for what is no image.
        """
        listed = [images] if isinstance(images, (np.ndarray, str, os.PathLike)) else images
        batcher: Batcher[tuple[int, NDArray[np.uint8]]] = Batcher(self._size)
        results: dict[int, Result] = {}
        for number, image in enumerate(listed):
            pixels = image if isinstance(image, np.ndarray) else read_image(image)
            height, width = check_image(pixels)
            canvas = canvas_size(height, width, self.session.contract.canvas)
            results |= self._infer(batcher.add(canvas, (number, pixels)), min_score)
        while group := batcher.oldest():
            results |= self._infer(group, min_score)
        return [results[number] for number in sorted(results)]

    def _infer(
        self, group: list[tuple[int, NDArray[np.uint8]]] | None, min_score: float
    ) -> dict[int, Result]:
        if not group:
            return {}
        contract = self.session.contract
        images = [image for _, image in group]
        batch = preprocess(filled(images, contract.batch), contract.canvas)
        outputs = self.session.infer(batch.images, batch.image_sizes)
        results = postprocess(outputs, batch, contract, min_score=min_score)
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
