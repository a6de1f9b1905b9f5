"""The one door from the runtime to the other stages, opened only when asked for.

The runtime works without them, and without torch, onnx and onnxscript (on a Jetson they are not installed).
Whatever needs torch or onnx is reached through here, lazily: the PyTorch reference, the inlining of an ONNX
file, a look into its graph. So are the readers of annotated data and the TensorRT plugins in Python.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskrt.runtime.backends.session import Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.packages import missing


def load_reference(path: str | Path, **options: Any) -> Session:
    """The PyTorch reference of a checkpoint (maskrt.models.reference.open_reference)."""
    return _sibling("maskrt.models.reference", f"running the checkpoint {path}", "export").open_reference(
        Path(path), **options
    )


def load_checkpoint(path: str | Path, class_names: list[str] | None = None) -> Any:
    """Any checkpoint that can be read, foreign ones too (maskrt.models.load.load_checkpoint)."""
    weights = _sibling("maskrt.models.load", f"reading the checkpoint {path}", "export")
    return weights.load_checkpoint(path, class_names)


def load_dataset(spec: str, **options: Any) -> Any:
    """An annotated dataset (maskrt.training.data.load_dataset)."""
    return _sibling("maskrt.training.data", f"reading the dataset {spec}", "cpu").load_dataset(
        spec, **options
    )


def read_inlined(path: str | Path) -> tuple[bytes, dict[str, str]]:
    """An ONNX file in standard operators alone, and its metadata (maskrt.export.inlining.read_inlined)."""
    return _sibling("maskrt.export.inlining", f"running {path} on OpenVINO", "openvino").read_inlined(
        Path(path)
    )


def read_native(model: str | bytes) -> bytes:
    """An ONNX file with ONNX's DeformConv in place of ours (maskrt.export.engine.deform_conv.read_native)."""
    native = _sibling("maskrt.export.engine.deform_conv", "running ONNX Runtime's own DeformConv", "export")
    return native.read_native(model)


def read_with_stages(path: str | Path) -> bytes:
    """An ONNX file with its stages made outputs (maskrt.export.stages.read_with_stages)."""
    return _sibling("maskrt.export.stages", f"looking into {path}", "export").read_with_stages(Path(path))


def cut_into_parts(path: str | Path) -> dict[str, bytes]:
    """The parts of an ONNX file between its stages (maskrt.export.stages.cut_into_parts)."""
    return _sibling("maskrt.export.stages", f"looking into {path}", "export").cut_into_parts(Path(path))


def examine(path: str | Path) -> Any:
    """What an ONNX file shows without being run (maskrt.export.examine.examine)."""
    return _sibling("maskrt.export.examine", f"looking into {path}", "export").examine(Path(path))


def parity_knowledge(contract: Contract) -> Any:
    """What a model's family knows for parity, or None (maskrt.models.parity.knowledge_of)."""
    known = _sibling("maskrt.models.parity", "naming causes of a difference", "export")
    return known.knowledge_of(contract)


def expected_weights(reference: Session) -> dict[str, Any]:
    """What the export of a PyTorch reference would hold, arrays by name (maskrt.models.parity.weights_of)."""
    parity = _sibling("maskrt.models.parity", f"reading the checkpoint {reference.name}", "export")
    return dict(parity.weights_of(reference))


def bisect_command() -> Callable[..., None]:
    """`maskrt parity bisect` (maskrt.calibration.decide.bisection.command)."""
    return _sibling("maskrt.calibration.decide.bisection", "bisecting a model", "calibrate").command


def load_python_plugins() -> None:
    """TensorRT's plugins in Python, put into its registry (maskrt.export.plugins.python_plugin)."""
    _python_plugins().register_python_plugins()


def take_python_plugin_error() -> Exception | None:
    """What they raised last on this thread (maskrt.export.plugins.python_plugin.take_error)."""
    return _python_plugins().take_error()


def _python_plugins() -> Any:
    return _sibling("maskrt.export.plugins.python_plugin", "running plugins in Python", "gpu")


def _sibling(module: str, purpose: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing(error, purpose, extra) from error
