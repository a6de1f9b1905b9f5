"""ONNX files: damaged, another's, with a contract that was edited field by field, or with NaN for weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.hostile.case import EITHER, Case, Make, cases, cut, flipped, wrote
from maskrt.runtime.contract import METADATA_KEY

USERS = (
    "infer {} photo.png -o out",
    "evaluate {} --data ann.json",
    "bench {} --image photo.png --rounds 3 --no-memory",
    "parity best.pt {} photo.png",
    "parity check bundle.npz {}",
    "calibrate {} --data ann.json -o q.onnx",
    "build {} -o o.engine",
    "serve-triton {} -o repo",
)


def edited(
    change: Callable[[onnx.ModelProto], object], source: str = "tiny.onnx", to: str = "bad.onnx"
) -> Make:
    """A shared model, changed."""

    def make(folder: Path) -> None:
        model = onnx.load(str(folder / source))
        change(model)
        (folder / to).write_bytes(model.SerializeToString())

    return make


def contract(value: Any, *keys: str | int) -> Make:
    """The tiny model with a contract in which the field at `keys` is another."""

    def change(model: onnx.ModelProto) -> None:
        entry = next(prop for prop in model.metadata_props if prop.key == METADATA_KEY)
        fields = json.loads(entry.value)
        at = fields
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value
        entry.value = json.dumps(fields)

    return edited(change)


def raw(text: str) -> Make:
    def change(model: onnx.ModelProto) -> None:
        model.metadata_props[0].value = text

    return edited(change)


def external(location: str) -> Make:
    """Its first table lies in another file."""

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[-1]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "1024")):
            tensor.external_data.add(key=key, value=value)

    return edited(change)


def spoiled(value: float, name: str = "score_rows", source: str = "tiny.onnx") -> Make:
    """A table of the tiny model, or a layer's weights of the real one, filled with a value."""

    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if name in tensor.name and tensor.data_type == TensorProto.FLOAT:
                full = np.full(tuple(tensor.dims), value, np.float32)
                tensor.CopyFrom(numpy_helper.from_array(full, tensor.name))
                return
        raise ValueError(f"no table {name}")

    return edited(change, source)


def other(model: onnx.ModelProto) -> None:
    """A model that adds, with this one's contract."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])], "add",
        [value("x", TensorProto.FLOAT, [2])], [value("y", TensorProto.FLOAT, [2])],
    )  # fmt: skip
    model.graph.CopyFrom(graph)


def no_contract(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def extra_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mood", TensorProto.FLOAT, [1]))


def no_output(model: onnx.ModelProto) -> None:
    del model.graph.output[-1]


def future(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def cyclic(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.output[0].name


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Teleport"


def wrong_rank(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 4


def duplicated(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key=METADATA_KEY, value="{}")


FILES: dict[str, Make] = {
    "cut": cut("tiny.onnx", "bad.onnx", 0.6),
    "empty": wrote("bad.onnx", b""),
    "text": wrote("bad.onnx", "hello"),
    "picture": lambda folder: os.link(folder / "photo.png", folder / "bad.onnx"),
    "no contract": edited(no_contract),
    "another model": edited(other),
    "extra input": edited(extra_input),
    "no masks": edited(no_output),
    "opset 999": edited(future),
    "cycle": edited(cyclic),
    "unknown operator": edited(unknown_operator),
}
SPOILED = [
    Case("models", f"{name}: {line.split()[0]}", tuple(line.format("bad.onnx").split()), make)
    for name, make in FILES.items()
    for line in USERS
]
INFER = USERS[0].format("bad.onnx")
CASES = SPOILED + cases(
    "models",
    [
        (INFER, edited(wrong_rank)),
        (INFER, edited(duplicated), EITHER),
        (INFER, flipped("real.onnx", "bad.onnx", 0.02, 2000), EITHER),
        (INFER, external("missing.bin")),
        (INFER, external("../../../../etc/passwd")),
        (INFER, external("/etc/passwd")),
        (INFER, external("photo.png")),
        *[(INFER, spoiled(value, table), EITHER if table == "mask_rows" else "refused")
          for value in (float("nan"), float("inf")) for table in ("score_rows", "box_rows", "mask_rows")],
        (INFER, spoiled(-1e30, "box_rows"), EITHER),
        (INFER, spoiled(1e30, "score_rows"), EITHER),
        *[(line.format("bad.onnx"), spoiled(float("nan"), "weight", "real.onnx")) for line in USERS[:1] + USERS[3:6]],
        *[(INFER, raw(text)) for text in ("", "null", "[]", "3", "{", '"x"', "[" * 100_000, "{}", "NaN")],
    ],
)  # fmt: skip
FIELDS: list[tuple[Any, ...]] = [
    ("what", "task"), (None, "task"), (7, "task"), ("yolo", "family"), (None, "family"), ([], "classes"),
    ({}, "classes"), (None, "classes"), ("abc", "classes"), ("x", "classes", 0), (None, "classes", 0, "name"),
    (-5.5, "classes", 0, "id"), ("17", "classes", 0, "id"), (90, "classes", 0, "id"), ("", "classes", 0, "name"),
    (True, "inputs", 0, "axes", 0), (0, "inputs", 0, "axes", 0), ("1", "inputs", 0, "axes", 0),
    (1.5, "inputs", 0, "axes", 0), ([], "inputs"), ("x", "inputs", 0), ([], "inputs", 0, "axes"),
    ("int8", "inputs", 0, "dtype"), ("pixels", "inputs", 0, "name"), ({}, "outputs"), (10**12, "outputs", 1, "axes", 1),
    ("boxes", "outputs", 2, "name"), ("nobody", "outputs", 1, "counted_by"), ("int8", "canvas", "dtype"),
    (None, "canvas", "dtype"), ("round", "canvas", "placement"), (0, "canvas", "stride"), (10**9, "canvas", "stride"),
    (True, "canvas", "stride"), (-64, "canvas", "max_size_px"), (1, "canvas", "max_size_px"),
    ([64], "canvas", "min_size_px"), (float("nan"), "canvas", "min_size_px"), (33, "canvas", "height_px"),
    ([], "canvas"), ("x", "canvas"), (2, "canvas", "format"), (None, "canvas", "format"),
    ([0.1, 0.2], "normalise", "mean"), ("abc", "normalise", "mean"), ([None] * 3, "normalise", "mean"),
    ([0.0, 0.0, 0.0], "normalise", "std"), ([-1, -1, -1], "normalise", "std"),
    ([float("inf")] * 3, "normalise", "std"), (-0.1, "instances", "score_threshold"),
    ("0.5", "instances", "score_threshold"), (None, "instances", "nms_threshold"), (1.1, "instances", "nms_threshold"),
    (0, "instances", "max_detections"), (10**12, "instances", "max_detections"), (3, "instances", "max_detections"),
    (0, "instances", "masks", "size"), (10**6, "instances", "masks", "size"), ("8", "instances", "masks", "size"),
    ("sky", "instances", "masks"), (None, "instances", "masks"), (2, "instances", "masks", "threshold"),
    ([], "instances", "masks", "threshold"), ("some", "instances", "rows"), ("x", "instances", "keypoints"),
    ("stage", "inside", "taps", 0, "kind"), ("boxes", "inside", "taps", 0, "name"), (["sky"], "inside", "parts", 0, "takes"),
    ([], "inside"), ([["a"]], "layers", "groups"), (7, "layers", "units"), ("fp4", "precision", "name"),
    (None, "precision", "name"), ("x", "precision", "details"), (None, "precision"), (3, "origin", "toolkit_version"),
    (5, "origin", "checkpoint_sha256"), (99, "format_version"), (1, "format_version"), ("1", "format_version"),
    (None, "format_version"), ([], "config"), ([1], "chosen_settings"), (1, "surprise"),
]  # fmt: skip
SOFT = {"family", "origin", "surprise", "chosen_settings"}
CASES += [
    Case("contracts", f"{keys} = {value!r}", tuple(INFER.split()), contract(value, *keys),
         EITHER if keys[0] in SOFT else "refused")
    for value, *keys in FIELDS
]  # fmt: skip
