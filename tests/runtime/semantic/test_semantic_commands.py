"""A model of class maps through the runtime's commands: nothing in them knows the task."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf import json_format, text_format
from PIL import Image

import maskrt
from maskrt.runtime import bench, evaluate, infer, serve_triton
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import ContractError
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.annotated import Annotated
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.siblings import load_dataset
from maskrt.runtime.structs import FieldError
from maskrt.runtime.tasks import task_of
from tests.runtime.semantic.maps import halves, make_contract, picture, write_model

Command = Callable[..., Any]


def test_python_users_get_labels_in_the_pictures_pixels(semantic_onnx: Path) -> None:
    labels = halves(33, 47)

    (result,) = maskrt.load(semantic_onnx)(picture(labels))

    assert np.array_equal(result.labels, labels)
    assert result.names == ["background", "grass", "sky"]
    assert result.plot().shape == (33, 47, 3)


def test_large_pictures_are_made_smaller_and_their_labels_larger_again(semantic_onnx: Path) -> None:
    labels = halves(120, 192)  # the canvas takes 96 px at most

    (result,) = maskrt.load(semantic_onnx)(picture(labels))

    assert result.labels.shape == (120, 192)
    assert (result.labels == labels).mean() > 0.99


def test_infer_writes_label_files_lines_and_overlays(
    semantic_onnx: Path, pictures: Path, tmp_path: Path, command: Command
) -> None:
    done = command(infer.main, semantic_onnx, pictures, "-o", tmp_path, "--masks", "--splash")

    assert done.code == 0, done.err
    assert np.array_equal(np.asarray(Image.open(tmp_path / "labels/a.png")), halves(40, 60))
    ids = cv2.imread(str(tmp_path / "ids/b.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(ids, np.array([7, 5, 300])[halves(30, 50)])
    assert sorted(path.name for path in (tmp_path / "masks/a").iterdir()) == ["000.png", "001.png", "002.png"]
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["classes"][0]["share"] for line in lines] == [0.5, 0.5]
    assert {path.name for path in (tmp_path / "overlays").iterdir()} == {"a.png", "b.png"}


def test_outlines_are_refused_before_anything_is_written(
    semantic_onnx: Path, pictures: Path, tmp_path: Path, command: Command
) -> None:
    done = command(infer.main, semantic_onnx, pictures, "-o", tmp_path / "out", "--contours")

    assert done.code == 2
    assert "--contours has nothing to show" in " ".join(done.err.split())
    assert not (tmp_path / "out").exists()


def test_a_video_is_drawn_frame_by_frame(semantic_onnx: Path, tmp_path: Path, command: Command) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(picture(halves(48, 64))[:, :, ::-1])
    writer.release()

    assert command(infer.main, semantic_onnx, tmp_path / "v.avi", "-o", tmp_path / "out").code == 0

    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 3
    assert len(list((tmp_path / "out/labels").rglob("*.png"))) == 3
    assert (
        cv2.VideoCapture(str(next((tmp_path / "out/overlays").glob("v.*")))).get(cv2.CAP_PROP_FRAME_COUNT)
        == 3
    )


@pytest.fixture
def annotated(tmp_path: Path, pictures: Path) -> Path:
    """The pictures with label maps of which the model has one pixel wrong, in b."""
    (tmp_path / "data/labels").mkdir(parents=True)
    (tmp_path / "data/images").symlink_to(pictures)
    (tmp_path / "data/classes.txt").write_text("background\ngrass\nsky\n")
    for name, size in (("a", (40, 60)), ("b", (30, 50))):
        labels = halves(*size)
        labels[0, 0] = 1 if name == "b" else 0
        labels[1, 1] = 255
        write_png(tmp_path / f"data/labels/{name}.png", labels)
    return tmp_path / "data"


def test_it_is_evaluated_by_mean_iou(
    semantic_onnx: Path, annotated: Path, tmp_path: Path, command: Command
) -> None:
    files = ["-o", tmp_path / "m.json", "--html", tmp_path / "m.html"]

    done = command(evaluate.main, semantic_onnx, "--data", annotated, *files)

    assert done.code == 0, done.err
    facts = json.loads((tmp_path / "m.json").read_text())
    assert facts["pixel_accuracy"] == pytest.approx(1 - 1 / (40 * 60 + 30 * 50 - 2))
    assert 0.99 < facts["miou"] < 1
    assert [row["name"] for row in facts["per_class"]] == ["background", "grass", "sky"]
    assert "mIoU" in done.out
    assert "data:image/png;base64," in (tmp_path / "m.html").read_text()


def test_the_interval_of_a_difference_is_of_mean_iou(semantic_onnx: Path, annotated: Path) -> None:
    predictor = Predictor(open_session(semantic_onnx))
    contract = predictor.session.contract
    dataset = load_dataset(str(annotated)).with_classes(contract.classes)
    both = Annotated(dataset, task_of(contract).metric(contract))
    for place, sample in enumerate(dataset):
        (found,) = predictor(sample.image())
        both.add(place, found, found)

    difference = both.difference()["miou"]

    assert difference["low"] == difference["high"] == difference["difference"] == 0
    assert 0.99 < difference["reference"] < 1


def test_it_is_timed(semantic_onnx: Path, pictures: Path, command: Command) -> None:
    options = ["--image", pictures / "a.png", "--rounds", 3, "--no-memory", "--json"]

    assert command(bench.main, semantic_onnx, *options).code == 0


def test_a_triton_server_answers_as_infer_does(
    semantic_onnx: Path, pictures: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", SimpleNamespace())
    assert command(serve_triton.main, semantic_onnx, "-o", tmp_path, "--name", "m").code == 0
    written = text_format.Parse(
        (tmp_path / "m_postprocess/config.pbtxt").read_text(), config_pb2.ModelConfig()
    )
    named = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    served = runpy.run_path(str(tmp_path / "m_postprocess/1/model.py"))["TritonPythonModel"]()
    served.initialize({"model_config": json_format.MessageToJson(written, **named)})
    sizes = np.array([[40, 60]], np.float32)
    outputs = open_session(semantic_onnx).infer(picture(halves(40, 60))[None], sizes)

    answers = served.compute({**outputs, "image_sizes": sizes, "original_sizes": sizes.astype(np.int32)})

    (text,) = answers["result"].ravel()
    assert json.loads(text) == maskrt.load(semantic_onnx)(pictures / "a.png")[0].to_line(0)


def test_more_classes_than_a_map_holds_are_refused() -> None:
    with pytest.raises(FieldError, match="at most 255"):
        make_contract(classes=tuple(Category(k, f"c{k}") for k in range(256)))


@pytest.mark.parametrize("size", [(64, 96), (None, None)])
def test_scores_have_a_cell_for_each_stride(size: tuple[int | None, int | None]) -> None:
    contract = make_contract(stride_px=7, height_px=size[0], width_px=size[1])

    assert contract.output_names == ("semantic", "semantic_scores")
    sides = {"batch": 2, "height": 64, "width": 96}
    assert contract.outputs[1].shape(sides) == (2, 3, 10, 14)


def test_a_graph_without_the_scores_that_it_promises_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", make_contract(stride_px=8))

    with pytest.raises(ContractError, match="semantic_scores"):
        open_session(path)
