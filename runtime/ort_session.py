"""ONNX Runtime: runs an exported model with its operators' function bodies, on CPU or CUDA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.contract import INPUT_NAMES, METADATA_KEY, OUTPUT_NAMES, Contract
from runtime.errors import ContractError, MissingDependencyError, ModelError
from runtime.session import Outputs, Session, check_task

PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


class OrtSession(Session):
    """A model file on ONNX Runtime. `infer` may be called from several threads."""

    def __init__(self, path: str | Path, *, device: str = "cpu", threads: int | None = None) -> None:
        """Load `path`; threads: of the CPU, default all.

        Raises ModelError, ContractError, or MissingDependencyError, each with the remedy."""
        self.name = str(path)
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependencyError(
                f"{path}: running an ONNX file needs onnxruntime. Install it: pip install 'maskrt[cpu]' "
                "(or 'maskrt[gpu]')"
            ) from error
        if device not in PROVIDERS:
            raise ModelError(f"{path}: device {device!r}, expected one of {sorted(PROVIDERS)}.")
        wanted = PROVIDERS[device][0]
        if wanted not in onnxruntime.get_available_providers():
            raise MissingDependencyError(
                f"{path}: --device {device} needs onnxruntime's {wanted}, but this installation has only "
                f"{onnxruntime.get_available_providers()}. Install onnxruntime-gpu: pip install 'maskrt[gpu]'"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone; warnings about its own optimiser mean nothing to users
        # One block planned for all tensors of a shape stands beside the arena that already holds them: on
        # R50-FPN at 800×1088 it adds 230 MB and no speed.
        options.enable_mem_pattern = False
        options.intra_op_num_threads = threads or 0  # 0: one a core
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), sess_options=options, providers=PROVIDERS[device]
            )
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise ModelError(
                f"{path}: ONNX Runtime cannot load it ({str(error).splitlines()[0]}). "
                f"Export it again: maskrt export CHECKPOINT -o {path}"
            ) from error
        if (used := self._session.get_providers()[0]) != wanted:
            raise MissingDependencyError(
                f"{path}: ONNX Runtime could not start its {wanted} and fell back to {used}. Check the "
                "NVIDIA driver and CUDA libraries with: maskrt doctor"
            )
        metadata = self._session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise ContractError(
                f"{path}: an ONNX file without a maskrt contract (no '{METADATA_KEY}' in its metadata). "
                f"Only files made by maskrt can be run: maskrt export CHECKPOINT -o {path}"
            )
        self.contract = Contract.from_json(metadata[METADATA_KEY], str(path))
        for kind, nodes, expected in (
            ("inputs", self._session.get_inputs(), INPUT_NAMES),
            ("outputs", self._session.get_outputs(), OUTPUT_NAMES),
        ):
            names = tuple(node.name for node in nodes)
            if names != expected:
                raise ContractError(f"{path}: {kind} are {names}, expected {expected}. Export it again.")
        check_task(self.contract, self.name)

    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        feed = dict(zip(INPUT_NAMES, (images, image_sizes), strict=True))
        return Outputs(*self._session.run(list(OUTPUT_NAMES), feed))
