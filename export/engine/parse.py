"""Reads the prepared ONNX file into a TensorRT network, and explains what its parser refuses."""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from onnx import ModelProto

from maskrt.export.engine.prepare import SHOWN
from maskrt.export.engine.supported import is_ours
from maskrt.export.engine.values import label
from maskrt.runtime.backends.trt.library import clear_errors, logger, major_minor, reported_errors
from maskrt.runtime.backends.trt.plugins import take_python_error
from maskrt.runtime.errors import ExportError

#: Of trt.ErrorCode by name: what it means, and what to do about it.
MEANINGS = {
    "UNSUPPORTED_NODE": "this TensorRT has no such operator in this form",
    "UNSUPPORTED_NODE_ATTR": "this TensorRT does not take one of its attributes",
    "UNSUPPORTED_NODE_INPUT": "this TensorRT does not take one of its inputs",
    "UNSUPPORTED_NODE_DATATYPE": "this TensorRT does not take its type of data",
    "UNSUPPORTED_NODE_DYNAMIC": "this TensorRT needs a constant where the graph works something out",
    "UNSUPPORTED_NODE_SHAPE": "this TensorRT does not take its shapes",
    "UNSUPPORTED_GRAPH": "this TensorRT cannot run the graph as a whole",
    "INVALID_NODE": "the parser finds the node malformed",
    "INVALID_GRAPH": "the parser finds the graph malformed",
    "INVALID_VALUE": "the parser finds a value out of range",
    "MODEL_DESERIALIZE_FAILED": "the parser cannot read the file",
    "MEM_ALLOC_FAILED": "the host ran out of memory",
}
UPGRADE = "Export it again with this maskrt, or use a newer TensorRT (docs/tensorrt.md)"
PLUGIN = "Are the plugins built for this TensorRT (maskrt build-plugins)? Without them: --operators body"


ROI_ALIGN_LIBRARY = "libnvinfer_vc_plugin.so.8"


def parse(trt: Any, network: Any, model: ModelProto, source: str) -> None:
    """Fill `network` (trt.INetworkDefinition) from the model. Raises ExportError, naming nodes."""
    if major_minor(trt.__version__) < (10, 0):
        _expect_roi_align_library(model, source)
    parser = trt.OnnxParser(network, logger())
    clear_errors()
    if parser.parse(model.SerializeToString()):
        return
    if (cause := take_python_error()) is not None:  # of a plugin in Python, which says more than the parser
        raise cause
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    reports = [(error.code().name, error.node(), error.desc()) for error in errors]
    if reports:
        raise ExportError(explain(reports, model, source))
    raise ExportError(f"{source}: {reported_errors()}. {UPGRADE}")


def _expect_roi_align_library(model: ModelProto, source: str) -> None:
    """Raise ExportError for a RoiAlign that the parser of 8.6 cannot finish.

    It opens a library that pip's wheel of 8.6.0 lacks, and a failure to open it ends the process.
    """
    if all(node.op_type != "RoiAlign" for node in model.graph.node):
        return
    mapped = Path("/proc/self/maps").read_text()
    beside = re.findall(r"(/.*/)libnvonnxparser\.so", mapped)[
        :1
    ]  # the parser looks in its own folder as well
    for folder in ("", *beside):
        with suppress(OSError):
            ctypes.CDLL(folder + ROI_ALIGN_LIBRARY)
            return
    raise ExportError(
        f"{source}: TensorRT 8.6 reads no RoiAlign without {ROI_ALIGN_LIBRARY}, which is not here (pip's "
        "wheel has none). Build the plugins, which do without it: maskrt build-plugins; or install it: "
        "apt install libnvinfer-vc-plugin8"
    )


def explain(reports: list[tuple[str, int, str]], model: ModelProto, source: str) -> str:
    """One message from the parser's reports: (name of the code, index of the node or -1, description)."""
    problems, remedy = [], UPGRADE
    for code, index, description in reports[:SHOWN]:
        inside = 0 <= index < len(model.graph.node)
        subject = label(model.graph.node[index]) if inside else "the file"
        if inside and is_ours(model.graph.node[index]):
            remedy = PLUGIN
        meaning = MEANINGS.get(code, f"TensorRT's error {code}")
        problems.append(f"{subject}: {meaning} ({' '.join(description.split())})")
    more = f"; and {len(reports) - SHOWN} more" if len(reports) > SHOWN else ""
    return f"{source}: TensorRT's parser refuses it: {'; '.join(problems)}{more}. {remedy}"
