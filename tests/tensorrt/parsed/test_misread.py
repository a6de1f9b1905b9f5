"""What the real parser of TensorRT 8.6.0 misreads, which is why `prepare` rewrites it; and its registry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from maskrt.export.engine.prepare import prepare
from tests.tensorrt.parsed.conftest import Parser

pytestmark = pytest.mark.full

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
MISREAD = {
    "value_int": "g (float[2,3,4] x) => (int64[3] y) { a = Constant <value_int = 7> () s = Shape (x) y = Add (s, a) }",
    "value_ints": "g (float[2,3,4] x) => (int64[1] y) { a = Constant <value_ints = [0]> ()"
    " b = Constant <value_ints = [1]> () s = Shape (x) y = Slice (s, a, b) }",
    "start of Shape": "g (float[2,3,4] x) => (int64[2] y) { y = Shape <start = 1, end = 3> (x) }",
    "axes as an input": "g (float[2,3,4] x) => (float[2,3] y) <int64[1] a = {2}>"
    " { y = ReduceMin <keepdims = 0> (x, a) }",
}


def small(text: str) -> ModelProto:
    return onnx.shape_inference.infer_shapes(
        onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {text}')
    )


@pytest.mark.parametrize("form", MISREAD)
def test_a_form_that_8_6_misreads_is_seen_and_what_prepare_makes_of_it_is_read_rightly(
    form: str, parser: Parser
) -> None:
    model = small(MISREAD[form])
    held = parser.hold(model, model, {"x": X}, {"x": X + 1})
    assert held.errors or held.wrong
    held = parser.hold(prepare(model, (8, 6), "plugin", "model.onnx"), model, {"x": X}, {"x": X + 1})
    assert (held.errors, held.wrong) == ([], [])
    assert held.compared


def test_a_weight_that_is_not_the_files_is_seen(parser: Parser) -> None:
    model = small("g (float[2,3,4] x) => (float[2,3,4] y) <float[4] w = {1, 2, 3, 4}> { y = Mul (x, w) }")
    other = small("g (float[2,3,4] x) => (float[2,3,4] y) <float[4] w = {1, 2, 3, 4.001}> { y = Mul (x, w) }")
    feeds = {"x": X}, {"x": X + 1}
    assert parser.hold(model, model, *feeds).wrong == []
    assert [fault.split(":")[0] for fault in parser.hold(model, other, *feeds).wrong] == [
        "'y' (ElementWise)"
    ] * 2


def test_a_layer_that_mixes_types_is_seen(parser: Parser) -> None:
    """ONNX Runtime refuses the file as well; TensorRT's parser takes it, and its builder refuses."""
    text = "g (float[2,3,4] x) => (float[2,3,4] y) { h = Cast <to = 10> (x) y = Add (x, h) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')
    reference = small("g (float[2,3,4] x) => (float[2,3,4] y) { y = Add (x, x) }")
    (fault, *_) = parser.hold(model, reference, {"x": X}, {"x": X + 1}).wrong
    assert "mixes 'x' FLOAT, 'h' HALF" in fault


def test_the_registry_loads_a_library_by_a_path_and_not_by_a_bare_name(parser: Parser) -> None:
    """dlopen takes a name without a slash from the system's folders alone."""
    folder = parser.plugins.parent
    assert parser.loads(f"./{parser.plugins.name}", folder)
    assert parser.loads(str(parser.plugins), Path("/"))
    assert not parser.loads(parser.plugins.name, folder)
