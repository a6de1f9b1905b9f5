"""Every family through every command: a new one is tested by being registered."""

from __future__ import annotations

import dataclasses
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from google.protobuf import json_format, text_format

from maskrt.calibration import calibrate
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import CPU, TENSORRT
from maskrt.calibration.measure.learned import tensor_at
from maskrt.calibration.rewrite.placement import place
from maskrt.export.engine.prepare import prepare
from maskrt.export.engine.supported import refusals
from maskrt.models.load import load_checkpoint
from maskrt.models.parts.half import to_half
from maskrt.models.parts.quantisers import learned_scales
from maskrt.runtime import bench, evaluate, infer, serve_triton
from maskrt.runtime.backends.open import open_session, read_contract
from maskrt.runtime.errors import EXIT_FAILED_CHECK, EXIT_UNDECIDED, MaskrtError
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.parity.command import main as parity
from maskrt.runtime.predictor import load
from maskrt.runtime.tasks import task_of
from maskrt.training import train
from tests.families import Made, ended

MIN_SCORE = 0.1
#: Of a picture: what is found at least, by the task. Where `results.jsonl` has it, and parity counts it.
LEAST_FOUND = {"instances": 3, "semantic": 2}
THINGS = {"instances": "detections", "semantic": "classes"}
COUNTED = {"instances": "instances", "semantic": "pixels"}
#: Families whose example `maskrt train --qat` takes.
LEARN_IN_EIGHT_BITS = ("mask_rcnn", "faster_rcnn", "keypoint_rcnn", "fcn")


def test_it_is_trained_and_stays_of_its_family(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [*("--data", made.annotations), *("--images", made.pictures)]
    options = [
        *("--from", made.checkpoint),
        *("--epochs", 1),
        *("--set", "workers=0"),
        *("-o", tmp_path / "run"),
    ]
    status = ended(train.main, *data, *options, "--val", made.annotations, "--val-images", made.pictures)
    if made.family.inference_only:
        assert status != 0
        assert made.family.inference_only in " ".join(capsys.readouterr().err.split())
        return
    assert status == 0
    trained = load_checkpoint(tmp_path / "run" / "best.pt")
    before = load_checkpoint(made.checkpoint)
    assert (trained.config, trained.family.name) == (before.config, made.name)
    assert any((trained.state_dict[k] != before.state_dict[k]).any() for k in before.state_dict)
    assert trained.metrics


def test_its_file_gives_what_its_contract_says(made: Made) -> None:
    session = open_session(made.model)
    contract = session.contract
    assert contract.family == made.name
    graph = onnx.load(made.model).graph
    assert [value.name for value in graph.input] == [tensor.name for tensor in contract.inputs]
    assert [value.name for value in graph.output] == list(contract.output_names)
    assert {contract.inside.tensor(tap) for tap in contract.inside.names} <= {
        name for node in graph.node for name in node.output
    }


def test_what_it_infers_is_written(made: Made, tmp_path: Path) -> None:
    assert ended(infer.main, made.model, made.pictures, "-o", tmp_path, "--min-score", MIN_SCORE) == 0
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    rows = [row for line in lines for row in line[THINGS[made.contract.task]]]
    assert len(rows) >= LEAST_FOUND[made.contract.task]
    assert {row["category_id"] for row in rows} <= {category.id for category in made.contract.classes}
    outputs = made.contract.output_names
    masks = bool({"masks", "prototypes"} & set(outputs))
    assert all(("segmentation" in row) == masks for row in rows)
    assert (tmp_path / ("labels" if "semantic" in outputs else "predictions.json")).exists()


def test_it_is_evaluated(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    data = ["--data", made.annotations, "--images", made.pictures]
    assert ended(evaluate.main, made.model, *data, "-o", out) == 0
    told = json.loads(out.read_text())
    assert 0 <= told[task_of(made.contract).metric(made.contract).main] <= 1


def test_it_is_at_parity_at_every_tap(made: Made, tmp_path: Path) -> None:
    out, page = tmp_path / "parity.json", tmp_path / "parity.html"
    files = [made.checkpoint, made.model, made.pictures]
    assert ended(parity, *files, "--forced", "-o", out, "--html", page) == 0
    report = json.loads(out.read_text())
    task = made.contract.task
    assert report["summary"][COUNTED[task]] >= LEAST_FOUND[task]
    looked_at = {stage["stage"] for stage in report["stages"]["per_stage"]}
    assert {tap.name for tap in made.contract.inside.taps if tap.kind != "counts"} <= looked_at
    assert {part["part"] for part in report["parts"]} >= {part.name for part in made.contract.inside.parts}


def test_parity_names_the_first_tap_behind_a_wrong_weight(made: Made, tmp_path: Path) -> None:
    model = onnx.load(made.model)
    weights = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims, dtype=np.int64))
    values = onnx.numpy_helper.to_array(weights) * np.float32(1.1)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, tmp_path / "off.onnx")
    out = tmp_path / "parity.json"
    assert ended(parity, made.checkpoint, tmp_path / "off.onnx", made.picture, "-o", out) == 1
    first = json.loads(out.read_text())["stages"]["first"]["stage"]
    assert first in made.contract.inside.names
    assert first != "canvas"


def test_a_recorded_reference_serves_without_it(made: Made, tmp_path: Path) -> None:
    bundle, canvas = tmp_path / "recorded.npz", open_session(made.model).contract.canvas
    sides = ["--height", canvas.height_px, "--width", canvas.width_px]
    assert ended(parity, "record", made.checkpoint, made.picture, "-o", bundle, *sides) == 0
    assert ended(parity, "check", bundle, made.model) == 0


def test_it_is_calibrated_or_the_gate_says_what_it_loses(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random weights may lose more in eight bits than is allowed: then there is no file. A few pictures may not
    tell: then there is one."""
    out, plan = tmp_path / "model.int8.onnx", tmp_path / "plan.json"
    Plan.default(Graph.of(onnx.load(made.model)), CPU, "minmax").write(plan)
    status = ended(calibrate.main, made.model, "--data", made.pictures, "--plan", plan, "-o", out)
    if status == EXIT_FAILED_CHECK:
        assert "the plan does not pass" in " ".join(capsys.readouterr().err.split())
        assert not out.exists()
        return
    assert status in (0, EXIT_UNDECIDED)
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(out).graph.node)
    assert open_session(out).contract.precision.name == "int8"
    assert_the_same_but_for_precision(out, made.model)
    found = load(out)(read_image(made.picture), min_score=MIN_SCORE)[0]
    assert len(found) >= LEAST_FOUND[made.contract.task]


def assert_the_same_but_for_precision(model: Path, of: Path) -> None:
    """Pictures are resized and laid, masks pasted, by the same rules, and all else that contracts say is equal."""
    contract, before = read_contract(model), read_contract(of)
    assert contract.precision.name != before.precision.name
    assert dataclasses.replace(contract, precision=before.precision) == before


def test_it_is_timed(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    status = ended(bench.main, made.model, "--image", made.picture, "--rounds", 3, "--no-memory", "--json")
    assert status == 0
    assert "model.onnx" in capsys.readouterr().out


def test_the_python_api_finds_what_the_reference_finds(made: Made) -> None:
    picture = read_image(made.picture)
    (found,) = load(made.model)(picture, min_score=MIN_SCORE)
    (expected,) = load(made.checkpoint)(picture, min_score=MIN_SCORE)
    assert len(found) >= LEAST_FOUND[made.contract.task]
    assert {result.height_px for result in (found, expected)} == {picture.shape[0]}
    assert found.to_line("one").keys() == expected.to_line("one").keys()
    if made.contract.task == "instances":
        assert (found.keypoints is None) == ("keypoints" not in made.contract.output_names)


def test_its_graph_in_half_precision_leaves_the_network_as_it_is(made: Made) -> None:
    network = made.loaded.build()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    to_half(made.family.graph(network, detections="fixed"))

    after = network.state_dict()
    assert {name for name in before if after[name].dtype != before[name].dtype} == set()
    assert {name for name in before if not torch.equal(after[name], before[name])} == set()


def test_its_contract_names_the_units_of_its_graph(made: Made) -> None:
    units = made.family.graph(made.loaded.build(), detections="fixed").units()

    assert units
    assert {unit: made.contract.layers.unit_of(f"{unit}.weight") for unit in units} == {u: u for u in units}


def test_in_eight_bits_it_learns_at_every_pair_of_its_file_and_nowhere_else(made: Made) -> None:
    if made.family.inference_only:
        pytest.skip("it is not trained")
    network = made.loaded.build()
    if made.name not in LEARN_IN_EIGHT_BITS:
        with pytest.raises(MaskrtError, match="maskrt calibrate"):
            made.family.fake_quantise(network)
        return
    made.family.fake_quantise(network)
    graph = Graph.of(onnx.load(made.model))
    placement = place(graph, Plan.default(graph, TENSORRT, "minmax").int8_layers, TENSORRT)
    points = learned_scales(network)
    groups = [placement.scale_groups.get(tensor_at(graph, point) or "") for point in points]
    assert dict(zip(points, groups, strict=True)) == {p: g for p, g in zip(points, groups, strict=True) if g}
    assert len(set(groups)) == len(groups), "one scale a pair"
    assert set().union(*(group or () for group in groups)) >= set(placement.scale_groups)


def refused(model: onnx.ModelProto) -> list[str]:
    """What any supported TensorRT would not take of it."""
    return [
        f"TensorRT {version}, {operators}: {refusal}"
        for version in ((8, 6), (10, 3), (10, 13), (11, 4))
        for operators in ("plugin", "body")
        for refusal in refusals(prepare(model, version, operators, "model.onnx"), version)
    ]


def test_every_supported_tensorrt_takes_it(made: Made) -> None:
    assert refused(onnx.load(made.model)) == []


def test_in_half_precision_every_supported_tensorrt_takes_it(made: Made) -> None:
    assert_the_same_but_for_precision(made.half, made.model)
    assert refused(onnx.load(made.half)) == []


class Tensor:
    """As Triton's Python backend has it."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self._array = name, array

    def as_numpy(self) -> np.ndarray:
        return self._array


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's module for Python models, as far as they use it."""
    module = SimpleNamespace(
        Tensor=Tensor,
        InferenceResponse=lambda tensors: {tensor.name: tensor.as_numpy() for tensor in tensors},
        get_input_tensor_by_name=lambda request, name: Tensor(name, request[name]),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)


def test_a_triton_server_answers_what_the_model_finds(made: Made, triton: None, tmp_path: Path) -> None:
    config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    options = ["-o", tmp_path, "--name", "m", "--min-score", MIN_SCORE]
    assert ended(serve_triton.main, made.model, *options) == 0
    parts = {}
    for part in ("preprocess", "postprocess"):
        config = text_format.Parse(
            (tmp_path / f"m_{part}/config.pbtxt").read_text(), config_pb2.ModelConfig()
        )
        names = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        parts[part] = runpy.run_path(str(tmp_path / f"m_{part}/1/model.py"))["TritonPythonModel"]()
        parts[part].initialize({"model_config": json_format.MessageToJson(config, **names)})
    (before,) = parts["preprocess"].execute([{"image": np.array([[made.picture.read_bytes()]], object)}])
    outputs = open_session(made.model).infer(before["images"], before["image_sizes"])
    outputs |= {name: one[:, None] for name, one in outputs.items() if one.ndim == 1}  # Triton's reshape
    (answer,) = parts["postprocess"].execute([outputs | before])
    (told,) = (json.loads(text) for text in answer["result"].ravel())
    assert told == load(made.model)(read_image(made.picture), min_score=MIN_SCORE)[0].to_line(0)
    assert len(told[THINGS[made.contract.task]]) > 0
