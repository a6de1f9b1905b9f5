"""What `make gpu-check-record` makes, and that it is right before a GPU is held to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu_check import record
from benchmarks.gpu_check.agreement import agree
from benchmarks.gpu_check.bundle import ALL_FORMS, Form, load_canvas
from benchmarks.gpu_check.record import VARIANTS, record_model
from benchmarks.samples import scene
from maskrt.models.rcnn.config import C4, MaskRcnnConfig
from maskrt.runtime.backends.open import Outputs, open_session
from maskrt.runtime.tasks.instances.options import DETECTED, MASKS

INT8 = Form("static", "int8")


def test_every_form_is_exported_as_its_name_says_and_int8_is_made_of_fp32(
    random_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the two commands do with it: tests/export, tests/calibration."""
    made: list[str] = []

    def write(arguments: list[str]) -> None:
        made.append(" ".join(arguments).replace(f"{tmp_path}/", ""))
        Path(arguments[arguments.index("-o") + 1]).touch()

    class Blind:
        def __init__(self, *_: object, **__: object) -> None: ...

        def infer(self, images: np.ndarray, _: np.ndarray) -> Outputs:
            empty = {name: np.zeros((len(images), 0), np.float32) for name in (*DETECTED[1:], MASKS)}
            return Outputs(num_detections=np.zeros(len(images), np.int32), **empty)

    monkeypatch.setattr(record.to_onnx, "main", write)
    monkeypatch.setattr(record.calibrate, "main", write)
    monkeypatch.setattr(record, "EagerSession", Blind)
    (random := tmp_path / "net-random.pt").symlink_to(random_checkpoint)
    model = record_model(random, ALL_FORMS, [scene(), scene(1)], tmp_path)

    assert all((tmp_path / model.onnx(form)).is_file() for form in ALL_FORMS)
    size = "--height 256 --width 448"
    for form, options in (
        (Form("static", "fp32"), f"--precision fp32 {size}"),
        (Form("dynamic", "fp16"), "--precision fp16 --dynamic"),
        (Form("batch", "fp16"), f"--precision fp16 {size} --batch 2"),
    ):
        assert f"net-random.pt -o {model.onnx(form)} {options}" in made
    assert made[-1].startswith(f"{model.onnx(Form('static', 'fp32'))} --data ")
    assert "--flavour tensorrt" in made[-1]
    assert made[-1].endswith("--anyway"), "of random weights no accuracy is asked"
    shapes = [load_canvas(tmp_path / model.canvas(i))[0].shape[:3] for i in range(model.canvases)]
    for form in ALL_FORMS:
        assert any(model.takes(form, shape) for shape in shapes), form
    low, high = np.array(shapes).min(axis=0), np.array(shapes).max(axis=0)
    assert (low >= model.smallest).all()
    assert (high <= model.largest).all(), "the dynamic engine's profile takes all of them"


def test_the_small_models_beside_are_what_they_are_called() -> None:
    settings = {name: MaskRcnnConfig(backbone="resnet18", **changes) for name, changes in VARIANTS.items()}

    assert settings["c4"] == MaskRcnnConfig(**{**vars(C4), "backbone": "resnet18", "rpn_pre_nms_train": 2000})
    assert (settings["detectron2"].roi_aligned, settings["detectron2"].exact_anchors) == (True, True)
    assert settings["keypoints"].task == "keypoint"


@pytest.mark.full
@pytest.mark.parametrize("form", [Form("static", "fp32"), Form("batch", "fp16"), INT8], ids=str)
def test_what_is_recorded_agrees_with_onnx_runtime(
    form: Form, random_checkpoint: Path, tmp_path: Path
) -> None:
    (random := tmp_path / "net-random.pt").symlink_to(random_checkpoint)
    forms = tuple({Form("static", "fp32"), form})
    model = record_model(random, forms, [scene(), scene(1)], tmp_path)

    found = agree(open_session(tmp_path / model.onnx(form)), model, form, tmp_path)

    assert found.instances
    assert found.passes(form.precision, trained=model.trained), found
