"""Backend OpenVINO: runs an exported model on the CPU, with its operators' function bodies inlined first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.brain_float import set_brain_float
from maskrt.runtime.backends.onnx_weights import check_weights
from maskrt.runtime.backends.promises import Given, check_graph, read_promises
from maskrt.runtime.backends.session import Outputs, Session, failed_call
from maskrt.runtime.contract import INPUT_NAMES
from maskrt.runtime.errors import MissingDependencyError, ModelError, first_line
from maskrt.runtime.packages import install
from maskrt.runtime.siblings import read_inlined


class OpenVinoSession(Session):
    """Session on OpenVINO. `infer` may be called from several threads; each has its own request."""

    def __init__(self, path: str | Path, *, threads: int | None = None, brain_float: bool = False) -> None:
        """Load `path`, to compute in float32 even where the CPU has narrower types; see docs/runtime.md.

        threads: of the CPU, default all. brain_float: layers in bf16 (brain_float.py); the session's contract
        then says so, and it is judged by the tolerances of bf16. Raises ModelError, ContractError, or
        MissingDependencyError, each with the remedy.
        """
        self.name = str(path)
        try:
            import openvino
        except ImportError as error:
            raise MissingDependencyError(
                f"{path}: --backend openvino needs the package openvino. Install it: {install('openvino')}"
            ) from error
        data, metadata = read_inlined(path)
        self.contract = read_promises(metadata, self.name)
        settings: dict[str, object] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        if brain_float:
            self._check_brain_float(core)
        try:
            model = core.read_model(data)
            if brain_float:
                set_brain_float(model, self.contract.layers)
            self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise ModelError(
                f"{path}: OpenVINO cannot load it ({first_line(error)}). "
                f"Run it on ONNX Runtime: --backend onnxruntime"
            ) from error
        inputs = _given(self._compiled.inputs, INPUT_NAMES)
        outputs = _given(self._compiled.outputs, self.contract.output_names)
        check_graph(self.contract, self.name, inputs, outputs)
        check_weights(path)
        if brain_float:
            self.contract = self.contract.in_precision("bf16", self.contract.precision.details)
        self._own = threading.local()

    def _check_brain_float(self, core: Any) -> None:
        if (precision := self.contract.precision.name) != "fp32":
            raise ModelError(
                f"{self.name}: a file in {precision}, and bf16 is for files in fp32: --backend openvino"
            )
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ModelError(
                f"{self.name}: this CPU has no instructions for bf16 (maskrt doctor). Run it in float32: "
                "--backend openvino"
            )

    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request = self._own.request
        try:
            request.infer(dict(zip(INPUT_NAMES, (images, image_sizes), strict=True)), share_inputs=True)
        except (RuntimeError, MemoryError) as error:  # C++'s bad_alloc is Python's MemoryError
            raise failed_call(self.name, "OpenVINO", images, error) from error
        # The request's tensors are written anew by its next call.
        return Outputs({n: request.get_tensor(n).data.copy() for n in self.contract.output_names})


def _given(tensors: Sequence[Any], promised: Sequence[str]) -> dict[str, Given]:
    """Dtypes and shapes of a graph's inputs or outputs by name, those promised first.

    OpenVINO gives a tensor several names where it took out a node that changed nothing.
    """
    by_name = {name: tensor for tensor in tensors for name in tensor.names}
    found = {name: by_name[name] for name in promised if name in by_name}
    others = {tensor.any_name: tensor for tensor in tensors if tensor.names.isdisjoint(promised)}
    return {
        name: (
            str(np.dtype(tensor.element_type.to_dtype())),
            [side.get_length() if side.is_static else None for side in tensor.partial_shape],
        )
        for name, tensor in (found | others).items()
    }
