"""The faults: where each is planted, the stages that may be named first, and what the cause must say.

None is taken from the tests; most are families of one fault over many places. A cause is right where it says
what was done, or names it among what is possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.parity_trial.graph import (
    Change,
    Model,
    behind,
    change_constant,
    change_scalars,
    in_bits,
    operators,
    promise,
    set_attribute,
    through,
)

CLASSES = 21  # of the trial's model, with the background
MAX_LOG_SCALE = float(np.float32(np.log(1000 / 16)))


@dataclass(frozen=True)
class Planted:
    """A fault. stage: a pattern of what may be named first; cause: a pattern of what must be said of it."""

    name: str
    stage: str
    cause: str
    plant: Callable[[Model], None]

    def right_stage(self, said: str) -> bool:
        """True if the first line names a stage that is right."""
        return re.search(self.stage, said.split(" is the first stage")[0]) is not None

    def right_cause(self, said: str) -> bool:
        """True if all that is said names what was done."""
        return re.search(self.cause, said) is not None


def all_faults() -> Iterator[Planted]:
    """Every fault of the trial."""
    yield from _weights()
    yield from _precision()
    yield from _anchors_and_boxes()
    yield from _operators()
    yield from _between()
    yield from _promises()


def _of(name: str, change: Change) -> Callable[[Model], None]:
    return lambda model: change_constant(model, name, change)


def _scaled(factor: float) -> Change:
    return lambda values: values * factor


def _row(row: int, change: Change) -> Change:
    def one(values: NDArray) -> NDArray:
        values[row] = change(values[row])
        return values

    return one


def _exchanged(first: int, second: int) -> Change:
    def change(values: NDArray) -> NDArray:
        values[[first, second]] = values[[second, first]]
        return values

    return change


def _weights() -> Iterator[Planted]:
    body, fpn, heads = "backbone.body", "backbone.fpn", "detections"
    for name, stage, what, change in (
        (f"{body}.conv1.weight", "stem", "2% larger", _scaled(1.02)),
        (f"{body}.layer1.0.conv2.weight", "C2", "one filter zero", _row(3, _scaled(0))),
        (f"{body}.layer2.0.downsample.0.weight", "C3", "two filters exchanged", _exchanged(1, 2)),
        (f"{body}.layer3.1.conv1.weight", "C4", "kernels mirrored", lambda v: v[..., ::-1]),
        (f"{body}.layer4.0.conv1.weight", "C5", "kernels transposed", lambda v: v.swapaxes(2, 3)),
        (f"{fpn}.inner_blocks.3.0.weight", "P5", "3% smaller", _scaled(0.97)),
        (f"{fpn}.inner_blocks.2.0.weight", "P4", "a filter zero", _row(5, _scaled(0))),
        (f"{fpn}.inner_blocks.1.0.weight", "P3", "filters exchanged", _exchanged(0, 7)),
        (f"{fpn}.layer_blocks.2.0.weight", "P4", "1% larger", _scaled(1.01)),
        (f"{fpn}.layer_blocks.0.0.weight", "P2", "sign turned", _scaled(-1)),
        ("proposals.head.cls_logits.weight", "rpn_logits", "kinds exchanged", _exchanged(0, 2)),
        ("proposals.head.bbox_pred.weight", "rpn_deltas", "one delta 5% larger", _row(2, _scaled(1.05))),
        (f"{heads}.box_head.fc6.weight", "class_logits", "turned by rows", lambda v: np.roll(v, 1, axis=0)),
        (f"{heads}.box_head.fc7.weight", "class_logits", "0.5% larger", _scaled(1.005)),
        (
            f"{heads}.box_predictor.cls_score.weight",
            "class_logits",
            "the last class zero",
            _row(-1, _scaled(0)),
        ),
        (
            f"{heads}.box_predictor.cls_score.weight",
            "class_logits",
            "two classes exchanged",
            _exchanged(4, 9),
        ),
        (
            f"{heads}.box_predictor.bbox_pred.weight",
            "box_deltas",
            "one class's dh twice",
            _row(-1, _scaled(2)),
        ),
        ("mask_head.0.0.weight", "mask_logits", "mirrored", lambda v: v[..., ::-1]),
        ("mask_predictor.conv5_mask.weight", "mask_logits", "transposed", lambda v: v.swapaxes(2, 3)),
        (
            "mask_predictor.mask_fcn_logits.bias",
            "mask_logits",
            "the last class by 0.5",
            _row(-1, lambda values: values + 0.5),
        ),
    ):
        yield Planted(f"{name}: {what}", stage, re.escape(name), _of(name, change))


def _precision() -> Iterator[Planted]:
    def claiming(precision: str, plant: Callable[[Model], None]) -> Callable[[Model], None]:
        def both(model: Model) -> None:
            promise(model, **{"precision.name": precision})
            plant(model)

        return both

    claim = "nothing in its graph is coarser than fp32"
    for name, precision, stage, bits in (
        ("detections.box_head.fc7.weight", "fp16", "class_logits", 5),
        ("backbone.body.layer3.0.conv2.weight", "int8", "C4", 6),
        ("mask_head.1.0.weight", "fp16", "mask_logits", 8),
    ):
        plant = claiming(precision, _of(name, in_bits(bits)))
        yield Planted(f"claims {precision}, {name} in {bits} bits", f"{stage}|contract", claim, plant)
    yield Planted("claims int8, all in float", "contract", claim, claiming("int8", lambda model: None))
    rounded = claiming("fp32", _of("detections.box_head.fc6.weight", lambda v: v.astype(np.float16)))
    yield Planted("fc6 through float16", "class_logits", "fc6.weight", rounded)


def _anchors_and_boxes() -> Iterator[Planted]:
    def anchor(level: int) -> str:
        return f"proposals.anchors_{level}"

    for what, level, change, cause in (
        ("P5's zero", 3, _scaled(0), "anchors of P5|anchors_3"),
        ("P6's 20% larger", 4, _scaled(1.2), "anchors of P6|anchors_4"),
        ("one kind of P3 by 3 px", 1, _row(1, lambda v: v + 3), "anchors of P3|anchors_1"),
        ("kinds of P4 exchanged", 2, _exchanged(0, 2), "anchors of P4|anchors_2"),
    ):
        yield Planted(f"anchors: {what}", "proposals", cause, _of(anchor(level), change))
    for what, stage, value, to, cause in (
        ("clamp of dw and dh at 2", "proposals|detections", MAX_LOG_SCALE, 2.0, "grows to .* times|clamp"),
        ("least side of a proposal 12 px", "proposals", 1e-3, 12.0, "least side"),
        ("least side of a box 30 px", "detections", 1e-2, 30.0, "least side"),
        ("dw and dh with weight 6", "detections", 5.0, 6.0, "dw 6 where the reference has 5"),
    ):
        yield Planted(what, stage, cause, lambda m, v=value, t=to: change_scalars(m, v, t))  # type: ignore[misc]


def _operators() -> Iterator[Planted]:
    def attribute(kind: str, which: int, name: str, value: Any) -> Callable[[Model], None]:
        return lambda model: set_attribute(operators(model, kind)[which], name, value)

    roi, nms = "PyramidRoiAlign", "GroupedNms"
    for kind, which, name, value, stage, cause in (
        (roi, 0, "canonical_scale", 300.0, "box_features", "canonical_scale"),
        (roi, 1, "canonical_scale", 112.0, "mask_features", "canonical_scale"),
        (roi, 1, "canonical_level", 3, "mask_features", "canonical_level|another level"),
        (roi, 0, "aligned", 1, "box_features", "aligned"),
        (roi, 1, "sampling_ratio", 1, "mask_features", "sampling_ratio"),
        (roi, 0, "strides", [8, 4, 16, 32], "box_features", "strides"),
        (nms, 0, "iou_threshold", 0.75, "proposals", "iou_threshold|NMS of the proposals"),
        (nms, 0, "max_output", 120, "proposals", "proposals are kept at most"),
        (nms, 1, "iou_threshold", 0.45, "detections", "iou_threshold|NMS of the detections"),
        (nms, 1, "score_threshold", 0.12, "detections", "score_threshold|score threshold"),
        (nms, 1, "max_output", 60, "detections", "detections are kept at most"),
    ):
        yield Planted(f"{kind} {which}: {name} {value}", stage, cause, attribute(kind, which, name, value))


def _between() -> Iterator[Planted]:
    for what, stage, tensor, make, cause in (
        (
            "class logits 10% larger",
            "detections",
            "stage.class_logits",
            through("Mul", np.float32(1.1)),
            "logits scaled",
        ),
        (
            "dx and dy exchanged",
            "detections",
            "stage.box_deltas",
            None,
            "decoded with other weights|decoding",
        ),
        ("objectness turned", "proposals", "stage.rpn_logits.P3", through("Neg"), "P3|possible"),
        ("deltas of P2 halved", "proposals", "stage.rpn_deltas.P2", through("Mul", np.float32(0.5)), "delta"),
        (
            "proposals a pixel to the right",
            "box_features|proposals",
            "stage.proposals",
            through("Add", np.array([1, 0, 1, 0], np.float32)),
            "samples lie|half a pixel",
        ),
        ("output boxes rounded", "detections", "boxes", through("Round"), "boxes not|possible"),
        (
            "output boxes a pixel off",
            "detections",
            "boxes",
            through("Add", np.float32(1)),
            "boxes not|possible",
        ),
        ("output scores rooted", "detections", "scores", through("Sqrt"), "scores?|possible"),
        ("output masks transposed", "masks", "masks", through("Transpose", perm=[0, 1, 3, 2]), "transposed"),
        ("output masks turned", "masks", "masks", through("Sub", np.float32(0)), "exchanged"),
        ("output masks 10% weaker", "masks", "masks", through("Mul", np.float32(0.9)), "0.9 times"),
        (
            "output masks of probabilities again",
            "masks",
            "masks",
            through("Sigmoid"),
            "sigmoid of the probabilities",
        ),
        (
            "pooled features 1% larger",
            "class_logits",
            "stage.box_features",
            through("Mul", np.float32(1.01)),
            "class_logits",
        ),
        (
            "P4 5% larger for all that reads it",
            "rpn_logits.P4",
            "stage.P4",
            through("Mul", np.float32(1.05)),
            "possible",
        ),
        ("mask features mirrored", "mask_logits", "stage.mask_features", None, "mask_logits"),
    ):
        yield Planted(what, stage, cause, _planted(what, tensor, make))
    for name, factor, cause in (("canvas.mean", 1.1, "mean"), ("canvas.std", 0.95, "std")):
        yield Planted(f"{name} times {factor}", "canvas", cause, _of(name, _scaled(factor)))
    yield Planted("padding of 0.5", "canvas", "padding", _of("canvas.padding", lambda values: values + 0.5))


def _planted(what: str, tensor: str, make: Any) -> Callable[[Model], None]:
    def plant(model: Model) -> None:
        if what.startswith("dx and dy"):
            order = np.arange(4 * CLASSES).reshape(-1, 4)[:, [1, 0, 2, 3]].ravel()
            behind(model, tensor, through("Gather", order, axis=1))
        elif what.startswith("mask features"):
            behind(model, tensor, through("Gather", np.arange(14)[::-1].copy(), axis=3))
        elif what == "output masks turned":
            behind(model, tensor, lambda old, new: _one_minus(old, new))
        else:
            behind(model, tensor, make)

    return plant


def _one_minus(old: str, new: str) -> Any:
    minus, plus = through("Mul", np.float32(-1)), through("Add", np.float32(1))
    return [*minus(old, f"{new}.minus"), *plus(f"{new}.minus", new)]


def _promises() -> Iterator[Planted]:
    for changes in (
        {"config.box_weights": [5.0, 5.0, 5.0, 5.0]},
        {"config.rpn_nms": 0.6},
        {"config.sampling_ratio": 0},
        {"instances.masks.threshold": 0.45},
        {"normalise.std": [0.25, 0.25, 0.25]},
        {"canvas.min_size_px": 224},
        {"canvas.placement": "square"},
        {"origin.checkpoint_sha256": "f" * 64},
        {"config.anchor_ratios": [0.5, 1.0, 3.0]},
    ):
        ((field, value),) = changes.items()
        cause = re.escape(field) if field != "origin.checkpoint_sha256" else "stale file"
        yield Planted(
            f"contract: {field} {value}",
            "contract",
            cause,
            lambda m, c=changes: promise(m, **c),  # type: ignore[misc]
        )
