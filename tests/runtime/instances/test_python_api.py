"""`maskrt.load` and what it gives."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision

import maskrt
from maskrt.runtime import infer
from maskrt.runtime.backends.open import Session
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import ModelError, OptionError
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.tasks.instances.drawing.draw import draw
from maskrt.runtime.tasks.instances.result import Result
from tests.runtime.conftest import REPOSITORY

Make = Callable[..., Any]


def same(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-6)
    np.testing.assert_array_equal(one.masks, other.masks)


@pytest.fixture
def mixed(picture: np.ndarray) -> list[np.ndarray]:
    """Seven pictures of three sizes and two canvas sizes, all mixed up, and one of them black."""
    wide, tall = np.tile(picture, (1, 2, 1)), np.tile(picture, (3, 1, 1))
    return [picture, wide, tall, picture[:, ::-1].copy(), tall[::-1].copy(), np.zeros_like(wide), picture]


def test_fits_on_a_napkin(tiny_onnx: Path, picture: np.ndarray, picture_file: Path) -> None:
    with maskrt.load(tiny_onnx) as model:
        results = model(picture, min_score=0)
        from_file = model(picture_file, min_score=0)
        assert model.classes == ["cat", "toothbrush", "car"]
        assert repr(model).endswith(
            "model.onnx: mask_rcnn in fp32, any size, 3 classes: cat, toothbrush, car>"
        )

    (result,) = results
    assert result.names == ["toothbrush", "cat", "car"]
    assert result.masks.shape == (3, *picture.shape[:2])
    assert result.boxes.shape == (3, 4)
    assert result.scores.tolist() == sorted(result.scores.tolist(), reverse=True)
    np.testing.assert_array_equal(result.plot(), draw(picture, result))
    assert [row["category_id"] for row in result.to_coco(7)] == [90, 17, 3]
    same(from_file[0], result)


@pytest.mark.parametrize("batch", [None, 2, 3, 16])
def test_images_of_mixed_sizes_give_what_each_gives_alone(
    batch: int | None, tiny_onnx: Path, mixed: list[np.ndarray]
) -> None:
    model = maskrt.load(tiny_onnx, batch=batch)

    results = model(mixed)

    assert [len(r) for r in results] == [2, 2, 2, 2, 2, 0, 2]
    for image, result in zip(mixed, results, strict=True):
        assert result.image is image
        same(result, model(image)[0])


def test_no_pixel_is_padded_in_vain(tiny_session: Session, mixed: list[np.ndarray]) -> None:
    seen: list[tuple[int, ...]] = []

    class Watching(Session):
        contract, name = tiny_session.contract, tiny_session.name

        def _run(self, images: np.ndarray, image_sizes: np.ndarray) -> Any:
            seen.append(images.shape[:3])
            return tiny_session.infer(images, image_sizes)

    Predictor(Watching(), batch=4)(mixed)

    assert sorted(seen) == [(1, 64, 96), (2, 96, 64), (4, 64, 96)]


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (float("nan"), "min_score is nan"),
        ("0.5", "min_score is '0.5'"),
        (None, "min_score is None"),
        (True, "min_score is True"),
        (-0.1, "min_score is -0.1, expected a number from 0 to 1"),
        (50, "min_score is 50, expected a number from 0 to 1"),
    ],
)
def test_names_a_score_that_cannot_be(score: Any, said: str, tiny_onnx: Path, picture: np.ndarray) -> None:
    with pytest.raises(OptionError, match=said):
        maskrt.load(tiny_onnx)(picture, min_score=score)


def test_the_same_detections_are_kept_as_on_the_command_line(
    command: Make, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    assert command(infer.main, tiny_onnx, picture_file, "-o", tmp_path / "out").code == 0

    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    (result,) = maskrt.load(tiny_onnx)(picture_file)
    assert [row["score"] for row in rows] == result.scores.tolist()
    assert len(rows) == 2, "of 0.9, 0.8 and 0.3"


@pytest.mark.parametrize("classes", ["cat", ["cat"], ("car", "cat")])
def test_classes_are_kept_by_name(classes: Any, tiny_onnx: Path, picture: np.ndarray) -> None:
    (result,) = maskrt.load(tiny_onnx)(picture, classes=classes)

    assert result.names == ["cat"]


def test_names_a_class_that_the_model_does_not_have(tiny_onnx: Path, picture: np.ndarray) -> None:
    with pytest.raises(OptionError, match=r"no class is named 'dog'. This model's are: cat, toothbrush, car"):
        maskrt.load(tiny_onnx)(picture, classes=["cat", "dog"])


def test_names_a_batch_that_the_model_is_not_fixed_to(write_model: Make, contract_with: Make) -> None:
    fixed = write_model(contract=contract_with(height_px=64, width_px=96, batch=2))

    with pytest.raises(ModelError, match="fixed to 2 images a call, not 4"):
        maskrt.load(fixed, batch=4)


def test_several_threads_may_share_a_model(tiny_onnx: Path, mixed: list[np.ndarray]) -> None:
    model = maskrt.load(tiny_onnx)
    expected = [model(image)[0] for image in mixed]
    errors: list[BaseException] = []

    def work(image: np.ndarray, result: Result) -> None:
        try:
            for _ in range(20):
                same(model(image)[0], result)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(mixed, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not errors


def test_a_result_survives_the_way_to_supervision_and_back(tiny_onnx: Path, picture: np.ndarray) -> None:
    (result,) = maskrt.load(tiny_onnx)(picture)
    detections = supervision.Detections(**result.to_supervision())

    back = Result.from_supervision(detections, result.classes, picture.shape[:2])

    same(back, result)
    assert back.names == result.names
    assert back.rles == result.rles


def test_supervision_s_detections_are_put_into_our_order() -> None:
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 1:3, 2:5], masks[2, :, 7] = True, True
    detections = supervision.Detections(
        xyxy=np.array([[2, 1, 5, 3], [0, 0, 1, 1], [7, 0, 8, 6]], float),
        mask=masks,
        confidence=np.array([0.2, 0.4, 0.9]),
        class_id=np.array([0, 1, 1]),
    )

    result = Result.from_supervision(detections, (Category(5, "a"), Category(9, "b")), (6, 8))

    assert result.names == ["b", "b", "a"]
    assert result.scores.tolist() == pytest.approx([0.9, 0.4, 0.2])
    np.testing.assert_array_equal(result.masks, masks[[2, 1, 0]])
    assert (result.crops[0].top, result.crops[0].left, result.crops[0].bits.shape) == (0, 7, (6, 1))


def test_supervision_s_boxes_alone_are_a_result_without_masks() -> None:
    boxes = supervision.Detections(xyxy=np.array([[0, 0, 1, 2]], float))

    result = Result.from_supervision(boxes, (Category(7, "a"),), (6, 8))

    assert result.to_coco(1) == [{"image_id": 1, "category_id": 7, "bbox": [0, 0, 1, 2], "score": 1}]
    assert result.to_supervision()["mask"] is None
    assert len(Result.from_supervision(supervision.Detections.empty(), (), (6, 8))) == 0


def test_names_masks_of_another_size() -> None:
    masks = supervision.Detections(xyxy=np.array([[0, 0, 1, 1]], float), mask=np.zeros((1, 8, 6), bool))

    with pytest.raises(ValueError, match=r"masks are \(1, 8, 6\), expected \(1, 6, 8\)"):
        Result.from_supervision(masks, (Category(1, "a"),), (6, 8))


def test_names_a_result_without_a_picture(tiny_onnx: Path, picture: np.ndarray) -> None:
    (result,) = maskrt.load(tiny_onnx)(picture)
    bare = Result.from_supervision(
        supervision.Detections(**result.to_supervision()), result.classes, picture.shape[:2]
    )

    with pytest.raises(ValueError, match="this result has no picture"):
        bare.plot()


@pytest.mark.parametrize("page", ["README.md", "docs/runtime.md"])
def test_what_the_docs_show_works_as_it_stands_there(
    page: str, tiny_onnx: Path, picture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas", reason="pandas is not needed, and not installed here")
    (snippet,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(encoding="utf-8"), re.S)
    shutil.copy(tiny_onnx, tmp_path / "model.onnx")
    for name in ("a.jpg", "b.jpg", "photo.jpg"):
        shutil.copy(picture_file, tmp_path / name)
    monkeypatch.chdir(tmp_path)

    exec(compile(snippet, page, "exec"), {})

    assert read_image(tmp_path / "overlay.png").shape == read_image(picture_file).shape
