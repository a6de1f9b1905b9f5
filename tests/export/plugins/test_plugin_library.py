"""The plugin library, compiled against TensorRT's headers where there are any, answers what TensorRT asks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from maskrt.export.plugins import build
from maskrt.export.plugins.toolchain import BuildError, find_nvcc, find_tensorrt


@pytest.fixture(scope="module")
def real_tools():
    """TensorRT's headers and nvcc of this machine; a skip that says what it lacks."""
    try:
        return find_tensorrt(), find_nvcc()
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def real_library(real_tools, tmp_path_factory) -> Path:
    tensorrt, nvcc = real_tools
    library = tmp_path_factory.mktemp("plugins") / build.LIBRARY
    command = build.compile_command(nvcc, tensorrt.include, (90,), library)
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")  # not a warning
    return library


def test_the_library_needs_nothing_of_tensorrt_and_shows_nothing_but_its_entry_points(
    real_library, real_tools
):
    symbols = subprocess.run(
        ["nm", "-D", str(real_library)], capture_output=True, text=True, check=True
    ).stdout
    assert not re.search(r"U .*nvinfer|U getLogger|U getPluginRegistry", symbols)
    creators = "getCreators" if real_tools[0].version[0] >= 10 else "getPluginCreators"
    assert set(re.findall(r"^\S+ \w (\w+)", symbols, re.MULTILINE)) == {creators, "setLoggerFinder"}


def test_what_tensorrt_asks_of_a_plugin_before_it_runs(real_library, real_tools, tmp_path):
    tensorrt, nvcc = real_tools
    probe = tmp_path / "probe"
    source = Path(__file__).with_name("plugin_probe.cpp")
    flags = ["-std=c++17", "-Xcompiler=-Wall,-Wextra", "-isystem", str(tensorrt.include)]
    subprocess.run([str(nvcc), *flags, str(source), "-o", str(probe), "-ldl"], check=True)
    said = subprocess.run([str(probe), str(real_library)], capture_output=True, text=True, check=True).stdout
    facts = said.splitlines()
    fields = {"PyramidRoiAlign": 9, "GroupedNms": 4, "DeformConv": 3}
    assert facts[:3] == [f"creator {name} 1 maskrt {count}" for name, count in fields.items()]
    # Shapes that do not fit together (of RoIAlign, of DeformConv), a missing map, too many rows, no bias; bounds with
    # other channels, and boxes of 5 values.
    assert facts.count("configured NO") == (5 if tensorrt.version[0] >= 10 else 3)
    assert [line for line in facts if line.startswith("bounds")] == [
        "bounds taken yes",
        "bounds taken NO",
    ] * 2
    assert len([line for line in facts if line.endswith(" NO")]) == facts.count("configured NO") + 2
    assert sum(line.endswith("is the same yes") for line in facts) == 9
    every, not_features = "formats 1 1 1 1 1 1 1", "formats 1 1 0 1 1 1 1"
    float_half_int8 = [every, *[not_features] * 3, every, *[not_features] * 4]
    both, neither = "formats 1 1 1 1 1 1", "formats 0 1 1 1 1 1"
    deformed = [both, neither, neither, both, neither, neither]
    found = [line for line in facts if line.startswith("formats")]
    assert found == [*float_half_int8, "formats 1 1 1 1 1", *deformed]
    assert facts.count("shape 1000 256 7 14") == 2
    assert facts.count("shape 2 256 35 35") == 2
    assert facts.count("shape 2 100") == facts.count("shape 2") == 2
    assert "refused without strides yes" in facts
    if tensorrt.version[0] >= 10:
        attributes = (
            "output_height=7 output_width=14 sampling_ratio=2 aligned=0 canonical_level=4 strides=4,8,16,32"
        )
        rest = "canonical_scale=0x1.cp+7 method=warp mode=max"
        assert f"timing PyramidRoiAlign {attributes} {rest}" in facts
        assert "timing DeformConv kernel=3 stride=2 padding=1" in facts
        assert sum(line.startswith("timing GroupedNms iou_threshold=0x1p-1 ") for line in facts) == 1
    for message in (
        "PyramidRoiAlign: feature map 2 is (2, 128, 16, 16), the first (2, 256, 64, 64)",
        "PyramidRoiAlign: the node has 5 inputs; expected rois, batch_indices and 4 feature maps",
        "GroupedNms: boxes are (2, 40000, 4), scores (2, 40000), groups (2, 40000); expected at most 32768 rows",
        "PyramidRoiAlign: attribute 'strides' is missing",
        "DeformConv: the node has 4 inputs; expected values, offsets, mask, weight and bias",
        "DeformConv: values are (2, 128, 69, 69), offsets (2, 18, 35, 35), mask (2, 9, 35, 35), weight (256, 64, 3, 3), ",
    ):
        assert f"log maskrt::{message}" in said
