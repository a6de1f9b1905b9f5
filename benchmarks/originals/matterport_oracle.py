"""Inference of Matterport's Mask_RCNN written anew from its definitions, to hold the reader and network to.

Layer by layer as Keras runs them, in float64 and in coordinates of 0–1 as the original has them: biases and
norms apart, two scores an anchor, boxes y1 x1 y2 x2. Nothing here is the project's own. What each part is:
mrcnn/model.py (resnet_graph, ProposalLayer, PyramidROIAlign, refine_detections_graph), mrcnn/utils.py
(generate_anchors, norm_boxes), and TensorFlow's documentation of crop_and_resize and of its padding "SAME".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MEAN_PIXEL = torch.tensor([123.7, 116.8, 103.9], dtype=torch.float64)
STRIDES, SCALES, RATIOS = (4, 8, 16, 32, 64), (32, 64, 128, 256, 512), (0.5, 1, 2)
STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
PRE_NMS, PROPOSALS, RPN_NMS, DETECTION_NMS, DETECTIONS = 6000, 1000, 0.7, 0.3, 100


@dataclass
class Found:
    """boxes: (D, 4) y1 x1 y2 x2 of 0–1; classes from 1; masks (D, 28, 28)."""

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray


def norm_boxes(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels' edges to 0–1: the lower right pixel is the last one inside."""
    inside = boxes - np.array([0, 0, 1, 1])
    return inside / np.array([height - 1, width - 1, height - 1, width - 1])


def anchors(height: int, width: int) -> np.ndarray:
    """(anchors, 4) y1 x1 y2 x2 in px: by level, row, column, ratio; around index × stride."""
    made = []
    for stride, scale in zip(STRIDES, SCALES, strict=True):
        for y in range(-(-height // stride)):
            for x in range(-(-width // stride)):
                for ratio in RATIOS:
                    h, w = scale / np.sqrt(ratio), scale * np.sqrt(ratio)
                    cy, cx = y * stride, x * stride
                    made.append((cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2))
    return np.array(made)


def refined(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Boxes moved and scaled by dy dx dh dw."""
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + 0.5 * size + deltas[:, :2] * size
    size = size * np.exp(deltas[:, 2:])
    return np.concatenate([centre - 0.5 * size, centre + 0.5 * size], axis=1)


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float, limit: int) -> list[int]:
    """Greedy NMS, best first."""
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept: list[int] = []
    left = np.argsort(-scores, kind="stable")
    while len(left) and len(kept) < limit:
        best, left = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        union = area[best] + area[left] - shared
        left = left[~(shared > threshold * union)]
    return kept


def levels_of(boxes: np.ndarray, image_area: float) -> np.ndarray:
    """2 to 5, of boxes of 0–1."""
    size = boxes[:, 2:] - boxes[:, :2]
    with np.errstate(divide="ignore"):
        exponent = np.log2(np.sqrt(np.prod(size, axis=1)) / (224 / np.sqrt(image_area)))
    return np.clip(4 + np.round(exponent), 2, 5).astype(int)


def crop_and_resize(features: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """features: (C, H, W); box: y1 x1 y2 x2 of 0–1. Returns (C, size, size): bilinear, both ends included."""
    height, width = features.shape[1:]
    rows, columns = (
        np.linspace(box[k] * (cells - 1), box[k + 2] * (cells - 1), size)
        for k, cells in enumerate((height, width))
    )
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)  # boxes are inside: rounding
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    y, x = (rows - top)[None, :, None], (columns - left)[None, None, :]
    upper = features[:, top][:, :, left] * (1 - x) + features[:, top][:, :, right] * x
    lower = features[:, below][:, :, left] * (1 - x) + features[:, below][:, :, right] * x
    return upper * (1 - y) + lower * y


class Matterport:
    """The network in a file of weights."""

    def __init__(self, path: Path) -> None:
        self.weights: dict[str, Tensor] = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: (
                    self.weights.update({name: torch.from_numpy(item[()]).double()})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )

    def weight(self, layer: str, name: str) -> Tensor:
        """Of a layer of the model, or of the RPN's model inside it."""
        group = "rpn_model" if layer.startswith("rpn_") else layer
        return self.weights[f"{group}/{layer}/{name}:0"]

    def conv(self, x: Tensor, layer: str, *, stride: int = 1, pad: int = 0) -> Tensor:
        """Keras' kernels are height, width, in, out."""
        kernel = self.weight(layer, "kernel").permute(3, 2, 0, 1)
        return functional.conv2d(x, kernel, self.weight(layer, "bias"), stride=stride, padding=pad)

    def norm(self, x: Tensor, layer: str) -> Tensor:
        """BatchNormalization at inference."""
        gamma, beta, mean, variance = (
            self.weight(layer, name)[:, None, None]
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / torch.sqrt(variance + 1e-3) + beta

    def block(self, x: Tensor, name: str, stride: int) -> Tensor:
        """A bottleneck, with a convolution on the shortcut if it is a stage's first."""
        y = self.conv(x, f"res{name}_branch2a", stride=stride)
        y = torch.relu(self.norm(y, f"bn{name}_branch2a"))
        y = torch.relu(self.norm(self.conv(y, f"res{name}_branch2b", pad=1), f"bn{name}_branch2b"))
        y = self.norm(self.conv(y, f"res{name}_branch2c"), f"bn{name}_branch2c")
        if name[1] == "a":
            x = self.norm(self.conv(x, f"res{name}_branch1", stride=stride), f"bn{name}_branch1")
        return torch.relu(x + y)

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """P2 to P6 of molded images (1, 3, H, W)."""
        x = torch.relu(self.norm(self.conv(x, "conv1", stride=2, pad=3), "bn_conv1"))
        x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, stride=2)
        maps = []
        for stage, blocks in ((2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")):
            for letter in blocks:
                x = self.block(x, f"{stage}{letter}", 2 if letter == "a" and stage > 2 else 1)
            maps.append(x)
        tops = [self.conv(maps[3], "fpn_c5p5")]
        for level in (4, 3, 2):
            larger = tops[0].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            tops.insert(0, larger + self.conv(maps[level - 2], f"fpn_c{level}p{level}"))
        pyramid = [self.conv(top, f"fpn_p{level}", pad=1) for level, top in enumerate(tops, start=2)]
        return [*pyramid, pyramid[3][:, :, ::2, ::2]]

    def proposals(self, pyramid: list[Tensor], height: int, width: int) -> np.ndarray:
        """(P, 4) of 0–1, without the rows of zeros that the original fills up with."""
        scores, deltas = [], []
        for level in pyramid:
            shared = torch.relu(self.conv(level, "rpn_conv_shared", pad=1))
            raw = self.conv(shared, "rpn_class_raw").permute(0, 2, 3, 1).reshape(-1, 2)
            scores.append(torch.softmax(raw, dim=1)[:, 1])
            deltas.append(self.conv(shared, "rpn_bbox_pred").permute(0, 2, 3, 1).reshape(-1, 4))
        score, delta = torch.cat(scores).numpy(), torch.cat(deltas).numpy() * STD_DEV
        best = np.argsort(-score, kind="stable")[:PRE_NMS]
        boxes = refined(norm_boxes(anchors(height, width), height, width)[best], delta[best])
        boxes = np.clip(boxes, 0, 1)
        return boxes[suppress(boxes, score[best], RPN_NMS, PROPOSALS)]

    def pooled(self, pyramid: list[Tensor], boxes: np.ndarray, size: int, image_area: float) -> Tensor:
        """(R, C, size, size)."""
        maps = [level[0].numpy() for level in pyramid]
        rows = [
            crop_and_resize(maps[level - 2], box, size)
            for box, level in zip(boxes, levels_of(boxes, image_area), strict=True)
        ]
        return torch.from_numpy(np.array(rows).reshape(-1, maps[0].shape[0], size, size))

    def classified(self, pooled: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (R, classes) and deltas (R, classes, 4)."""
        x = torch.relu(self.norm(self.conv(pooled, "mrcnn_class_conv1"), "mrcnn_class_bn1"))
        x = torch.relu(self.norm(self.conv(x, "mrcnn_class_conv2"), "mrcnn_class_bn2"))[:, :, 0, 0]
        logits, deltas = (
            x @ self.weight(layer, "kernel") + self.weight(layer, "bias")
            for layer in ("mrcnn_class_logits", "mrcnn_bbox_fc")
        )
        return torch.softmax(logits, dim=1).numpy(), deltas.unflatten(1, (-1, 4)).numpy()

    def masks(self, pooled: Tensor, classes: np.ndarray) -> np.ndarray:
        """(D, 28, 28) of each one's class."""
        for place in (1, 2, 3, 4):
            pooled = self.conv(pooled, f"mrcnn_mask_conv{place}", pad=1)
            pooled = torch.relu(self.norm(pooled, f"mrcnn_mask_bn{place}"))
        kernel = self.weight("mrcnn_mask_deconv", "kernel").permute(3, 2, 0, 1)  # height, width, out, in
        bias = self.weight("mrcnn_mask_deconv", "bias")
        x = torch.relu(functional.conv_transpose2d(pooled, kernel, bias, stride=2))
        return torch.sigmoid(self.conv(x, "mrcnn_mask")).numpy()[np.arange(len(classes)), classes]

    def detect(self, canvas: np.ndarray, window: tuple[int, int, int, int], min_score: float) -> Found:
        """canvas: (H, W, 3) uint8, black around the window, y1 x1 y2 x2 in px."""
        height, width = canvas.shape[:2]
        molded = torch.from_numpy(canvas).double() - MEAN_PIXEL
        pyramid = self.pyramid(molded.permute(2, 0, 1)[None])
        rois = self.proposals(pyramid, height, width)
        area = float(height * width)
        probabilities, deltas = self.classified(self.pooled(pyramid, rois, 7, area))
        found = refine_detections(
            rois, probabilities, deltas, norm_boxes(np.array([window]), height, width)[0], min_score
        )
        boxes, classes, scores = found
        return Found(boxes, classes, scores, self.masks(self.pooled(pyramid, boxes, 14, area), classes))


def refine_detections(
    rois: np.ndarray, probabilities: np.ndarray, deltas: np.ndarray, window: np.ndarray, min_score: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, classes and scores, best first; everything of 0–1."""
    classes, rows = probabilities.argmax(axis=1), np.arange(len(rois))
    scores = probabilities[rows, classes]
    boxes = refined(rois, deltas[rows, classes] * STD_DEV)
    boxes = np.clip(boxes, np.tile(window[:2], 2), np.tile(window[2:], 2))
    kept: list[int] = []
    for category in range(1, probabilities.shape[1]):
        own = np.flatnonzero((classes == category) & (scores >= min_score))
        kept += [int(own[k]) for k in suppress(boxes[own], scores[own], DETECTION_NMS, DETECTIONS)]
    kept = sorted(kept, key=lambda row: -scores[row])[:DETECTIONS]
    return boxes[kept], classes[kept], scores[kept]
