"""Parity of a family that nothing is known of: the comparison serves, and the report says what it lacks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.conclude import conclude, evidence, verdict
from maskrt.runtime.parity.inside.knowledge import NO_PROBES, knowledge_of
from maskrt.runtime.parity.inside.unseen import look_without_images
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import report_for
from tests.runtime import played

STRANGE = "a_family_without_knowledge"


def sides(fault: object = played.none, family: str = STRANGE) -> tuple[played.PlayedSession, ...]:
    """The played models, as if they were of that family."""
    models = played.reference(), played.reference()
    fault(models[1])
    for model in models:
        model.contract = dataclasses.replace(model.contract, family=family)
    return tuple(played.PlayedSession(model) for model in models)


def compared(reference: played.PlayedSession, candidate: played.PlayedSession, file: Path) -> Report:
    unseen = look_without_images(reference, file, candidate, device="cpu")
    report = report_for(reference, candidate, unseen)
    blank = np.zeros((played.CANVAS_PX, played.CANVAS_PX, 3), np.uint8)
    compare(reference, candidate, "0.jpg", blank, report)
    return report


def test_stages_are_compared_and_the_first_that_differs_is_named(tmp_path: Path) -> None:
    report = compared(*sides(played.stage), tmp_path / "model.engine")

    assert report.failures[0] == (
        "C3 is the first stage that differs (0.jpg): SNR 40.0 dB, at least 80 dB expected. possible: other "
        "weights: a stale file, a transposed layer, a batch norm folded otherwise"
    )


def test_causes_that_hold_for_any_model_are_named(tmp_path: Path) -> None:
    report = compared(*sides(played.bgr), tmp_path / "model.engine")

    assert report.failures[0].endswith("the channels are reversed: BGR where RGB is expected")


@pytest.mark.parametrize(("family", "exist"), [(STRANGE, False), ("mask_rcnn", True)])
def test_a_verdict_without_probes_leaves_the_parts_out(family: str, exist: bool, tmp_path: Path) -> None:
    reference, candidate = sides(family=family)
    report = compared(reference, candidate, tmp_path / "model.engine")

    assert report.failures == []
    assert ("parts on made inputs" in verdict(report, candidate)) is not exist
    assert report.to_dict()["without_images"]["probes_exist"] is exist


def test_the_report_says_that_no_probes_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reference, candidate = sides()
    reference.model = None  # a checkpoint's session has one
    shown = type("Shown", (), {"stages": {}, "weights": (), "operators": (), "parts": {}})
    monkeypatch.setattr("maskrt.runtime.parity.inside.unseen.examine", lambda path: shown)
    monkeypatch.setattr("maskrt.runtime.parity.inside.unseen.expected_weights", lambda reference: {})

    report = compared(reference, candidate, tmp_path / "model.onnx")

    assert f"no made inputs: {NO_PROBES}" in evidence(report)
    conclude(report, reference, candidate, output=None, html=None, as_json=True)
    assert json.loads(capsys.readouterr().out)["without_images"]["reason"] == NO_PROBES


def test_what_is_known_of_rcnn_is_asked_for_by_the_contract_alone() -> None:
    contract = played.reference().contract

    known, unknown = (
        knowledge_of(dataclasses.replace(contract, family=name)) for name in ("keypoint_rcnn", STRANGE)
    )

    assert "RoIAlign" in known.possible("box_features")
    assert "RoIAlign" not in unknown.possible("box_features")
    assert (known.has_probes, unknown.has_probes) == (True, False)
