"""`maskrt build` from the ONNX file to the engine file. TensorRT and the GPU are played: no engine is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import onnx
import pytest

from maskrt.export import build_engine
from maskrt.export.build_engine import build
from maskrt.export.engine import configure, parse
from maskrt.export.engine.configure import Options
from maskrt.models.operators import DOMAIN
from maskrt.runtime.backends.trt import library as trt_library
from maskrt.runtime.backends.trt.device import Gpu
from maskrt.runtime.backends.trt.engine_file import read_plan
from maskrt.runtime.contract import METADATA_KEY
from maskrt.runtime.errors import ExportError
from tests.export.deformed import deformed
from tests.runtime.conftest import make_contract

PLAN = b"what TensorRT has built"
FIXED = make_contract(batch=1, height_px=64, width_px=64, rows="fixed")
LAYERS = {"Layers": [{"Name": "node_kept", "LayerType": "PluginV3", "Inputs": [], "Outputs": []}]}


class TensorRt(MagicMock):
    """TensorRT 10.3, which builds PLAN of anything and tells `layers` of it."""

    __version__ = "10.3.0"
    IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda self: None})

    def tells(self, layers: Any) -> None:
        """layers: as JSON, or a text. None: the plan cannot be loaded."""
        self.Builder.return_value.build_serialized_network.return_value = PLAN
        engine = self.Runtime.return_value.deserialize_cuda_engine.return_value
        engine.device_memory_size_v2 = 3 << 20
        text = layers if isinstance(layers, str) else json.dumps(layers)
        engine.create_engine_inspector.return_value.get_engine_information.return_value = text
        if layers is None:
            self.Runtime.return_value.deserialize_cuda_engine.return_value = None


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TensorRt:
    played = TensorRt()
    monkeypatch.setattr(build_engine, "import_tensorrt", lambda: played)
    for module in (build_engine, parse, trt_library):
        monkeypatch.setattr(module, "logger", lambda: MagicMock(errors=[]))
    gpu = Gpu("Orin", "8.7", "12.6", "12.6", 8 << 30, 4 << 30)
    monkeypatch.setattr(build_engine, "describe_gpu", lambda: gpu)
    monkeypatch.setattr(build_engine, "load_python", lambda: None)
    monkeypatch.setattr(build_engine, "save_timing_cache", lambda *_: None)
    monkeypatch.setattr(build_engine, "load_timing_cache", lambda *_: None)
    monkeypatch.setattr(configure, "TEGRA_RELEASE", tmp_path / "nv_tegra_release")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return played


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file with one plugin, its node named node_kept."""
    given = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 18, "{DOMAIN}": 1]>
        g (float[1,9,4] boxes, float[1,9] scores, int32[1,9] groups) => (int32[1,5] kept, int32[1] count)
        {{ kept, count = {DOMAIN}.GroupedNms <max_output = 5> (boxes, scores, groups) }}"""
    )
    given.graph.node[0].name = "node_kept"
    given.metadata_props.add(key=METADATA_KEY, value=FIXED.to_json())
    onnx.save(given, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_what_tensorrt_built_is_written_and_its_layers_are_told(
    tensorrt: TensorRt, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensorrt.tells(LAYERS)
    _, report = build(model, model.with_suffix(".engine"), operators="plugin")
    assert bytes(read_plan(model.with_suffix(".engine"))) == PLAN
    assert (report.plugins, report.unknown) == (("node_kept",), "")
    assert "activations 3 MiB" in capsys.readouterr().err


@pytest.mark.parametrize("operators", ["plugin", "body"])
def test_tensorrts_own_plugins_are_there_before_the_parser_begins(
    operators: str, tensorrt: TensorRt, tmp_path: Path
) -> None:
    """Its parser makes one of them of ONNX's DeformConv (onnx-tensorrt at 10.1, importerUtils.cpp)."""
    deform = deformed()
    deform.metadata_props.add(key=METADATA_KEY, value=FIXED.to_json())
    onnx.save(deform, tmp_path / "model.onnx")
    tensorrt.tells({"Layers": []})
    parser = tensorrt.OnnxParser.return_value
    parser.parse.side_effect = lambda _: tensorrt.init_libnvinfer_plugins.called

    _, report = build(tmp_path / "model.onnx", tmp_path / "model.engine", operators=operators)

    assert parser.parse.called
    assert report.plugins == ()  # none of ours, which would be missing in the engine


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (None, "TensorRT does not load the plan that it has just built"),
        ("{cut short", "JSONDecodeError: "),
        ({"Bindings": []}, "KeyError: 'Layers'"),
    ],
)
def test_a_report_that_fails_costs_no_engine(
    layers: Any, reason: str, tensorrt: TensorRt, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensorrt.tells(layers)
    _, report = build(model, model.with_suffix(".engine"), operators="plugin")
    assert bytes(read_plan(model.with_suffix(".engine"))) == PLAN
    assert reason in report.unknown
    assert f"layers unknown, and whether the plugins are among them: {reason}" in capsys.readouterr().err


def test_an_engine_without_its_plugin_is_an_error_and_is_not_kept(tensorrt: TensorRt, model: Path) -> None:
    tensorrt.tells({"Layers": []})
    with pytest.raises(ExportError, match=r"missing: node_kept\. No engine was kept"):
        build(model, model.with_suffix(".engine"), operators="plugin")
    assert not model.with_suffix(".engine").exists()


def test_a_jetson_has_no_engines_for_other_gpus(tensorrt: TensorRt, model: Path, tmp_path: Path) -> None:
    tensorrt.tells(LAYERS)
    portable = Options(hardware_compatible=True)
    build(model, model.with_suffix(".engine"), operators="plugin", options=portable)
    (tmp_path / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.3")
    with pytest.raises(ExportError, match="--hardware-compatible: TensorRT has no such engines on JetPack"):
        build(model, tmp_path / "other.engine", operators="plugin", options=portable)
    assert not (tmp_path / "other.engine").exists()
