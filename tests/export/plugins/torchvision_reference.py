"""What torchvision pools from a small pyramid, and the regions, ordinary and nasty, that the tests pool."""

from __future__ import annotations

import numpy as np
import torch
import torchvision

from maskrt.export.plugins.python_operators import RoiAlignOperator

CANVAS = (256, 320)  # height, width
STRIDES = (4, 8, 16, 32)
PYRAMID = RoiAlignOperator(7, 7, STRIDES, sampling_ratio=2)

NASTY = {
    "no width": (50, 40, 50, 90),
    "no height": (50, 40, 90, 40),
    "a point": (60, 60, 60, 60),
    "inverted in x": (90, 20, 40, 70),
    "inverted in y": (20, 90, 70, 40),
    "inverted in both": (90, 90, 40, 40),
    "outside, top left": (-300, -200, -120, -90),
    "outside, bottom right": (400, 300, 500, 420),
    "half outside": (-40, -30, 35, 50),
    "just touching": (-4.0, -4.0, 0.0, 0.0),
    "sub-pixel": (100.25, 100.25, 100.75, 100.5),
    "tiny": (10, 10, 10 + 1e-4, 10 + 1e-4),
    "the canvas": (0, 0, 320, 256),
    "huge": (-900, -1100, 1500, 1300),
    "a line": (0, 100, 320, 100.001),
}


def random_rois(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-30, 300, (count, 2))
    return np.concatenate([corner, corner + np.exp(rng.uniform(0, 6, (count, 2)))], axis=1).astype(np.float32)


def random_features(
    channels: int, images: int = 1, strides: tuple[int, ...] = STRIDES, seed: int = 0
) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((images, channels, CANVAS[0] // s, CANVAS[1] // s)).astype(np.float32)
        for s in strides
    ]


def torchvision_single(
    operator: RoiAlignOperator, feature: np.ndarray, rois: np.ndarray, batch: np.ndarray
) -> np.ndarray:
    rows = torch.from_numpy(np.concatenate([batch[:, None], rois], axis=1).astype(np.float32))
    size = (operator.output_height, operator.output_width)
    scale = 1.0 / operator.strides[0]
    ratio, aligned = operator.sampling_ratio, bool(operator.aligned)
    # A negative number of samples, of a region inverted in one axis, makes torchvision raise; it means none, so zero.
    none = (ratio == 0) & aligned & ((rois[:, 2] < rois[:, 0]) != (rois[:, 3] < rois[:, 1]))
    rows[torch.from_numpy(none), 1:] = 0
    pooled = torchvision.ops.roi_align(torch.from_numpy(feature), rows, size, scale, ratio, aligned).numpy()
    pooled[none] = 0
    return pooled


def torchvision_pyramid(
    operator: RoiAlignOperator, features: list[np.ndarray], rois: np.ndarray, batch: np.ndarray
) -> np.ndarray:
    size = (operator.output_height, operator.output_width)
    pooler = torchvision.ops.MultiScaleRoIAlign(list("abcde"), size, operator.sampling_ratio)
    images = range(len(features[0]))
    maps = {name: torch.from_numpy(f) for name, f in zip("abcde", features, strict=False)}
    pooled = pooler(
        maps, [torch.from_numpy(rois[batch == i]) for i in images], [CANVAS for _ in images]
    ).numpy()
    ordered = np.empty_like(pooled)
    ordered[np.concatenate([np.flatnonzero(batch == i) for i in images])] = pooled
    return ordered


ROIS = np.concatenate([np.array(list(NASTY.values()), np.float32), random_rois(60, seed=1)])
BATCH = np.arange(len(ROIS)) % 2
