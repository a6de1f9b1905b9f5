"""An engine built from a file exported --with-stages: its marked outputs are taken for stages, and compared.

TensorRT and the GPU are played (played_gpu.py): what is tested is which tensors the session accepts, what it
calls them, and that parity looks into them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskrt.runtime.backends.trt.session import TrtSession
from maskrt.runtime.contract import INPUT_NAMES, PREFIX
from maskrt.runtime.errors import ModelError
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import open_looking
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
from tests.runtime import played
from tests.runtime.played_gpu import play

SIZES = np.array([[played.CANVAS_PX, played.CANVAS_PX]], np.float32)


def tensors_of(said: played.Played) -> dict[str, np.ndarray]:
    """What an engine of the model takes and gives, by name."""
    outputs, stages = played.PlayedSession(said)._run_with_stages()
    images = np.zeros((1, played.CANVAS_PX, played.CANVAS_PX, 3), np.uint8)
    inputs = dict(zip(INPUT_NAMES, (images, SIZES), strict=True))
    return {
        **inputs,
        **outputs,
        **{PREFIX + name: stages[name] for name in said.contract.inside.names},
    }


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, np.ndarray]], Path]:
    """An engine file that gives these tensors whenever it is run, on a machine that has TensorRT."""

    def write(tensors: dict[str, np.ndarray]) -> Path:
        outputs = {name: values for name, values in tensors.items() if name not in INPUT_NAMES}
        return play(monkeypatch, tmp_path, played.reference().contract, lambda _: outputs)[0]

    return write


def report_of(path: Path) -> Report:
    found, image = (
        Report(InstancesComparison(FP32)),
        np.zeros((played.CANVAS_PX, played.CANVAS_PX, 3), np.uint8),
    )
    compare(played.PlayedSession(played.reference()), open_looking(path, "cuda"), "0.jpg", image, found)
    return found


def test_an_engine_s_stages_are_compared(engine: Callable[..., Path]) -> None:
    path = engine(tensors_of(played.reference()))

    assert TrtSession(path).has_stages
    found = report_of(path)
    assert found.failures == []
    assert set(found.stages.errors) > set(played.reference().contract.inside.names) - {"proposal_counts"}


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
