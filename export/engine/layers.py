"""Reports what TensorRT made of the model, layer by layer, from the engine's own JSON (IEngineInspector)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from onnx import ModelProto, TensorProto

from maskrt.export.engine.prepare import custom_nodes
from maskrt.export.engine.values import Values, standard_nodes
from maskrt.runtime.errors import ExportError

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # most of the work: where precision matters
#: Types by their names in a format such as "Channel major FP16 format where channel % 8 == 0".
TYPES = {
    "BF16": "BF16", "BFLOAT16": "BF16", "FP16": "FP16", "HALF": "FP16", "INT8": "INT8", "INT32": "INT32",
    "INT64": "INT64", "UINT8": "UINT8", "BOOL": "BOOL", "FP32": "FP32", "FLOAT": "FP32",
}  # fmt: skip
FULL_PRECISION = "FP32"


class MissingPluginError(ExportError):
    """The engine lacks a plugin for one of our operators."""


@dataclass(frozen=True)
class LayerReport:
    """What the engine is made of.

    precisions: number of layers by the type of their first output. kept_fp32: heavy layers that the file has
    in FP16 or INT8 and the engine feeds with FP32 alone. plugins: our operators in the engine. reformats:
    changes of layout or type at the plugins' inputs and outputs. unknown: why nothing is known; else empty.
    """

    precisions: dict[str, int] = field(default_factory=dict)
    kept_fp32: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    reformats: tuple[str, ...] = ()
    activation_bytes: int = 0
    unknown: str = ""


def examine_layers(
    information: dict[str, Any], activation_bytes: int, model: ModelProto, source: str
) -> LayerReport:
    """Read the engine's layers and compare them with the prepared model.

    information: IEngineInspector's JSON of an engine built with detailed profiling. Raises
    MissingPluginError where an operator that the model leaves to a plugin has none in the engine.
    """
    layers = [layer for layer in information["Layers"] if isinstance(layer, dict)]
    expected = custom_nodes(model)
    plugin_layers = [layer for layer in layers if "plugin" in str(layer.get("LayerType", "")).lower()]
    found = [node for node in expected if any(_stems_from(layer, node) for layer in plugin_layers)]
    if found != expected:
        missing = ", ".join(node for node in expected if node not in found)
        raise MissingPluginError(
            f"{source}: of {len(expected)} operators that were to be plugins {len(found)} are in the engine; "
            f"missing: {missing}. No engine was kept. Please report this with the TensorRT version, and use "
            "--operators body meanwhile"
        )
    ours = [layer for layer in plugin_layers if any(_stems_from(layer, node) for node in expected)]
    return LayerReport(
        precisions=dict(
            Counter(_type_of(tensor) for layer in layers for tensor in layer.get("Outputs", [])[:1])
        ),
        kept_fp32=tuple(_kept_fp32(layers, model)),
        plugins=tuple(found),
        reformats=tuple(_reformats(layers, ours)),
        activation_bytes=activation_bytes,
    )


def _type_of(tensor: dict[str, Any]) -> str:
    """FP16 of "Row major linear FP16"."""
    parts = str(tensor.get("Format/Datatype", "")).upper().split()
    return next((TYPES[part] for part in parts if part in TYPES), "unknown")


def _stems_from(layer: dict[str, Any], node: str) -> bool:
    """True if a layer comes from an ONNX node. Fused layers join names; newer versions list them apart."""
    text = f"{layer.get('Name', '')} {layer.get('Metadata', '')}"
    return re.search(rf"(?<![\w./]){re.escape(node)}(?![\w./])", text) is not None


def _kept_fp32(layers: list[dict[str, Any]], model: ModelProto) -> Iterator[str]:
    for node in _lowered(model):
        hosts = [layer for layer in layers if _stems_from(layer, node)]
        inputs = {_type_of(tensor) for layer in hosts for tensor in layer.get("Inputs", [])}
        if hosts and inputs == {FULL_PRECISION}:
            yield node


def _lowered(model: ModelProto) -> Iterator[str]:
    """Names of heavy nodes whose activations the file has in FP16 or INT8 (behind a DequantizeLinear)."""
    values = Values(model.graph)
    dequantised = {n.output[0] for n in standard_nodes(model.graph) if n.op_type == "DequantizeLinear"}
    for node in standard_nodes(model.graph):
        if node.op_type in HEAVY:
            half = values.element_type(node.input[0]) == TensorProto.FLOAT16
            if half or node.input[0] in dequantised:
                yield node.name


def _reformats(layers: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Iterator[str]:
    around = {t["Name"] for layer in ours for side in ("Inputs", "Outputs") for t in layer.get(side, [])}
    for layer in layers:
        if str(layer.get("LayerType", "")) == "Reformat":
            touched = {t["Name"] for side in ("Inputs", "Outputs") for t in layer.get(side, [])}
            if touched & around:
                yield str(layer["Name"])


def lines(report: LayerReport) -> list[str]:
    """The report as lines of text, to print."""
    if report.unknown:
        return [f"layers unknown, and whether the plugins are among them: {report.unknown}"]
    counts = ", ".join(f"{count} {name}" for name, count in sorted(report.precisions.items()))
    text = [f"layers: {counts}; activations {report.activation_bytes / (1 << 20):.0f} MiB"]
    if report.plugins:
        text.append(
            f"plugins in the engine: {len(report.plugins)}; reformats around them: {len(report.reformats)}"
        )
    if report.kept_fp32:
        text.append(f"in FP32 although lower was meant: {', '.join(report.kept_fp32)}")
    return text
