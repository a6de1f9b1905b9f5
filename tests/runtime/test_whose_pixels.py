"""A file's pictures are resized, and its masks pasted, by its contract's rules: by every door, in every precision."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import maskrt
from maskrt.calibration.measure.images import batches, find, readable
from maskrt.runtime import infer
from maskrt.runtime.backends.open import Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.instances.paste import paste_mask
from maskrt.runtime.tasks.instances.result import Result
from tests.runtime.conftest import disc
from tests.runtime.videos import moving, read_video, write_video

Make = Callable[..., Contract]
Run = Callable[..., Any]
Write = Callable[..., Path]
DETECTRON2S: dict[str, Any] = {"resize": "pil", "rounding": "nearest_by_side", "paste": "pixel_middles"}
#: Landscape and portrait, enlarged and made smaller; (height, width).
SIZES = ((41, 57), (57, 41), (150, 203), (331, 250))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every canvas that a model is given."""
    canvases: list[np.ndarray] = []
    plain = Session.infer

    def infer(session: Session, images: np.ndarray, sizes: np.ndarray) -> Any:
        canvases.extend(images.copy())
        return plain(session, images, sizes)

    monkeypatch.setattr(Session, "infer", infer)
    return canvases


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """JPEGs of all SIZES."""
    (tmp_path / "photographs").mkdir()
    noise = np.random.default_rng(0)
    paths = [tmp_path / "photographs" / f"{k}.jpg" for k in range(len(SIZES))]
    for path, size in zip(paths, SIZES, strict=True):
        assert cv2.imwrite(str(path), noise.integers(0, 256, (*size, 3), np.uint8))
    return paths


def assert_laid(canvases: list[np.ndarray], pictures: list[np.ndarray], contract: Contract) -> None:
    """Each picture as the contract's rules have it, which is not as torchvision's have."""
    torchvisions = dataclasses.replace(contract.canvas, resize="torch", rounding="down")
    for canvas, image in zip(canvases, pictures, strict=True):
        np.testing.assert_array_equal(canvas, preprocess([image], contract.canvas).images[0])
        assert (canvas != preprocess([image], torchvisions).images[0]).any()


def pasted(result: Result, rule: str) -> list[np.ndarray]:
    """The tiny model's one mask in each box of the result, by that rule."""
    size = result.height_px, result.width_px
    return [paste_mask(disc(), box, *size, 0.5, rule).bits for box in result.boxes]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_in_the_python_api(
    precision: str, write_model: Write, contract_with: Make, photographs: list[Path], seen: list[np.ndarray]
) -> None:
    contract = contract_with(precision=precision, **DETECTRON2S)

    results = maskrt.load(write_model(contract=contract))(photographs, min_score=0)

    assert_laid(seen, [read_image(path) for path in photographs], contract)
    for result in results:
        for crop, bits in zip(result.crops, pasted(result, "pixel_middles"), strict=True):
            np.testing.assert_array_equal(crop.bits, bits)
        assert [b.sum() for b in pasted(result, "torchvision")] != [crop.bits.sum() for crop in result.crops]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_in_maskrt_infer(
    precision: str,
    command: Run,
    write_model: Write,
    contract_with: Make,
    photographs: list[Path],
    seen: list[np.ndarray],
    tmp_path: Path,
) -> None:
    contract = contract_with(precision=precision, **DETECTRON2S)
    model = write_model(contract=contract)

    assert command(infer.main, model, *photographs, "-o", tmp_path / "out", "--min-score", 0).code == 0

    assert_laid(seen, [read_image(path) for path in photographs], contract)
    lines = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    told = [[row["segmentation"] for row in line["detections"]] for line in lines]
    expected = maskrt.load(model)(photographs, min_score=0)
    assert told == [[row["segmentation"] for row in result.to_coco(0)] for result in expected]


def test_in_a_video(
    command: Run, write_model: Write, contract_with: Make, seen: list[np.ndarray], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (150, 202, 3), np.uint8)
    video = write_video(tmp_path / "clip.avi", moving(noise, 3))
    contract = contract_with(**DETECTRON2S)

    assert command(infer.main, write_model(contract=contract), video, "-o", tmp_path / "out").code == 0

    assert_laid(seen, read_video(video)[0], contract)


def test_in_calibration(contract_with: Make, photographs: list[Path]) -> None:
    contract = contract_with(**DETECTRON2S)
    images, _ = readable(find(str(photographs[0].parent), len(photographs)))

    canvases = [batch.images[0] for batch in batches(images, contract.canvas, None)]

    assert_laid(canvases, [read_image(path) for path in photographs], contract)
