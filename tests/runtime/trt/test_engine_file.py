"""The engine file: what is written is read back, and nothing else passes for one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.backends.trt.engine_file import (
    ALIGNMENT_BYTES,
    FORMAT_VERSION,
    MAGIC,
    PREFIX,
    EngineHeader,
    Profile,
    read_header,
    read_plan,
    write_engine,
)
from maskrt.runtime.errors import ContractError, MaskrtError, ModelError
from tests.runtime.engines import make_header

PLAN = bytes(range(256)) * 40


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "model.engine"
    write_engine(path, make_header(), PLAN)
    return path


def refusal(path: Path, error: type[MaskrtError] = ModelError) -> str:
    """What both readers say of a file that is no whole engine file."""
    with pytest.raises(error) as caught:
        read_header(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_gives_back_the_header_and_the_plan(engine: Path) -> None:
    assert read_header(engine) == make_header()
    assert read_plan(engine) == PLAN


def test_the_plan_is_mapped_and_aligned(engine: Path) -> None:
    plan = np.frombuffer(read_plan(engine), np.uint8)

    assert plan.ctypes.data % ALIGNMENT_BYTES == 0
    assert not plan.flags.writeable


def test_takes_any_buffer(tmp_path: Path) -> None:
    write_engine(tmp_path / "a", make_header(), np.frombuffer(PLAN, np.int32))

    assert read_plan(tmp_path / "a") == PLAN


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (b"", "an empty file", "maskrt build MODEL.onnx -o {path}"),
        (b"ftrt\0\0\0\0 plan", "a plan of TensorRT itself", "maskrt build MODEL.onnx -o {path}"),
        (b"ptrt\0\0\0\0 plan", "a plan of TensorRT itself", "maskrt build MODEL.onnx -o {path}"),
        (b"PK\x03\x04 zip", "a checkpoint of PyTorch", "maskrt export {path} -o MODEL.onnx"),
        (b"\x08\x09\x12", "an ONNX model", "maskrt build {path} -o MODEL.engine"),
        (b"\x89PNG\r\n", r"something else (it begins with b'\x89PNG", "maskrt build MODEL.onnx -o {path}"),
    ],
    ids=["empty", "plan", "older plan", "checkpoint", "onnx", "png"],
)
def test_says_what_a_foreign_file_is(tmp_path: Path, content: bytes, what: str, remedy: str) -> None:
    path = tmp_path / "model.engine"
    path.write_bytes(content)

    said = refusal(path)

    assert f"no engine file of maskrt but {what}" in said
    assert said.endswith(remedy.format(path=path))
    with pytest.raises(ModelError, match="no engine file of maskrt"):
        read_plan(path)


def test_an_exported_model_is_told_from_an_engine(tiny_onnx: Path) -> None:
    assert "but an ONNX model" in refusal(tiny_onnx)


@pytest.mark.parametrize("missing_bytes", [1, len(PLAN), len(PLAN) + 1])
def test_refuses_a_file_cut_short(engine: Path, missing_bytes: int) -> None:
    whole = engine.read_bytes()
    engine.write_bytes(whole[:-missing_bytes])

    assert f"({len(whole) - missing_bytes} bytes, its prefix promises {len(whole)})" in refusal(engine)
    with pytest.raises(ModelError, match="cut short"):
        read_plan(engine)


def test_refuses_a_file_cut_inside_its_prefix(engine: Path) -> None:
    engine.write_bytes(engine.read_bytes()[: len(MAGIC) + 2])

    assert "not even a whole prefix" in refusal(engine)


def test_refuses_a_file_with_something_after_the_plan(engine: Path) -> None:
    engine.write_bytes(engine.read_bytes() + b"\n")

    assert "wrong length" in refusal(engine)


@pytest.mark.parametrize(("version", "advice"), [(FORMAT_VERSION + 1, "Upgrade maskrt here"), (0, "Build")])
def test_refuses_another_format(engine: Path, version: int, advice: str) -> None:
    data = bytearray(engine.read_bytes())
    magic, _, header_bytes, plan_bytes = PREFIX.unpack_from(data)
    PREFIX.pack_into(data, 0, magic, version, header_bytes, plan_bytes)
    engine.write_bytes(data)

    said = refusal(engine)

    assert f"engine file format {version}, but this maskrt reads format {FORMAT_VERSION}" in said
    assert advice in said


def write_raw(path: Path, header: bytes) -> None:
    path.write_bytes(PREFIX.pack(MAGIC, FORMAT_VERSION, len(header), len(PLAN)) + header + PLAN)


@pytest.mark.parametrize("header", [b"{", b"[]", b"null", b'"text"', b"\xff\xfe"])
def test_refuses_a_header_that_is_none(tmp_path: Path, header: bytes) -> None:
    write_raw(tmp_path / "a.engine", header)

    assert "its header is damaged" in refusal(tmp_path / "a.engine")


def drop_gpu(fields: dict[str, Any]) -> None:
    del fields["gpu_name"]


def add_field(fields: dict[str, Any]) -> None:
    fields["colour"] = "blue"


def shape_of_two(fields: dict[str, Any]) -> None:
    fields["profiles"][0]["max"] = [1, 320]


def negative_side(fields: dict[str, Any]) -> None:
    fields["profiles"][0]["min"] = [1, -1, 320]


def drop_opt(fields: dict[str, Any]) -> None:
    del fields["profiles"][0]["opt"]


def drop_contract(fields: dict[str, Any]) -> None:
    del fields["contract"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (drop_contract, "the engine header has missing fields ['contract']"),
        (drop_gpu, "the engine header has missing fields ['gpu_name']"),
        (add_field, "unknown fields ['colour']"),
        (shape_of_two, "field 'profiles[0].max' is [1, 320], expected a list of 3"),
        (negative_side, "field 'profiles[0].min[1]' is -1, expected a whole number from 1"),
        (drop_opt, "field 'profiles[0]' has missing fields ['opt']"),
    ],
)
def test_refuses_a_header_with_other_fields(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], named: str
) -> None:
    fields = json.loads(make_header().to_json())
    damage(fields)
    write_raw(tmp_path / "a.engine", json.dumps(fields).encode())

    said = refusal(tmp_path / "a.engine")

    assert named in said
    assert f"maskrt build MODEL.onnx -o {tmp_path / 'a.engine'}" in said


@pytest.mark.parametrize("version", [1, 99])
def test_refuses_a_contract_of_another_format(version: int, tmp_path: Path) -> None:
    header = make_header()
    fields = json.loads(header.to_json())
    fields["contract"]["format_version"] = version
    write_raw(tmp_path / "a.engine", json.dumps(fields).encode())

    said = refusal(tmp_path / "a.engine", ContractError)

    assert f"the contract has format {version}, but this maskrt reads format 2" in said
    assert "build the engine again: maskrt export CHECKPOINT -o MODEL.onnx, then maskrt build" in said


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.engine")


def test_a_failed_write_leaves_the_old_file(engine: Path) -> None:
    before = engine.read_bytes()

    with pytest.raises(TypeError):
        write_engine(engine, make_header(), "no buffer")

    assert engine.read_bytes() == before
    assert [p.name for p in engine.parent.iterdir()] == [engine.name]


@pytest.mark.parametrize(
    ("shape", "inside"),
    [
        ((1, 320, 320), True),
        ((4, 800, 1344), True),
        ((2, 640, 320), True),
        ((5, 640, 640), False),
        ((1, 288, 640), False),
        ((1, 800, 1376), False),
    ],
)
def test_a_profile_accepts_what_lies_within_it(shape: tuple[int, int, int], inside: bool) -> None:
    profile = Profile("any", min=(1, 320, 320), opt=(1, 800, 1344), max=(4, 800, 1344))

    assert profile.accepts(shape) is inside


def test_the_header_is_a_value() -> None:
    header = make_header()

    assert EngineHeader.from_json(header.to_json(), "a") == header
    with pytest.raises(dataclasses.FrozenInstanceError):
        header.precision = "fp16"  # type: ignore[misc]
