"""Python models of a Triton repository: preprocessing before the network, postprocessing after it.

They run inside Triton's Python backend, which loads a class TritonPythonModel from each model's `model.py`;
`maskrt serve-triton` writes an import of one of these there. Preprocessing and postprocessing are the
runtime's own, so a client gets what `maskrt infer` finds.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES, Contract
from maskrt.runtime.errors import ImageError, MaskrtError
from maskrt.runtime.inputs.images import decode_image
from maskrt.runtime.pipeline.run import filled
from maskrt.runtime.preprocess import Batch, canvas_size, preprocess
from maskrt.runtime.serving.triton_config import (
    CONTRACT,
    IMAGE,
    MAX_PIXELS,
    MIN_SCORE,
    ORIGINAL_SIZES,
    RESULT,
)
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.keep import Keep

Arrays = dict[str, NDArray[Any]]
WRITE_AGAIN = "Export the model again and write the repository again: maskrt serve-triton MODEL -o REPOSITORY"


class Model(ABC):
    """Base of the models that Triton calls. An error of a request is the answer to that request alone."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the configuration that Triton passes once."""
        self._triton = importlib.import_module("triton_python_backend_utils")  # only Triton has it
        config = json.loads(args["model_config"])
        self.name = config["name"]
        self.parameters = {k: v["string_value"] for k, v in config["parameters"].items()}
        self.contract = Contract.from_json(self.parameters[CONTRACT], self.name, WRITE_AGAIN)
        self.batches = config["max_batch_size"] > 0  # then Triton gives a side to every image's number
        self._inputs = [tensor["name"] for tensor in config["input"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests, each separately."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        get = self._triton.get_input_tensor_by_name
        try:
            outputs = self.compute({name: get(request, name).as_numpy() for name in self._inputs})
        except MaskrtError as error:
            return self._triton.InferenceResponse([], self._triton.TritonError(str(error)))
        return self._triton.InferenceResponse([self._triton.Tensor(k, v) for k, v in outputs.items()])

    @abstractmethod
    def compute(self, inputs: Arrays) -> Arrays:
        """Compute one request's outputs by name. Raises MaskrtError for inputs that it cannot use."""


class Preprocess(Model):
    """Decodes `image` (encoded image files, as bytes) to `images` and `image_sizes`, the network's inputs.

    `original_sizes`: (N, 2) int32, height and width in px of the images as decoded.
    """

    def compute(self, inputs: Arrays) -> Arrays:
        """Decode the images and place them on a canvas. Raises ImageError."""
        max_pixels = int(self.parameters[MAX_PIXELS])
        files = inputs[IMAGE].ravel()
        if not 1 <= len(files) <= (self.contract.batch or len(files)):
            raise ImageError(
                f"'{IMAGE}' holds {len(files)} images, the model takes 1 to {self.contract.batch or 'any'}."
            )
        images = [decode_image(data, f"{IMAGE} {i}", max_pixels=max_pixels) for i, data in enumerate(files)]
        canvases = {canvas_size(image.shape[0], image.shape[1], self.contract.canvas) for image in images}
        if len(canvases) > 1:
            raise ImageError(
                f"'{IMAGE}' holds images for canvases of different sizes, {sorted(canvases)}. Send each in "
                "a request of its own: Triton gathers those that fit together."
            )
        batch = preprocess(filled(images, self.contract.batch), self.contract.canvas)
        sizes = np.array([image.shape[:2] for image in images], np.int32)
        return {IMAGES: batch.images, IMAGE_SIZES: batch.image_sizes, ORIGINAL_SIZES: sizes}


class Postprocess(Model):
    """Turns the network's outputs and both sizes into `result`: JSON an image, as in `results.jsonl`."""

    def compute(self, inputs: Arrays) -> Arrays:
        """Paste and encode the masks. Raises ModelError where the outputs are broken."""
        count = len(inputs[ORIGINAL_SIZES])  # without what the batch was filled up with
        arrays = {name: inputs[name][:count] for name in (*self.contract.output_names, IMAGE_SIZES)}
        for tensor in self.contract.outputs:
            if len(tensor.axes) == 1:  # which Triton, that knows no scalars, gives another axis of 1
                arrays[tensor.name] = arrays[tensor.name].reshape(count)
        outputs = Outputs({name: arrays[name] for name in self.contract.output_names})
        outputs.check_finite(self.name)
        sizes = tuple((int(height), int(width)) for height, width in inputs[ORIGINAL_SIZES])
        batch = Batch(np.empty(0), arrays[IMAGE_SIZES], sizes)  # the canvas itself has done its part
        task, keep = task_of(self.contract), Keep(float(self.parameters[MIN_SCORE]))
        found = task.decode(outputs, batch, self.contract, keep=keep)
        texts = [json.dumps(task.record(result, i)).encode("ascii") for i, result in enumerate(found)]
        return {RESULT: np.array(texts, object).reshape((count, 1) if self.batches else count)}
