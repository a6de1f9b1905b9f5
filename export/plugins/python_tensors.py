"""What the operators of the Python plugin share: kinds of tensors, the tensors of a launch, refusals."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from maskrt.export.plugins import abi
from maskrt.export.plugins.abi import Storage
from maskrt.runtime.errors import ModelError

Shape: TypeAlias = Sequence[Any]  # of integers, or of TensorRT's dimension expressions
Step: TypeAlias = tuple[abi.Launch, ctypes.Structure]


class TensorKind(NamedTuple):
    """Type and format of a tensor, by TensorRT's names."""

    type: str
    format: str


REAL, INTEGER = TensorKind("FLOAT", "LINEAR"), TensorKind("INT32", "LINEAR")
HALF_CHANNELS_LAST = TensorKind("HALF", "HWC8")
STORAGE = {REAL: Storage.FLOAT, HALF_CHANNELS_LAST: Storage.HALF_CHANNELS_LAST}


class Tensors(NamedTuple):
    """The tensors of a launch: shapes and kinds of the inputs, and device addresses."""

    shapes: Sequence[Sequence[int]]
    kinds: Sequence[TensorKind]
    inputs: Sequence[int]
    outputs: Sequence[int]
    workspace: int


def expect(holds: bool, operator: str, got: str, expected: str) -> None:
    """Raise ModelError, in the operator's name, unless it holds."""
    if not holds:
        raise ModelError(f"maskrt::{operator}: {got}; expected {expected}.")
