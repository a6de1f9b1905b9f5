"""Models that eight bits damage: a few channels a hundred times as large as the rest, the same function in float.

Trained on drawn scenes of four classes. What the gate does about it, and training in eight bits.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from maskrt.calibration.decide.candidate import build, read_model, sign
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.measure.scales import Scales
from maskrt.export.demo import TRAIN, VALIDATION
from tests.full.conftest import CACHE, HEIGHT_PX, WIDTH_PX, run, training_key
from tests.full.exported import Exported, Uneven, export, made_uneven

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

QAT = ["--batch", "4", "--set", "precision=bf16-mixed"]
LEFT = 0.7  # of the multiply-adds in INT8; measured: 81% (cpu), 91% (tensorrt)
LOST, AFTER = 5.0, 2.0  # points of mask AP; measured: 9.7 lost by rounding, 1.1 after training


IN_THE_STREAM = Uneven(  # of layer1: what its blocks add to
    ("body.bn1", "body.layer1.0.bn2", "body.layer1.1.bn2"),
    (
        *("body.layer1.0.conv1", "body.layer1.1.conv1", "body.layer2.0.conv1", "body.layer2.0.downsample.0"),
        "fpn.inner_blocks.0.0",
    ),
)


def exported(checkpoint: Path, folder: Path) -> Exported:
    size = ("--height", str(HEIGHT_PX), "--width", str(WIDTH_PX))
    fp32 = export(checkpoint, folder / "model.onnx", *size)
    return Exported(checkpoint, fp32, TRAIN, calibrated_on=16, val=(VALIDATION,), unseen=())


@pytest.fixture(scope="module")
def uneven_stream(scenes_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("stream")
    return exported(made_uneven(scenes_checkpoint, IN_THE_STREAM, folder / "uneven.pt"), folder)


@pytest.mark.parametrize("flavour", ["cpu", "tensorrt"])
def test_the_gate_names_the_uneven_tensors_and_leaves_the_rest_in_int8(
    flavour: str, uneven_stream: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "int8.onnx"
    assert uneven_stream.calibrate(output, "--flavour", flavour) == 0
    said = capsys.readouterr().err
    print(said)
    assert "does not pass" in said
    assert "'stage.C2'" in said, "the sum with the large channels, as the pyramid and layer2 read it"
    plan = Plan.read(output.with_suffix(".plan.json"))
    readers = {f"backbone.{name}" for name in IN_THE_STREAM.readers}
    assert readers <= set(plan.float_layers)
    assert uneven_stream.share_in_int8(plan) > LEFT


@pytest.fixture(scope="module")
def learned(uneven_stream: Exported, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The model with uneven channels, trained on in eight bits, from the cache or into it."""
    folder = CACHE / f"eight-bits-{training_key(*QAT)}"
    if not (folder / "metrics.json").exists():  # written last
        shutil.rmtree(folder, ignore_errors=True)
        places = [
            "--qat",
            str(uneven_stream.checkpoint),
            "--data",
            TRAIN,
            "--val",
            VALIDATION,
            "-o",
            str(folder),
        ]
        assert run("maskrt.training.train", *places, *QAT) == 0
    return exported(folder / "best.pt", tmp_path_factory.mktemp("learned"))


def test_training_in_eight_bits_regains_what_rounding_cost(
    uneven_stream: Exported, learned: Exported, tmp_path: Path
) -> None:
    plan = uneven_stream.default_plan("tensorrt")
    plan.write(tmp_path / "default.plan.json")
    arguments = ["--flavour", "tensorrt", "--plan", tmp_path / "default.plan.json", "--max-ap-drop", AFTER]
    assert uneven_stream.calibrate(tmp_path / "x.onnx", *arguments) == 1, "measures, and does not pass"
    rounded, contract = read_model(uneven_stream.fp32, "fp32")
    rounded = build(rounded, plan, Scales.read(uneven_stream.scales).ranges(plan.method))
    sign(rounded, contract, {})
    onnx.save_model(rounded, tmp_path / "rounded.onnx")
    assert learned.calibrate(tmp_path / "learned.onnx", *arguments) == 0, "everything in INT8"
    before, after_rounding, after_training = (
        uneven_stream.mask_ap(model, tmp_path)
        for model in (uneven_stream.fp32, tmp_path / "rounded.onnx", tmp_path / "learned.onnx")
    )
    print(f"mask AP {before:.2f}, rounded {after_rounding:.2f}, trained in eight bits {after_training:.2f}")
    assert before - after_rounding > LOST
    assert before - after_training < AFTER
