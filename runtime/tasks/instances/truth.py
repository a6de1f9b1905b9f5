"""Annotations of an image (maskrt.training.data.Sample) as a result, to be drawn like one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Keypoints
from maskrt.runtime.tasks.instances.drawing.draw import POINT_SCORE
from maskrt.runtime.tasks.instances.instances import crop_mask
from maskrt.runtime.tasks.instances.result import Result


def annotated(sample: Any, dataset: Any) -> Result:
    """A sample's annotations as detections of score 1. dataset: the sample's."""
    instances = sample.instances
    masks = sample.masks()
    return Result(
        height_px=sample.height_px,
        width_px=sample.width_px,
        boxes=np.array([i.box for i in instances], np.float32).reshape(-1, 4),
        scores=np.ones(len(instances), np.float32),
        labels=np.array([i.label for i in instances], np.int32),
        classes=dataset.classes,
        crops=tuple(crop_mask(mask) for mask in masks),
        keypoints=_points(instances, dataset.keypoints) if dataset.keypoints else None,
        skeleton=dataset.keypoints.skeleton if dataset.keypoints else (),
    )


def _points(instances: Any, layout: Keypoints) -> NDArray[np.float32]:
    """(G, K, 3): x y in pixels, and a logit that is drawn where the point is labelled, else 0."""
    points = np.zeros((len(instances), len(layout.names), 3), np.float32)
    for row, instance in zip(points, instances, strict=True):
        if instance.keypoints:
            row[:] = instance.keypoints
    points[..., 2] = 2 * POINT_SCORE * (points[..., 2] > 0)
    return points
