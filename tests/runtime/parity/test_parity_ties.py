"""A confident model, whose objectness is 1.0 to the last bit: equal scores are no fault, and hide none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from benchmarks.samples import scene
from maskrt.export.stages import ShowStages
from maskrt.models.parts.layout import FPN
from maskrt.models.rcnn.layout import PROPOSALS
from maskrt.models.rcnn.parity.ties import tied_proposals
from maskrt.models.reference import open_reference
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.parity.inside.samples import whole_samples
from maskrt.runtime.parity.judge import expect, judge
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.tolerances import STAGES_FP32
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
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


def report_of(checkpoint: Path, model: onnx.ModelProto, path: Path, plant: Any, picture: Any) -> Report:
    faulty = onnx.ModelProto()
    faulty.CopyFrom(model)
    plant(faulty)
    ShowStages("faulty.onnx")(faulty)
    onnx.save_model(faulty, path)
    candidate, found = OrtSession(path, stages=True), Report(InstancesComparison(FP32))
    batch = preprocess([picture], candidate.contract.canvas)
    expected = expect(open_reference(checkpoint), batch, look=True)
    judge("picture", batch, expected, candidate, found)
    return found


def as_it_is(model: onnx.ModelProto) -> None: ...


def test_equal_scores_are_no_fault(confident: Any, tmp_path: Path) -> None:
    found = report_of(*confident, tmp_path / "same.onnx", as_it_is, scene(1))

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
    found = report_of(*confident, tmp_path / "faulty.onnx", fault, scene(1))

    assert found.stages.first is not None
    assert found.stages.first.stage == PROPOSALS
    assert said in " ".join(found.stages.first.culprits)


def test_what_a_blank_picture_leaves_to_the_sort_is_no_fault_of_the_proposals(
    random_checkpoint: Path, random_onnx: Path, tmp_path: Path
) -> None:
    blank, path = np.full((256, 320, 3), 64, np.uint8), tmp_path / "same.onnx"

    found = report_of(random_checkpoint, onnx.load(random_onnx), path, as_it_is, blank)

    (proposals,) = found.stages.errors[PROPOSALS]
    assert proposals.reason == ""
    assert proposals.compared < STAGES_FP32.proposals, "as it is where nothing ties"


def test_what_ties_is_a_share_of_the_proposals() -> None:
    """A hundred of a level's best thousand are equal, of 400 proposals; below the thousand nobody looks."""
    distinct = np.arange(1, 4001, dtype=np.float32)
    hundred = distinct.copy()
    hundred[-100:] = 5000
    hundred[:2900] = -1
    levels = dict(zip(FPN.rpn_logits, (distinct, hundred, *[distinct] * 3), strict=True))

    assert tied_proposals(whole_samples(levels | {PROPOSALS: np.zeros((400, 4))})) == pytest.approx(0.25)
