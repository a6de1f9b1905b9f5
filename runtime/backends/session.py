"""Session protocol that every backend implements: a canvas in, the contract's fixed-size outputs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from maskrt.runtime.contract import Contract, Stages
from maskrt.runtime.errors import ModelError, first_line


class Outputs(dict[str, NDArray]):
    """What a model says of a batch: an array for each output, by its name in the contract and in its order.

    What each holds is the task's to say (`Options.tensors`). The first axis is the batch.
    """

    def check_finite(self, name: str) -> None:
        """Raise ModelError where an array holds NaN or infinity. name: the model file."""
        for output, values in self.items():
            if not np.isfinite(values).all():
                raise ModelError(
                    f"{name}: output '{output}' holds NaN or infinity. Its weights or its precision are "
                    "broken: export it again in fp32, from a checkpoint without NaN."
                )


class Session(ABC):
    """Loaded model. Backends implement `_run`; callers use `infer`, which checks first."""

    contract: Contract
    name: str  # the model file, for messages
    has_stages = False
    lanes = 1  # calls that run at a time; more than one are for several threads

    def infer(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        """Run a batch: images (N, H, W, 3) of the contract's dtype, image_sizes (N, 2) float32.

        Raises ModelError where the arrays are not what the contract says.
        """
        self.check(images, image_sizes)
        outputs = self._run(np.ascontiguousarray(images), np.ascontiguousarray(image_sizes))
        outputs.check_finite(self.name)
        return outputs

    def infer_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        """Run as `infer` does, and return the stages' tensors too. NaN is allowed: it is what callers look
        for."""
        self.check(images, image_sizes)
        return self._run_with_stages(np.ascontiguousarray(images), np.ascontiguousarray(image_sizes))

    def empty_canvas(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Uninitialised memory for a batch's images, as `preprocess` asks for; a backend may give what is
        best for it."""
        return np.empty(shape, dtype)

    def repaste(self, results: list[Any], outputs: Outputs) -> list[Any]:
        """A task's results, as this model's own users are given them (pasted masks): here as they are."""
        return results

    def check(self, images: NDArray, image_sizes: NDArray[np.float32]) -> None:
        """Raise ModelError where the arrays are not what the contract says."""
        canvas = self.contract.canvas
        if images.dtype != canvas.dtype or images.ndim != 4 or images.shape[3] != 3:
            raise ModelError(
                f"{self.name}: input 'images' is {images.dtype} {images.shape}, the model takes "
                f"{canvas.dtype} (N, H, W, 3). maskrt.runtime.preprocess.preprocess makes it from an image."
            )
        batch, height, width = images.shape[:3]
        fixed = (self.contract.batch, canvas.height_px, canvas.width_px)
        if any(f is not None and f != got for f, got in zip(fixed, (batch, height, width), strict=True)):
            raise ModelError(
                f"{self.name}: input 'images' is (N, H, W) = {(batch, height, width)}, the model is fixed to "
                f"{fixed}. For any size: maskrt export CHECKPOINT --dynamic"
            )
        if height % canvas.stride or width % canvas.stride:
            raise ModelError(
                f"{self.name}: canvas {height}x{width} is no multiple of {canvas.stride}; pad it with zeros."
            )
        if image_sizes.dtype != np.float32 or image_sizes.shape != (batch, 2):
            raise ModelError(
                f"{self.name}: input 'image_sizes' is {image_sizes.dtype} {image_sizes.shape}, "
                f"expected float32 {(batch, 2)}: (height, width) per image."
            )

    def close(self) -> None:  # noqa: B027 - most backends have nothing to give back before Python forgets them
        """Release what the model holds, once no call is running."""

    @abstractmethod
    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs: ...

    def _run_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        """Backends that can look inside implement it, and say so by `has_stages`."""
        raise ModelError(f"{self.name}: opened without its stages; open_session(..., stages=True)")


def failed_call(name: str, backend: str, images: NDArray, error: Exception) -> ModelError:
    """Error to raise where a backend fails on images (N, H, W, 3), for example for lack of memory."""
    shape = "x".join(map(str, images.shape[:3]))
    return ModelError(
        f"{name}: {backend} failed on a canvas of {shape} ({first_line(error)}). "
        "If memory was short: a smaller --batch, or a model for a smaller canvas."
    )
