"""Reads the exported file for a build, and checks the TensorRT version."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
from onnx import ModelProto

from maskrt.runtime.backends.onnx_weights import check_weights
from maskrt.runtime.backends.promises import read_promises
from maskrt.runtime.backends.trt.library import major_minor
from maskrt.runtime.contract import Contract
from maskrt.runtime.contract.options import FIXED
from maskrt.runtime.errors import ExportError, ModelError

OLDEST = (10, 3)  # besides 8.6: of JetPack 6.2; nothing between is supported


def read_model(path: Path) -> tuple[ModelProto, Contract, str]:
    """An exported file, its contract, and its SHA-256.

    Raises ModelError or ContractError for a file that cannot be an engine.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}). Make it: maskrt export CHECKPOINT -o {path}"
        ) from error
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # the place of protobuf's DecodeError differs by version
        raise ModelError(f"{path}: no ONNX file. Make one: maskrt export CHECKPOINT -o MODEL.onnx") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    contract = read_promises(metadata, str(path), "built")
    if contract.options.detections != FIXED:
        raise ModelError(
            f"{path}: exported with --detections {contract.options.detections}, whose shapes depend on the "
            f"picture. TensorRT wants fixed ones: maskrt export CHECKPOINT --detections fixed -o {path}"
        )
    check_weights(path)
    return model, contract, hashlib.sha256(content).hexdigest()


def check_version(version: str) -> tuple[int, int]:
    """Major and minor. Raises ExportError for a TensorRT that engines are not built with."""
    found = major_minor(version)
    if found != (8, 6) and found < OLDEST:
        raise ExportError(
            f"TensorRT {version}: engines are built with 8.6, or with 10.3 and later. Install one of these: "
            "docs/tensorrt.md"
        )
    return found
