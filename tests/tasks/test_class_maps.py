"""The README's commands for class maps, as they stand there, on drawn streets with label PNGs."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest

from maskrt.__main__ import VERBS
from maskrt.models.load import load_checkpoint
from maskrt.runtime.errors import EXIT_FAILED_CHECK
from maskrt.runtime.files.atomic import write_png
from maskrt.training import train
from tests.families import ended

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
#: What makes the preset small enough for a test.
SMALL = shlex.split(
    "--epochs 1 --lr 0.01 --set width=0.125 --set fc_channels=16 --set min_size_px=64 --set max_size_px=96 "
    "--set passes=24 --set crop_px=64 --set logger=csv --set warmup_iterations=2"
)
COLOURS = np.array([(90, 140, 220), (120, 120, 120), (30, 120, 40)], np.uint8)  # sky, road, tree


@pytest.fixture
def streets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """camvid/train and camvid/val, each with images/ and labels/, and their classes one above; one is there."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for number in range(8):
            labels = np.zeros((64, 96), np.uint8)
            labels[rng.integers(24, 40) :] = 1
            labels[8:56, (left := rng.integers(8, 60)) : left + 24] = 2
            noise = rng.integers(0, 24, (64, 96, 3), np.uint8)
            labels[:2] = 3  # past the classes
            picture = COLOURS[np.minimum(labels, 2)] + noise
            for kind, content in (("images", picture), ("labels", labels)):
                (tmp_path / "camvid" / part / kind).mkdir(parents=True, exist_ok=True)
                write_png(tmp_path / "camvid" / part / kind / f"{number}.png", content)
    (tmp_path / "camvid" / "classes.txt").write_text("sky\nroad\ntree\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.full
def test_the_readmes_commands_for_class_maps_work(streets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in README.splitlines() if "fcn8s." in line or "fcn8s " in line]
    commands = [shlex.split(line, comments=True) for line in lines]
    assert [command[1] for command in commands] == ["train", "export", "evaluate", "parity", "calibrate"]
    for _, verb, *arguments in commands:
        status = ended(
            importlib.import_module(VERBS[verb][0]).main, *arguments, *(SMALL if verb == "train" else ())
        )
        if verb == "calibrate" and status:  # what was learned in seconds may lose more than is allowed
            assert status == EXIT_FAILED_CHECK
            assert "mIoU" in capsys.readouterr().err
            return
        assert status == 0, f"{verb}: {capsys.readouterr().err}"

    assert {path.name for path in Path("out/fcn8s").iterdir()} >= {"best.pt", "curves.png", "predictions.png"}
    told = json.loads(Path("metrics.json").read_text())
    assert told["miou"] > 0.5
    assert {"pixel_accuracy", "mean_accuracy", "frequency_weighted_iou"} <= told.keys()
    rounded = {n.input[0] for n in onnx.load("fcn8s.int8.onnx").graph.node if n.op_type == "QuantizeLinear"}
    made = {name for n in onnx.load("fcn8s.onnx").graph.node if n.op_type == "Resize" for name in n.output}
    assert rounded
    assert not rounded & made, "enlarged scores stay in float"


@pytest.mark.full
def test_sixteens_begin_where_thirty_twos_ended(streets: Path) -> None:
    options = ["--data", "camvid/train", *SMALL, "--set", "passes=2"]
    assert ended(train.main, "--preset", "fcn32s", *options, "-o", "coarse") == 0

    start = ["--preset", "fcn16s", "--from", "coarse/best.pt"]
    assert ended(train.main, *start, *options, "-o", "fine") == 0

    assert load_checkpoint("fine/best.pt").config.network == "fcn16s"
