"""Two models that say what they are told to, of any image, and the faults that one of them may have.

The reference finds four objects of two classes. Each fault changes what the candidate says in one respect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from maskrt.models.parts.layout import FPN
from maskrt.models.rcnn.layout import BOX_FEATURES, MASK_FEATURES, PER_PROPOSAL, PROPOSAL_COUNTS, PROPOSALS
from maskrt.runtime.backends.open import Outputs, Session
from maskrt.runtime.contract import CANVAS, Contract, Origin, Stages
from maskrt.runtime.parity.annotated import Annotated
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.sides import report_for
from maskrt.runtime.tasks.instances.measure.metric import InstancesMetric
from maskrt.runtime.tasks.instances.result import Result
from tests.runtime.conftest import CLASSES, MASK_SIZE, make_contract

CANVAS_PX, VALID_PX, ROWS = 96, 80, 8
# The third overlaps the first, of its class, by less than NMS allows.
BOXES = np.array([[4, 4, 44, 44], [46, 4, 78, 40], [4, 30, 44, 66], [46, 44, 78, 78]], np.float32)
SCORES, LABELS = np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 1, 0, 1], np.int32)
MASK_SHARE = 0.75  # of a box, from its left side, is the object
# Of proposals: the levels P2, P3, P4 and P5 by turns (arXiv:1612.03144, eq. 1).
SIDES_PX = np.array([60, 120, 240, 460] * 5, np.float32)


@dataclasses.dataclass
class Played:
    """What a model says. paste_px: how far to the right it pastes its masks, where it pastes them itself."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    stages: Stages
    contract: Contract
    paste_px: int = 0


class PlayedSession(Session):
    """A model that says it."""

    has_stages = True

    def __init__(self, played: Played) -> None:
        self.contract, self.name, self._played = played.contract, "model.onnx", played

    def _run(self, *_: Any) -> Outputs:
        played, count = self._played, len(self._played.boxes)
        rows = (played.boxes, played.scores, played.labels, played.masks)
        filled = (np.pad(v, [(0, ROWS - count)] + [(0, 0)] * (v.ndim - 1))[None] for v in rows)
        return Outputs(zip(self.contract.output_names, (np.array([count], np.int32), *filled), strict=True))

    def _run_with_stages(self, *_: Any) -> tuple[Outputs, Stages]:
        said = self._played.stages
        stages = {
            name: values[None] if name in (*FPN.maps, PROPOSALS) else values for name, values in said.items()
        }
        return self._run(), stages | {PROPOSAL_COUNTS: np.array([len(said[PROPOSALS])], np.int32)}

    def repaste(self, results: list[Result], outputs: Outputs) -> list[Result]:
        (found,) = results
        crops = (dataclasses.replace(c, left=c.left + self._played.paste_px) for c in found.crops)
        return [dataclasses.replace(found, crops=tuple(crops))]


def reference(precision: str = "fp32") -> Played:
    """The model without a fault."""
    sides = ("min_size_px", "max_size_px", "height_px", "width_px")
    contract = make_contract(
        **dict.fromkeys(sides, CANVAS_PX), max_detections=ROWS, mask_size=MASK_SIZE, precision=precision
    )
    random = np.random.default_rng(0)
    corners = random.uniform(0, 300, (len(SIDES_PX), 2)).astype(np.float32)
    stages = {name: random.normal(size=(4, 8, 8)).astype(np.float32) for name in FPN.maps}
    stages["stem"][:] = 0
    stages[CANVAS] = random.normal(size=(3, CANVAS_PX, CANVAS_PX)).astype(np.float32)
    stages[CANVAS][:, :, VALID_PX:] = 0
    stages[PROPOSALS] = np.hstack([corners, corners + SIDES_PX[:, None]])
    for names, rows in ((PER_PROPOSAL, len(corners)), (contract.inside.rows_of("boxes"), len(BOXES))):
        stages |= {name: random.normal(size=(rows, 4, 7, 7)).astype(np.float32) for name in names}
    masks = np.zeros((len(BOXES), MASK_SIZE, MASK_SIZE), np.float32)
    masks[:, :, : int(MASK_SIZE * MASK_SHARE)] = 1
    return Played(BOXES.copy(), SCORES.copy(), LABELS.copy(), masks, stages, contract)


def verdict(fault: Callable[[Played], None], precision: str = "fp32", images: int = 1) -> str:
    """All that parity says of a candidate with the fault, and which AP it calls lower beyond chance."""
    ours, theirs = reference(), reference(precision)
    fault(theirs)
    ours.paste_px = (
        -theirs.paste_px
    )  # the candidate's masks are pasted by the runtime, the reference's by itself
    sides = PlayedSession(ours), PlayedSession(theirs)
    found = report_for(*sides)
    annotated = Annotated(Annotations(truth(images)), InstancesMetric(ours.contract)) if images > 1 else None
    for i in range(images):
        compare(*sides, f"{i}.jpg", np.zeros((CANVAS_PX, CANVAS_PX, 3), np.uint8), found, annotated)
    first = found.stages.first
    also = first.culprits[1:] if first else ()
    intervals = annotated.difference() if annotated else {}
    lower = [f"lower {kind} AP" for kind, ap in intervals.items() if ap["high"] < 0]
    return "\n".join((*found.failures, *also, *lower))


class Annotations(list):
    """A data set, as far as it is asked for here: samples that name their image, and COCO's dictionary."""

    def __init__(self, coco: dict[str, Any]) -> None:
        super().__init__(SimpleNamespace(image_id=i["id"], source=i["file_name"]) for i in coco["images"])
        self._coco = coco

    def to_coco(self) -> dict[str, Any]:
        return self._coco


def truth(images: int) -> dict[str, Any]:
    """What the reference finds in each image, as annotations."""
    sizes = [(float(x1), float(y1), float(x2 - x1), float(y2 - y1)) for x1, y1, x2, y2 in BOXES]
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": CANVAS_PX, "width": CANVAS_PX} for i in range(images)
        ],
        "categories": [{"id": c.id, "name": c.name} for c in CLASSES],
        "annotations": [
            {
                "id": 1 + len(BOXES) * image + i,
                "image_id": image,
                "category_id": CLASSES[label].id,
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "segmentation": [
                    [x, y, x + MASK_SHARE * w, y, x + MASK_SHARE * w, y + h, x, y + h],
                ],
            }
            for image in range(images)
            for i, ((x, y, w, h), label) in enumerate(zip(sizes, LABELS, strict=True))
        ],
    }


def keep(p: Played, rows: list[int]) -> None:
    for name in ("boxes", "scores", "labels", "masks"):
        setattr(p, name, getattr(p, name)[rows])
    p.stages |= {name: p.stages[name][rows] for name in p.contract.inside.rows_of("boxes")}


def _mean_and_std(p: Played) -> tuple[np.ndarray, np.ndarray]:
    mean, std = (
        np.array(v, np.float32)[:, None, None] for v in (p.contract.normalise.mean, p.contract.normalise.std)
    )
    return mean, std


# Each a fault.


def none(p: Played) -> None: ...


def lost(p: Played) -> None:
    keep(p, [0, 1, 2])


def lost_under_another(p: Played) -> None:
    keep(p, [0, 1, 3])


def repeated(p: Played) -> None:
    keep(p, [0, 0, 1, 2, 3])


def reordered(p: Played) -> None:
    keep(p, [1, 0, 2, 3])


def kept_beside_a_better(p: Played) -> None:
    keep(p, [0, 0, 1, 2, 3])
    p.boxes[1] += np.array([8, 0, 8, 0], np.float32)  # an IoU of two thirds
    p.scores[1] = 0.85


def score(p: Played) -> None:
    p.scores[1] -= 0.01


def scores(p: Played) -> None:
    p.scores -= 0.02


def box(p: Played) -> None:
    p.boxes[1, 0] += 1


def boxes(p: Played) -> None:
    p.boxes += 2


def half_a_box(p: Played) -> None:
    p.boxes[1, 0] += 17


def box_elsewhere(p: Played) -> None:
    p.boxes[1] = [0, 70, 30, 79]


def mask(p: Played) -> None:
    p.masks[1] = np.roll(p.masks[1], 2, axis=1)


def masks(p: Played) -> None:
    p.masks = np.roll(p.masks, 3, axis=2)


def pasted(p: Played) -> None:
    p.paste_px = -1


def labels(p: Played) -> None:
    p.labels = p.labels + 1


def two_labels(p: Played) -> None:
    p.labels[:2] = p.labels[1::-1].copy()


def stage(p: Played) -> None:
    p.stages["C3"] = p.stages["C3"] * np.float32(1.01)


def stage_and_later(p: Played) -> None:
    stage(p)
    a_roi(p)


def stage_then_score(p: Played) -> None:
    stage(p)
    score(p)


def one_value(p: Played) -> None:
    p.stages["C3"][0, 0, 0] += np.float32(1e-3)  # an SNR of 84 dB


def out_of_nothing(p: Played) -> None:
    p.stages["stem"] = p.stages["C2"]


def not_finite(p: Played) -> None:
    p.stages["C3"][0, 0, 0] = np.nan


def shape(p: Played) -> None:
    p.stages["C3"] = p.stages["C3"][:, :, :4]


def a_roi(p: Played) -> None:
    p.stages[BOX_FEATURES][0] *= np.float32(1.5)


def a_mask_roi(p: Played) -> None:
    p.stages[MASK_FEATURES][0] *= np.float32(1.5)


def rois(p: Played) -> None:
    p.stages[BOX_FEATURES] = p.stages[BOX_FEATURES][..., ::-1]


def rois_of_p4(p: Played) -> None:
    p.stages[BOX_FEATURES][2::4] = p.stages[BOX_FEATURES][2::4][..., ::-1]


def fewer_proposals(p: Played) -> None:
    p.stages |= {name: p.stages[name][:14] for name in (PROPOSALS, *PER_PROPOSAL)}


def moved_proposals(p: Played) -> None:
    p.stages[PROPOSALS] = p.stages[PROPOSALS] + np.float32(8)


def larger_proposals(p: Played) -> None:
    left_top, right_bottom = np.split(p.stages[PROPOSALS], 2, axis=1)
    p.stages[PROPOSALS] = np.hstack([left_top, left_top + np.float32(1.2) * (right_bottom - left_top)])


def bgr(p: Played) -> None:
    mean, std = _mean_and_std(p)
    p.stages[CANVAS] = ((p.stages[CANVAS] * std + mean)[::-1] - mean) / std


def padded(p: Played) -> None:
    p.stages[CANVAS] = np.pad(p.stages[CANVAS], ((0, 0), (0, 32), (0, 0)))


def padded_to_the_right(p: Played) -> None:
    p.stages[CANVAS] = np.pad(p.stages[CANVAS], ((0, 0), (0, 0), (0, 32)))


def other_std(p: Played) -> None:
    p.stages[CANVAS] = p.stages[CANVAS] * _mean_and_std(p)[1]


def padding(p: Played) -> None:
    p.stages[CANVAS][:, :, VALID_PX:] = 1


def promise(p: Played) -> None:
    p.contract = dataclasses.replace(
        p.contract, options=dataclasses.replace(p.contract.options, nms_threshold=0.6)
    )


def stale(p: Played) -> None:
    p.contract = dataclasses.replace(p.contract, origin=Origin(p.contract.origin.toolkit_version, "1" * 64))
