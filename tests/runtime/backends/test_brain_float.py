"""bf16 on OpenVINO: which layers compute in it, which stay in float32, and who is told that it cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.backends.brain_float import set_brain_float
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.contract import Layers
from maskrt.runtime.errors import ModelError
from maskrt.runtime.parity.sides import comparison_for
from maskrt.runtime.tasks.instances.compare.tolerances import BF16

openvino = pytest.importorskip("openvino")
opset = pytest.importorskip("openvino.opset13")
Type = openvino.Type
LAYERS = Layers(groups=(("head.", "outputs"),), outputs="outputs")
HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="this CPU has no instructions for bf16")


def convolution(reads: Any, name: str) -> Any:
    weights = opset.constant(np.ones((4, 4, 1, 1), np.float32))
    weights.set_friendly_name(f"{name}.weight")
    made = opset.convolution(reads, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    made.set_friendly_name(name)
    return made


@pytest.fixture
def network() -> Any:
    """A body, a pyramid's sum, and a head whose deltas move boxes: float32 throughout."""
    images = opset.parameter([1, 4, 8, 8], np.float32, name="images")
    body = opset.relu(convolution(opset.multiply(images, np.float32(1 / 255)), "body.conv"), name="relu")
    finer = opset.add(body, convolution(body, "body.inner"), name="sum")
    deltas = convolution(finer, "head.deltas")
    boxes = opset.add(opset.multiply(deltas, np.float32(16)), np.float32(1000), name="boxes")
    shown = opset.relu(convolution(finer, "body.prototypes"), name="prototypes")
    return openvino.Model([boxes, shown], [images])


def test_layers_compute_in_bf16_and_coordinates_in_float32(network: Any) -> None:
    set_brain_float(network, LAYERS)

    types = {node.get_friendly_name(): node.get_output_element_type(0) for node in network.get_ordered_ops()}
    narrow = {"body.conv", "relu", "body.inner", "sum", "body.prototypes"}
    assert {name for name in narrow if types[name] != Type.bf16} == set()
    wide = {"head.deltas", "boxes", "prototypes"}
    assert {name for name in wide if types[name] != Type.f32} == set()
    assert [output.get_element_type() for output in network.outputs] == [Type.f32, Type.f32]


def test_a_value_that_two_layers_read_is_cast_once(network: Any) -> None:
    set_brain_float(network, LAYERS)

    read = [n.input_value(0).get_node() for n in network.get_ordered_ops() if n.get_type_name() == "Convert"]
    names = [node.get_name() for node in read]
    assert len(names) == len(set(names))


@needs_bf16
def test_openvino_computes_each_node_in_the_type_that_it_was_given(random_onnx: Path) -> None:
    session = open_session(random_onnx, backend="openvino-bf16", threads=1)

    assert session.contract.precision.name == "bf16"
    compiled: Any = session._compiled  # type: ignore[attr-defined]
    ran: dict[str, set[str]] = {}
    for node in compiled.get_runtime_model().get_ops():
        about = {key: node.rt_info[key].astype(str) for key in ("layerType", "runtimePrecision")}
        ran.setdefault(about["layerType"], set()).add(about["runtimePrecision"])
    assert ran["Convolution"] == {"bf16", "f32"}, "those of the RPN's outputs are float32"
    assert ran["FullyConnected"] == {"bf16", "f32"}, "those of classes and box deltas are float32"
    assert ran["Deconvolution"] == {"bf16"}
    assert ran["ROIAlign"] == {"f32"}


@needs_bf16
def test_it_is_judged_by_tolerances_of_its_own(tiny_onnx: Path) -> None:
    reference, candidate = open_session(tiny_onnx), open_session(tiny_onnx, backend="openvino-bf16")

    assert comparison_for(reference, candidate).limits["box_px"] == BF16.box_px


def test_a_file_in_another_precision_is_refused(
    write_model: Callable[..., Path], contract_with: Callable[..., Any]
) -> None:
    path = write_model("int8.onnx", contract_with(precision="int8"))

    with pytest.raises(ModelError, match="a file in int8, and bf16 is for files in fp32: --backend openvino"):
        open_session(path, backend="openvino-bf16")


def test_a_processor_without_bf16_is_named(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", Old)

    with pytest.raises(ModelError, match="this CPU has no instructions for bf16"):
        open_session(tiny_onnx, backend="openvino-bf16")
