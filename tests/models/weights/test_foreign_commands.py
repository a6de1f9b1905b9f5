"""A foreign checkpoint through the commands, as it is: `maskrt export model_final.pkl`, then parity with it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from benchmarks.originals.files import detectron2_weights
from benchmarks.samples import confident_checkpoint, scene
from maskrt.export import to_onnx
from maskrt.models.foreign.class_names import COCO
from maskrt.models.rcnn.weights.conventions import SETTINGS
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.command import main as parity


@pytest.fixture(scope="module")
def model_final(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow R18-FPN of Detectron2's, of COCO's 80 classes."""
    narrow = {"fpn_channels": 32, "mask_convs": (32,) * 4, "num_classes": 81}
    colours = {"mean": (123.675 / 255, 116.28 / 255, 103.53 / 255), "std": (1 / 255,) * 3}
    sides = {"min_size_px": 128, "max_size_px": 160}
    checkpoint = confident_checkpoint("resnet18", **SETTINGS | narrow | colours | sides)
    path = tmp_path_factory.mktemp("zoo") / "model_final.pkl"
    arrays = {key: tensor.numpy() for key, tensor in detectron2_weights(checkpoint.state_dict).items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    return path


def test_it_is_exported_and_at_parity(model_final: Path, tmp_path: Path) -> None:
    model, picture, report = tmp_path / "m.onnx", tmp_path / "picture.png", tmp_path / "parity.json"
    with pytest.raises(SystemExit) as finished:
        to_onnx.main([str(model_final), "-o", str(model), "--height", "128", "--width", "160"])
    assert not finished.value.code
    assert open_session(model).contract.classes == COCO
    write_png(picture, scene(1))
    with pytest.raises(SystemExit) as finished:
        parity([str(model_final), str(model), str(picture), "-o", str(report)])
    assert not finished.value.code
    assert json.loads(report.read_text())["summary"]["instances"] > 10


def test_what_cannot_be_read_is_one_sentence(
    model_final: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.pkl").write_bytes(model_final.read_bytes()[:5000])
    with pytest.raises(SystemExit) as stopped:
        to_onnx.main([str(tmp_path / "cut.pkl"), "-o", str(tmp_path / "m.onnx")])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("maskrt export: ")
    assert "cut.pkl: not a pickle of numpy arrays (5000 bytes" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "m.onnx").exists()
