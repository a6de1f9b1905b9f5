"""A contract is held to what its checkpoint would give: same tensors under another promise are another model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.command import main
from maskrt.runtime.parity.promises import broken_promises

Make = Callable[..., Contract]
Run = Callable[..., Any]
Write = Callable[..., Path]

BROKEN = [
    ({"placement": "square"}, "canvas.placement square, the reference's corner"),
    ({"min_size_px": 48}, "canvas.min_size_px 48, the reference's 64"),
    ({"max_size_px": 72}, "canvas.max_size_px 72, the reference's 96"),
    ({"stride": 16}, "canvas.stride 16, the reference's 32"),
    (
        {"mean": (0.5, 0.456, 0.406)},
        "normalise.mean [0.5, 0.456, 0.406], the reference's [0.485, 0.456, 0.406]",
    ),
    ({"std": (1.0, 1.0, 1.0)}, "normalise.std [1.0, 1.0, 1.0], the reference's [0.229, 0.224, 0.225]"),
    ({"score_threshold": 0.3}, "instances.score_threshold 0.3, the reference's 0.05"),
    ({"nms_threshold": 0.7}, "instances.nms_threshold 0.7, the reference's 0.5"),
    ({"mask_threshold": 0.3}, "instances.masks.threshold 0.3, the reference's 0.5"),
    ({"paste": "pixel_middles"}, "instances.masks.paste pixel_middles, the reference's torchvision"),
    ({"resize": "pil"}, "canvas.resize pil, the reference's torch"),
    ({"rounding": "nearest"}, "canvas.rounding nearest, the reference's down"),
    (
        {"config": {"backbone": "none", "anchor_ratios": [1.0]}},
        "config.anchor_ratios [1.0], the reference's [0.5, 1.0, 2.0]",
    ),
    (
        {"checkpoint_sha256": "1" * 64},
        "a stale file: its contract says it was made from checkpoint 111111111111",
    ),
    ({"checkpoint_sha256": ""}, "made from checkpoint unknown"),
]


@pytest.mark.parametrize(
    ("changes", "said"), BROKEN, ids=lambda x: ",".join(x) if isinstance(x, dict) else ""
)
def test_a_field_that_the_checkpoint_gives_otherwise_is_named(
    changes: dict[str, Any],
    said: str,
    command: Run,
    tiny_onnx: Path,
    write_model: Write,
    contract_with: Make,
    picture_file: Path,
) -> None:
    other = write_model(contract=contract_with(**changes))

    ended = command(main, tiny_onnx, other, picture_file, "--json")

    failures = json.loads(ended.out)["failures"]
    assert ended.code == 1
    assert said in failures[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"height_px": 64, "width_px": 96},
        {"batch": 2},
        {"dtype": "float32"},
        {"rows": "dynamic"},
        {"precision": "fp16", "details": {"float32_units": []}},
        {"toolkit_version": "9.9"},
    ],
    ids=lambda x: ",".join(x),
)
def test_what_is_chosen_at_export_is_no_difference(changes: dict[str, Any], contract_with: Make) -> None:
    assert broken_promises(contract_with(), contract_with(**changes)) == []


def test_a_file_that_knows_fewer_settings_is_not_blamed_for_it(contract_with: Make) -> None:
    older = contract_with(config={"backbone": "none"})

    assert broken_promises(contract_with(), older) == []
    assert broken_promises(older, contract_with()) == []


def test_users_get_other_boxes_where_an_image_is_laid_otherwise(
    command: Run, tiny_onnx: Path, write_model: Write, contract_with: Make, picture_file: Path
) -> None:
    """48x64 px: on the canvas of either the boxes are the same share of the picture, but for rounded sides."""
    other = write_model(contract=contract_with(placement="square"))

    ended = command(main, tiny_onnx, other, picture_file, "--json")

    said = json.loads(ended.out)["failures"][1]
    assert said.startswith(
        f"{picture_file}: each contract laying the image by itself, boxes differ by up to "
    )


def test_a_bundle_holds_the_contract_too(
    command: Run,
    tiny_onnx: Path,
    write_model: Write,
    contract_with: Make,
    picture_file: Path,
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "bundle.npz"
    assert command(main, "record", tiny_onnx, picture_file, "-o", bundle).code == 0
    other = write_model(contract=contract_with(mask_threshold=0.4))

    ended = command(main, "check", bundle, other)

    assert ended.code == 1
    assert "its contract says instances.masks.threshold 0.4, the reference's 0.5" in " ".join(
        ended.out.split()
    )
    assert command(main, "check", bundle, tiny_onnx).code == 0
