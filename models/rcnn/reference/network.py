"""The PyTorch reference of R-CNNs: torchvision's own eager model.

torchvision's transform is bypassed, since the canvas is made already; its masks are pasted as by the project
that the model is from (models/rcnn/reference/paste.py).
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

from maskrt.models.eager import Found, Reference
from maskrt.models.rcnn.keypoint_branch import keypoints_of
from maskrt.models.rcnn.reference.hooks import StageHooks
from maskrt.models.rcnn.reference.paste import pasted
from maskrt.models.rcnn.reference.ranking import ranking_in_double
from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Stages
from maskrt.runtime.tasks.instances.result import Result


class EagerSession(Reference[FasterRCNN]):
    """A model in eval mode, at any canvas size and batch."""

    def repaste(self, results: list[Result], outputs: Outputs) -> list[Result]:
        """The results with the masks that the model's own project would paste."""
        grid = self.contract.options.masks
        if grid is None:
            return results
        return [
            dataclasses.replace(one, crops=pasted(one, masks[: len(one)], grid))
            for one, masks in zip(results, outputs["masks"], strict=True)
        ]

    def found(self, canvas: Tensor, sizes: list[tuple[int, int]]) -> list[Found]:
        """As every reference's, by torchvision's modules."""
        features = self.model.backbone(canvas)
        with ranking_in_double(self.model.rpn):
            proposals, _ = self.model.rpn(ImageList(canvas, sizes), features)
        with _outputs_of(self.model.roi_heads.keypoint_predictor) as heat:
            found, _ = self.model.roi_heads(features, proposals, sizes)
        counts = [len(one["scores"]) for one in found]
        points: list[Tensor | None] = [None] * len(found)
        if heat:
            points = list(keypoints_of(torch.cat(heat), torch.cat([f["boxes"] for f in found])).split(counts))
        return [
            Found(
                boxes=one["boxes"],
                scores=one["scores"],
                labels=one["labels"] - 1,
                masks=one["masks"][:, 0] if "masks" in one else None,
                keypoints=of_one,
            )
            for one, of_one in zip(found, points, strict=True)
        ]

    def _run_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        with StageHooks(self.model, self.contract) as stages:
            outputs = self._run(images, image_sizes)
        return outputs, stages.taken(outputs)


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
