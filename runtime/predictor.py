"""The Python API: a model that takes images and gives results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.postprocess import postprocess
from runtime.preprocess import preprocess
from runtime.results import Result
from runtime.session import Session, open_session


class Predictor:
    """Images in, results out: `Predictor(open_session("model.onnx"))(image)`."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __call__(
        self, images: NDArray[np.uint8] | list[NDArray[np.uint8]], *, min_score: float = 0.0
    ) -> list[Result]:
        """images: one (H, W, 3) uint8 RGB array or a list of them. A Result each, scores above min_score.

        A model of fixed batch size is fed in chunks of it; the last is filled up with its own first image.
        """
        images = [images] if isinstance(images, np.ndarray) else list(images)
        contract = self.session.contract
        size = contract.batch or max(len(images), 1)
        results: list[Result] = []
        for start in range(0, len(images), size):
            chunk = images[start : start + size]
            filled = chunk + [chunk[0]] * (size - len(chunk) if contract.batch else 0)
            batch = preprocess(filled, contract.canvas)
            outputs = self.session.infer(batch.images, batch.image_sizes)
            results += postprocess(outputs, batch, contract, min_score=min_score)[: len(chunk)]
        return results


def load(path: str | Path, *, device: str = "cpu") -> Predictor:
    """Open a model file (.onnx, .pt) for prediction."""
    return Predictor(open_session(path, device=device))
