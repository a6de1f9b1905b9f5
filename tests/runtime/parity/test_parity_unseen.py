"""What no image exercised is compared all the same: levels, classes, weights, attributes, claims of precision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import pytest

from benchmarks.parity_trial.graph import change_constant, in_bits, operators, promise, set_attribute
from benchmarks.samples import scene
from maskrt.export.onnx_model import export_onnx
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.parity.knowledge import KNOWLEDGE
from maskrt.runtime.errors import EXIT_UNDECIDED
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.command import main
from maskrt.runtime.parity.inside.knowledge import knowledge_of
from maskrt.runtime.parity.inside.unseen import Unseen, look_without_images
from maskrt.runtime.parity.sides import open_looking, open_reference, report_for
from tests.exports import Exports
from tests.families import make
from tests.runtime.conftest import make_contract

Plant = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def checkpoint(exports: Exports) -> Path:
    """The family's example: a look at it takes a second."""
    return make(exports, "mask_rcnn").checkpoint


@pytest.fixture(scope="module")
def model(exports: Exports) -> onnx.ModelProto:
    return onnx.load(make(exports, "mask_rcnn").model)


@pytest.fixture
def looked_at(checkpoint: Path, model: onnx.ModelProto, tmp_path: Path) -> Callable[[Plant], Unseen]:
    """What is found without an image of a file with a fault; its contract's claim is judged too."""

    def look(plant: Plant) -> Unseen:
        faulty = onnx.ModelProto()
        faulty.CopyFrom(model)
        faulty = plant(faulty) or faulty
        onnx.save_model(faulty, tmp_path / "model.onnx")
        candidate = open_looking(tmp_path / "model.onnx", "cpu")
        reference = open_reference(checkpoint, "cpu", candidate.contract)
        return look_without_images(reference, tmp_path / "model.onnx", candidate, device="cpu")

    return look


def zeroed(name: str, row: int | slice) -> Plant:
    def change(values: np.ndarray) -> np.ndarray:
        values[row] = 0
        return values

    return lambda model: change_constant(model, name, change)


def attribute(kind: str, which: int, name: str, value: Any) -> Plant:
    return lambda model: set_attribute(operators(model, kind)[which], name, value)


def rounded_and_claimed(model: onnx.ModelProto) -> None:
    change_constant(model, "detections.box_head.fc6.weight", in_bits(4))
    promise(model, **{"precision.name": "fp16"})


FAULTS = [
    (zeroed("proposals.anchors_3", slice(None)), "proposals", "anchors of P5: none of its 3 kinds"),
    (zeroed("detections.box_predictor.cls_score.weight", -1), "class_logits", "differ for star"),
    (rounded_and_claimed, "class_logits", "detections.box_head.fc6.weight is not the checkpoint's: SNR"),
    (attribute("PyramidRoiAlign", 1, "aligned", 1), "mask_features", "aligned is 1, the checkpoint's 0"),
    (
        attribute("GroupedNms", 0, "iou_threshold", 0.74),
        "proposals",
        "NMS of the proposals drops from an IoU ",
    ),
    (attribute("GroupedNms", 1, "score_threshold", 0.2), "detections", "kept from a score between 0.19"),
]


@pytest.mark.parametrize(
    ("plant", "stage", "cause"),
    [FAULTS[0], *(pytest.param(*row, marks=pytest.mark.full) for row in FAULTS[1:])],
    ids=[f"{row[1]}: {row[2][:12]}" for row in FAULTS],
)
def test_a_fault_is_found_and_measured_without_an_image(
    plant: Plant, stage: str, cause: str, looked_at: Callable[[Plant], Unseen]
) -> None:
    found = looked_at(plant)

    assert any(cause in said for said in found.causes(stage)), [str(fault) for fault in found.faults]


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.inliner.inline_local_functions(model)


def renamed(model: onnx.ModelProto) -> None:
    names = {one.name: f"w{number}" for number, one in enumerate(model.graph.initializer)}
    for one in model.graph.initializer:
        one.name = names[one.name]
    for number, node in enumerate(model.graph.node):
        node.name = f"n{number}"
        node.input[:] = [names.get(name, name) for name in node.input]


def without_types(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]


@pytest.mark.parametrize(
    "again",
    [renamed, *(pytest.param(one, marks=pytest.mark.full) for one in (inlined, without_types))],
    ids=["renamed", "inlined", "without_types"],
)
def test_a_correct_file_made_again_raises_no_alarm(
    again: Plant, looked_at: Callable[[Plant], Unseen]
) -> None:
    found = looked_at(again)

    assert [str(fault) for fault in found.faults] == []
    assert found.complete, found.reason
    assert found.precision == "fp32"
    assert {one.part for one in found.findings} >= {"proposals", "box_pooling", "detections", "mask_head"}


def test_what_the_family_knows_is_asked() -> None:
    assert knowledge_of(make_contract()) is KNOWLEDGE


def test_a_claim_that_the_graph_does_not_show_is_told_and_the_finer_is_judged(
    checkpoint: Path, model: onnx.ModelProto, tmp_path: Path
) -> None:
    claiming = onnx.ModelProto()
    claiming.CopyFrom(model)
    promise(claiming, **{"precision.name": "int8"})
    onnx.save_model(claiming, tmp_path / "claims.onnx")
    candidate = open_looking(tmp_path / "claims.onnx", "cpu")
    reference = open_reference(checkpoint, "cpu", candidate.contract)

    report = report_for(reference, candidate, Unseen(("boxes",), {"boxes": "fp32", "rpn_deltas.P2": "fp32"}))

    assert report.failures[0].startswith(
        "its contract says int8, but nothing in its graph is coarser than fp32"
    )
    assert report.results.tolerance.score == 1e-4
    assert report.inside("rpn_deltas.P2", "int8").snr_db == 80


@pytest.mark.full
def test_half_precision_is_shown_by_the_graph(checkpoint: Path, looked_at: Callable[[Plant], Unseen]) -> None:
    loaded = load_checkpoint(checkpoint)
    contract = loaded.contract(height_px=192, width_px=256)
    details = {"scanned_images": 0, "float32_units": []}
    half = export_onnx(loaded, contract.in_precision("fp16", details))

    found = looked_at(lambda _: half)

    assert found.precision == "fp16"
    assert [str(fault) for fault in found.faults] == []


def test_the_report_says_what_was_exercised(
    command: Callable[..., Any], checkpoint: Path, model: onnx.ModelProto, tmp_path: Path
) -> None:
    onnx.save_model(model, tmp_path / "model.onnx")
    write_png(tmp_path / "scene.png", scene(1))

    ended = command(main, checkpoint, tmp_path / "model.onnx", tmp_path / "scene.png", "--json")

    facts = json.loads(ended.out)
    assert (ended.code, facts["verdict"]) == (0, "the same model")
    covered = facts["coverage"]
    assert set(covered["proposals"]) == {"P2", "P3", "P4", "P5", "P6"}
    assert sum(covered["proposals"].values()) == 100, "each of them has an anchor"
    assert sum(covered["detections"].values()) == facts["summary"]["instances"]
    assert facts["without_images"]["weights_held"] == facts["without_images"]["weights"] > 60


@pytest.mark.full
@pytest.mark.parametrize("value", [0, 255])
def test_a_picture_of_one_colour_is_undecided_or_passes(
    value: int, command: Callable[..., Any], checkpoint: Path, model: onnx.ModelProto, tmp_path: Path
) -> None:
    onnx.save_model(model, tmp_path / "model.onnx")
    write_png(tmp_path / "flat.png", np.full((96, 128, 3), value, np.uint8))

    ended = command(main, checkpoint, tmp_path / "model.onnx", tmp_path / "flat.png", "--json")

    facts = json.loads(ended.out)
    assert facts["failures"] == []
    assert ended.code == (EXIT_UNDECIDED if facts["undecided"] else 0)
