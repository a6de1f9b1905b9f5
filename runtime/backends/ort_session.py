"""Backend ONNX Runtime: runs an exported model with its operators' function bodies, on CPU or CUDA.

Where it has a DeformConv of its own, that takes our body's place (own_operators.py).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.onnx_weights import check_weights
from maskrt.runtime.backends.own_operators import own_form
from maskrt.runtime.backends.promises import check_graph, read_promises
from maskrt.runtime.backends.session import Outputs, Session, failed_call
from maskrt.runtime.contract import INPUT_NAMES, PREFIX, Contract, Stages
from maskrt.runtime.errors import MissingDependencyError, ModelError, first_line
from maskrt.runtime.packages import install
from maskrt.runtime.siblings import read_with_stages

PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
# It rounds the biases that a file with Q/DQ keeps in half, and counts their steps in half: from 65504 on they
# are infinite. In a trained ResNet-18 a fifth of a layer's biases had more, and the layer was off by 40%.
WRONG_OPTIMISERS = ["WeightBiasQuantization"]


class OrtSession(Session):
    """Session on ONNX Runtime. `infer` may be called from several threads."""

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "cpu",
        stages: bool = False,
        threads: int | None = None,
        checked: bool = True,
    ) -> None:
        """Load `path`. stages: make its stages outputs, where it was exported without (needs onnx).

        checked: refuse weights that are no numbers. A file with its stages is not checked: who looks inside
        is looking for them.
        threads: of the CPU, default all. Raises ModelError, ContractError, or MissingDependencyError, each
        with the remedy.
        """
        self.name = str(path)
        self._session = load_onnx(str(path), self.name, device, threads)
        self.contract = self._check_promises()
        if checked and not stages:
            check_weights(path)
        self.has_stages = self._gives_stages()
        if stages and not self.has_stages:
            self._session = load_onnx(read_with_stages(path), self.name, device, threads)
            self.has_stages = True

    def _check_promises(self) -> Contract:
        """Return the file's contract, once the graph's inputs and outputs are checked against it."""
        contract = read_promises(self._session.get_modelmeta().custom_metadata_map, self.name)
        inputs, outputs = (
            {node.name: (_dtype(node.type), node.shape) for node in nodes}
            for nodes in (self._session.get_inputs(), self._session.get_outputs())
        )
        check_graph(contract, self.name, inputs, outputs)
        return contract

    def _gives_stages(self) -> bool:
        given = {node.name for node in self._session.get_outputs()}
        return {PREFIX + name for name in self.contract.inside.names} <= given

    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        names = self.contract.output_names
        return Outputs(zip(names, self._call(list(names), images, image_sizes), strict=True))

    def _run_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        if not self.has_stages:
            return super()._run_with_stages(images, image_sizes)
        names, stages = self.contract.output_names, self.contract.inside.names
        values = self._call([*names, *(PREFIX + name for name in stages)], images, image_sizes)
        outputs = Outputs(zip(names, values, strict=False))
        return outputs, dict(zip(stages, values[len(names) :], strict=True))

    def _call(self, names: list[str], images: NDArray, image_sizes: NDArray[np.float32]) -> list[NDArray]:
        try:
            return self._session.run(names, dict(zip(INPUT_NAMES, (images, image_sizes), strict=True)))
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise failed_call(self.name, "ONNX Runtime", images, error) from error


def _dtype(type_of_node: str) -> str:
    """numpy's name of what ONNX Runtime calls "tensor(float)"."""
    name = type_of_node.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _allowed_cores() -> int:
    """Number of cores that this process may use (taskset, a container's cpuset); 0 where it may use all.

    With 0 ONNX Runtime chooses by itself: a thread for every core of the machine. Where only some cores may
    be used, these threads would wait for each other.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return allowed if allowed < (os.cpu_count() or 1) else 0


def check_device(device: str, name: str) -> None:
    """Raise ModelError for a device that is unknown. name: the file, for messages."""
    if device not in PROVIDERS:
        raise ModelError(f"{name}: device {device!r}, expected one of {sorted(PROVIDERS)}.")


def load_onnx(model: str | bytes, name: str, device: str, threads: int | None = None) -> Any:
    """Create an onnxruntime.InferenceSession of a file, or of a file's bytes. name: the file, for messages.

    Raises ModelError where ONNX Runtime cannot load it, MissingDependencyError where the device's part of
    ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            f"{name}: running an ONNX file needs onnxruntime. Install it: {install('cpu')} "
            "(where there is an NVIDIA GPU: gpu in place of cpu)"
        ) from error
    check_device(device, name)
    wanted = PROVIDERS[device][0]
    if wanted not in onnxruntime.get_available_providers():
        raise MissingDependencyError(
            f"{name}: --device {device} needs onnxruntime's {wanted}, but this installation has only "
            f"{onnxruntime.get_available_providers()}. Install onnxruntime-gpu: {install('gpu')}"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone; warnings about its own optimiser mean nothing to users
    # One block planned for all tensors of a shape stands beside the arena that already holds them: on
    # R50-FPN at 800×1088 it adds 230 MB and no speed.
    options.enable_mem_pattern = False
    options.intra_op_num_threads = threads or _allowed_cores()

    def opened(form: str | bytes) -> Any:
        return onnxruntime.InferenceSession(
            form, sess_options=options, providers=PROVIDERS[device], disabled_optimizers=WRONG_OPTIMISERS
        )

    if device == "cpu" and (own := own_form(model)) is not None:
        with suppress(Exception):  # it has no kernel for it: then the body serves
            return opened(own)
    try:
        session = opened(model)
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        raise ModelError(
            f"{name}: ONNX Runtime cannot load it ({first_line(error)}). "
            f"Export it again: maskrt export CHECKPOINT -o {name}"
        ) from error
    if (used := session.get_providers()[0]) != wanted:
        raise MissingDependencyError(
            f"{name}: ONNX Runtime could not start its {wanted} and fell back to {used}. Check the "
            "NVIDIA driver and CUDA libraries with: maskrt doctor"
        )
    return session
