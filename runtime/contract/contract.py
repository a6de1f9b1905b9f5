"""The contract itself, and its JSON: sections, each with a format number of its own."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

from maskrt.runtime.contract.inside import Inside
from maskrt.runtime.contract.sections import Canvas, Category, Layers, Normalise, Origin, Precision
from maskrt.runtime.contract.tensors import (
    BATCH,
    MOST_IMAGES,
    Tensor,
    check_tensors,
    image_inputs,
)
from maskrt.runtime.errors import ContractError
from maskrt.runtime.rules import whole
from maskrt.runtime.structs import NAMED_BY, FileKind, Format, NamedBy, plain, read, wrong
from maskrt.runtime.tasks import options_of

FORMAT_VERSION = 2
METADATA_KEY = "maskrt.contract"
AGAIN = "Export the model again: maskrt export CHECKPOINT -o {source}"
KIND = FileKind("contract", f"its '{METADATA_KEY}' metadata is not a maskrt contract", AGAIN, ContractError)


@dataclass(frozen=True)
class Contract:
    """What a model file promises. Field by field: docs/architecture.md, "The contract"."""

    FORMAT: ClassVar[Format] = Format(FORMAT_VERSION, "format_version")
    task: str  # by its name in maskrt.runtime.tasks.TASKS
    family: str  # for people and for maskrt.models: nothing else reads it, nor `config`
    config: dict[str, Any]  # the family's own configuration, as trained
    classes: tuple[Category, ...]  # outputs' label k is classes[k]; background has no entry
    canvas: Canvas
    normalise: Normalise
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    # An `Options`. Its task and its family know which.
    options: Any = field(metadata={NAMED_BY: NamedBy("task", options_of)})
    inside: Inside
    layers: Layers
    precision: Precision
    origin: Origin
    # Fields of `config` that were chosen at export (--set, --jetson), not read from the checkpoint.
    chosen_settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.classes:
            raise wrong("classes", [], "at least one class")
        known: set[int] = set()
        for index, category in enumerate(self.classes):
            if category.id in known:
                raise wrong(f"classes[{index}].id", category.id, "an id that no other class has")
            known.add(category.id)
        self.canvas.check()
        self.options.check(len(self.classes))
        if not self.inputs or not self.inputs[0].axes:
            raise wrong("inputs", list(self.inputs), "a list of tensors with axes")
        images, rule = self.inputs[0].axes[0], whole(1, MOST_IMAGES)
        if images != BATCH and not rule.fits(images):
            raise wrong("inputs[0].axes[0]", images, f"{rule.expected}, or {BATCH!r}")
        check_tensors("inputs", self.inputs, image_inputs(self.canvas, self.batch))
        promised = self.options.tensors(self.batch, self.canvas, len(self.classes))
        check_tensors("outputs", self.outputs, promised)
        self.inside.check(self.outputs)

    def to_json(self) -> str:
        """Serialise for `metadata_props` (keys sorted, so equal contracts are equal strings)."""
        return json.dumps(plain(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str, again: str = AGAIN) -> Contract:
        """Read back what `to_json` wrote; `source` (the file's name) goes into the error messages.

        again: how such a file is made again, where it is not the exporter that writes it. Raises
        ContractError for text that is no contract, another format version, missing or unknown fields, or a
        value that a field may not hold.
        """
        return read(cls, text, source, dataclasses.replace(KIND, again=again))

    def on_canvas(self, **changes: Any) -> Contract:
        """The same model on another canvas; changes: fields of `Canvas`."""
        canvas = dataclasses.replace(self.canvas, **changes)
        inputs = image_inputs(canvas, self.batch)
        outputs = self.options.tensors(self.batch, canvas, len(self.classes))
        return dataclasses.replace(self, canvas=canvas, inputs=inputs, outputs=outputs)

    def in_precision(self, name: str, details: dict[str, Any]) -> Contract:
        """The same model in another precision."""
        return dataclasses.replace(self, precision=Precision(name, details))

    @property
    def batch(self) -> int | None:
        """Images a call; None: any."""
        images = self.inputs[0].axes[0]
        return images if isinstance(images, int) else None

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the model gives, in order."""
        return tuple(tensor.name for tensor in self.outputs)

    @property
    def class_names(self) -> list[str]:
        """Names by label."""
        return [c.name for c in self.classes]
