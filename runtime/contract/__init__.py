"""The contract: everything a later program must know about a model, carried inside the model file.

Written once at export into the ONNX `metadata_props`, read by all that comes after, so that nobody re-types a
preprocessing constant or knows a family of models by heart.
Field by field: docs/architecture.md, "The contract".
"""

from maskrt.runtime.contract.contract import FORMAT_VERSION, INSTANCES, METADATA_KEY, Contract
from maskrt.runtime.contract.inside import CANVAS, PREFIX, Inside, Part, Stages, Tap
from maskrt.runtime.contract.sections import (
    LEARNED_SCALES,
    PLACEMENTS,
    Canvas,
    Category,
    Layers,
    Normalise,
    Origin,
    Precision,
)
from maskrt.runtime.contract.tensors import (
    BOXES,
    DETECTED,
    IMAGE_SIZES,
    IMAGES,
    INPUT_NAMES,
    KEYPOINTS,
    LABELS,
    MASKS,
    NUM_DETECTIONS,
    SCORES,
    BoxGrid,
    Instances,
    Keypoints,
    Tensor,
    image_inputs,
    instance_outputs,
    read_keypoints,
)

__all__ = [
    "BOXES",
    "CANVAS",
    "DETECTED",
    "FORMAT_VERSION",
    "IMAGES",
    "IMAGE_SIZES",
    "INPUT_NAMES",
    "INSTANCES",
    "KEYPOINTS",
    "LABELS",
    "LEARNED_SCALES",
    "MASKS",
    "METADATA_KEY",
    "NUM_DETECTIONS",
    "PLACEMENTS",
    "PREFIX",
    "SCORES",
    "BoxGrid",
    "Canvas",
    "Category",
    "Contract",
    "Inside",
    "Instances",
    "Keypoints",
    "Layers",
    "Normalise",
    "Origin",
    "Part",
    "Precision",
    "Stages",
    "Tap",
    "Tensor",
    "image_inputs",
    "instance_outputs",
    "read_keypoints",
]
