"""The PyTorch reference: torchvision's own eager model, on a canvas, behind the Session protocol.

Used by validation, evaluation and parity. It takes the same canvas as an exported model, so torchvision's
transform is bypassed: padding is part of the computation, and a reference padded otherwise is another one.
Normalisation is written here anew, not shared with the exported graph: one mistake cannot hide in both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.transforms.v2.functional import normalize

from maskrt.models.rcnn.keypoint_branch import keypoints_of
from maskrt.models.rcnn.ranking import ranking_in_double
from maskrt.models.rcnn.stage_hooks import StageHooks
from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import corner
from maskrt.runtime.stages import Stages
from maskrt.runtime.tasks.instances.instances import MaskCrop, crop_mask
from maskrt.runtime.tasks.instances.result import Result


class EagerSession(Session):
    """A model in eval mode, at any canvas size and batch."""

    has_stages = True

    def __init__(self, model: FasterRCNN, contract: Contract, *, name: str, device: str = "cpu") -> None:
        self.contract, self.name = contract.on_canvas(dtype="float32"), name
        self._model, self._device = model.to(device), device
        self._dtype = next(model.parameters()).dtype

    def infer(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        """As every session's, but takes a uint8 canvas too: the values are the same."""
        return super().infer(images.astype(np.float32, copy=False), image_sizes)

    def infer_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        """As every session's, but takes a uint8 canvas too."""
        return super().infer_with_stages(images.astype(np.float32, copy=False), image_sizes)

    def repaste(self, results: list[Result], outputs: Outputs) -> list[Result]:
        """The results with the masks that torchvision pastes."""
        grid = self.contract.instances.masks
        if outputs.masks is None or grid is None:
            return results
        return [
            dataclasses.replace(one, crops=_paste(one, masks[: len(one)], grid.threshold))
            for one, masks in zip(results, outputs.masks, strict=True)
        ]

    @property
    def model(self) -> FasterRCNN:
        """torchvision's model, in eval mode."""
        return self._model

    def _run_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        with StageHooks(self._model, self.contract) as stages:
            outputs = self._run(images, image_sizes)
        return outputs, stages.taken(outputs)

    @torch.inference_mode()
    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        pixels = torch.from_numpy(images).to(self._device, self._dtype).permute(0, 3, 1, 2) / 255
        sizes = [(int(h), int(w)) for h, w in image_sizes]
        canvas = self._normalised(pixels, sizes)
        features = self._model.backbone(canvas)
        with ranking_in_double(self._model.rpn):
            proposals, _ = self._model.rpn(ImageList(canvas, sizes), features)
        with _outputs_of(self._model.roi_heads.keypoint_predictor) as heat:
            found, _ = self._model.roi_heads(features, proposals, sizes)
        points = keypoints_of(torch.cat(heat), torch.cat([f["boxes"] for f in found])) if heat else None
        batch, options = len(images), self.contract.instances
        rows, grid = options.max_detections, options.masks
        masks = None if grid is None else np.zeros((batch, rows, grid.size, grid.size), np.float32)
        layout = options.keypoints
        keypoints = None if layout is None else np.zeros((batch, rows, len(layout.names), 3), np.float32)
        outputs = Outputs(
            num_detections=np.array([len(f["scores"]) for f in found], np.int32),
            boxes=np.zeros((batch, rows, 4), np.float32),
            scores=np.zeros((batch, rows), np.float32),
            labels=np.zeros((batch, rows), np.int32),
            masks=masks,
            keypoints=keypoints,
        )
        first = 0  # of the image's points
        for i, one in enumerate(found):
            count = len(one["scores"])
            outputs.boxes[i, :count] = one["boxes"].cpu().numpy()
            outputs.scores[i, :count] = one["scores"].cpu().numpy()
            outputs.labels[i, :count] = one["labels"].cpu().numpy() - 1
            if masks is not None:
                masks[i, :count] = one["masks"][:, 0].cpu().numpy()
            if keypoints is not None and points is not None:
                keypoints[i, :count] = points[first : first + count].cpu().numpy()
            first += count
        return outputs

    def _normalised(self, pixels: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """(N, 3, H, W) of pixels in 0–1; around the pictures zero, on a square canvas what black is."""
        mean, std = list(self.contract.normalise.mean), list(self.contract.normalise.std)
        normal, square = normalize(pixels, mean, std), self.contract.canvas.placement == "square"
        canvas = normalize(torch.zeros_like(pixels), mean, std) if square else torch.zeros_like(normal)
        for image, picture, (h, w) in zip(canvas, normal, sizes, strict=True):
            top, left = corner((h, w), pixels.shape[2:], self.contract.canvas.placement)
            image[:, top : top + h, left : left + w] = picture[:, top : top + h, left : left + w]
        return canvas


@contextmanager
def _outputs_of(module: nn.Module | None) -> Iterator[list[Tensor]]:
    """What the module gives within, call by call; nothing where there is none."""
    given: list[Tensor] = []
    if module is None:
        yield given
        return
    handle = module.register_forward_hook(lambda _, inputs, output: given.append(output))
    try:
        yield given
    finally:
        handle.remove()


def _paste(found: Result, masks: NDArray[np.float32], threshold: float) -> tuple[MaskCrop, ...]:
    size = (found.height_px, found.width_px)
    pasted = (
        paste_masks_in_image(torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None], size)
        for mask, box in zip(masks, found.boxes, strict=True)
    )
    return tuple(crop_mask(one[0, 0].numpy() > threshold) for one in pasted)
