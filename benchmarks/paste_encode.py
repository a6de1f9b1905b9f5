"""`make bench`: 100 instances on a 1920×1080 image, from mask probabilities to COCO's run-length encoding.

Ours (crops, encoded as they are) against torchvision's paste and pycocotools' encoder, interleaved, on one
core. The bare encoder is given what torchvision made, thresholded, in the column-major layout it asks for.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.runtime.bench import interleave, print_timings
from maskrt.runtime.commands.cli import say
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import OWN_NAME
from maskrt.runtime.tasks.instances.options import PASTES
from maskrt.runtime.tasks.instances.paste import paste_mask
from maskrt.runtime.tasks.instances.rle import encode_crop

HEIGHT_PX, WIDTH_PX, INSTANCES, MASK_SIZE, THRESHOLD = 1080, 1920, 100, 28, 0.5
SIDES_PX = (20, 400)  # from a bottle in a far shelf to a person near by; their mean area is 44 000 px
REPORT = Path("out/bench/paste_encode.json")


def instances(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mask probabilities (D, M, M) float32, ragged blobs, and boxes (D, 4) float32 inside the image."""
    random = np.random.default_rng(seed)
    sides = random.uniform(*SIDES_PX, (INSTANCES, 2))
    corners = random.uniform(0, 1, (INSTANCES, 2)) * (np.array([WIDTH_PX, HEIGHT_PX]) - sides)
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    y, x = np.mgrid[:MASK_SIZE, :MASK_SIZE] - (MASK_SIZE - 1) / 2
    noise = random.normal(0, 1, (INSTANCES, MASK_SIZE, MASK_SIZE))
    logits = MASK_SIZE / 3 - np.hypot(x, y) + noise
    return (1 / (1 + np.exp(-logits))).astype(np.float32), boxes


def ours(masks: np.ndarray, boxes: np.ndarray, rule: str) -> list[dict]:
    """Paste and encode as `maskrt infer` does, by a contract's rule."""
    size = HEIGHT_PX, WIDTH_PX
    crops = [paste_mask(m, b, *size, THRESHOLD, rule) for m, b in zip(masks, boxes, strict=True)]
    return [encode_crop(c.bits, c.top, c.left, HEIGHT_PX, WIDTH_PX) for c in crops]


def torchvision_and_pycocotools(masks: torch.Tensor, boxes: torch.Tensor) -> list[dict]:
    """The common way: full-size masks, then the encoder."""
    pasted = paste_masks_in_image(masks, boxes, (HEIGHT_PX, WIDTH_PX))[:, 0] > THRESHOLD
    return [coco_mask.encode(np.asfortranarray(mask)) for mask in pasted.numpy().astype(np.uint8)]


def main() -> None:
    """Measure, print the table, write out/bench/paste_encode.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    masks, boxes = instances()
    tensors = torch.from_numpy(masks)[:, None], torch.from_numpy(boxes)
    timings = interleave(
        [
            ("torchvision, pycocotools", lambda: torchvision_and_pycocotools(*tensors)),
            *((f"maskrt, {rule}", partial(ours, masks, boxes, rule)) for rule in PASTES),
        ],
        rounds,
    )
    print_timings(timings, f"paste and encode {INSTANCES} masks on {WIDTH_PX}x{HEIGHT_PX}, one core")
    write_text(
        REPORT, json.dumps({"rounds": rounds, "timings": [asdict(t) for t in timings]}, indent=1), OWN_NAME
    )
    say(f"written to {REPORT}")


if __name__ == "__main__":
    main()
