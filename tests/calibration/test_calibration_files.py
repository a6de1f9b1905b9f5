"""scales.json, the precision plan and TensorRT's cache: read back as written, and refused when they are others."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import CPU, TENSORRT
from maskrt.calibration.measure.cache import read_cache, write_cache
from maskrt.calibration.measure.scales import Key, Scales, TensorScale
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.layout import layers_of
from maskrt.runtime.errors import CalibrationError
from tests.calibration.graphs import parse

KEY = Key(model="a", checkpoint="b", images="c", preprocessing="d", equalisation="none")
TENSOR = TensorScale(
    -1.0, 2.0, {"minmax": 2.0, "moving-average": 1.8, "percentile": 0.5, "entropy": 1.0, "mse": 1.5}
)
SCALES = Scales(KEY, 3, {"relu": TENSOR}, {"layer": 10.0})


def test_scales_come_back(tmp_path: Path) -> None:
    SCALES.write(tmp_path / "scales.json")
    assert Scales.read(tmp_path / "scales.json") == SCALES


def test_a_threshold_clips_both_signs_to_what_was_seen() -> None:
    assert SCALES.ranges("percentile") == {"relu": (-0.5, 0.5)}
    assert SCALES.ranges("mse") == {"relu": (-1.0, 1.5)}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Key)])
def test_a_wrong_key_is_refused_by_name(field: str, tmp_path: Path) -> None:
    with pytest.raises(
        CalibrationError, match=rf"scales\.json: measured with different {field} than given now"
    ):
        SCALES.check(dataclasses.replace(KEY, **{field: "other"}), tmp_path / "scales.json")
    SCALES.check(KEY, tmp_path / "scales.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a scales.json of maskrt"),
        ("[]", "not a scales.json of maskrt (a JSON list, expected an object)"),
        ("{}", "not a scales.json of maskrt (it has no 'format')"),
        ('{"format": 2}', "has missing fields ['images', 'key', 'multiply_adds', 'tensors']"),
        ('{"format": 1, "tensors": {"a": {}}}', "has format 1, but this maskrt reads format 2"),
    ],
)
def test_any_other_file_is_no_scales(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "scales.json"
    path.write_text(text)
    with pytest.raises(CalibrationError) as caught:
        Scales.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert str(caught.value).endswith("Delete it to measure again.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["key"].pop("images"), "field 'key' has missing fields ['images']"),
        (lambda f: f["tensors"]["relu"].update(maximum="2"), "field 'tensors['relu'].maximum' is '2'"),
        (lambda f: f["tensors"]["relu"].update(minimum=float("nan")), "expected a finite number"),
        (
            lambda f: f["tensors"]["relu"]["thresholds"].update(mse=None),
            "'tensors['relu'].thresholds['mse']'",
        ),
        (lambda f: f.update(images=2.5), "field 'images' is 2.5, expected a whole number"),
    ],
)
def test_scales_changed_by_hand_are_refused_by_entry(
    change: Callable[[dict], object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "scales.json"
    SCALES.write(path)
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))
    with pytest.raises(CalibrationError) as caught:
        Scales.read(path)
    assert said in str(caught.value)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph(
        parse(
            """float[1, 4, 8, 8] x) => (float[1, 4, 16, 16] y {
                c = Conv <kernel_shape = [1, 1]> (x, backbone_body_conv1_weight)
                u = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2]> (c, mask_predictor_conv5_mask_weight)
                y = Conv <kernel_shape = [1, 1]> (u, proposals_head_cls_logits_weight)
            }""",
            {
                "backbone.body.conv1.weight": (4, 4, 1, 1),
                "mask_predictor.conv5_mask.weight": (4, 4, 2, 2),
                "proposals.head.cls_logits.weight": (4, 4, 1, 1),
            },
        ).graph,
        layers_of(MaskRcnnConfig()),
    )


def test_the_default_plan_leaves_the_last_layers_in_float(graph: Graph) -> None:
    assert Plan.default(graph, TENSORRT, "minmax").layers == {
        "stem": {"backbone.body.conv1": "int8"},
        "mask_head": {"mask_predictor.conv5_mask": "int8"},
        "outputs": {"proposals.head.cls_logits": "float"},
    }


def test_and_on_the_cpu_what_has_no_integer_kernel(graph: Graph) -> None:
    plan = Plan.default(graph, CPU, "minmax")
    assert plan.int8_layers == ["backbone.body.conv1"]
    assert plan.float_layers == ["mask_predictor.conv5_mask", "proposals.head.cls_logits"]


def test_a_plan_comes_back_and_can_be_changed_by_hand(graph: Graph, tmp_path: Path) -> None:
    plan, path = Plan.default(graph, TENSORRT, "mse"), tmp_path / "plan.json"
    plan.write(path)
    assert Plan.read(path) == plan
    path.write_text(
        path.read_text().replace('"backbone.body.conv1": "int8"', '"backbone.body.conv1": "float"')
    )
    assert Plan.read(path) == plan.without(["stem"])
    assert plan.only("stem").int8_layers == ["backbone.body.conv1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flavour": "gpu"}, "field 'flavour' is 'gpu', expected 'cpu' or 'tensorrt'"),
        ({"method": "guess"}, "field 'method' is 'guess', expected 'minmax' or "),
        ({"format": 7}, "has format 7, but this maskrt reads format 1. Upgrade maskrt here"),
        (
            {"layers": {"stem": {"a.conv": "int4"}}},
            "field 'layers['stem']['a.conv']' is 'int4', expected 'int8' or 'float'",
        ),
        ({"layers": []}, "field 'layers' is [], expected an object"),
        ({"novelty": 1}, "missing fields [] and unknown fields ['novelty']"),
    ],
)
def test_a_malformed_plan_is_refused_by_entry(change: dict, said: str, graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    Plan.default(graph, CPU, "minmax").write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CalibrationError) as caught:
        Plan.read(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_the_cache_is_tensorrt_s_text(tmp_path: Path) -> None:
    """The published form: a name, and its scale as the bits of a big-endian float32."""
    path = tmp_path / "maskrt.calibration.measure.cache"
    write_cache(path, {"b": (-127.0, 5.0), "a": (0.0, 254.0)})
    assert path.read_text() == "TRT-8601-EntropyCalibration2\na: 40000000\nb: 3f800000\n"
    assert read_cache(path) == {"a": (-254.0, 254.0), "b": (-127.0, 127.0)}


def test_a_cache_written_by_tensorrt_itself(tmp_path: Path) -> None:
    """TensorRT leaves out leading zeros, and names layers that have none in parentheses."""
    path = tmp_path / "maskrt.calibration.measure.cache"
    path.write_text(
        "TRT-100300-EntropyCalibration2\n(Unnamed Layer* 3) [Convolution]_output: 3c010a14\nempty: 0\n"
    )
    scale = struct.unpack(">f", bytes.fromhex("3c010a14"))[0]
    assert read_cache(path) == {
        "(Unnamed Layer* 3) [Convolution]_output": (-127 * scale, 127 * scale),
        "empty": (-0.0, 0.0),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", "begins with 'hello'"),
        ("TRT-8601-EntropyCalibration2\na: xyz\n", "line 2 is 'a: xyz'"),
        ("TRT-8601-EntropyCalibration2\na: 3f800000\nb\n", "line 3 is 'b'"),
        ("TRT-8601-EntropyCalibration2\na: 7f800000\n", "line 2"),
        ("TRT-8601-EntropyCalibration2\na: bf800000\n", "line 2"),
        ("", "not a calibration cache"),
    ],
)
def test_no_cache_is_refused_by_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "maskrt.calibration.measure.cache"
    path.write_text(text)
    with pytest.raises(CalibrationError) as caught:
        read_cache(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
