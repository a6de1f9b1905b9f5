"""Reads an ONNX file's metadata and functions, and checks that its weights are finite numbers, without onnx.

A network whose weights are NaN finds nothing, on any picture, and its outputs look sound. Only the file's
initializers are read, by protobuf's wire format (protobuf.dev, "Encoding") and onnx.proto's numbers.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import ModelError

METADATA, KEY, VALUE = 14, 1, 2  # fields of ModelProto and StringStringEntryProto
GRAPH, INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
FUNCTION, FUNCTION_NAME = 25, 1  # fields of ModelProto and FunctionProto
DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA = 2, 4, 8, 9  # of TensorProto
FLOATS: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
}
VARINT, FIXED64, BYTES = 0, 1, 2  # wire types; what is left is of 32 bits


def check_weights(path: str | Path) -> None:
    """Raise ModelError where an initializer holds NaN, or infinity among other numbers.

    A single infinity is a constant for a comparison, not a weight.
    """
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        bad = _bad(view)
    if bad:
        name, count, size = bad[0]
        more = f", and {len(bad) - 1} weights more" if len(bad) > 1 else ""
        raise ModelError(
            f"{path}: weight '{name}': {count} of {size} values are NaN or infinite{more}, so it would find "
            "nothing. Export a checkpoint whose training did not diverge: maskrt export CHECKPOINT"
        )


def read_metadata(path: str | Path) -> dict[str, str]:
    """The model's metadata; nothing of a file that is no ONNX."""
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        entries = [dict(_fields(entry)) for number, entry in _fields(view) if number == METADATA]
        texts = [(bytes(one.get(KEY, b"")), bytes(one.get(VALUE, b""))) for one in entries]
        del entries
    return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in texts}


def function_names(path: str | Path) -> set[str]:
    """Names of the model's own functions; nothing of a file that is no ONNX."""
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        return functions_of(view)


def functions_of(model: memoryview) -> set[str]:
    """The same of a model in memory."""
    functions = (dict(_fields(function)) for number, function in _fields(model) if number == FUNCTION)
    return {bytes(fields.get(FUNCTION_NAME, b"")).decode("utf-8", "replace") for fields in functions}


def _bad(model: memoryview) -> list[tuple[str, int, int]]:
    """Name, number of bad values and number of values of each initializer that has bad ones."""
    found = []
    for number, graph in _fields(model):
        for part, tensor in _fields(graph) if number == GRAPH else ():
            if part == INITIALIZER:
                name, values = _floats(tensor)
                bad = values.size - int(np.count_nonzero(np.isfinite(values)))
                if bad and (values.size > 1 or np.isnan(values).any()):
                    found.append((name, bad, values.size))
    return found


def _floats(tensor: memoryview) -> tuple[str, NDArray]:
    """Name and values of a float tensor; no values for other types."""
    fields = dict(_fields(tensor))
    dtype = FLOATS.get(int.from_bytes(fields.get(DATA_TYPE, b""), "little"))
    data = fields.get(RAW_DATA, fields.get(FLOAT_DATA, b""))
    if dtype is None or len(data) % dtype.itemsize:
        return "", np.zeros(0)
    return bytes(fields.get(NAME, b"")).decode("utf-8", "replace"), np.frombuffer(data, dtype)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of each complete field of a message; a number's bytes stay encoded."""
    at = 0
    try:
        while at < len(message):
            tag, at = _varint(message, at)
            wire = tag & 7
            if wire == VARINT:
                length = _varint(message, at)[1] - at
            elif wire == BYTES:
                length, at = _varint(message, at)
            else:
                length = 8 if wire == FIXED64 else 4
            yield tag >> 3, message[at : at + length]
            at += length
    except IndexError:
        return


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Decode a number; returns it with the position of the next field."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
