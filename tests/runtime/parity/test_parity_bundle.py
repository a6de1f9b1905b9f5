"""Recorded where PyTorch is, checked where it is not."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.samples import scene
from maskrt.export.stages import ShowStages
from maskrt.models.rcnn.layout import PROPOSALS
from maskrt.runtime.contract import CANVAS
from maskrt.runtime.errors import ModelError
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.command import main
from maskrt.runtime.parity.inside.samples import SAMPLED_VALUES
from maskrt.runtime.parity.recorded.bundle import normalised_canvas, open_bundle
from tests.runtime import faults

Run = Callable[..., Any]
# What a GPU machine or a Jetson lacks.
ELSEWHERE = {"torch", "torchvision", "onnx", "onnxscript", "lightning", "training", "export"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    for index in (1, 2):
        write_png(folder / f"{index}.png", scene(index))
    return [folder / "1.png", folder / "2.png"]


@pytest.fixture(scope="module")
def bundle(random_checkpoint: Path, images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.npz"
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()) as said:
        main(["record", str(random_checkpoint), *map(str, images), "-o", str(path)])
    assert not ended.value.code
    assert f"{path}: 2 images, {path.stat().st_size / 1e6:.1f} MB" in said.getvalue()
    return path


@pytest.fixture(scope="module")
def with_stages(random_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """The export as `maskrt export --with-stages` makes it, with a fault."""
    folder = tmp_path_factory.mktemp("stages")

    def write(plant: Callable[[onnx.ModelProto], None]) -> Path:
        model = onnx.load(random_onnx)
        plant(model)
        ShowStages("model.onnx")(model)
        path = folder / f"{plant.__name__}.onnx"
        onnx.save_model(model, path)
        return path

    return write


def as_it_is(model: onnx.ModelProto) -> None: ...


def test_a_machine_without_torch_finds_the_same(
    without: Run, bundle: Path, with_stages: Callable[[Any], Path]
) -> None:
    arguments = ["check", bundle, with_stages(as_it_is), "--json"]

    ended = without(ELSEWHERE, "maskrt.runtime.parity.command", *arguments)

    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    assert facts["summary"]["images"] == 2
    assert facts["summary"]["instances"] >= 40
    assert {stage["stage"] for stage in facts["stages"]["per_stage"]} > {"canvas", "C5", "mask_logits"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults.bgr, "canvas is the first stage that differs"),
        (faults.roi_align_half_a_pixel_off, "RoIAlign shifted by half a pixel"),
        (faults.overflow_of_one_layer, "C4 is the first stage that differs"),
    ],
)
def test_and_names_a_fault_from_samples_of_the_stages(
    fault: Callable[[onnx.ModelProto], None],
    said: str,
    without: Run,
    bundle: Path,
    with_stages: Callable[[Any], Path],
) -> None:
    ended = without(ELSEWHERE, "maskrt.runtime.parity.command", "check", bundle, with_stages(fault))

    assert ended.code == 1
    assert said in " ".join(ended.out.split())
    assert ended.out.startswith("failed: not the same model. ")


def test_without_stages_in_the_file_and_onnx_the_results_alone_are_compared(
    without: Run, bundle: Path, random_onnx: Path
) -> None:
    ended = without(ELSEWHERE, "maskrt.runtime.parity.command", "check", bundle, random_onnx)

    assert ended.code == 0, ended.err
    assert ended.err.strip() == f"{random_onnx}: cannot be looked into, so results alone were compared"


def test_a_bundle_holds_inputs_results_and_samples(bundle: Path, images: list[Path]) -> None:
    opened = open_bundle(bundle)

    ((name, batch, expected), _) = list(opened)
    assert name == str(images[0])
    assert batch.images.dtype == np.uint8
    assert batch.images.shape == (1, 256, 320, 3)
    assert len(expected.result.crops) == expected.outputs["num_detections"][0] >= 20
    assert expected.samples is not None
    assert expected.samples[CANVAS].values.shape == (3, 256, 320)
    assert expected.samples[PROPOSALS].values.shape[1] == 4
    assert all(
        s.values.size <= SAMPLED_VALUES for k, s in expected.samples.items() if k not in (CANVAS, PROPOSALS)
    )
    np.testing.assert_array_equal(normalised_canvas(batch, opened.contract), expected.samples[CANVAS].values)


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_a_bundle_cut_off_is_refused(keep: int, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.npz").write_bytes(bundle.read_bytes()[:keep])

    with pytest.raises(ModelError, match=r"cut\.npz: not a parity bundle, or one cut off"):
        open_bundle(tmp_path / "cut.npz")


def test_nothing_is_left_of_a_recording_that_failed(
    command: Run, random_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").touch()

    ended = command(main, "record", random_checkpoint, tmp_path / "bad.png", "-o", tmp_path / "b.npz")

    assert ended.code == 1
    assert "nothing was recorded" in ended.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.png"]
