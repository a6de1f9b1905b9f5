"""Checks that a checkpoint finds on the records' picture what its original found there."""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.originals.records import Record, at_its_size, picture
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.instances.compare.tolerances import FP32

MASK = 2e-3  # of a probability: the record's are float16, which keeps them to 5e-4


def differences(checkpoint: Checkpoint, record: Record) -> list[str]:
    """What the original found and the checkpoint does not find the same, a line each; empty if nothing."""
    checkpoint = dataclasses.replace(checkpoint, config=at_its_size(checkpoint.config))
    contract = checkpoint.contract()
    batch = preprocess([picture()], contract.canvas)
    outputs = EagerSession(checkpoint.build(), contract, name="read").infer(batch.images, batch.image_sizes)
    count = int(outputs["num_detections"][0])
    boxes, scores, masks = (outputs[name][0, :count] for name in ("boxes", "scores", "masks"))
    apart_px = np.abs(record.boxes[:, None] - boxes[None]).max(axis=2)
    apart_px[record.labels[:, None] != outputs["labels"][0, None, :count]] = np.inf
    said = [f"{count} detections, not {len(record.boxes)}"] if count != len(record.boxes) else []
    for row, nearest in enumerate(apart_px.argmin(axis=1)):
        if apart_px[row, nearest] > FP32.box_px:
            said.append(f"detection {row}: none of its class within {FP32.box_px} px of its box")
        elif abs(scores[nearest] - record.scores[row]) > FP32.score:
            said.append(f"detection {row}: score {scores[nearest]}, not {record.scores[row]}")
        elif row < len(record.masks) and np.abs(masks[nearest] - record.masks[row]).max() > MASK:
            said.append(f"detection {row}: another mask")
    return said


def assert_finds(checkpoint: Checkpoint, record: Record) -> None:
    """All of the record's detections and no others; there must be enough of them to tell."""
    assert len(record.boxes) >= 50
    assert differences(checkpoint, record) == []
