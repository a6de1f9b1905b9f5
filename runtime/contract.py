"""The contract: everything a later stage must know about a model, carried inside the model file.

Written once at export into the ONNX `metadata_props`, read by every stage after it, so that nobody
re-types a preprocessing constant. The only source of truth for how an image becomes a canvas and how
the outputs are to be read.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any

from maskrt.runtime.contract_fields import check_fields
from maskrt.runtime.errors import ContractError

FORMAT_VERSION = 1
METADATA_KEY = "maskrt.contract"
LEARNED_SCALES = "learned_scales"  # of precision_details: from `maskrt train --qat`, by point of the network

SIDES, OTHER_SIDE = re.compile("left|right"), {"left": "right", "right": "left"}

IMAGES, IMAGE_SIZES = "images", "image_sizes"
NUM_DETECTIONS, BOXES, SCORES, LABELS = "num_detections", "boxes", "scores", "labels"
MASKS, KEYPOINTS = "masks", "keypoints"
INPUT_NAMES = (IMAGES, IMAGE_SIZES)
DETECTED = (NUM_DETECTIONS, BOXES, SCORES, LABELS)
#: What a model gives, by its task.
OUTPUTS = {"instance": (*DETECTED, MASKS), "detection": DETECTED, "keypoint": (*DETECTED, KEYPOINTS)}


@dataclass(frozen=True)
class Category:
    """A class the model can find. `id` is the data set's own category id (COCO's are not consecutive)."""

    id: int
    name: str


@dataclass(frozen=True)
class Keypoints:
    """The points of an object. names: in the order of the outputs; skeleton: pairs of points that a line
    joins, by their place in `names`, from 0."""

    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]

    @property
    def mirrored(self) -> tuple[int, ...]:
        """For each point the one that it is in a mirror: of "left_eye" "right_eye", where there is one."""
        place = {name: number for number, name in enumerate(self.names)}
        others = (SIDES.sub(lambda side: OTHER_SIDE[side[0]], name) for name in self.names)
        return tuple(place.get(other, own) for own, other in enumerate(others))


def read_keypoints(names: list[str], skeleton: list[list[int]]) -> Keypoints:
    """Keypoints out of JSON or a checkpoint."""
    return Keypoints(tuple(names), tuple((a, b) for a, b in skeleton))


LAYOUTS = ("corner", "square")


@dataclass(frozen=True)
class Canvas:
    """How an image is laid on the model's input.

    The image is scaled to `min_size_px` on its short side, or less where its long side would pass
    `max_size_px`, placed at the top left, and padded at the right and bottom to a multiple of `stride`.
    `height_px` and `width_px` fix the canvas (then the image is scaled to fit inside); both None means
    any size. `dtype` is what the graph takes: uint8 or float32, RGB, 0 to 255 either way.

    That is the layout "corner". "square" is Matterport's: small images are enlarged to `min_size_px`, large
    ones made smaller for `max_size_px` alone, and each lies in the middle of a square of `max_size_px`.
    """

    min_size_px: int
    max_size_px: int
    stride: int
    height_px: int | None
    width_px: int | None
    dtype: str
    layout: str = "corner"  # one of LAYOUTS


@dataclass(frozen=True)
class Contract:
    """What a model file promises. Field by field: docs/architecture.md, "The contract"."""

    task: str  # of OUTPUTS
    family: str  # "mask_rcnn", "faster_rcnn", "keypoint_rcnn"
    config: dict[str, Any]  # the family's own configuration, as trained
    classes: tuple[Category, ...]  # outputs' label k is classes[k]; background has no entry
    canvas: Canvas
    batch: int | None  # None: any
    mean: tuple[float, float, float]  # RGB, of pixels scaled to 0–1; applied inside the graph
    std: tuple[float, float, float]
    score_threshold: float  # detections at or below it were dropped inside the graph
    nms_threshold: float
    max_detections: int  # D, rows of every output
    # Of the masks; None where the task has none.
    mask_size: int | None  # M, side of a mask in its own frame
    mask_frame: str | None  # "box" (Mask R-CNN) or "image" (YOLACT)
    mask_threshold: float | None  # a pixel belongs to the object above this probability
    detections: str  # "fixed": what follows the boxes runs on D rows; "dynamic": only on the rows detected
    precision: str  # "fp32", "fp16", "int8"
    toolkit_version: str
    checkpoint_sha256: str
    # How a precision below float32 was reached: float32 units (fp16); images, method, float layers (int8).
    # Of a float32 model that was trained for eight bits: its learned scales.
    precision_details: dict[str, Any] = field(default_factory=dict)
    keypoints: Keypoints | None = None  # None where the task has none
    # Fields of `config` that were chosen at export (--set, --jetson), not read from the checkpoint.
    chosen_settings: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Serialise for `metadata_props` (keys sorted, so equal contracts are equal strings)."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str) -> Contract:
        """Read back what `to_json` wrote; `source` (the file's name) goes into the error messages.

        Raises ContractError for text that is no contract, a newer format version, or missing fields.
        """
        try:
            fields = json.loads(text)
            version = fields.pop("format_version")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise ContractError(
                f"{source}: its '{METADATA_KEY}' metadata is not a maskrt contract ({error}). "
                f"Export the model again: maskrt export CHECKPOINT -o {source}"
            ) from error
        if version != FORMAT_VERSION:
            raise ContractError(
                f"{source}: contract format {version}, but this maskrt reads format {FORMAT_VERSION}. "
                + (
                    "Upgrade maskrt here, or export the model with the version installed here."
                    if isinstance(version, int) and version > FORMAT_VERSION
                    else f"Export the model again: maskrt export CHECKPOINT -o {source}"
                )
            )
        for name, default in (("keypoints", None), ("chosen_settings", {})):
            fields.setdefault(name, default)  # of a file older than the field
        expected = {field.name for field in dataclasses.fields(cls)} - {"format_version"}
        if set(fields) != expected:
            missing, unknown = sorted(expected - set(fields)), sorted(set(fields) - expected)
            raise ContractError(
                f"{source}: contract with missing fields {missing} and unknown fields {unknown}. "
                f"Export the model again: maskrt export CHECKPOINT -o {source}"
            )
        check_fields(fields, source)
        read = {
            "classes": lambda value: tuple(Category(**c) for c in value),
            "canvas": lambda value: Canvas(**value),
            "mean": tuple,
            "std": tuple,
            "keypoints": lambda value: value and read_keypoints(**value),
        }
        for name, convert in read.items():
            try:
                fields[name] = convert(fields[name])
            except TypeError as error:  # an entry that is missing, or one too many
                raise ContractError(
                    f"{source}: contract with a malformed field '{name}' ({error}). "
                    f"Export the model again: maskrt export CHECKPOINT -o {source}"
                ) from error
        return cls(**fields)

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the model gives, in order."""
        return OUTPUTS[self.task]

    @property
    def class_names(self) -> list[str]:
        """Names by label."""
        return [c.name for c in self.classes]
