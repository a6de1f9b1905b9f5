"""The PyTorch reference: a checkpoint run by torchvision's own eager model, behind the Session protocol.

Used by evaluation and parity. It takes the same canvas as an exported model, so torchvision's transform is
bypassed: padding is part of the computation, and a reference padded otherwise is another one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection.image_list import ImageList

from export.graphs.canvas import NormaliseCanvas
from export.weights import load_checkpoint
from runtime.session import Outputs, Session


class TorchSession(Session):
    """A checkpoint on PyTorch, at any canvas size and batch."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        checkpoint = load_checkpoint(path)
        self.name = str(path)
        self.contract = checkpoint.contract(dtype="float32")
        self._model = checkpoint.build().to(device)
        self._normalise = NormaliseCanvas(self.contract.mean, self.contract.std).to(device)
        self._device = device

    def infer(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        """As every session's, but takes uint8 too: the values are the same."""
        return super().infer(images.astype(np.float32), image_sizes)

    @torch.inference_mode()
    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        sizes = torch.from_numpy(image_sizes).to(self._device)
        canvas = self._normalise(torch.from_numpy(images).to(self._device), sizes)
        listed = ImageList(canvas, [(int(h), int(w)) for h, w in image_sizes])
        features = self._model.backbone(canvas)
        proposals, _ = self._model.rpn(listed, features)
        found, _ = self._model.roi_heads(features, proposals, listed.image_sizes)
        batch, rows, side = len(images), self.contract.max_detections, self.contract.mask_size
        outputs = Outputs(
            num_detections=np.array([len(f["scores"]) for f in found], np.int32),
            boxes=np.zeros((batch, rows, 4), np.float32),
            scores=np.zeros((batch, rows), np.float32),
            labels=np.zeros((batch, rows), np.int32),
            masks=np.zeros((batch, rows, side, side), np.float32),
        )
        for i, one in enumerate(found):
            count = len(one["scores"])
            outputs.boxes[i, :count] = one["boxes"].cpu().numpy()
            outputs.scores[i, :count] = one["scores"].cpu().numpy()
            outputs.labels[i, :count] = one["labels"].cpu().numpy() - 1
            outputs.masks[i, :count] = one["masks"][:, 0].cpu().numpy()
        return outputs
