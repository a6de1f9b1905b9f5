"""The exported file: one valid ONNX that carries its contract and finds what PyTorch finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from benchmarks.samples import scene
from maskrt.export import to_onnx
from maskrt.models import find_family
from maskrt.models.load import load_checkpoint
from maskrt.models.operators import DOMAIN, PLUGIN_ATTRIBUTES
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.models.reference import open_reference
from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.contract import METADATA_KEY
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import comparison_for
from maskrt.runtime.tasks.instances.options import DETECTED, MASKS, BoxGrid
from maskrt.training.data import load_dataset
from tests.exports import Exports


@pytest.fixture(scope="module")
def reference(random_checkpoint: Path) -> EagerSession:
    return open_reference(random_checkpoint)


@pytest.fixture(scope="module")
def dynamic(random_onnx: Path) -> Session:
    return open_session(random_onnx)


def assert_parity(reference: Session, candidate: Session, images: list[np.ndarray], least: int = 1) -> None:
    report = Report(comparison_for(reference, candidate))
    for index, image in enumerate(images):
        compare(reference, candidate, f"image {index}", image, report)
    assert report.failures == []
    assert report.to_dict()["summary"]["instances"] >= least


def test_the_file_stands_alone(random_onnx: Path) -> None:
    assert sorted(p.name for p in random_onnx.parent.iterdir() if ".onnx" in p.name) == [random_onnx.name]
    model = onnx.load(random_onnx)
    onnx.checker.check_model(model, full_check=True)
    assert [o.name for o in model.graph.output] == [*DETECTED, MASKS]
    assert {p.key for p in model.metadata_props} == {METADATA_KEY}
    assert {f.name for f in model.functions} == {"PyramidRoiAlign", "GroupedNms"}


def test_the_file_tells_nothing_of_the_machine_that_made_it(random_onnx: Path) -> None:
    content = random_onnx.read_bytes()
    for path in (str(Path.cwd()), sys.prefix, str(Path.home()) + "/"):
        assert path.encode() not in content


def test_every_custom_node_names_its_plugin(random_onnx: Path) -> None:
    nodes = [n for n in onnx.load(random_onnx, load_external_data=False).graph.node if n.domain == DOMAIN]
    assert sorted(n.op_type for n in nodes) == ["GroupedNms"] * 2 + ["PyramidRoiAlign"] * 2
    for node in nodes:
        attributes = {a.name: a.s.decode() for a in node.attribute if a.type == onnx.AttributeProto.STRING}
        assert attributes.items() >= PLUGIN_ATTRIBUTES.items()


def test_the_contract_is_the_checkpoints(random_onnx: Path, random_checkpoint: Path) -> None:
    contract = open_session(random_onnx).contract
    checkpoint = load_checkpoint(random_checkpoint)
    assert contract.origin.checkpoint_sha256 == checkpoint.sha256
    assert contract.classes == checkpoint.classes
    assert contract.options.rows == "fixed"
    assert contract.options.masks == BoxGrid(28, 0.5)


@pytest.mark.parametrize("shape", [(256, 320), (320, 256), (200, 200), (96, 640), (31, 33)])
def test_one_dynamic_file_serves_every_size(
    shape: tuple[int, int], reference: Session, dynamic: Session
) -> None:
    image = np.resize(scene(4), (*shape, 3))
    assert_parity(reference, dynamic, [image])


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_an_image_gives_the_same_in_any_batch(batch: int, dynamic: Session) -> None:
    from maskrt.runtime.predictor import Predictor

    images = [scene(i) for i in range(batch)]
    predictor = Predictor(dynamic)
    for image, together in zip(images, predictor(images, min_score=0), strict=True):
        alone = predictor(image, min_score=0)[0]
        np.testing.assert_array_equal(together.labels, alone.labels)
        np.testing.assert_allclose(together.boxes, alone.boxes, atol=0.01)


@pytest.mark.parametrize(("detections", "dtype"), [("fixed", "uint8"), ("dynamic", "float32")])
def test_a_static_file_is_at_parity_and_refuses_other_sizes(
    detections: str, dtype: str, random_checkpoint: Path, reference: Session, exports: Exports
) -> None:
    canvas = {"height_px": 256, "width_px": 320, "batch": 1}
    path = exports.onnx(random_checkpoint, **canvas, dtype=dtype, detections=detections)
    session = OrtSession(path)
    assert_parity(reference, session, [scene(5), scene(6)[:100, :90]], least=20)
    for value in onnx.load(path).graph.output:
        assert all(d.HasField("dim_value") for d in value.type.tensor_type.shape.dim), value.name


def test_a_black_image_gives_about_as_many_detections_and_clean_padding(
    reference: Session, dynamic: Session
) -> None:
    images = np.zeros((1, 256, 320, 3), np.uint8)
    sizes = np.array([[256, 320]], np.float32)
    expected, actual = (s.infer(images, sizes) for s in (reference, dynamic))
    # Where every anchor of a level scores the same, which of them are among the top k is nobody's promise;
    # what must hold is that both find a comparable number and that no padding leaks out.
    count = int(actual["num_detections"][0])
    assert abs(count - int(expected["num_detections"][0])) <= 5
    assert not actual["boxes"][0, count:].any()
    assert not actual["masks"][0, count:].any()


def test_no_detection_at_all_gives_zeros(random_onnx: Path, tmp_path: Path) -> None:
    model = onnx.load(random_onnx)
    (bias,) = (t for t in model.graph.initializer if t.name.endswith("box_predictor.cls_score.bias"))
    background = onnx.numpy_helper.to_array(bias).copy()
    background[0] = 1e3  # everything is background now
    bias.CopyFrom(onnx.numpy_helper.from_array(background, bias.name))
    onnx.save(model, tmp_path / "blind.onnx")
    outputs = OrtSession(tmp_path / "blind.onnx").infer(scene(0)[None], np.array([[256, 320]], np.float32))
    assert outputs["num_detections"].tolist() == [0]
    assert not outputs["boxes"].any()
    assert not outputs["masks"].any()


@pytest.mark.parametrize("fault", ["weights", "mean"])
def test_parity_sees_a_fault_in_the_file(
    fault: str, random_onnx: Path, reference: Session, tmp_path: Path
) -> None:
    model = onnx.load(random_onnx)
    tensors = {t.name: t for t in model.graph.initializer}
    name = next(n for n in tensors if ("mean" if fault == "mean" else "conv5_mask.weight") in n)
    values = onnx.numpy_helper.to_array(tensors[name]) * np.float32(1.1)
    tensors[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    path = tmp_path / "faulty.onnx"
    onnx.save(model, path)
    report = Report(comparison_for(reference, OrtSession(path)))
    compare(reference, OrtSession(path), "scene", scene(1), report)
    assert report.failures


def test_export_command_is_silent_but_for_one_line(tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    classes = load_dataset("synthetic:1").for_task("semantic").classes
    find_family("fcn").example(classes, scene(1)).save(tmp_path / "best.pt")
    line = [sys.executable, "-m", "maskrt.export.to_onnx", str(tmp_path / "best.pt"), "-o", str(out)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{out}: {out.stat().st_size / 1e6:.0f} MB, 1 x 64 x 96, classes: {len(classes)}, fp32"
    ]
    assert json.loads(onnx.load(out).metadata_props[0].value)["canvas"]["height_px"] == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--height", "250", "--width", "320"], "Try --height 256 --width 320"),
        (["--height", "0", "--width", "320"], "Try --height 32 --width 320"),
        (["--dynamic", "--height", "256"], "not both"),
        (["--dynamic", "--batch", "4"], "not both"),
        (["--dynamic", "--dtype", "int8"], "expected uint8 or float32"),
        (["--dynamic", "--detections", "some"], "expected 'fixed' or 'dynamic'"),
    ],
)
def test_export_refuses_what_cannot_be(
    arguments: list[str],
    message: str,
    random_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "model.onnx"
    with pytest.raises(SystemExit) as stopped:
        to_onnx.main([str(random_checkpoint), "-o", str(out), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_nan_weights_are_named_and_nothing_is_written(
    random_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import dataclasses

    checkpoint = load_checkpoint(random_checkpoint)
    weights = {k: v.clone() for k, v in checkpoint.state_dict.items()}
    weights["rpn.head.cls_logits.weight"][0] = torch.nan
    bad = tmp_path / "nan.pt"
    dataclasses.replace(checkpoint, state_dict=weights).save(bad)
    with pytest.raises(SystemExit) as stopped:
        to_onnx.main([str(bad), "-o", str(tmp_path / "nan.onnx"), "--dynamic"])
    assert stopped.value.code == 2
    assert "'rpn.head.cls_logits.weight': 64 of 192 values are NaN" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["nan.pt"]
