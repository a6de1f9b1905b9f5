"""Heat maps to points: the graph's search, the reference's, and torchvision's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from maskrt.models.rcnn.graph.keypoints import decode_keypoints
from maskrt.models.rcnn.keypoint_branch import keypoints_of

SIDE = 56
# Rounding of coordinates up to 1000 in float32, and of sums of 36 terms.
ROUNDING = 2e-3
SIDES_PX = [(1, 20), (20, 60), (60, 200), (200, 450)]


def boxes(shortest_px: float, longest_px: float, count: int = 12) -> Tensor:
    corner = 100 * torch.rand(count, 2)
    sides = shortest_px + (longest_px - shortest_px) * torch.rand(count, 2)
    return torch.cat([corner, corner + sides], dim=1)


def one_peak_each(count: int = 12, points: int = 5) -> Tensor:
    """Logits of a Gaussian anywhere in the frame, as a trained head gives them: bilinear, from 28×28."""
    centre = 28 * torch.rand(count, points, 2, 1, 1)
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    squared = (x - centre[:, :, 0]) ** 2 + (y - centre[:, :, 1]) ** 2
    low = 10 - squared / 4
    return functional.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=False)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("sides_px", SIDES_PX)
def test_points_of_clear_peaks_are_torchvisions(sides_px: tuple[float, float]) -> None:
    heat, found_in = one_peak_each(), boxes(*sides_px)
    places, scores = heatmaps_to_keypoints(heat, found_in)
    for decode in (decode_keypoints, keypoints_of):
        points = decode(heat, found_in)
        torch.testing.assert_close(points[..., :2], places[..., :2], atol=ROUNDING, rtol=0)
        torch.testing.assert_close(points[..., 2], scores, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("sides_px", SIDES_PX)
def test_the_graph_and_the_reference_agree_on_any_heat_map(sides_px: tuple[float, float]) -> None:
    heat, found_in = 3 * torch.randn(12, 5, SIDE, SIDE), boxes(*sides_px)
    torch.testing.assert_close(
        decode_keypoints(heat, found_in), keypoints_of(heat, found_in), atol=ROUNDING, rtol=0
    )


def test_a_point_between_cells_is_placed_between_them() -> None:
    """A box of 560 px has ten samples a cell; cell centres alone would be off by up to five pixels."""
    heat = torch.zeros(1, 1, SIDE, SIDE)
    heat[0, 0, 20, 30], heat[0, 0, 20, 31] = 5.0, 4.9
    x, y, _ = decode_keypoints(heat, torch.tensor([[0.0, 0.0, 560.0, 560.0]]))[0, 0].tolist()
    assert 305 < x < 310  # the cells' centres are 305 and 315
    assert abs(y - 205) <= 0.5


def test_torchvision_looks_further_where_two_peaks_are_nearly_equal() -> None:
    """Why the reference is not torchvision's search itself: a broad peak, lower in its cells, rises above."""
    heat = torch.zeros(1, 1, SIDE, SIDE)
    heat[0, 0, 10, 10] = 5.0
    heat[0, 0, 40:42, 40:42] = 4.9
    box = torch.tensor([[0.0, 0.0, 560.0, 560.0]])
    places, scores = heatmaps_to_keypoints(heat, box)
    points = keypoints_of(heat, box)
    assert places[0, 0, 0] > 400
    assert 100 <= points[0, 0, 0] <= 110
    assert points[0, 0, 2] < scores[0, 0]
