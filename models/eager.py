"""The PyTorch reference: a family's own network in eager mode, on a canvas, behind the Session protocol.

Used by validation, evaluation and parity. It takes the same canvas as an exported model: padding is part of
the computation, and a reference padded otherwise is another one. Normalisation is written here anew, not
shared with the exported graph: one mistake cannot hide in both.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.v2.functional import normalize

from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.contract import CANVAS, Contract, Stages
from maskrt.runtime.preprocess import corner

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Found:
    """What a network finds in one image: K objects, the surest first.

    boxes: (K, 4) x1 y1 x2 y2 in canvas pixels from the picture's corner; scores: (K,); labels: (K,) from 0,
    the contract's first class; masks: (K, M, M) probabilities; keypoints: (K, P, 3) x, y, logit.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None
    keypoints: Tensor | None = None


class Reference(Session, Generic[Network]):
    """A network in eval mode, at any canvas size and batch. A family says what it finds."""

    has_stages = True
    #: The contract's taps, but for the canvas, by name: the submodule whose output each is.
    taps: Mapping[str, str] = MappingProxyType({})

    def __init__(self, model: Network, contract: Contract, *, name: str, device: str = "cpu") -> None:
        self.contract, self.name = contract.on_canvas(dtype="float32"), name
        self.model, self._device = model.to(device), device
        self._dtype = next(model.parameters()).dtype

    @abstractmethod
    def found(self, canvas: Tensor, sizes: list[tuple[int, int]]) -> list[Found]:
        """What the network finds on each canvas. canvas: (N, 3, H, W) normalised; sizes: (height, width) of
        each picture on it."""

    def infer(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        """As every session's, but takes a uint8 canvas too: the values are the same."""
        return super().infer(images.astype(np.float32, copy=False), image_sizes)

    def infer_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        """As every session's, but takes a uint8 canvas too."""
        return super().infer_with_stages(images.astype(np.float32, copy=False), image_sizes)

    @torch.inference_mode()
    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        return self._packed(self.found(*self._normalised(images, image_sizes)))

    @torch.inference_mode()
    def _run_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        canvas, sizes = self._normalised(images, image_sizes)
        seen = {CANVAS: canvas}

        def take(tap: str) -> Any:
            return lambda module, given, output: seen.update({tap: output})

        hooks = [
            self.model.get_submodule(module).register_forward_hook(take(tap))
            for tap, module in self.taps.items()
        ]
        try:
            outputs = self._packed(self.found(canvas, sizes))
        finally:
            for hook in hooks:
                hook.remove()
        return outputs, {name: seen[name].cpu().numpy() for name in self.contract.inside.names}

    def _normalised(
        self, images: NDArray, image_sizes: NDArray[np.float32]
    ) -> tuple[Tensor, list[tuple[int, int]]]:
        """(N, 3, H, W): around pictures zero or, on a square canvas, what black is; the pictures' sizes."""
        pixels = torch.from_numpy(images).to(self._device, self._dtype).permute(0, 3, 1, 2) / 255
        sizes = [(int(h), int(w)) for h, w in image_sizes]
        mean, std = list(self.contract.normalise.mean), list(self.contract.normalise.std)
        placement = self.contract.canvas.placement
        normal = normalize(pixels, mean, std)
        black = normalize(torch.zeros_like(pixels), mean, std)
        canvas = black if placement == "square" else torch.zeros_like(normal)
        for image, picture, (h, w) in zip(canvas, normal, sizes, strict=True):
            top, left = corner((h, w), pixels.shape[2:], placement)
            image[:, top : top + h, left : left + w] = picture[:, top : top + h, left : left + w]
        return canvas, sizes

    def _packed(self, found: list[Found]) -> Outputs:
        """As the contract has them, zeros past the counts."""
        arrays = {
            tensor.name: np.zeros(tensor.shape({"batch": len(found)}), tensor.dtype)
            for tensor in self.contract.outputs
        }
        for row, one in enumerate(found):
            count = len(one.scores)
            arrays["num_detections"][row] = count
            for name, values in vars(one).items():
                if name in arrays:
                    arrays[name][row, :count] = values.cpu().numpy()
        return Outputs(**arrays)
