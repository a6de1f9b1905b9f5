"""Keypoint R-CNN: Mask R-CNN for human pose estimation (arXiv:1703.06870, section 5), as torchvision has it.

The network is Faster R-CNN with a branch that gives each RoI one heat map of m × m logits a point, m = 56:
eight 3×3 convolutions on the RoI's 14×14 features, a deconvolution, and a bilinear enlargement by two. Of a
point's m² cells one is right, so its loss (torchvision's `keypointrcnn_loss`) is a softmax over them,

    L_keypoint = mean over the labelled points of  −log softmax(logits)[cell of the point],

of the points that lie in their RoI. What the data does not label is not trained.

A point is where torchvision's `heatmaps_to_keypoints` finds it, among the samples near the best cell: heat
maps are enlarged bicubically to their box, a sample a pixel, and the best sample is taken. torchvision looks
through all samples, which no graph of fixed shapes can. The two are the same where a heat map has one clear
peak, as trained ones have; of two nearly equal peaks the enlargement may raise the lower above the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor

from maskrt.models.parts.roi_features import RoiPooler

WINDOW = 32  # samples a side: two cells either way in a box of 448 px, one in a box of 896 px


def keypoint_branch(
    pooler: RoiPooler, channels: int, convs: tuple[int, ...], num_keypoints: int
) -> dict[str, nn.Module]:
    """torchvision's arguments for the branch. channels: of the pyramid; convs: those of each convolution."""
    return {
        "keypoint_roi_pool": pooler,
        "keypoint_head": KeypointRCNNHeads(channels, convs),
        "keypoint_predictor": KeypointRCNNPredictor(convs[-1], num_keypoints),
    }


def keypoints_of(heat: Tensor, boxes: Tensor) -> Tensor:
    """heat: (R, K, M, M) float32 logits; boxes: (R, 4) x1 y1 x2 y2.

    Returns (R, K, 3) float32: x, y in the boxes' pixels, and the logit there.
    """
    found = heat.new_zeros((*heat.shape[:2], 3))
    for points, maps, (x1, y1, x2, y2) in zip(found, heat, boxes.unbind(), strict=True):
        width, height = (x2 - x1).clamp(min=1), (y2 - y1).clamp(min=1)
        columns, rows = int(width.ceil()), int(height.ceil())
        enlarged = functional.interpolate(maps[:, None], (rows, columns), mode="bicubic", align_corners=False)
        best = maps.flatten(1).argmax(dim=1)
        near = _near(best // maps.shape[1], rows, maps.shape[1])[:, :, None]
        near = near & _near(best % maps.shape[1], columns, maps.shape[1])[:, None]
        score, place = torch.where(near, enlarged[:, 0], -torch.inf).flatten(1).max(dim=1)
        points[:, 0] = x1 + (place % columns + 0.5) * (width / columns)
        points[:, 1] = y1 + (place // columns + 0.5) * (height / rows)
        points[:, 2] = score
    return found


def _near(cells: Tensor, count: int, side: int) -> Tensor:
    """(K, count) bool: the samples of one axis in the window around each of cells (K,)."""
    nearest = ((cells + 0.5) * (count / side)).floor()
    first = (nearest - WINDOW // 2).clamp(min=0, max=max(count - WINDOW, 0))[:, None]
    numbers = torch.arange(count, device=cells.device)
    return (numbers >= first) & (numbers < first + WINDOW)
