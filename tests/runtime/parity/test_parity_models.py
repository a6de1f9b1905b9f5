"""The command on a real network and its export: the same is passed, a nudge is not."""

from __future__ import annotations

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
from maskrt.runtime.parity.command import main
from maskrt.runtime.tasks.instances.compare.seen import DETECTIONS
from maskrt.runtime.tasks.instances.options import MASKS
from tests.exports import Exports
from tests.families import Made, make

Browser = Callable[[str], tuple[str, str]]
MAX_BYTES = 5_000_000  # of a report
LAYER = "detections.box_head.fc6.weight"
NUDGE = 1.01  # on the weights of one layer of about forty: what a wrong conversion does at the very least


@pytest.fixture(scope="module")
def images(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "coco-mini" / "val2017").glob("*.jpg"))[:2]


@pytest.fixture(scope="module")
def example(exports: Exports) -> Made:
    """A small network, which is whole."""
    return make(exports, "mask_rcnn")


@pytest.fixture(scope="module")
def nudged(example: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export with the weights of the box head's first layer one percent too large."""
    model = onnx.load(example.model)
    (layer,) = (tensor for tensor in model.graph.initializer if tensor.name == LAYER)
    weights = onnx.numpy_helper.to_array(layer)
    assert weights.dtype == np.float32
    layer.CopyFrom(onnx.numpy_helper.from_array(weights * np.float32(NUDGE), layer.name))
    path = tmp_path_factory.mktemp("nudged") / "nudged.onnx"
    onnx.save_model(model, path)
    return path


def test_an_export_is_its_checkpoint(
    command: Callable[..., Any],
    example: Made,
    images: list[Path],
    in_browser: Browser,
    tmp_path: Path,
) -> None:
    out = ["-o", tmp_path / "parity.json", "--html", tmp_path / "parity.html"]

    ended = command(main, example.checkpoint, example.model, *images, *out)

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
    example: Made,
    nudged: Path,
    images: list[Path],
    in_browser: Browser,
    tmp_path: Path,
) -> None:
    report = tmp_path / "parity.html"

    ended = command(main, example.checkpoint, nudged, images[0], "--json", "--html", report)

    facts = json.loads(ended.out)
    assert ended.code == 1
    assert facts["passed"] is False
    assert facts["candidate"] == str(nudged)
    named, *others = facts["failures"]
    assert named.startswith(f"class_logits is the first stage that differs ({images[0]}): SNR ")
    of_the_image = [failure for failure in others if failure.startswith(f"{images[0]}: ")]
    without = [failure for failure in others if failure not in of_the_image]
    assert f"{LAYER} is not the checkpoint's: SNR 40 dB" in without[0]
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
