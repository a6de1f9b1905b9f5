"""Two sessions on the same canvas, and the command around them. The tiny model stands in for both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.contract import Category, Contract
from maskrt.runtime.errors import EXIT_UNDECIDED, ParityError
from maskrt.runtime.parity.command import main
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import comparison_for
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.tolerances import FP32

Make = Callable[..., Contract]
Run = Callable[..., Any]
Write = Callable[..., Path]
BOXES = np.array([[0.1, 0.2, 0.6, 0.9], [0.5, 0.0, 1.0, 0.5], [0.0, 0.6, 0.3, 1.0]])


def test_a_model_is_itself(tiny_session: Session, picture: np.ndarray) -> None:
    report = Report(InstancesComparison(FP32))

    compare(tiny_session, tiny_session, "a.png", picture, report)

    assert report.failures == []
    assert report.to_dict()["summary"]["instances"] == 3


def test_differences_are_in_pixels_of_the_canvas(
    tiny_session: Session, write_model: Write, picture: np.ndarray
) -> None:
    """48x64 is laid on 64x85: a box 0.1 wider is 8.5 px wider there, whatever the image's own size."""
    boxes = BOXES.copy()
    boxes[0, 2] += 0.1
    wider = open_session(write_model(box_rows=boxes))
    report = Report(InstancesComparison(FP32))

    compare(tiny_session, wider, "a.png", picture, report)

    assert report.row("box difference").there == pytest.approx([8.5, 0, 0], abs=1e-4)


@pytest.mark.parametrize("changes", [{"batch": 2}, {"height_px": 64, "width_px": 128}, {"dtype": "float32"}])
def test_the_candidate_s_canvas_is_used(
    changes: dict[str, Any], write_model: Write, contract_with: Make, picture: np.ndarray
) -> None:
    contract = contract_with(**changes)
    candidate = open_session(write_model(contract=contract))
    any_size = contract_with(dtype=contract.canvas.dtype)
    reference, report = open_session(write_model(contract=any_size)), Report(InstancesComparison(FP32))

    compare(reference, candidate, "a.png", picture, report)

    assert report.failures == []


def test_the_reference_sees_a_float32_canvas_as_it_is(contract_with: Make) -> None:
    """A checkpoint's own contract says uint8; a float32 candidate's canvas must not be rounded for it."""
    from maskrt.models.rcnn.reference.network import EagerSession

    seen = []

    class NoProposals(torch.nn.Module):
        def filter_proposals(self, *_: object) -> tuple[list, list]:
            return [], []

        def forward(self, *_: object) -> tuple[list, dict]:
            return [], {}

    class NoInstances(torch.nn.Module):
        keypoint_predictor = None

        def forward(self, *_: object) -> tuple[list, dict]:
            return [], {}

    class Detector(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.rpn, self.roi_heads = NoProposals(), NoInstances()

        def backbone(self, canvas: torch.Tensor) -> None:
            seen.append(canvas.clone())

    contract = contract_with(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    canvas = np.full((1, 32, 32, 3), 127.625, np.float32)

    EagerSession(Detector(), contract, name="best.pt").infer(canvas, np.array([[32, 32]], np.float32))

    assert seen[0].unique().tolist() == pytest.approx([127.625 / 255])


@pytest.mark.parametrize(
    ("field", "value"), [("classes", (Category(1, "dog"),)), ("masks", None), ("task", "semantic")]
)
def test_refuses_models_that_are_not_the_same(
    field: str, value: object, tiny_session: Session, contract_with: Make
) -> None:
    named = {"masks": "output_names"}.get(field, field)

    class Other(Session):
        contract, name = contract_with(**{field: value}), "other.onnx"

        def _run(self, *_: object) -> Any: ...

    with pytest.raises(ParityError) as caught:
        comparison_for(tiny_session, Other())

    said = str(caught.value)
    assert said.startswith(f"other.onnx and {tiny_session.name} are not the same model: {named} is ")
    assert said.endswith("Compare a model with its checkpoint.")


def test_the_command_passes_and_writes_its_report(
    command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    ended = command(main, tiny_onnx, tiny_onnx, picture_file, "-o", tmp_path / "new" / "parity.json")

    assert ended.code == 0
    alone = f"{tiny_onnx}: cannot be looked into, so results alone were compared"
    assert ended.err.splitlines() == [alone, alone], "a graph made by hand, which names no stages"
    assert "3 instances in 1 images" in ended.out
    said = " ".join(ended.out.split())
    assert said.startswith(
        "passed: the same in all that was compared, which leaves out what is inside, weights"
    )
    assert "images: 3 detections of 3 of 3 classes" in said
    facts = json.loads((tmp_path / "new" / "parity.json").read_text())
    assert facts["passed"] is True
    assert facts["reference"] == facts["candidate"] == str(tiny_onnx)
    assert [image["image"] for image in facts["per_image"]] == [str(picture_file)]
    assert list(facts["time_ms"]) == ["reference", "candidate", "comparison"]
    assert "ms an image: reference " in ended.out


def test_the_command_fails_with_the_reason(
    command: Run, tiny_onnx: Path, write_model: Write, picture_file: Path
) -> None:
    other = write_model(score_rows=(0.9, 0.79, 0.3))

    table, as_json = (command(main, tiny_onnx, other, picture_file, *o) for o in ((), ("--json",)))

    assert (table.code, as_json.code) == (1, 1)
    assert "failed: not the same model" in table.out
    assert "score differs by 0.01, allowed 0.0001" in " ".join(table.out.split())
    named, plain = json.loads(as_json.out)["failures"]
    assert named.startswith(f"detections differ ({picture_file}): score differs by 0.01, allowed 0.0001. ")
    assert plain == f"{picture_file}: score differs by 0.01, allowed 0.0001"


def test_the_command_refuses_other_classes(
    command: Run, tiny_onnx: Path, write_model: Write, contract_with: Make, picture_file: Path
) -> None:
    other = write_model(contract=contract_with(classes=tuple(Category(i, f"dog {i}") for i in range(3))))

    ended = command(main, tiny_onnx, other, picture_file)

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"maskrt parity: {other} and {tiny_onnx} are not the same model: classes")
    assert len(ended.err.splitlines()) == 1


def test_where_nothing_is_found_the_command_says_neither_yes_nor_no(
    command: Run, tiny_onnx: Path, tmp_path: Path
) -> None:
    assert cv2.imwrite(str(tmp_path / "night.png"), np.zeros((48, 64, 3), np.uint8))

    ended = command(main, tiny_onnx, tiny_onnx, tmp_path, "--json")

    assert ended.code == EXIT_UNDECIDED
    facts = json.loads(ended.out)
    assert (facts["passed"], facts["failures"]) == (False, [])
    assert facts["undecided"].startswith("neither model found anything in 1 images, so no detection could be")
    said = command(main, tiny_onnx, tiny_onnx, tmp_path).out
    assert said.startswith("undecided: neither model found anything in 1 images")


def test_the_command_skips_what_is_no_image(command: Run, tiny_onnx: Path, picture_file: Path) -> None:
    bad = picture_file.with_name("0-bad.png")
    bad.touch()

    ended = command(main, tiny_onnx, tiny_onnx, picture_file.parent, "--json")

    assert ended.code == 3
    assert ended.err.startswith(f"skipped {bad}: the file is empty")
    assert json.loads(ended.out)["summary"]["images"] == 1

    ended = command(main, tiny_onnx, tiny_onnx, bad)
    assert (ended.code, ended.out) == (1, "")
    assert "no image could be read, so nothing was compared" in ended.err
