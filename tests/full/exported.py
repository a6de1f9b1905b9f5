"""A checkpoint as ONNX files, with the data to calibrate on and to judge by: what a user has at hand, and types."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from maskrt.calibration.decide.candidate import read_model, share_in_int8
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.measure.scales import Scales
from maskrt.models.checkpoint import read_checkpoint
from maskrt.runtime.backends.ort_session import OrtSession
from tests.full.conftest import run

LARGER, CHANNELS = 100.0, 4  # times these few, to make quantisation hard


@dataclasses.dataclass(frozen=True)
class Exported:
    """val: arguments that name the annotated images. unseen: image files that were not trained on."""

    checkpoint: Path
    fp32: Path
    train: str
    calibrated_on: int
    val: tuple[str, ...]
    unseen: tuple[Path, ...]

    @property
    def scales(self) -> Path:
        """The ranges, measured by the first test that needs them."""
        return self.fp32.with_suffix(".scales.json")

    def calibrate(self, output: Path, *arguments: object) -> int:
        """`maskrt calibrate` on the training images, judged by the validation images. Its exit code."""
        data = ["--data", self.train, "--max-images", self.calibrated_on, "--val", *self.val]
        options = [*data, "--scales", self.scales, *arguments]
        return run("maskrt.calibration.calibrate", str(self.fp32), "-o", str(output), *map(str, options))

    def default_plan(self, flavour: str) -> Plan:
        """With the last layers in float and all else in eight bits."""
        model, _ = read_model(self.fp32, "fp32")
        return Plan.default(Graph.of(model), flavour, "percentile")

    def share_in_int8(self, plan: Plan) -> float:
        """Of the multiply-adds."""
        return share_in_int8(plan, Scales.read(self.scales).multiply_adds)

    def parity(self, model: Path) -> int:
        """`maskrt parity` with the checkpoint on the unseen images. Its exit code."""
        return run("maskrt.runtime.parity.command", str(self.checkpoint), str(model), *map(str, self.unseen))

    def mask_ap(self, model: Path, folder: Path) -> float:
        """In points, by `maskrt evaluate`."""
        metrics = folder / "metrics.json"
        assert run("maskrt.runtime.evaluate", str(model), "--data", *self.val, "-o", str(metrics)) == 0
        return 100 * json.loads(metrics.read_text())["mask_ap"]


def export(checkpoint: Path, output: Path, *arguments: str) -> Path:
    """`maskrt export`, for a CPU."""
    assert (
        run(
            "maskrt.export.to_onnx", str(checkpoint), "-o", str(output), "--detections", "dynamic", *arguments
        )
        == 0
    )
    return output


def loss_of(output: Path) -> dict[str, float]:
    """What an INT8 file's contract says it lost."""
    return OrtSession(output).contract.precision.details["loss"]


@dataclasses.dataclass(frozen=True)
class Uneven:
    """Batch norms of the backbone whose first channels are made larger, and the convolutions that read them."""

    norms: tuple[str, ...]
    readers: tuple[str, ...]


def made_uneven(checkpoint: Path, where: Uneven, output: Path) -> Path:
    """The same function in float, with the first channels larger than the rest."""
    original = read_checkpoint(checkpoint)
    weights = {name: value.clone() for name, value in original.state_dict.items()}
    for norm in where.norms:
        for kind in ("weight", "bias"):
            weights[f"backbone.{norm}.{kind}"][:CHANNELS] *= LARGER
    for reader in where.readers:
        weights[f"backbone.{reader}.weight"][:, :CHANNELS] /= LARGER
    dataclasses.replace(original, state_dict=weights).save(output)
    return output
