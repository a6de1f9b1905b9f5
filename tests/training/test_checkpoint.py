"""Checkpoints: whole, plain, and refused by name when they are not."""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from maskrt.models.checkpoint import FORMAT_VERSION, Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import CheckpointError, ExportError, MaskrtError


def test_a_checkpoint_survives_its_file(random_checkpoint: Path, tmp_path: Path) -> None:
    first = load_checkpoint(random_checkpoint)
    copy = dataclasses.replace(first, metrics={"mask_ap": 0.5}, provenance={"data": "x"})
    copy.save(tmp_path / "copy.pt")
    again = load_checkpoint(tmp_path / "copy.pt")
    assert (again.config, again.classes, again.metrics) == (first.config, first.classes, {"mask_ap": 0.5})
    assert all(torch.equal(again.state_dict[k], v) for k, v in first.state_dict.items())
    assert len(again.sha256) == 64
    assert again.sha256 != first.sha256


@pytest.mark.parametrize("length", [0, 10, 5_000, 1_000_000])
def test_a_truncated_checkpoint_is_named(length: int, random_checkpoint: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pt"
    cut.write_bytes(random_checkpoint.read_bytes()[:length])
    with pytest.raises(
        CheckpointError, match=rf"cut\.pt: not a readable PyTorch checkpoint \({length} bytes"
    ):
        load_checkpoint(cut)


@pytest.mark.parametrize("text", ["hello world", "just a note", "this is text", "rrr", "\x80"])
def test_text_renamed_pt_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "note.pt").write_text(text)
    with pytest.raises(CheckpointError, match=r"note\.pt: not a readable PyTorch checkpoint"):
        load_checkpoint(tmp_path / "note.pt")


class Payload:
    def __reduce__(self):
        return (print, ("code ran",))


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"format": 1, "payload": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt: not a readable PyTorch checkpoint"):
        load_checkpoint(tmp_path / "evil.pt")
    assert "code ran" not in capsys.readouterr().out


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt: no such checkpoint.*maskrt train"):
        load_checkpoint(tmp_path / "none.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_checkpoint(tmp_path / "list.pt")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "foreign.pt")
    with pytest.raises(
        CheckpointError,
        match=r"neither a maskrt checkpoint nor .*torchvision.*Detectron2.*MMDetection.*'conv\.weight'",
    ):
        load_checkpoint(tmp_path / "foreign.pt")


def rewrite(source: Path, target: Path, **changes: object) -> Path:
    torch.save(torch.load(source, weights_only=True) | changes, target)
    return target


def test_a_newer_format_is_refused(random_checkpoint: Path, tmp_path: Path) -> None:
    newer = rewrite(random_checkpoint, tmp_path / "newer.pt", format=FORMAT_VERSION + 1)
    with pytest.raises(CheckpointError, match=r"newer\.pt: checkpoint format 2, .*Upgrade maskrt"):
        load_checkpoint(newer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state_dict": [1]}, "its state_dict is a list, expected a dictionary"),
        ({"state_dict": {"conv.weight": 1}}, r"its weight 'conv\.weight' is no tensor"),
        ({"provenance": None}, "its provenance is a NoneType, expected a dictionary"),
        ({"classes": [{"id": 1}]}, "missing or malformed"),
        ({"keypoints": 3}, "missing or malformed"),
    ],
)
def test_a_malformed_field_is_named(
    changes: dict, message: str, random_checkpoint: Path, tmp_path: Path
) -> None:
    malformed = rewrite(random_checkpoint, tmp_path / "malformed.pt", **changes)
    with pytest.raises(CheckpointError, match=rf"malformed\.pt: not a maskrt checkpoint: .*{message}"):
        load_checkpoint(malformed)


def test_classes_that_a_checkpoint_names_are_not_named_otherwise(random_checkpoint: Path) -> None:
    names = [c.name for c in load_checkpoint(random_checkpoint).classes]
    assert load_checkpoint(random_checkpoint, names).classes[0].name == names[0]
    with pytest.raises(CheckpointError, match=r"names its classes itself: class 1, .*cat were given\. Leave"):
        load_checkpoint(random_checkpoint, ["cat"])


def test_missing_class_names_are_asked_for(random_checkpoint: Path, tmp_path: Path) -> None:
    nameless = rewrite(random_checkpoint, tmp_path / "nameless.pt", classes=[])
    with pytest.raises(CheckpointError, match="names for 0 classes, but its network tells 90 apart"):
        load_checkpoint(nameless)


def test_weights_of_another_network_are_refused(random_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(random_checkpoint)
    other = dataclasses.replace(checkpoint.config, backbone="resnet34")
    with pytest.raises(
        CheckpointError, match=r"do not fit the resnet34 .*layer1\.2\.conv1\.weight"
    ) as refused:
        dataclasses.replace(checkpoint, config=other).build()
    assert len(str(refused.value)) < 2000, "of hundreds of keys the first few"
    assert "\n" not in str(refused.value)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, random_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(random_checkpoint)
    broken = dataclasses.replace(checkpoint, metrics={"unpicklable": lambda: None})  # type: ignore[dict-item]
    with pytest.raises(Exception, match="pickle"):
        broken.save(tmp_path / "half.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["NaN", "wider than float32"])
def test_weights_that_are_no_numbers_once_loaded_are_named(
    dtype: torch.dtype, random_checkpoint: Path
) -> None:
    """1e300 is a number in float64 and infinity in the network."""
    checkpoint = load_checkpoint(random_checkpoint)
    name = "backbone.body.layer1.0.conv1.weight"
    value = float("nan") if dtype == torch.float32 else 1e300
    weights = checkpoint.state_dict | {name: torch.full_like(checkpoint.state_dict[name], value, dtype=dtype)}

    with pytest.raises(CheckpointError, match=rf"weight '{name}': 36864 of 36864 values are NaN or infinite"):
        dataclasses.replace(checkpoint, state_dict=weights).build()


def test_a_full_disk_is_a_sentence(tmp_path: Path, random_checkpoint: Path) -> None:
    """Here a quota: PyTorch's writer raises what is no OSError."""
    checkpoint = load_checkpoint(random_checkpoint)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(MaskrtError, match=r"half\.pt: could not be written \(No space left"):
            checkpoint.save(tmp_path / "half.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_the_contract_refuses_a_canvas_off_the_stride(random_checkpoint: Path) -> None:
    with pytest.raises(ExportError, match="Try --height 800 --width 1088"):
        load_checkpoint(random_checkpoint).contract(height_px=790, width_px=1080)


def test_every_class_needs_a_name() -> None:
    with pytest.raises(CheckpointError, match="names for 1 classes"):
        Checkpoint(MaskRcnnConfig(num_classes=3), (Category(1, "a"),), {})


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ({"state_dict": {3: torch.zeros(1)}}, "a weight's name is 3"),
        ({"config": MaskRcnnConfig(num_classes=2, backbone="resnet18", mask_convs=(10**9,))}, "can be built"),
    ],
    ids=["name", "sizes"],
)
def test_what_no_network_can_hold_is_named(spoiled: dict[str, Any], told: str) -> None:
    fields: dict[str, Any] = {"config": MaskRcnnConfig(num_classes=2, backbone="resnet18"), "state_dict": {}}
    checkpoint = Checkpoint(classes=(Category(1, "a"),), **(fields | spoiled))
    with pytest.raises(CheckpointError, match=told):
        checkpoint.build()
