"""The contract: everything a later program must know about a model, carried inside the model file.

Written once at export into the ONNX `metadata_props`, read by all that comes after, so that nobody re-types a
preprocessing constant or knows a family of models by heart.
Field by field: docs/architecture.md, "The contract".
"""

from maskrt.runtime.contract.contract import FORMAT_VERSION, METADATA_KEY, Contract
from maskrt.runtime.contract.inside import CANVAS, PREFIX, Inside, Part, Stages, Tap
from maskrt.runtime.contract.keypoints import Keypoints, read_keypoints
from maskrt.runtime.contract.options import Options
from maskrt.runtime.contract.sections import (
    LEARNED_SCALES,
    PLACEMENTS,
    RESIZES,
    ROUNDINGS,
    Canvas,
    Category,
    Layers,
    Normalise,
    Origin,
    Precision,
)
from maskrt.runtime.contract.tensors import IMAGE_SIZES, IMAGES, INPUT_NAMES, Tensor, image_inputs

__all__ = [
    "CANVAS",
    "FORMAT_VERSION",
    "IMAGES",
    "IMAGE_SIZES",
    "INPUT_NAMES",
    "LEARNED_SCALES",
    "METADATA_KEY",
    "PLACEMENTS",
    "PREFIX",
    "RESIZES",
    "ROUNDINGS",
    "Canvas",
    "Category",
    "Contract",
    "Inside",
    "Keypoints",
    "Layers",
    "Normalise",
    "Options",
    "Origin",
    "Part",
    "Precision",
    "Stages",
    "Tap",
    "Tensor",
    "image_inputs",
    "read_keypoints",
]
