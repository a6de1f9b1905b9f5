"""FP32 parity of the exported file with torchvision's eager model, over all real images and many canvases.

On trained weights: random ones give a hundred boxes an image that compete at random, and of 9300 instances
float32's rounding alone decided a few otherwise. That the graph is torchvision's function is shown in float64
(tests/models/test_graph.py).
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from maskrt.export.onnx_model import export_onnx, save_onnx
from maskrt.models.load import load_checkpoint
from maskrt.models.reference import open_reference
from maskrt.runtime.backends.open import Session
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import comparison_for
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike
from maskrt.runtime.tasks.instances.compare.tolerances import FP32

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

CANVASES = [(320, 448), (512, 512), (800, 1088), (1088, 800), (832, 1344)]


def images_of(data_dir: Path) -> list[Path]:
    """The images that the annotations of both validation sets name."""
    import json

    coco = json.loads((data_dir / "coco-mini/annotations/instances_val2017.json").read_text())["images"]
    named = [data_dir / "coco-mini/val2017" / image["file_name"] for image in coco]
    return named + find_images([str(data_dir / "droplets/val")])


def opened(checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Session]:
    checkpoint = load_checkpoint(checkpoint_path)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    save_onnx(export_onnx(checkpoint, checkpoint.contract(detections="dynamic")), path)
    return open_reference(checkpoint_path), OrtSession(path, stages=True)


@pytest.fixture(scope="module")
def resnet18(droplets_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Session]:
    return opened(droplets_checkpoint, tmp_path_factory)


@pytest.fixture(scope="module")
def resnet50(droplets_resnet50: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Session]:
    # After five epochs 1569 objectness scores of one image are 1.0 to the last bit of float32.
    return opened(droplets_resnet50, tmp_path_factory)


def assert_the_same(report: Report) -> None:
    """Every instance on both sides: not even one that rounding moved across a threshold may be missing."""
    summary = report.to_dict()["summary"]
    assert (summary["missed"], summary["extra"]) == (0, 0)
    assert report.failures == []


@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_every_real_image(model: str, data_dir: Path, request: pytest.FixtureRequest) -> None:
    pair = request.getfixturevalue(model)
    report = Report(comparison_for(*pair))
    for path in images_of(data_dir):
        compare(*pair, path.name, read_image(path), report)
    print(report.to_dict()["summary"])
    assert_the_same(report)


@pytest.mark.parametrize("canvas", CANVASES, ids=lambda c: f"{c[0]}x{c[1]}")
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_canvas_and_batch(canvas: tuple[int, int], batch: int, data_dir: Path, resnet50) -> None:
    _, candidate = resnet50
    images = [read_image(p) for p in find_images([str(data_dir / "droplets/val")])[batch : 2 * batch]]
    fixed = dataclasses.replace(candidate.contract.canvas, height_px=canvas[0], width_px=canvas[1])
    laid = preprocess(images, fixed)
    sizes = tuple((int(h), int(w)) for h, w in laid.image_sizes)
    on_canvas = Batch(laid.images, laid.image_sizes, sizes)
    outputs = [session.infer(laid.images, laid.image_sizes) for session in resnet50]
    results = paste_alike(*outputs, on_canvas, candidate.contract, within_px=FP32.box_px)
    report = Report(InstancesComparison(FP32))
    for one, other in zip(*results, strict=True):
        assert len(one) > 5, "the comparison needs detections to compare"
        report.results.add_matching(str(canvas), match(one, other), one.scores, other.scores)
    assert_the_same(report)


def test_an_image_with_more_than_a_hundred_objects(resnet18: tuple[Session, Session], data_dir: Path) -> None:
    """Nine frames side by side, each as large as training saw it."""
    frames = [read_image(p) for p in find_images([str(data_dir / "droplets/val")])]
    tiles = [frame[::3, ::3] for frame in frames if frame.shape == (1080, 1920, 3)][:9]
    crowd = np.vstack([np.hstack(tiles[i : i + 3]) for i in (0, 3, 6)])
    contract = resnet18[1].contract
    native = dataclasses.replace(contract.canvas, min_size_px=crowd.shape[0], max_size_px=crowd.shape[1])
    laid = preprocess([crowd], native)
    on_canvas = Batch(laid.images, laid.image_sizes, (crowd.shape[:2],))
    outputs = [session.infer(laid.images, laid.image_sizes) for session in resnet18]
    (expected,), (actual,) = paste_alike(*outputs, on_canvas, contract, within_px=FP32.box_px)
    assert len(expected) == 100, "all rows of the output are taken"
    report = Report(InstancesComparison(FP32))
    report.results.add_matching("crowd", match(expected, actual), expected.scores, actual.scores)
    assert_the_same(report)


def test_a_blank_image_has_nothing_on_it(resnet18: tuple[Session, Session]) -> None:
    for session in resnet18:
        outputs = session.infer(np.full((1, 384, 704, 3), 127, np.uint8), np.array([[384, 704]], np.float32))
        assert outputs["num_detections"].tolist() == [0]


def test_exporting_resnet50_takes_less_than_3_gb(droplets_resnet50: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from export import to_onnx\n"
        "try: to_onnx.main(sys.argv[1:])\n"
        "except SystemExit as finished: assert not finished.code\n"
        "print(open('/proc/self/status').read())"
    )
    arguments = [
        str(droplets_resnet50),
        "-o",
        str(tmp_path / "model.onnx"),
        "--height",
        "800",
        "--width",
        "1088",
    ]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    took_s = time.perf_counter() - start
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert peak
    print(f"{took_s:.0f} s, {int(peak[1]) / 1e6:.2f} GB")
    assert int(peak[1]) * 1024 < 3e9
