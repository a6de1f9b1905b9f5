"""CUDA's errors are told by name, and an engine without what it needs is told in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.runtime.backends.trt.device import CudaError, DeviceMemory, Stream, call, describe_gpu
from maskrt.runtime.backends.trt.engine_file import write_engine
from maskrt.runtime.packages import install
from tests.runtime.engines import make_header

Run = Callable[..., Any]
CATCH = """
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.backends.open import open_session
try:
    open_session(sys.argv[0])
except MaskrtError as error:
    print(f"{type(error).__name__}|{error}")
"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "model.engine"
    write_engine(path, make_header(), b"plan")
    return path


@pytest.fixture(scope="module")
def no_gpu() -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    try:
        describe_gpu()
    except CudaError:
        return
    pytest.skip("this machine has a GPU")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("use", "function"),
    [
        (describe_gpu, "cudaGetDeviceCount"),
        (lambda: DeviceMemory(1), "cudaMalloc"),
        (Stream, "cudaStreamCreateWithFlags"),
    ],
    ids=["describe", "memory", "stream"],
)
def test_without_a_gpu_the_call_and_cuda_s_words_are_told(use: Callable[[], object], function: str) -> None:
    with pytest.raises(CudaError) as caught:
        use()

    said = str(caught.value)
    assert re.match(rf"{function} failed: .*(cudaError|libcuda|cuInit)", said)  # the last two before 12.8
    assert "driver" in said or "GPU" in said
    assert "maskrt doctor" in said


def test_a_call_gives_its_value_alone() -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")

    assert call("cudaRuntimeGetVersion") >= 12000  # asks neither driver nor GPU


def test_an_engine_without_tensorrt_says_what_to_install(engine: Path, without: Run) -> None:
    ended = without({"tensorrt"}, engine, code=CATCH)

    assert ended.out.startswith("MissingDependencyError|TensorRT engines need TensorRT's Python package")
    assert install("gpu") in ended.out
    assert "docs/jetson.md" in ended.out


def test_without_cuda_python_it_says_so(without: Run) -> None:
    code = CATCH.replace(
        "open_session(sys.argv[0])", "from maskrt.runtime.backends.trt.device import cudart; cudart()"
    )
    ended = without({"cuda"}, code=code)

    assert ended.out.startswith("MissingDependencyError|TensorRT engines are run with cuda-python")
    assert "pip install cuda-python" in ended.out


def test_a_broken_engine_is_told_before_tensorrt_is_asked_for(engine: Path, without: Run) -> None:
    engine.write_bytes(engine.read_bytes()[:-1])

    assert "cut short" in without({"tensorrt"}, engine, code=CATCH).out


def test_a_missing_engine_is_told_with_the_command_that_makes_it(tmp_path: Path, without: Run) -> None:
    path = tmp_path / "none.engine"

    said = without(set(), path, code=CATCH).out
    assert f"{path}: no such model file. Make one: maskrt build MODEL.onnx -o {path}" in said


def test_an_engine_of_another_task_is_refused(tmp_path: Path, contract_with: Run, without: Run) -> None:
    path = tmp_path / "model.engine"
    write_engine(path, make_header(contract=contract_with(task="panoptic")), b"plan")

    said = "field 'task' is 'panoptic', but this maskrt runs models for instances, semantic alone"
    assert said in without({"tensorrt"}, path, code=CATCH).out
