"""An engine built from a file exported --with-stages: its marked outputs are taken for stages, and compared.

TensorRT and the GPU are played, from `import_tensorrt` to the execution: what is tested is which tensors the
session accepts, what it calls them, and that parity looks into them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime import trt_session
from runtime.contract import INPUT_NAMES
from runtime.device import PLATFORM
from runtime.engine_file import write_engine
from runtime.errors import ModelError
from runtime.parity.compare import compare
from runtime.parity.report import Report
from runtime.parity.sides import open_looking
from runtime.parity.tolerances import FP32
from runtime.stages import PREFIX, stages_of
from runtime.trt_session import TrtSession
from tests.runtime import played
from tests.runtime.engines import make_header

KINDS = {"uint8": "UINT8", "float32": "FLOAT", "float16": "HALF", "int32": "INT32"}
SIZES = np.array([[played.CANVAS_PX, played.CANVAS_PX]], np.float32)


def tensors_of(said: played.Played) -> dict[str, np.ndarray]:
    """What an engine of the model takes and gives, by name."""
    outputs, stages = played.PlayedSession(said)._run_with_stages()
    images = np.zeros((1, played.CANVAS_PX, played.CANVAS_PX, 3), np.uint8)
    inputs = dict(zip(INPUT_NAMES, (images, SIZES), strict=True))
    return {
        **inputs,
        **outputs.arrays(),
        **{PREFIX + name: stages[name] for name in stages_of(said.contract)},
    }


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, np.ndarray]], Path]:
    """An engine file that gives these tensors whenever it is run, on a machine that has TensorRT."""

    def write(tensors: dict[str, np.ndarray]) -> Path:
        names = list(tensors)
        plan = SimpleNamespace(
            num_io_tensors=len(names),
            get_tensor_name=names.__getitem__,
            get_tensor_dtype=lambda name: SimpleNamespace(name=KINDS[str(tensors[name].dtype)]),
        )

        class Execution:
            def __init__(self, *given: Any) -> None:
                self.captured, self._outputs = True, given[-1]

            def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                return {name: tensors[name] for name in self._outputs}

        gpu = SimpleNamespace(name="Orin", compute_capability="8.7")
        for name, value in (
            ("import_tensorrt", lambda: SimpleNamespace(__version__="10.3.0")),
            ("describe_gpu", lambda: gpu),
            ("_deserialise", lambda *_: plan),
            ("activation_bytes", lambda _: 0),
            ("DeviceMemory", lambda _: None),
            ("Stream", lambda: None),
            ("Execution", Execution),
        ):
            monkeypatch.setattr(trt_session, name, value)
        contract = played.reference().contract
        header = make_header(contract=contract, profiles=(), plugin_embedded=True, platform=PLATFORM)
        write_engine(tmp_path / "model.engine", header, b"plan")
        return tmp_path / "model.engine"

    return write


def report_of(path: Path) -> Report:
    found, image = Report(FP32), np.zeros((played.CANVAS_PX, played.CANVAS_PX, 3), np.uint8)
    compare(played.PlayedSession(played.reference()), open_looking(path, "cuda"), "0.jpg", image, found)
    return found


def test_an_engine_s_stages_are_compared(engine: Callable[..., Path]) -> None:
    path = engine(tensors_of(played.reference()))

    assert TrtSession(path).has_stages
    found = report_of(path)
    assert found.failures == []
    assert set(found.stages.errors) > set(stages_of(played.reference().contract)) - {"proposal_counts"}


def test_a_fault_in_an_engine_is_named_by_its_stage(engine: Callable[..., Path]) -> None:
    faulty = played.reference()
    played.stage(faulty)

    assert report_of(engine(tensors_of(faulty))).failures[0].startswith("C3 is the first stage that differs")


def test_stages_in_half_are_read_as_float32(engine: Callable[..., Path]) -> None:
    tensors = tensors_of(played.reference())
    tensors["stage.C3"] = tensors["stage.C3"].astype(np.float16)

    found = report_of(engine(tensors))

    assert found.stages.first is not None, "half is not float32"
    assert "SNR 7" in found.failures[0], "the rounding of half, 2^-11 relative: about 74 dB"


def test_an_engine_without_stages_is_compared_by_its_results(engine: Callable[..., Path]) -> None:
    tensors = {name: v for name, v in tensors_of(played.reference()).items() if not name.startswith(PREFIX)}
    path = engine(tensors)

    assert not TrtSession(path).has_stages
    assert report_of(path).failures == []
    with pytest.raises(
        ModelError, match=r"an engine without its stages\. Export with them and build it again"
    ):
        TrtSession(path).infer_with_stages(tensors["images"], SIZES)


def test_a_tensor_that_is_neither_is_refused(engine: Callable[..., Path]) -> None:
    tensors = tensors_of(played.reference()) | {"debug": np.zeros(1, np.float32)}

    with pytest.raises(ModelError, match=r"its tensors are .*'debug': 'float32'.* its contract says"):
        TrtSession(engine(tensors))
