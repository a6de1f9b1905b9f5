"""Inlines the functions of an ONNX file for OpenVINO, which does not expand model-local functions."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.inliner

from maskrt.runtime.errors import ModelError, first_line


def read_inlined(path: Path) -> tuple[bytes, dict[str, str]]:
    """Read a file, its function bodies inlined. Returns the serialised model and its metadata.

    Raises ModelError where it is no ONNX file.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, skip_opset_compatibility_check=True)
    except Exception as error:  # the errors of protobuf and of the checker share no other base class
        raise ModelError(
            f"{path}: not an ONNX file that can be read ({first_line(error)}). "
            f"Export it again: maskrt export CHECKPOINT -o {path}"
        ) from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return onnx.inliner.inline_local_functions(model).SerializeToString(), metadata
