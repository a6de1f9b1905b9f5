"""Configurations of a Triton model repository (config.pbtxt): an ensemble for clients, and its three steps.

A Python model decodes images and places them on the canvas, the network runs on a backend of its own, and a
Python model makes results of its outputs. As steps of an ensemble they work on different requests at once,
and Triton batches the network's requests of one canvas size. The meaning of the fields: Triton's
model_config.proto.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskrt.runtime.backends.trt.engine_fit import tensor_shapes
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES, INPUT_NAMES, Contract
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.keep import DEFAULT_SCORE

IMAGE, ORIGINAL_SIZES, RESULT = "image", "original_sizes", "result"  # tensors beside the contract's
CONTRACT, MIN_SCORE, MAX_PIXELS = "maskrt.contract", "min_score", "max_pixels"  # parameters
LABELS_FILE = "labels.txt"
PLATFORMS = {".onnx": "onnxruntime_onnx", ".engine": "tensorrt_plan"}  # by the suffix of maskrt's own file
TYPES = {"uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "float32": "TYPE_FP32", "string": "TYPE_STRING"}
ANY = -1  # Triton's sign for a side of any length

Fields = dict[str, Any]


class Word(str):
    """Name of an enum's value, written without quotes."""


def pbtxt(fields: Mapping[str, Any], indent: str = "") -> str:
    """Write a message in protobuf's text format. A mapping is a message, a list a repeated field."""
    lines = []
    for name, value in fields.items():
        messages = value if isinstance(value, list) else [value]
        if all(isinstance(each, Mapping) for each in messages) and messages:
            lines += [f"{indent}{name} {{\n{pbtxt(each, indent + '  ')}{indent}}}\n" for each in messages]
        elif isinstance(value, list):
            lines.append(f"{indent}{name}: [ {', '.join(map(_literal, value))} ]\n")
        else:
            lines.append(f"{indent}{name}: {_literal(value)}\n")
    return "".join(lines)


def _literal(value: object) -> str:
    """Write strings, numbers, true and false as in JSON."""
    return str(value) if isinstance(value, Word) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Serving:
    """Settings by which a model is served. Its models are named after it; the ensemble has the bare name."""

    name: str
    contract: Contract
    platform: str  # of PLATFORMS
    on_gpu: bool
    max_batch: int = 8  # images in a call of the network, where it takes any number
    batch_wait_ms: float = 2.0
    workers: int = 2  # processes that decode, and as many that paste and encode
    min_score: float = DEFAULT_SCORE
    max_pixels: int = 100_000_000
    profiles: int = 0  # of an engine

    def configurations(self) -> dict[str, Fields]:
        """Each model's configuration by its name; the ensemble, which needs the others, comes last."""
        models = [self._preprocess(), self._network(), self._postprocess(), self._ensemble()]
        return {model["name"]: model for model in models}

    @property
    def network(self) -> str:
        """Name of the network's model."""
        return f"{self.name}_network"

    @property
    def preprocess(self) -> str:
        """Name of the model before the network."""
        return f"{self.name}_preprocess"

    @property
    def postprocess(self) -> str:
        """Name of the model after the network."""
        return f"{self.name}_postprocess"

    @property
    def _batch(self) -> int:
        """Triton's max_batch_size. With 0 the first axis is part of the shape, not a batch to Triton."""
        return self.max_batch if self.contract.batch is None else 0

    def _preprocess(self) -> Fields:
        parameters = {CONTRACT: self.contract.to_json(), MAX_PIXELS: str(self.max_pixels)}
        return self._python(self.preprocess, [IMAGE], [IMAGES, IMAGE_SIZES, ORIGINAL_SIZES], parameters)

    def _postprocess(self) -> Fields:
        parameters = {CONTRACT: self.contract.to_json(), MIN_SCORE: str(self.min_score)}
        inputs = [*self.contract.output_names, IMAGE_SIZES, ORIGINAL_SIZES]
        return self._python(self.postprocess, inputs, [RESULT], parameters)

    def _python(self, name: str, inputs: list[str], outputs: list[str], parameters: dict[str, str]) -> Fields:
        return {
            "name": name,
            "backend": "python",
            "max_batch_size": self._batch,
            "input": [self._tensor(each) for each in inputs],
            "output": [self._tensor(each) for each in outputs],
            "instance_group": [{"kind": Word("KIND_CPU"), "count": self.workers}],
            "parameters": [{"key": k, "value": {"string_value": v}} for k, v in parameters.items()],
        }

    def _network(self) -> Fields:
        group: Fields = {"kind": Word("KIND_GPU" if self.on_gpu else "KIND_CPU"), "count": 1}
        if self.profiles:  # else the backend takes the first alone
            group["profile"] = [str(i) for i in range(self.profiles)]
        outputs = [self._tensor(name, reshape=True) for name in self.contract.output_names]
        for output in outputs:
            labels = task_of(self.contract).labels
            output |= {"label_filename": LABELS_FILE} if output["name"] == labels else {}
        model = {
            "name": self.network,
            "platform": self.platform,
            "max_batch_size": self._batch,
            "input": [self._tensor(name) for name in INPUT_NAMES],
            "output": outputs,
            "instance_group": [group],
        }
        if self._batch:
            model["dynamic_batching"] = {"max_queue_delay_microseconds": round(1e3 * self.batch_wait_ms)}
        return model

    def _ensemble(self) -> Fields:
        between = [IMAGE_SIZES, ORIGINAL_SIZES]
        steps = [
            _step(self.preprocess, [IMAGE], [IMAGES, *between]),
            _step(self.network, list(INPUT_NAMES), list(self.contract.output_names)),
            _step(self.postprocess, [*self.contract.output_names, *between], [RESULT]),
        ]
        return {
            "name": self.name,
            "platform": "ensemble",
            "max_batch_size": self._batch,
            "input": [self._tensor(IMAGE)],
            "output": [self._tensor(RESULT)],
            "ensemble_scheduling": {"step": steps},
        }

    def _tensor(self, name: str, *, reshape: bool = False) -> Fields:
        """reshape: tell Triton of a shape that is the batch alone, which it cannot write down itself."""
        shape, dtype = self._shapes()[name]
        dims = list(shape[1:] if self._batch else shape)
        tensor: Fields = {"name": name, "data_type": Word(TYPES[dtype]), "dims": dims or [1]}
        return tensor | ({"reshape": {"shape": []}} if reshape and not dims else {})

    def _shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape with the batch, and dtype, of every tensor."""
        canvas = self.contract.canvas
        n, height, width = (side or ANY for side in (self.contract.batch, canvas.height_px, canvas.width_px))
        # Of a fixed batch these hold as many as the client sent; the network's call is filled up.
        texts = (ANY, 1) if self._batch else (ANY,)
        return tensor_shapes(self.contract, (n, height, width)) | {
            IMAGE: (texts, "string"),
            ORIGINAL_SIZES: ((ANY, 2), "int32"),
            RESULT: (texts, "string"),
        }


def _step(model: str, inputs: list[str], outputs: list[str]) -> Fields:
    """Step of an ensemble; its tensors have the same names outside as inside."""
    return {
        "model_name": model,
        "model_version": ANY,  # the newest
        "input_map": [{"key": name, "value": name} for name in inputs],
        "output_map": [{"key": name, "value": name} for name in outputs],
    }
