"""A Triton repository: configurations that Triton's own protobuf takes, and models that find what `infer` finds."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

import maskrt
from maskrt.runtime import serve_triton
from maskrt.runtime.backends.open import Outputs, Session, open_session
from maskrt.runtime.backends.trt.engine_file import write_engine
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import preprocess
from tests.runtime.conftest import BOXES_ALONE, WITH_POINTS
from tests.runtime.engines import make_header

Make = Callable[..., Contract]
Run = Callable[..., Any]
Write = Callable[..., Path]
FIXED = {"batch": 2, "height_px": 96, "width_px": 64}
DETECTRON2S = {"resize": "pil", "rounding": "nearest_by_side", "paste": "pixel_middles"}
MIN_SCORE = 0.5


@pytest.fixture(
    params=[{}, FIXED, BOXES_ALONE, WITH_POINTS, DETECTRON2S],
    ids=["any size and batch", "fixed", "boxes alone", "with points", "by Detectron2's rules"],
)
def model(request: pytest.FixtureRequest, write_model: Write, contract_with: Make) -> Path:
    return write_model(contract=contract_with(**request.param))


def serve(command: Run, model: Path, repository: Path, *arguments: object) -> Any:
    return command(serve_triton.main, model, "-o", repository, *arguments)


def read(repository: Path) -> dict[str, ModelConfig]:
    """Configurations by the part that a model plays; raises for what Triton would not take."""
    configs = {}
    for file in sorted(repository.glob("*/config.pbtxt")):
        config = text_format.Parse(file.read_text(), ModelConfig())
        assert config.name == file.parent.name
        assert any((file.parent / "1").iterdir()) or config.platform == "ensemble"
        configs[file.parent.name.removeprefix("model").lstrip("_") or "ensemble"] = config
    return configs


def as_json(config: ModelConfig) -> str:
    """As Triton hands it to a Python model: with the fields' own names, and those that are 0."""
    options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    return json_format.MessageToJson(config, **options)


def full_shape(config: ModelConfig, tensor: Any) -> list[int]:
    """As Triton reads it: max_batch_size adds a side in front."""
    dims = list(tensor.reshape.shape) if tensor.HasField("reshape") else list(tensor.dims)
    return [-1, *dims] if config.max_batch_size else dims


def test_triton_s_own_protobuf_reads_every_configuration(command: Run, model: Path, tmp_path: Path) -> None:
    ended = serve(command, model, tmp_path / "repository")

    assert (ended.code, ended.out) == (0, f"tritonserver --model-repository={tmp_path / 'repository'}\n")
    configs = read(tmp_path / "repository")
    assert set(configs) == {"ensemble", "preprocess", "network", "postprocess"}
    assert (tmp_path / "repository/model_network/labels.txt").read_text() == "cat\ntoothbrush\ncar\n"
    with pytest.raises(text_format.ParseError):
        text_format.Parse('name: "a" dimensions: [1]', ModelConfig())  # the control: it does look


def test_the_network_s_tensors_are_those_of_the_file(command: Run, model: Path, tmp_path: Path) -> None:
    serve(command, model, tmp_path)

    config, session = read(tmp_path)["network"], onnxruntime.InferenceSession(model)
    for tensor, node in zip(
        [*config.input, *config.output], [*session.get_inputs(), *session.get_outputs()], strict=True
    ):
        assert tensor.name == node.name
        assert full_shape(config, tensor) == [n if isinstance(n, int) else -1 for n in node.shape], node.name
    assert config.HasField("dynamic_batching") == (config.max_batch_size > 0)


def test_every_step_is_given_what_it_takes(command: Run, model: Path, tmp_path: Path) -> None:
    serve(command, model, tmp_path)

    configs = read(tmp_path)
    ensemble = configs["ensemble"]
    known = {tensor.name: (tensor.data_type, tensor.dims) for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        config = configs[step.model_name.removeprefix("model_")]
        assert config.max_batch_size == ensemble.max_batch_size
        assert set(step.input_map) == {tensor.name for tensor in config.input}
        for tensor in config.input:
            assert known[step.input_map[tensor.name]] == (tensor.data_type, tensor.dims), tensor.name
        known |= {step.output_map[t.name]: (t.data_type, t.dims) for t in config.output}
    for tensor in ensemble.output:
        assert known[tensor.name] == (tensor.data_type, tensor.dims)


class Tensor:
    """As Triton's Python backend has it."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self._array = name, array

    def as_numpy(self) -> np.ndarray:
        return self._array


FAKE = SimpleNamespace(
    Tensor=Tensor,
    TritonError=lambda message: message,
    InferenceResponse=lambda tensors, error=None: SimpleNamespace(
        arrays={tensor.name: tensor.as_numpy() for tensor in tensors}, error=error
    ),
    get_input_tensor_by_name=lambda request, name: Tensor(name, request[name]),
)


@pytest.fixture
def served(
    command: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[list[bytes]]], list[Any]]:
    """Requests through the three models as the ensemble would take them; the network on ONNX Runtime."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", FAKE)
    serve(command, model, tmp_path, "--min-score", MIN_SCORE)
    configs, session = read(tmp_path), open_session(model)
    models = {}
    for part in ("preprocess", "postprocess"):
        loaded = runpy.run_path(str(tmp_path / f"model_{part}/1/model.py"))["TritonPythonModel"]()
        config = as_json(configs[part])
        loaded.initialize({"model_config": config})
        models[part] = loaded
    batches = configs["network"].max_batch_size > 0

    def answer(requests: list[list[bytes]]) -> list[Any]:
        arrays = [np.array(files, object) for files in requests]
        wanted = [{"image": a[:, None] if batches else a} for a in arrays]
        answers = models["preprocess"].execute(wanted)
        results = []
        for before in answers:
            if before.error is not None:
                results.append(before.error)
                continue
            outputs: Outputs = session.infer(before.arrays["images"], before.arrays["image_sizes"])
            after = outputs | before.arrays
            if batches:  # Triton's reshape
                after["num_detections"] = after["num_detections"][:, None]
            (last,) = models["postprocess"].execute([after])
            column = last.error or last.arrays["result"]
            assert last.error or column.shape == ((len(column), 1) if batches else (len(column),))
            results.append(last.error or [json.loads(text) for text in column.ravel()])
        return results

    return answer


def encoded(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


def test_clients_are_given_what_the_model_finds(
    served: Callable[[list[list[bytes]]], list[Any]], model: Path, picture: np.ndarray
) -> None:
    pictures = [picture, np.zeros_like(picture), cv2.resize(picture, (50, 120))]

    answers = served([[encoded(each)] for each in pictures])

    with maskrt.load(model) as loaded:
        expected = [result.to_line(0) for result in loaded(pictures, min_score=MIN_SCORE)]
    assert [len(line["detections"]) for line in expected] == [2, 0, 2], "the control: there is what to find"
    assert [line for (line,) in answers] == expected


def test_pictures_are_laid_by_the_rules_of_the_model_s_contract(
    served: Callable[[list[list[bytes]]], list[Any]],
    model: Path,
    picture: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []
    infer = Session.infer
    monkeypatch.setattr(
        Session, "infer", lambda self, images, sizes: (seen.append(images), infer(self, images, sizes))[1]
    )

    served([[encoded(picture)]])

    expected = preprocess([picture], open_session(model).contract.canvas).images
    np.testing.assert_array_equal(seen[0][:1], expected)


def test_a_request_may_hold_several_images_of_one_canvas(
    served: Callable[[list[list[bytes]]], list[Any]], picture: np.ndarray
) -> None:
    alone, both = served([[encoded(picture)], [encoded(np.zeros_like(picture)), encoded(picture)]])

    assert [len(line["detections"]) for line in both] == [0, 2]
    first = alone[0]["detections"][0]
    assert both[1]["detections"][0] == {**first, "image_id": 1}
    assert len(first.keys() - {"image_id", "category_id", "name", "score", "bbox"}) <= 1, (
        "a mask, points, or none"
    )


def test_a_bad_image_is_its_own_request_s_error(
    served: Callable[[list[list[bytes]]], list[Any]], picture: np.ndarray
) -> None:
    bad, good, many = served([[b"no image"], [encoded(picture)], [encoded(picture)] * 3])

    assert bad.startswith("image 0: not an image that can be decoded")
    assert len(good[0]["detections"]) == 2
    assert many == "'image' holds 3 images, the model takes 1 to 2." or len(many) == 3


def test_images_for_several_canvases_are_to_be_sent_apart(
    command: Run, tiny_onnx: Path, picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", FAKE)
    serve(command, tiny_onnx, tmp_path)
    model = runpy.run_path(str(tmp_path / "model_preprocess/1/model.py"))["TritonPythonModel"]()
    config = as_json(read(tmp_path)["preprocess"])
    model.initialize({"model_config": config})

    files = [encoded(picture), encoded(cv2.resize(picture, (50, 120)))]
    (answer,) = model.execute([{"image": np.array(files, object)[:, None]}])

    assert "canvases of different sizes, [(64, 96), (96, 64)]. Send each in a request" in answer.error


def test_an_engine_s_plan_and_profiles_are_served(command: Run, tmp_path: Path) -> None:
    write_engine(tmp_path / "model.engine", make_header(plugin_embedded=True), b"the plan")

    ended = serve(command, tmp_path / "model.engine", tmp_path / "repository", "--max-batch", 64)

    assert ended.code == 0, ended.err
    assert ended.out.rstrip().endswith("--backend-config=tensorrt,version-compatible=true")
    assert (tmp_path / "repository/model_network/1/model.plan").read_bytes() == b"the plan"
    network = read(tmp_path / "repository")["network"]
    assert (network.platform, network.max_batch_size) == ("tensorrt_plan", 4), "the largest of its profiles"
    (group,) = network.instance_group
    assert (group.kind, list(group.profile)) == (ModelInstanceGroup.KIND_GPU, ["0", "1"])


def test_an_engine_without_its_plugins_is_refused(command: Run, tmp_path: Path) -> None:
    write_engine(tmp_path / "model.engine", make_header(plugin_embedded=False), b"the plan")

    ended = serve(command, tmp_path / "model.engine", tmp_path / "repository")

    assert ended.code == 2
    assert "its plugins are not in the plan" in ended.err
    assert "--operators body" in ended.err
    assert not (tmp_path / "repository").exists()


def test_a_repository_may_hold_several_models_and_none_is_overwritten(
    command: Run, tiny_onnx: Path, tmp_path: Path
) -> None:
    assert serve(command, tiny_onnx, tmp_path).code == 0
    assert serve(command, tiny_onnx, tmp_path, "--name", "second").code == 0
    before = sorted(tmp_path.iterdir())

    again = serve(command, tiny_onnx, tmp_path)

    assert len(before) == 8
    assert (again.code, sorted(tmp_path.iterdir())) == (2, before)
    assert "is there already" in again.err


@pytest.mark.parametrize("failing", ["write", "move"])
def test_a_failure_leaves_no_part_of_a_model(
    failing: str, command: Run, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if failing == "write":
        monkeypatch.setattr(serve_triton.shutil, "copyfile", fail)
    else:
        rename = Path.rename
        monkeypatch.setattr(Path, "rename", lambda p, to: fail() if p.name == "model" else rename(p, to))

    ended = serve(command, tiny_onnx, tmp_path)

    assert ended.code == 2
    assert "cannot be written (No space left on device)" in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("best.pt",), "Triton takes .onnx or .engine"),
        (("model.onnx", "--name", "a/b"), "--name 'a/b'"),
        (("model.onnx", "--device", "gpu"), "device 'gpu', expected one of ['cpu', 'cuda']"),
    ],
)
def test_what_cannot_be_served_is_refused(
    arguments: tuple[str, ...], expected: str, command: Run, tiny_onnx: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(tiny_onnx.read_bytes())
    model, *rest = arguments

    ended = serve(command, tmp_path / model, tmp_path / "repository", *rest)

    assert ended.code == 2
    assert expected in ended.err
    assert "Traceback" not in ended.err
