"""The command on a real network and its export: the same is passed, a nudge is not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from maskrt.models.parts.layout import FPN
from maskrt.models.rcnn.layout import MASK_FEATURES, MASK_LOGITS, PER_PROPOSAL, PROPOSALS
from maskrt.runtime.contract import METADATA_KEY, Contract
from maskrt.runtime.parity.command import main
from maskrt.runtime.tasks.instances.compare.seen import DETECTIONS
from maskrt.runtime.tasks.instances.options import MASKS

Browser = Callable[[str], tuple[str, str]]
MAX_BYTES = 5_000_000  # of a report
NUDGE = 1.01  # on the weights of one layer of about forty: what a wrong conversion does at the very least


@pytest.fixture(scope="module")
def images(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "coco-mini" / "val2017").glob("*.jpg"))[:2]


@pytest.fixture(scope="module")
def small_canvas_onnx(random_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real network with a canvas of 32 px on the short side: the whole graph, at a price for tests."""
    model = onnx.load(random_onnx)
    (entry,) = (p for p in model.metadata_props if p.key == METADATA_KEY)
    contract = Contract.from_json(entry.value, str(random_onnx))
    sides = {"min_size_px": 32, "max_size_px": 64}
    contract = dataclasses.replace(contract, config=contract.config | sides, chosen_settings=sides)
    entry.value = contract.on_canvas(**sides).to_json()
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    onnx.save_model(model, path)
    return path


@pytest.fixture(scope="module")
def nudged(small_canvas_onnx: Path) -> Path:
    """The export with its largest weights (the box head's first layer) one percent too large."""
    model = onnx.load(small_canvas_onnx)
    largest = max(model.graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
    weights = onnx.numpy_helper.to_array(largest)
    assert weights.dtype == np.float32
    largest.CopyFrom(onnx.numpy_helper.from_array(weights * np.float32(NUDGE), largest.name))
    path = small_canvas_onnx.with_name("nudged.onnx")
    onnx.save_model(model, path)
    return path


def test_an_export_is_its_checkpoint(
    command: Callable[..., Any],
    random_checkpoint: Path,
    small_canvas_onnx: Path,
    images: list[Path],
    in_browser: Browser,
    tmp_path: Path,
) -> None:
    out = ["-o", tmp_path / "parity.json", "--html", tmp_path / "parity.html"]

    ended = command(main, random_checkpoint, small_canvas_onnx, *images, *out)

    facts = json.loads((tmp_path / "parity.json").read_text())
    assert ended.code == 0, facts["failures"]
    assert facts["passed"] is True
    assert facts["summary"]["images"] == 2
    assert facts["summary"]["instances"] >= 20, "confident weights find plenty"
    assert facts["summary"]["missed"] == facts["summary"]["extra"] == 0
    assert "passed: the same model" in ended.out
    assert_it_opens(tmp_path / "parity.html", "Passed: the same model", in_browser)


def test_a_nudge_of_one_layer_is_caught(
    command: Callable[..., Any],
    random_checkpoint: Path,
    nudged: Path,
    images: list[Path],
    in_browser: Browser,
    tmp_path: Path,
) -> None:
    report = tmp_path / "parity.html"

    ended = command(main, random_checkpoint, nudged, images[0], "--json", "--html", report)

    facts = json.loads(ended.out)
    assert ended.code == 1
    assert facts["passed"] is False
    assert facts["candidate"] == str(nudged)
    named, *others = facts["failures"]
    assert named.startswith(f"class_logits is the first stage that differs ({images[0]}): SNR ")
    of_the_image = [failure for failure in others if failure.startswith(f"{images[0]}: ")]
    without = [failure for failure in others if failure not in of_the_image]
    assert "detections.box_head.fc6.weight is not the checkpoint's: SNR 40 dB" in without[0]
    assert all("(the file itself): " in failure or "(made inputs): " in failure for failure in without)
    assert of_the_image
    assert facts["summary"]["instances"] >= 20
    assert_it_opens(report, "Failed: not the same model", in_browser)


def assert_it_opens(report: Path, verdict: str, in_browser: Browser) -> None:
    """In a browser, with every stage and pictures of the worst cases."""
    assert report.stat().st_size < MAX_BYTES
    document, console = in_browser(report.read_text(encoding="utf-8"))
    assert console == ""
    assert verdict in document
    assert document.count("data:image/jpeg") >= 3
    for stage in (*FPN.maps, PROPOSALS, *PER_PROPOSAL, DETECTIONS, MASK_FEATURES, MASK_LOGITS, MASKS):
        assert f"<td>{stage}</td>" in document
