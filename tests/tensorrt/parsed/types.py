"""TensorRT's types of data, and how a value of each is kept here: real numbers in float32, whole ones in int64."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import onnx
import torch


class DataType(IntEnum):
    """nvinfer1::DataType (NvInferRuntimeBase.h)."""

    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    FP8 = 6
    BF16 = 7
    INT64 = 8


DTYPES = {
    DataType.FLOAT: np.dtype(np.float32),
    DataType.HALF: np.dtype(np.float16),
    DataType.INT8: np.dtype(np.int8),
    DataType.INT32: np.dtype(np.int32),
    DataType.BOOL: np.dtype(bool),
    DataType.UINT8: np.dtype(np.uint8),
    DataType.INT64: np.dtype(np.int64),
}


def of_onnx(element_type: int, wide: bool) -> DataType:
    """What a parser makes of ONNX's type. wide: it knows INT64, as those of TensorRT 10 do."""
    if element_type == onnx.TensorProto.INT64:
        return DataType.INT64 if wide else DataType.INT32
    dtype = onnx.helper.tensor_dtype_to_np_dtype(element_type)
    return next(kind for kind, known in DTYPES.items() if known == dtype)


def rounded(value: torch.Tensor, kind: DataType) -> torch.Tensor:
    """The value as a tensor of this type holds it."""
    if kind == DataType.HALF:
        return value.half().float()
    if kind == DataType.FLOAT:
        return value.float()
    return value.bool() if kind == DataType.BOOL else value.long()
