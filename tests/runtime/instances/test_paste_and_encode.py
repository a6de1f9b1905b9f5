"""From mask probabilities to COCO's encoding, against torchvision's paste and pycocotools, end to end."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.runtime.tasks.instances.paste import paste_mask
from maskrt.runtime.tasks.instances.rle import encode_crop
from tests.runtime.instances.test_paste_mask import PROBABILITY_ERROR, probabilities

fractions = st.floats(0, 1, width=32)


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 120),
    corners=st.tuples(fractions, fractions, fractions, fractions),
    side=st.sampled_from([7, 14, 28]),
    threshold=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
)
@example(height=1, width=1, corners=(0.0, 0.0, 1.0, 1.0), side=28, threshold=0.5, seed=0)
@example(height=90, width=1, corners=(0.0, 0.0, 1.0, 1.0), side=28, threshold=0.1, seed=1)  # runs join
@example(height=1, width=120, corners=(0.0, 0.0, 1.0, 1.0), side=7, threshold=0.9, seed=2)
@example(height=60, width=80, corners=(0.5, 0.5, 0.5, 0.5), side=14, threshold=0.3, seed=3)  # a point
@settings(max_examples=300)
def test_encodes_the_pixels_that_torchvision_pastes(
    height: int, width: int, corners: tuple[float, ...], side: int, threshold: float, seed: int
) -> None:
    (x1, x2), (y1, y2) = sorted(corners[:2]), sorted(corners[2:])
    box = np.array([x1 * width, y1 * height, x2 * width, y2 * height], np.float32)
    mask = probabilities(seed, side)

    crop = paste_mask(mask, box, height, width, threshold)
    rle = encode_crop(crop.bits, crop.top, crop.left, height, width)

    pasted = paste_masks_in_image(
        torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None], (height, width)
    )[0, 0].numpy()
    differing = coco_mask.decode(rle).astype(bool) != (pasted > threshold)
    assert np.abs(pasted[differing] - threshold).max(initial=0) <= PROBABILITY_ERROR
