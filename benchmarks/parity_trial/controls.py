"""Correct files, made or made again in other ways: none may be called wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import onnx.inliner
from onnx import helper

from benchmarks.parity_trial.graph import Model
from maskrt.export.onnx_model import export_onnx
from maskrt.export.stages import ShowStages
from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.contract import PREFIX

Save = Callable[[Path], None]


def all_controls(checkpoint: Checkpoint, model: Model) -> Iterator[tuple[str, Save]]:
    """A name, and what writes the file. model: the export of the trial's checkpoint."""
    for name, change in (
        ("as exported", _as_it_is),
        ("nodes renamed", _nodes_renamed),
        ("weights renamed", _weights_renamed),
        ("constants as nodes", _constants_as_nodes),
        ("functions inlined", onnx.inliner.inline_local_functions),
        ("types of inner values dropped", _without_types),
        ("another opset", _another_opset),
        ("with its stages as outputs", _with_stages),
    ):
        yield name, _saving(change, model)
    yield (
        "weights beside the file",
        lambda path: onnx.save_model(
            _copy(model), path, save_as_external_data=True, location=f"{path.stem}.data"
        ),
    )
    fixed = checkpoint.contract(height_px=256, width_px=320, batch=2, dtype="float32")
    yield (
        "fixed size, batch 2, float32 canvas",
        lambda path: onnx.save_model(export_onnx(checkpoint, fixed), path),
    )
    half = checkpoint.contract().in_precision("fp16", {"scanned_images": 0, "float32_units": []})
    yield "fp16", lambda path: onnx.save_model(export_onnx(checkpoint, half), path)
    smaller = checkpoint.with_settings({"min_size_px": 128, "rpn_post_nms_test": 150}, "trial")
    yield (
        "other settings at export",
        lambda path: onnx.save_model(export_onnx(smaller, smaller.contract()), path),
    )


def _saving(change: Callable[[Model], Model], model: Model) -> Save:
    return lambda path: onnx.save_model(change(_copy(model)), path)


def _copy(model: Model) -> Model:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _as_it_is(model: Model) -> Model:
    return model


def _nodes_renamed(model: Model) -> Model:
    for number, node in enumerate(model.graph.node):
        node.name = f"layer{number}"
    return model


def _weights_renamed(model: Model) -> Model:
    names = {one.name: f"w{number}" for number, one in enumerate(model.graph.initializer)}
    for one in model.graph.initializer:
        one.name = names[one.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return model


def _constants_as_nodes(model: Model) -> Model:
    nodes = [helper.make_node("Constant", [], [one.name], value=one) for one in model.graph.initializer]
    del model.graph.initializer[:]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


def _without_types(model: Model) -> Model:
    del model.graph.value_info[:]
    return model


def _another_opset(model: Model) -> Model:
    for holder in (model, *model.functions):
        for opset in holder.opset_import:
            opset.version = 19 if opset.domain == "" else opset.version
    return model


def _with_stages(model: Model) -> Model:
    ShowStages(PREFIX)(model)
    return model
