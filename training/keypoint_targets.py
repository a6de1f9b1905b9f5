"""Keypoints on their way through augmentation.

A mirrored person's left hand is its right hand, whatever mirrored it. So three marks go through the
augmentation with the points: where they turn the other way round, the picture was mirrored, and the sides
change names.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.tv_tensors import KeyPoints

import maskrt.training.data as data
from maskrt.runtime.contract import Keypoints
from maskrt.runtime.errors import DataError
from maskrt.runtime.tasks.instances.measure.coco import check_points

POINTS, MARKS = "keypoints", "marks"
CORNERS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75))  # of the marks, in sides of the picture: inside it


def keypoint_targets(
    instances: list[data.Instance], layout: Keypoints, sample: data.Sample, size: tuple[int, int]
) -> dict[str, KeyPoints]:
    """The instances' points in pixels of `size` (height, width), NaN where not labelled; and the marks."""
    points = np.full((len(instances), len(layout.names), 2), np.nan, np.float32)
    for row, instance in zip(points, instances, strict=True):
        for point, (x, y, visibility) in zip(row, instance.keypoints or (), strict=False):
            if visibility:
                point[:] = x * size[1] / sample.width_px, y * size[0] / sample.height_px
    marks = torch.tensor(CORNERS) * torch.tensor([size[1], size[0]])
    return {
        POINTS: KeyPoints(torch.from_numpy(points), canvas_size=size),
        MARKS: KeyPoints(marks, canvas_size=size),
    }


def finished(points: Tensor, marks: Tensor, layout: Keypoints) -> Tensor:
    """Augmented points and marks → (G, K, 3) x, y and 1 where the point is labelled, else zeros."""
    along, down = marks[1] - marks[0], marks[2] - marks[0]
    if along[0] * down[1] < along[1] * down[0]:
        points = points[:, list(layout.mirrored)]
    labelled = ~points.isnan().any(dim=-1, keepdim=True)
    return torch.cat([torch.where(labelled, points, 0.0), labelled.to(points.dtype)], dim=-1)


def check_keypoints(dataset: data.Dataset, validation: data.Dataset | None) -> Keypoints:
    """What the points of the data set are.

    Raises DataError where it has none to learn, or the validation data has others, or none that AP is
    known for: at once, and not after an epoch.
    """
    if dataset.keypoints is None:
        raise DataError(
            f"{dataset.name}: no keypoints, or a different set a category, so task=keypoint has nothing to "
            "learn. Use a COCO file with one, such as person_keypoints_train2017.json"
        )
    if validation is not None:
        if validation.keypoints is None or validation.keypoints.names != dataset.keypoints.names:
            raise DataError(
                f"{validation.name}: other keypoints than those of {dataset.name}, or none. Validate on data "
                "with the same, or leave --val out."
            )
        check_points({len(i.keypoints) for sample in validation for i in sample.instances if i.keypoints})
    return dataset.keypoints
