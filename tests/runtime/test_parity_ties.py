"""A confident model, whose objectness is 1.0 to the last bit: equal scores are no fault, and hide none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from export.reference import open_reference
from export.stages import show_stages
from runtime.ort_session import OrtSession
from runtime.parity.judge import expect, judge
from runtime.parity.report import Report
from runtime.parity.tolerances import FP32
from runtime.preprocess import preprocess
from runtime.stages import PROPOSALS
from tests.models import scene
from tests.runtime import faults

# Of float32's sigmoids all above 16.64 are 1, of float64's those above 36.7.
CONFIDENT = 25.0


@pytest.fixture(scope="module")
def confident(random_checkpoint: Path, random_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The network with every objectness logit raised, as a checkpoint and as a file."""
    folder = tmp_path_factory.mktemp("confident")
    fields = torch.load(random_checkpoint, weights_only=True)
    fields["state_dict"]["rpn.head.cls_logits.bias"] += CONFIDENT
    torch.save(fields, folder / "best.pt")
    model = onnx.load(random_onnx)
    name = "proposals.head.cls_logits.bias"
    faults.set_constant(model, name, faults.constant(model, name) + np.float32(CONFIDENT))
    return folder / "best.pt", model


def report_of(checkpoint: Path, model: onnx.ModelProto, path: Path, plant: Any) -> Report:
    faulty = onnx.ModelProto()
    faulty.CopyFrom(model)
    plant(faulty)
    show_stages(faulty, "faulty.onnx")
    onnx.save_model(faulty, path)
    candidate, found = OrtSession(path, stages=True), Report(FP32)
    batch = preprocess([scene(1)], candidate.contract.canvas)
    expected = expect(open_reference(checkpoint), batch, look=True)
    assert expected.samples is not None
    logits = np.concatenate([v.values.ravel() for k, v in expected.samples.items() if "rpn_logits" in k])
    assert (1 / (1 + np.exp(-logits)) == np.float32(1)).mean() > 0.99, "the scores that would tie"
    judge("scene", batch, expected, candidate, found)
    return found


def test_equal_scores_are_no_fault(confident: Any, tmp_path: Path) -> None:
    found = report_of(*confident, tmp_path / "same.onnx", lambda model: None)

    assert found.failures == []
    assert found.stages.errors[PROPOSALS][0].compared == 1
    assert found.to_dict()["summary"]["instances"] >= 20


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults.anchors_half_a_stride_off, "anchors off by a part of a stride"),
        (faults.rpn_nms_threshold_changed, "another NMS threshold, or number kept"),
    ],
)
def test_and_hide_none(confident: Any, fault: Any, said: str, tmp_path: Path) -> None:
    found = report_of(*confident, tmp_path / "faulty.onnx", fault)

    assert found.stages.first is not None
    assert found.stages.first.stage == PROPOSALS
    assert said in " ".join(found.stages.first.culprits)
