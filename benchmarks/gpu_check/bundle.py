"""Bundle recorded where PyTorch is and checked where TensorRT is: a folder of models, inputs and answers.

| file | what |
|---|---|
| `bundle.json` | the models, the operators, and what recorded them |
| `MODEL-SHAPE-PRECISION.onnx` | a form: static, batch (static, of two) or dynamic; fp32, fp16 or int8 |
| `MODEL-K.npz` | a canvas and PyTorch's answer to it in float32; names as in the contract |
| `OPERATOR.onnx`, `OPERATOR.npz` | one operator alone, its inputs and torchvision's answer |
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.backends.trt.engine_file import Shape
from maskrt.runtime.contract import INPUT_NAMES
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import OWN_NAME

MANIFEST = "bundle.json"
BATCH = 2  # images of the form "batch", and of the dynamic form's largest
RANDOM = "random"


@dataclass(frozen=True)
class Form:
    """What is built of a model. shape: "static", "batch" or "dynamic"; precision: "fp32", "fp16", "int8"."""

    shape: str
    precision: str


#: Of models with trained weights, and of two with random ones. INT8 needs no other shape to show itself.
ALL_FORMS = (
    *(Form(shape, precision) for shape in ("static", "dynamic") for precision in ("fp32", "fp16")),
    Form("static", "int8"),
    Form("batch", "fp16"),
)
#: Of models that are there for one thing in them that the others lack.
TWO_FORMS = (Form("static", "fp32"), Form("static", "fp16"))


@dataclass(frozen=True)
class Model:
    """A model in its forms. `smallest`, `usual`, `largest`: (N, H, W) that the dynamic form must take."""

    name: str
    weights: str  # RANDOM, or the checkpoint's name
    forms: tuple[Form, ...]
    canvases: int
    smallest: Shape
    usual: Shape  # the canvas of the static form
    largest: Shape

    @property
    def trained(self) -> bool:
        """True if its answers show what a precision costs."""
        return self.weights != RANDOM

    def onnx(self, form: Form) -> str:
        """File of one form."""
        return f"{self.name}-{form.shape}-{form.precision}.onnx"

    def takes(self, form: Form, shape: tuple[int, ...]) -> bool:
        """True if a form runs on images of (N, H, W)."""
        return form.shape == "dynamic" or shape == (
            BATCH if form.shape == "batch" else 1,
            *self.usual[1:],
        )

    def canvas(self, index: int) -> str:
        """File of one canvas with PyTorch's answer."""
        return f"{self.name}-{index}.npz"


@dataclass(frozen=True)
class Operator:
    """One operator alone. Without an answer it is there to be timed, on maps too large to be recorded."""

    name: str
    precision: str
    has_answer: bool
    tolerance: float  # of each value, relative to 1 or to the value, whichever is larger

    @property
    def onnx(self) -> str:
        """Its file."""
        return f"{self.name}-{self.precision}.onnx"

    @property
    def answer(self) -> str:
        """Its inputs and torchvision's answer, by the names in its file."""
        return f"{self.name}-{self.precision}.npz"


@dataclass(frozen=True)
class Bundle:
    """The manifest. `made_with`: versions and the processor, for the report."""

    made_with: dict[str, str]
    models: tuple[Model, ...]
    operators: tuple[Operator, ...]

    def save(self, folder: Path) -> None:
        """Written last: a folder with a manifest is whole."""
        write_text(folder / MANIFEST, json.dumps(dataclasses.asdict(self), indent=1), OWN_NAME)

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Raises MaskrtError where there is none, or one of another version of this file."""
        try:
            fields = json.loads((folder / MANIFEST).read_text())
            shapes = ("smallest", "usual", "largest")
            models = [
                Model(
                    **m
                    | {key: tuple(m[key]) for key in shapes}
                    | {"forms": tuple(Form(**form) for form in m["forms"])}
                )
                for m in fields["models"]
            ]
            operators = [Operator(**o) for o in fields["operators"]]
            return cls(fields["made_with"], tuple(models), tuple(operators))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MaskrtError(
                f"{folder / MANIFEST}: no recording that could be checked ({error}). Make one where PyTorch "
                f"is: make gpu-check-record, and bring the folder here."
            ) from error


def save_canvas(path: Path, images: NDArray, image_sizes: NDArray, outputs: Outputs) -> None:
    """A canvas and the reference's answer."""
    np.savez_compressed(path, images=images, image_sizes=image_sizes, **outputs)


def load_canvas(path: Path) -> tuple[NDArray, NDArray, Outputs]:
    """images, image_sizes, and the reference's answer."""
    with np.load(path) as arrays:
        images, image_sizes = (arrays[name] for name in INPUT_NAMES)
        return images, image_sizes, Outputs({k: v for k, v in arrays.items() if k not in INPUT_NAMES})
