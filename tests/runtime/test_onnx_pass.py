"""Passes: what each requires is refused by name, what it ensures holds afterwards, and a second run changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.flavours import TENSORRT
from maskrt.calibration.rewrite.equalise import EqualiseLayers, ReplaceWeights
from maskrt.calibration.rewrite.placement import place
from maskrt.calibration.rewrite.qdq import Quantise
from maskrt.calibration.rewrite.restore import ReturnToFloat32
from maskrt.export.engine.deform_conv import HalfDeformConv, NativeDeformConv
from maskrt.export.engine.for_8_6 import CastBehindPlugins, LowerToOpset17
from maskrt.export.engine.long_topk import GroupLongTopK
from maskrt.export.engine.rewrite import CastBytesFirst, DropFunctions, HoldConstants
from maskrt.export.naming import NumberByOperator
from maskrt.export.stages import HideStages, ShowStages
from maskrt.runtime.errors import CalibrationError, ContractError, ExportError
from maskrt.runtime.onnx_pass import OnnxPass, PassError, run_passes
from tests.calibration.graphs import parse, quantised, seen_ranges
from tests.export.deformed import deformed

ONE = "<kernel_shape = [1, 1]>"


def text(body: str, *, functions: str = "", opset: int = 18) -> ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": {opset}, "maskrt": 1]> main ({body} {functions}'
    )


def two_layers() -> ModelProto:
    return parse(
        f"""float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y {{
            c = Conv {ONE} (x, a_weight)
            r = Relu (c)
            y = Conv {ONE} (r, b_weight)
        }}""",
        {"a.weight": (4, 4, 1, 1), "b.weight": (4, 4, 1, 1)},
    )


def int8() -> ModelProto:
    return quantised(two_layers(), TENSORRT)


def quantise() -> Quantise:
    model = two_layers()
    return Quantise(place(Graph(model.graph), ["a", "b"], TENSORRT), seen_ranges(model))


WEIGHT = np.ones((4, 4, 1, 1), np.float32)
BYTES = "uint8[1, 4] images) => (float[4, 1] y) { t = Transpose (images) y = Cast <to = 1> (t) }"
CONSTANT = (
    "float[4] x) => (float[4] y) { c = Constant <value_floats = [1.0, 2.0, 3.0, 4.0]> () y = Add (x, c) }"
)
LONG = """float[1, 20000] x) => (float[1, 50] y, int64[1, 50] i) <int64[1] k = {50}> { y, i = TopK (x, k) }"""
PLUGIN = """float16[1, 4, 8, 8] f, float[5, 4] r, int32[5] b) => (float16[5, 4, 7, 7] y)
    <float16[5, 4, 7, 7] p> { p = maskrt.PyramidRoiAlign (r, b, f) y = Relu (p) }"""
FUNCTIONS = """<domain: "maskrt", opset_import: ["": 18]> Twice (x) => (y) { y = Add (x, x) }"""
DEFORM = """float[1, 4, 8, 8] x, float[1, 18, 8, 8] o, float[1, 9, 8, 8] m, float[2, 4, 3, 3] w, float[2] b)
    => (float[1, 2, 8, 8] y) { y = maskrt.DeformConv <kernel = 3, stride = 1, padding = 1> (x, o, m, w, b) }"""
SHAPE = "float[2, 3] x) => (int64[1] y) { y = Shape <start = 1> (x) }"
STAGES = "float[4] x) => (float[4] y, float[4] s) { s = Relu (x) y = Neg (s) }"


def staged() -> ModelProto:
    model = text(STAGES)
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = model.graph.output[1].name = "stage.a"
    return model


@dataclass(frozen=True)
class Case:
    """A pass, and a model that it changes."""

    make: Callable[[], OnnxPass]
    model: Callable[[], ModelProto]


CASES = {
    "DropFunctions": Case(
        DropFunctions,
        lambda: text("float[1] x) => (float[1] y) { y = maskrt.Twice (x) }", functions=FUNCTIONS),
    ),
    "HoldConstants": Case(HoldConstants, lambda: text(CONSTANT)),
    "CastBytesFirst": Case(CastBytesFirst, lambda: text(BYTES)),
    "GroupLongTopK": Case(GroupLongTopK, lambda: text(LONG)),
    "LowerToOpset17": Case(LowerToOpset17, lambda: text(SHAPE)),
    "NativeDeformConv": Case(NativeDeformConv, lambda: text(DEFORM, functions=FUNCTIONS)),
    "HalfDeformConv": Case(HalfDeformConv, lambda: onnx.shape_inference.infer_shapes(deformed(half=True))),
    "CastBehindPlugins": Case(CastBehindPlugins, lambda: text(PLUGIN)),
    "HideStages": Case(HideStages, staged),
    "NumberByOperator": Case(NumberByOperator, lambda: text(CONSTANT)),
    "EqualiseLayers": Case(EqualiseLayers, two_layers),
    "ReplaceWeights": Case(lambda: ReplaceWeights({"a.weight": WEIGHT}), two_layers),
    "Quantise": Case(quantise, two_layers),
    "ReturnToFloat32": Case(lambda: ReturnToFloat32(two_layers(), ["a"]), int8),
}

RUNS_ONCE = ("Quantise", "ReturnToFloat32")  # they refuse a model that was edited before


@pytest.mark.parametrize("name", CASES)
def test_a_pass_says_that_it_changed_the_model(name: str) -> None:
    model = CASES[name].model()
    before = model.SerializeToString(deterministic=True)
    assert CASES[name].make()(model) is True
    assert model.SerializeToString(deterministic=True) != before


@pytest.mark.parametrize("name", sorted(CASES.keys() - set(RUNS_ONCE)))
def test_a_second_run_changes_nothing(name: str) -> None:
    model = CASES[name].model()
    CASES[name].make()(model)
    before = model.SerializeToString(deterministic=True)
    assert CASES[name].make()(model) is False
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"EqualiseLayers"}))
def test_a_pass_that_edits_nothing_breaks_its_promise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = CASES[name].make()
    monkeypatch.setattr(type(edit), "call", lambda self, model: False)
    with pytest.raises(PassError, match=f"^{name}: "):
        edit(CASES[name].model())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_that_equalise_to_no_number_break_the_promise() -> None:
    model = two_layers()
    ReplaceWeights({"a.weight": WEIGHT * np.float32(np.inf)})(model)
    with pytest.raises(PassError, match=r"EqualiseLayers: \['a.weight'"):
        EqualiseLayers()(model)


@pytest.mark.parametrize(
    ("make", "model", "error", "said"),
    [
        (quantise, int8, PassError, "2 tensors have pairs already"),
        (
            lambda: Quantise(quantise().placement, {}),
            two_layers,
            CalibrationError,
            "no range is known of 2 tensors, such as 'r'",
        ),
        (lambda: ReplaceWeights({"c.weight": WEIGHT}), two_layers, CalibrationError, "no weight 'c.weight'"),
        (lambda: ReturnToFloat32(two_layers(), ["c"]), int8, PassError, r"\['c'\] are no units"),
        (lambda: ShowStages("m.onnx"), staged, ContractError, "m.onnx: its 'maskrt.contract' metadata"),
        (
            LowerToOpset17,
            lambda: text("float[2] x) => (float[2] y) { y = Mish (x) }"),
            ExportError,
            r"\(Mish\) is of opset 18",
        ),
    ],
    ids=["quantised", "no ranges", "no weight", "no unit", "no contract", "no form"],
)
def test_a_model_that_a_pass_is_not_for_is_refused_and_left_as_it_is(
    make: Callable[[], OnnxPass], model: Callable[[], ModelProto], error: type[Exception], said: str
) -> None:
    given = model()
    before = given.SerializeToString(deterministic=True)
    with pytest.raises(error, match=said):
        make()(given)
    assert given.SerializeToString(deterministic=True) == before


def test_passes_run_in_turn_and_say_whether_one_changed_the_model() -> None:
    model = text(CONSTANT)
    assert run_passes(model, [DropFunctions(), HoldConstants(), HoldConstants()]) is True
    assert run_passes(model, [DropFunctions(), HoldConstants()]) is False
