"""What `maskrt build` decides before TensorRT begins: shapes, plugins or bodies, versions, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from maskrt.export import build as build_command
from maskrt.export import build_engine
from maskrt.export.build_engine import carries
from maskrt.export.engine.choose import choose_operators
from maskrt.export.engine.configure import timing_cache_path
from maskrt.export.engine.profiles import make_profiles, parse_shape
from maskrt.export.engine.small import small_contract
from maskrt.export.engine.source import check_version, read_model
from maskrt.runtime.backends.trt.engine_file import Profile
from maskrt.runtime.backends.trt.plugins import LIBRARY, VARIABLE
from maskrt.runtime.contract import METADATA_KEY
from maskrt.runtime.errors import ContractError, ExportError, ModelError
from tests.runtime.conftest import make_contract
from tests.test_imports import BLOCK, python

COCO = {"min_size_px": 800, "max_size_px": 1333}
ANY = make_contract(batch=None, **COCO)


def test_a_shape_is_read_as_batch_height_width() -> None:
    assert parse_shape("4x800x1344") == (4, 800, 1344)


@pytest.mark.parametrize("text", ["800x1344", "1x0x320", "1x-1x320", "1x320x320x3", "ax320x320", ""])
def test_what_is_no_shape_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ExportError, match=r"expected NxHxW of the canvas, e\.g\. 1x800x1344"):
        parse_shape(text)


def test_without_asking_every_canvas_of_the_contract_fits() -> None:
    (profile,) = make_profiles(ANY, [], [], [])
    assert profile == Profile("1x800x1344", (1, 32, 32), (1, 800, 1344), (1, 1344, 1344))
    assert profile.accepts((1, 1344, 800))  # a portrait
    assert not profile.accepts((2, 800, 1344))


def test_the_preset_for_small_devices_stops_at_640_px() -> None:
    smaller = small_contract(ANY)
    assert (smaller.canvas.min_size_px, smaller.canvas.max_size_px) == (384, 640)
    (profile,) = make_profiles(smaller, [], [], [])
    assert profile == Profile("1x384x640", (1, 32, 32), (1, 384, 640), (1, 640, 640))
    assert small_contract(smaller) == smaller
    fixed = make_contract(batch=1, height_px=800, width_px=1344, **COCO)
    assert small_contract(fixed) == fixed


def test_profiles_are_made_row_by_row_and_named_by_what_they_are_fastest_at() -> None:
    found = make_profiles(
        ANY, ["1x320x320", "1x640x640"], ["1x640x640", "1x800x1344"], ["4x640x640", "1x1344x1344"]
    )
    assert found == (
        Profile("1x640x640", (1, 320, 320), (1, 640, 640), (4, 640, 640)),
        Profile("1x800x1344", (1, 640, 640), (1, 800, 1344), (1, 1344, 1344)),
    )


def test_opt_alone_is_one_shape() -> None:
    (profile,) = make_profiles(ANY, [], ["2x640x640"], [])
    assert profile.min == profile.opt == profile.max == (2, 640, 640)


@pytest.mark.parametrize(
    ("least", "best", "most", "message"),
    [
        (["1x320x320"], [], [], "1 --min, 0 --opt and 0 --max: every profile needs an --opt"),
        (["1x320x320"], ["1x320x320", "1x640x640"], [], "1 --min, 2 --opt"),
        ([], ["1x320x320", "1x640x640"], ["1x640x640"], "2 --opt and 1 --max"),
        ([], ["1x320x320", "1x320x320"], [], "two profiles with the same --opt"),
        (["1x640x640"], ["1x320x640"], ["1x640x640"], "must not fall from --min to --opt to --max"),
        ([], ["2x640x640"], ["1x640x640"], "must not fall"),
        ([], ["1x300x640"], [], "sides must be multiples of 32. Try 1x320x640"),
    ],
)
def test_profiles_that_cannot_be_are_refused(
    least: list[str], best: list[str], most: list[str], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        make_profiles(ANY, least, best, most)


def test_a_fixed_model_has_no_profiles_and_takes_no_other_shape() -> None:
    fixed = make_contract(batch=1, height_px=800, width_px=1344)
    assert make_profiles(fixed, [], [], []) == ()
    assert make_profiles(fixed, [], ["1x800x1344"], []) == ()
    with pytest.raises(ExportError, match=r"fixed to 1x800x1344\. For any size: maskrt export"):
        make_profiles(fixed, [], ["1x640x640"], [])


def test_a_model_of_a_fixed_batch_keeps_it_in_every_profile() -> None:
    batch = make_contract(batch=2, **COCO)
    assert make_profiles(batch, [], [], [])[0].max == (2, 1344, 1344)
    with pytest.raises(ExportError, match="None stands for any"):
        make_profiles(batch, [], ["1x640x640"], [])


@pytest.fixture
def no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def library(no_library: Path) -> Path:
    path = no_library / LIBRARY
    path.write_bytes(b"a plugin library")
    return path


@pytest.mark.parametrize("asked", ["auto", "plugin"])
@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.4.0"])
def test_a_plugin_library_is_taken_where_there_is_one(asked: str, version: str, library: Path) -> None:
    chosen = choose_operators(asked, version, library.parent, "8.7")
    assert (chosen.kind, chosen.library) == ("plugin", library)
    assert str(library) in chosen.summary


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_without_a_library_auto_takes_the_bodies_and_says_so(version: str, no_library: Path) -> None:
    chosen = choose_operators("auto", version, no_library, "8.7")
    assert (chosen.kind, chosen.library) == ("body", None)
    assert "since there is no plugin library: slower. Build it: maskrt build-plugins" in chosen.summary


def test_bodies_are_taken_when_asked_for_whatever_is_here(library: Path) -> None:
    assert choose_operators("body", "10.3.0", library.parent, "8.7").kind == "body"


def test_plugins_without_a_library_are_the_ones_in_python(no_library: Path) -> None:
    chosen = choose_operators("plugin", "10.3.0", no_library, "8.7")
    assert (chosen.kind, chosen.library) == ("plugin", None)
    assert "plugins in Python" in chosen.summary


def test_the_plugins_in_python_can_be_asked_for(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "python")
    assert choose_operators("auto", "10.3.0", library.parent, "8.7").library is None
    with pytest.raises(ExportError, match=r"8\.6\.1, which knows no plugins in Python"):
        choose_operators("auto", "8.6.1", library.parent, "8.7")


def test_8_6_has_no_plugins_without_a_library(no_library: Path) -> None:
    with pytest.raises(ExportError, match="maskrt build-plugins; or build from the function bodies"):
        choose_operators("plugin", "8.6.1", no_library, "8.7")


def test_operators_that_are_no_choice_are_refused(no_library: Path) -> None:
    with pytest.raises(ExportError, match="'plugins', expected one of auto, plugin, body"):
        choose_operators("plugins", "10.3.0", no_library, "8.7")


@pytest.mark.parametrize("version", ["8.6.1", "8.6.0", "10.3.0", "10.13.3.9", "11.4.0.106"])
def test_supported_versions_pass(version: str) -> None:
    assert f"{check_version(version)[0]}." in version


@pytest.mark.parametrize("version", ["8.5.3", "9.3.0", "10.0.1", "10.2.0"])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(ExportError, match=r"built with 8\.6, or with 10\.3 and later"):
        check_version(version)


def test_one_timing_cache_serves_a_folder_gpu_and_version() -> None:
    path = timing_cache_path(Path("out/model.engine"), "10.3.0", "8.7")
    assert path == Path("out/tensorrt-10.3.0-sm87.timing")


def test_a_plan_carries_a_library_if_the_library_is_found_in_it(tmp_path: Path) -> None:
    library = tmp_path / LIBRARY
    library.write_bytes(b"\x7fELF" + bytes(range(256)) * 40)
    assert carries(b"ftrt" + b"\0" * 999 + library.read_bytes() + b"more", library)
    assert not carries(b"ftrt" + b"\x7fELF" + b"\0" * 9999, library)


def model_file(path: Path, contract: str | None) -> Path:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[4] x) => (float[4] y) { y = Relu (x) }'
    )
    if contract is not None:
        model.metadata_props.add(key=METADATA_KEY, value=contract)
    onnx.save(model, path)
    return path


def test_a_file_without_a_contract_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="without a maskrt contract"):
        read_model(model_file(tmp_path / "foreign.onnx", None))


def test_a_model_whose_shapes_depend_on_the_picture_is_refused(tmp_path: Path) -> None:
    path = model_file(tmp_path / "cpu.onnx", make_contract(rows="dynamic").to_json())
    with pytest.raises(ModelError, match="maskrt export CHECKPOINT --detections fixed"):
        read_model(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("missing.onnx", None, "cannot be read"), ("text.onnx", b"no model", "no ONNX file")],
)
def test_what_is_no_model_is_refused(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dla"], "a DLA runs no plugins"),
        (["--opt", "800x1344"], "'800x1344' is no shape"),
        (["--operators", "fast"], "expected one of auto, plugin, body"),
    ],
)
def test_the_command_refuses_in_a_sentence_and_writes_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_engine, "import_tensorrt", lambda: SimpleNamespace(__version__="10.3.0"))
    path = model_file(tmp_path / "model.onnx", make_contract(batch=None, rows="fixed").to_json())
    with pytest.raises(SystemExit) as stopped:
        build_command.main([str(path), "-o", str(tmp_path / "model.engine"), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_a_folder_is_no_engine_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"a folder; name the engine file, e\.g\. -o .*model\.engine"):
        build_engine.build(tmp_path / "model.onnx", tmp_path)


def test_building_needs_no_torch() -> None:
    """A Jetson has numpy, OpenCV, onnx and TensorRT, not our training stack."""
    block = BLOCK.replace("'onnx', ", "")
    parts = "layers, memory, parse, prepare, source"
    done = python(f"{block}\nimport maskrt.export.build_engine\nfrom maskrt.export.engine import {parts}")
    assert done.returncode == 0, done.stderr
    assert "blocked: torch" in python(f"{block}\nimport maskrt.export.onnx_model").stderr
