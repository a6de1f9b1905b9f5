"""TensorRT's Python package in any supported version, and the errors that it reports."""

from __future__ import annotations

import functools
from typing import Any

from maskrt.runtime.errors import MissingDependencyError, ModelError
from maskrt.runtime.packages import install

ERRORS_KEPT = 4  # errors of TensorRT that go into a message; the first ones name the cause


class TensorRtError(ModelError):
    """Call that TensorRT refused: what was asked of it, and TensorRT's own message."""


@functools.cache
def import_tensorrt() -> Any:
    """Import the module `tensorrt`. Raises MissingDependencyError, or TensorRtError for an unsupported
    version."""
    try:
        import tensorrt
    except ImportError as error:
        raise MissingDependencyError(
            f"TensorRT engines need TensorRT's Python package ({error}). Install it: "
            f"{install('gpu')}; on a Jetson it comes with JetPack (docs/jetson.md)"
        ) from error
    major, minor = major_minor(tensorrt.__version__)
    if (major, minor) != (8, 6) and major < 10:
        raise TensorRtError(
            f"TensorRT {tensorrt.__version__} is not supported; expected 8.6, or 10.0 and later. "
            f"Install one of these: {install('gpu')}; JetPack 5 has none of them (docs/jetson.md)"
        )
    return tensorrt


def major_minor(version: str) -> tuple[int, int]:
    """Parse "10.3.0.26" to (10, 3)."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


@functools.cache
def logger() -> Any:
    """Logger of this process: TensorRT uses the first that it is given for everything."""
    return _logger(import_tensorrt())


def _logger(trt: Any) -> Any:
    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(message.strip())

    return Logger()


def clear_errors() -> None:
    """Forget the errors of earlier calls, before TensorRT is asked for something else."""
    logger().errors.clear()


def reported_errors() -> str:
    """The errors that TensorRT reported since `clear_errors`, as part of a message."""
    errors = logger().errors
    if not errors:
        return "TensorRT does not say why"
    return "TensorRT says: " + "; ".join(dict.fromkeys(errors[:ERRORS_KEPT]))
