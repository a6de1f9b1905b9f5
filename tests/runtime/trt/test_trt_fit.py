"""Whether an engine runs here, and on which profile: decided from its header, without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.backends.open import Session
from maskrt.runtime.backends.trt.engine_file import Profile
from maskrt.runtime.backends.trt.engine_fit import (
    ForeignEngineError,
    Machine,
    check_fit,
    choose_profile,
    rebuild_command,
    tensor_shapes,
)
from maskrt.runtime.contract import INPUT_NAMES
from maskrt.runtime.errors import ModelError
from maskrt.runtime.tasks.instances.options import DETECTED, MASKS
from tests.runtime.engines import LARGE, SMALL, make_header

ORIN = {"tensorrt_version": "10.3.0", "gpu_name": "Orin", "compute_capability": "8.7"}


def machine(**changes: str) -> Machine:
    return Machine(**({**ORIN, "platform": "linux-aarch64"} | changes))


def refusal(header: dict[str, Any], here: dict[str, str]) -> str:
    with pytest.raises(ForeignEngineError) as caught:
        check_fit("model.engine", make_header(**header), machine(**here))
    return str(caught.value)


def test_the_machine_that_built_it_runs_it() -> None:
    check_fit("model.engine", make_header(), machine())


@pytest.mark.parametrize(
    ("here", "built", "found"),
    [
        ({"tensorrt_version": "10.3.1"}, "TensorRT 10.3.0", "TensorRT 10.3.1"),
        ({"tensorrt_version": "8.6.1"}, "TensorRT 10.3.0", "TensorRT 8.6.1"),
        (
            {"gpu_name": "H200", "compute_capability": "9.0"},
            "Orin (compute capability 8.7)",
            "H200 (9.0)",
        ),
        ({"platform": "linux-x86_64"}, "linux-aarch64", "linux-x86_64"),
    ],
    ids=["a patch later", "another major", "another GPU", "another processor"],
)
def test_a_foreign_engine_is_refused_naming_both_sides(here: dict[str, str], built: str, found: str) -> None:
    said = refusal({}, here)

    assert said.startswith(f"model.engine: built for {built}, and here is {found}; build it here: ")
    assert said.endswith("-o model.engine")


def test_all_that_differs_is_named_in_one_sentence() -> None:
    said = refusal(
        {}, {"tensorrt_version": "11.4.0", "compute_capability": "9.0", "platform": "linux-x86_64"}
    )

    assert "built for linux-aarch64, TensorRT 10.3.0, Orin (compute capability 8.7), and here is" in said
    assert said.count(". ") == 0


@pytest.mark.parametrize("here", ["10.3.0", "10.3.1", "10.13.3", "10.16.1"])
def test_a_version_compatible_engine_runs_on_later_versions(here: str) -> None:
    check_fit("a", make_header(version_compatible=True), machine(tensorrt_version=here))


@pytest.mark.parametrize("here", ["10.2.0", "11.0.0", "8.6.1"])
def test_but_not_on_earlier_ones_nor_another_major(here: str) -> None:
    assert f"TensorRT {here}" in refusal({"version_compatible": True}, {"tensorrt_version": here})


@pytest.mark.parametrize("here", ["8.0", "8.9", "9.0", "10.0"])
def test_a_hardware_compatible_engine_runs_from_8_0_on(here: str) -> None:
    check_fit("a", make_header(hardware_compatible=True), machine(compute_capability=here))


def test_but_not_below() -> None:
    assert "(7.5)" in refusal({"hardware_compatible": True}, {"compute_capability": "7.5"})


def test_the_rebuild_command_asks_for_the_same_engine() -> None:
    header = make_header(profiles=(SMALL,), version_compatible=True, operators="body")

    assert rebuild_command("a.engine", header) == (
        "maskrt build MODEL.onnx --min 1x320x320 --opt 1x640x640 --max 4x640x640 --version-compatible "
        "--operators body -o a.engine"
    )


def test_a_profile_of_one_shape_is_asked_for_again_too() -> None:
    header = make_header(profiles=(Profile("1x640x640", *[(1, 640, 640)] * 3), SMALL))

    assert rebuild_command("a.engine", header) == (
        "maskrt build MODEL.onnx --min 1x640x640 --opt 1x640x640 --max 1x640x640 "
        "--min 1x320x320 --opt 1x640x640 --max 4x640x640 -o a.engine"
    )


@pytest.mark.parametrize(
    ("shape", "profile"),
    [
        ((1, 640, 640), "small"),  # tuned for just that
        ((4, 320, 320), "small"),  # the only one with batches
        ((1, 320, 320), "small"),  # both take it, this one is tuned nearer to it
        ((1, 800, 1344), "large"),
        ((1, 1344, 800), "large"),
        ((1, 640, 672), "large"),  # just outside of the small one
    ],
)
def test_of_the_profiles_that_take_a_shape_the_nearest_is_chosen(
    shape: tuple[int, int, int], profile: str
) -> None:
    header = make_header()

    assert header.profiles[choose_profile("a", header, shape)].name == profile


@pytest.mark.parametrize("order", [(SMALL, LARGE), (LARGE, SMALL)])
def test_the_choice_does_not_hang_on_their_order(order: tuple) -> None:
    header = make_header(profiles=order)

    assert header.profiles[choose_profile("a", header, (1, 640, 640))] is SMALL


@pytest.mark.parametrize("shape", [(5, 640, 640), (2, 800, 1344), (1, 288, 640), (1, 1376, 1344)])
def test_a_shape_outside_is_refused_with_what_would_take_it(shape: tuple[int, int, int]) -> None:
    text = "x".join(map(str, shape))

    with pytest.raises(ModelError) as caught:
        choose_profile("model.engine", make_header(), shape)

    said = str(caught.value)
    assert said.startswith(f"model.engine: input 'images' is (N, H, W) = {text}, outside of what")
    assert "(small: 1x320x320 to 4x640x640; large: 1x320x320 to 1x1344x1344)" in said
    assert f"--min {text} --opt {text} --max {text} -o model.engine" in said


def test_an_engine_of_fixed_shape_has_one_profile() -> None:
    assert choose_profile("a", make_header(profiles=()), (1, 64, 96)) == 0


def test_the_buffers_are_what_onnx_runtime_takes_and_gives(tiny_session: Session, tiny_onnx: Path) -> None:
    import onnxruntime

    model = onnxruntime.InferenceSession(str(tiny_onnx), providers=["CPUExecutionProvider"])
    tensors = tensor_shapes(tiny_session.contract, (2, 64, 96))
    assert tuple(tensors) == (*INPUT_NAMES, *DETECTED, MASKS)
    feed = {name: np.ones(*tensors[name]) for name in INPUT_NAMES}

    names = (*DETECTED, MASKS)
    for name, got in zip(names, model.run(list(names), feed), strict=True):
        assert (got.shape, str(got.dtype)) == tensors[name]
