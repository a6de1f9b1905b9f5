from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from onnx import helper

from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.backends.open_onnx import BACKENDS, installed
from maskrt.runtime.contract import FORMAT_VERSION, Contract
from maskrt.runtime.errors import ContractError, MaskrtError, MissingDependencyError, ModelError
from maskrt.runtime.packages import install

Make = Callable[..., Contract]
Write = Callable[..., Path]


def message(path: Path, kind: type[MaskrtError], **options: str) -> str:
    with pytest.raises(kind) as caught:
        open_session(path, **options)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def skip_without(backend: str) -> None:
    if backend not in installed():
        pytest.skip(f"the backend {backend} is not installed")


def test_opens_a_model_with_a_contract(tiny_session: Session, tiny_onnx: Path, contract_with: Make) -> None:
    assert tiny_session.contract == contract_with()
    assert tiny_session.name == str(tiny_onnx)


def test_opens_a_path_given_as_text(tiny_onnx: Path) -> None:
    assert open_session(str(tiny_onnx)).name == str(tiny_onnx)


def test_refuses_an_onnx_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "foreign.onnx"
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "foreign", [value], [result])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)

    said = message(path, ContractError)

    assert "an ONNX file without a maskrt contract (no 'maskrt.contract' in its metadata)" in said
    assert f"maskrt export CHECKPOINT -o {path}" in said


def test_refuses_a_model_that_lost_its_contract(write_model: Write) -> None:
    path = write_model(contract="")

    assert "without a maskrt contract" in message(path, ContractError)


def test_refuses_a_contract_of_a_newer_format(write_model: Write, contract_with: Make) -> None:
    newer = json.loads(contract_with().to_json()) | {"format_version": FORMAT_VERSION + 1}
    path = write_model(contract=json.dumps(newer))

    said = message(path, ContractError)

    assert f"the contract has format {FORMAT_VERSION + 1}" in said
    assert "Upgrade maskrt here" in said


def test_refuses_metadata_that_is_no_contract(write_model: Write) -> None:
    path = write_model(contract="{ not JSON")

    said = message(path, ContractError)

    assert "is not a maskrt contract" in said
    assert f"maskrt export CHECKPOINT -o {path}" in said


@pytest.mark.parametrize("backend", BACKENDS)
def test_refuses_a_model_without_the_outputs_of_the_contract(
    backend: str, tiny_onnx: Path, tmp_path: Path
) -> None:
    skip_without(backend)
    model, path = onnx.load(tiny_onnx), tmp_path / "maskless.onnx"
    assert model.graph.output.pop().name == "masks"
    onnx.save_model(model, path)

    said = message(path, ContractError, backend=backend)

    given = ("num_detections", "boxes", "scores", "labels")
    assert f"outputs are {given}, expected {(*given, 'masks')}. Export it again." in said


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("promise", "said"),
    [
        ({"batch": 2}, "'images' is any x any x any x 3, but its contract says 2 x any x any x 3"),
        ({"height_px": 64, "width_px": 96}, "but its contract says any x 64 x 96 x 3"),
        ({"max_detections": 7}, "'boxes' is any x 4 x 4, but its contract says any x 7 x 4"),
        ({"mask_size": 9}, "'masks' is any x 4 x 8 x 8, but its contract says any x 4 x 9 x 9"),
    ],
)
def test_refuses_a_contract_of_other_shapes_than_the_graph_s(
    backend: str, promise: dict[str, int], said: str, write_model: Write, contract_with: Make
) -> None:
    skip_without(backend)
    path = write_model(contract=contract_with(**promise).to_json())

    assert said in message(path, ContractError, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_refuses_a_contract_of_another_dtype_than_the_graph_s(
    backend: str, tiny_onnx: Path, tmp_path: Path
) -> None:
    """int64 is what PyTorch's indices are, where a family forgets to convert them."""
    skip_without(backend)
    model, path = onnx.load(tiny_onnx), tmp_path / "wide.onnx"
    maker = next(node for node in model.graph.node if "labels" in node.output)
    maker.output[:] = ["narrow"]
    model.graph.node.append(onnx.helper.make_node("Cast", ["narrow"], ["labels"], to=onnx.TensorProto.INT64))
    labels = next(value for value in model.graph.output if value.name == "labels")
    labels.type.tensor_type.elem_type = onnx.TensorProto.INT64
    onnx.save_model(model, path)

    said = message(path, ContractError, backend=backend)

    assert "its tensor 'labels' is int64, but its contract says int32" in said


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_refuses_weights_that_are_no_numbers(
    backend: str, value: float, dtype: type, tiny_onnx: Path, tmp_path: Path
) -> None:
    """Of a layer that the tiny model does not run, so that its outputs are sound."""
    skip_without(backend)
    model, path = onnx.load(tiny_onnx), tmp_path / "diverged.onnx"
    weights = np.zeros((4, 3), dtype)
    weights[1, 2] = value
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "layer1.weight"))
    onnx.save_model(model, path)

    said = message(path, ModelError, backend=backend)

    assert "weight 'layer1.weight': 1 of 12 values are NaN or infinite" in said


def test_an_infinity_that_is_a_constant_is_none_of_the_weights(tiny_onnx: Path, tmp_path: Path) -> None:
    model, path = onnx.load(tiny_onnx), tmp_path / "model.onnx"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(-np.inf), "padding"))
    onnx.save_model(model, path)

    open_session(path)


def test_refuses_a_model_for_another_task(write_model: Write, contract_with: Make) -> None:
    path = write_model(contract=contract_with(task="juggling"))

    said = message(path, ContractError)

    assert "juggling" in said
    assert "instance" in said


@pytest.mark.parametrize(
    "content",
    [b"", b"hello, this is a text", b"\x08\x09\x12\x04maskrt" * 100],
    ids=["empty", "text", "bytes"],
)
def test_refuses_a_file_that_is_no_onnx(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)

    said = message(path, ModelError)

    assert "ONNX Runtime cannot load it" in said
    assert f"maskrt export CHECKPOINT -o {path}" in said


def test_refuses_half_an_onnx_file(tiny_onnx: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(tiny_onnx.read_bytes()[: tiny_onnx.stat().st_size // 2])

    assert "ONNX Runtime cannot load it" in message(path, ModelError)


def test_says_how_to_make_a_missing_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "absent.onnx"

    assert f"no such model file. Make one: maskrt export CHECKPOINT -o {path}" in message(path, ModelError)


def test_says_how_to_make_a_missing_checkpoint(tmp_path: Path) -> None:
    said = message(tmp_path / "absent.pt", ModelError)

    assert "no such model file" in said
    assert "maskrt train" in said


@pytest.mark.parametrize("name", ["model.xml", "model", "onnx"])
def test_names_the_suffixes_it_knows(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"whatever")

    assert (
        f"the name ends in {path.suffix!r}, expected .onnx, .engine, .pt or .pth or .pkl or .h5"
        in message(path, ModelError)
    )


@pytest.mark.parametrize("name", ["best.pt", "model.engine"])
def test_refuses_to_run_another_file_on_a_backend_of_onnx_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"whatever")

    with pytest.raises(ModelError, match=r"--backend openvino is for \.onnx files"):
        open_session(tmp_path / name, backend="openvino")


def test_refuses_a_device_it_does_not_know(tiny_onnx: Path) -> None:
    assert "device 'tpu', expected one of ['cpu', 'cuda']" in message(tiny_onnx, ModelError, device="tpu")


def test_says_what_cuda_needs(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])

    said = message(tiny_onnx, MissingDependencyError, device="cuda")

    assert "CUDAExecutionProvider" in said
    assert install("gpu") in said


def test_an_older_contract_in_a_file_is_refused_by_the_command(
    write_model: Write, contract_with: Make, picture_file: Path, command: Callable[..., Any]
) -> None:
    from maskrt.runtime.infer import main

    fields = json.loads(contract_with().to_json()) | {"format_version": 0}
    path = write_model(contract=json.dumps(fields))

    ended = command(main, path, picture_file)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"maskrt infer: {path}: the contract has format 0")
    assert len(ended.err.splitlines()) == 1
