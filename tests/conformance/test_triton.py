"""Every family behind Triton's Python models: what the server answers is what the model finds."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from google.protobuf import json_format, text_format

from maskrt.runtime import serve_triton
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.predictor import load
from tests.conformance.conftest import Made, ended

MIN_SCORE = 0.1


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
    outputs = open_session(made.model).infer(before["images"], before["image_sizes"]).arrays()
    outputs["num_detections"] = outputs["num_detections"][:, None]  # Triton's reshape
    (answer,) = parts["postprocess"].execute([outputs | before])
    (told,) = (json.loads(text) for text in answer["result"].ravel())
    assert told == load(made.model)(read_image(made.picture), min_score=MIN_SCORE)[0].to_line(0)
    assert len(told["detections"]) > 0
