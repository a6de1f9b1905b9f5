"""`maskrt export --set`: what a foreign file cannot say of its model is given by name, and travels on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from benchmarks.samples import scene
from maskrt.export import to_onnx
from maskrt.export.model_card import model_card
from maskrt.models.checkpoint import read_checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.contract import RESIZES
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity import command as parity
from maskrt.runtime.parity.recorded.bundle import open_bundle

CHOSEN = {"min_size_px": 128, "max_size_px": 160, "rpn_post_nms_test": 60, "frozen_bn_epsilon": 1e-5}


@pytest.fixture(scope="module")
def foreign(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights alone, as a torchvision user saves them: for all it says, of an 800 px model."""
    path = tmp_path_factory.mktemp("foreign") / "finetuned.pth"
    torch.save(read_checkpoint(random_checkpoint).state_dict, path)
    return path


@pytest.fixture(scope="module")
def exported(foreign: Path) -> Path:
    path = foreign.with_name("model.onnx")
    settings = [text for name, value in CHOSEN.items() for text in ("--set", f"{name}={value}")]
    with pytest.raises(SystemExit) as ended:
        to_onnx.main([str(foreign), "-o", str(path), "--card", str(path.with_suffix(".md")), *settings])
    assert ended.value.code == 0
    return path


def test_settings_given_at_export_shape_the_model_and_stay_in_the_contract(exported: Path) -> None:
    contract = open_session(exported).contract
    assert contract.chosen_settings == CHOSEN
    assert (contract.canvas.min_size_px, contract.canvas.max_size_px) == (128, 160)
    assert (contract.canvas.height_px, contract.canvas.width_px) == (128, 160)
    assert contract.config.items() >= CHOSEN.items()
    assert exported.with_suffix(".md").read_text().startswith("# Model card: model.onnx\n")


def test_the_card_says_what_the_contract_and_the_checkpoint_say(foreign: Path) -> None:
    checkpoint = load_checkpoint(foreign).with_settings(CHOSEN, "the test")
    contract = checkpoint.contract(height_px=128, width_px=160, batch=1)
    card = model_card(checkpoint, contract, Path("out/model.onnx"), foreign)
    assert card.startswith("# Model card: model.onnx\n")
    for said in (
        "Finds objects, each with a class, a score, a box and a mask.",
        "| network | mask_rcnn on resnet18, neck fpn |",
        "| 1 | person |",
        "| canvas, px | 128 × 160 (height × width), stride 32 |",
        "mean 0.485, 0.456, 0.406",
        "| resize | short side to 128 px, long side at most 160 px",
        "| resized by | torch's filter, nothing smoothed (`torch`); sides rounded `down` |",
        "| masks | 28 × 28 a box, pasted by the rule `torchvision`, cut at 0.5 |",
        "The checkpoint holds no metrics.",
        f"| its SHA-256 | {contract.origin.checkpoint_sha256} |",
        "| chosen at export | frozen_bn_epsilon=1e-05, min_size_px=128, max_size_px=160, rpn_post_nms_test=60 |",
        "maskrt infer model.onnx photos/",
        "- **License** of the weights and of the data: …",
    ):
        assert said in card


@pytest.mark.parametrize("resize", sorted(RESIZES))
def test_a_card_names_the_rules_of_pixels_of_its_own_file(resize: str, foreign: Path) -> None:
    settings = {"resize": resize, "size_rounding": "nearest", "mask_paste": "pixel_middles"}
    checkpoint = load_checkpoint(foreign).with_settings(settings, "the test")

    card = model_card(checkpoint, checkpoint.contract(), Path("model.onnx"), foreign)

    assert f"(`{resize}`); sides rounded `nearest` |" in card
    assert "pasted by the rule `pixel_middles`" in card


def test_a_card_shows_the_metrics_and_the_origin_of_a_checkpoint_of_maskrt(random_checkpoint: Path) -> None:
    checkpoint = dataclasses.replace(
        read_checkpoint(random_checkpoint),
        metrics={"mask_ap": 0.25, "mask_ap_small": -1.0},
        provenance={"data": "my|train", "validation": "val", "train_config": {}},
    )
    card = model_card(checkpoint, checkpoint.contract(), Path("a.onnx"), Path("best.pt"))
    assert "| mask_ap | 0.2500 |\n| mask_ap_small | – |" in card
    assert "in training, on val" in card
    assert "| trained on | my\\|train |" in card


def test_parity_knows_what_was_chosen_at_export(
    foreign: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without them the reference would be of 1000 proposals and another epsilon."""
    write_png(tmp_path / "scene.png", scene(3))
    report = tmp_path / "report.json"
    with pytest.raises(SystemExit) as ended:
        parity.main([str(foreign), str(exported), str(tmp_path / "scene.png"), "-o", str(report)])
    assert ended.value.code == 0
    assert "chosen at export, not read from the checkpoint" in capsys.readouterr().err
    assert json.loads(report.read_text())["chosen_settings"] == CHOSEN


def test_a_bundle_is_recorded_with_the_settings_of_the_export(foreign: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "scene.png", scene(3))
    arguments = [str(foreign), str(tmp_path / "scene.png"), "-o", str(tmp_path / "bundle.npz")]
    with pytest.raises(SystemExit) as ended:
        parity.main(["record", *arguments, "--set", "min_size_px=128", "--set", "max_size_px=160"])
    assert ended.value.code == 0
    contract = open_bundle(str(tmp_path / "bundle.npz")).contract
    assert contract.chosen_settings == {"min_size_px": 128, "max_size_px": 160}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("min_size=384", "--set min_size: no such setting; did you mean min_size_px"),
        ("anchor_size=32", "did you mean anchor_sizes_px or "),
        ("min_size_px=many", "--set min_size_px=many: expected a whole number, such as 800."),
        ("min_size_px=0", "min_size_px is 0, expected at least 1"),
        ("score_threshold=1.5", "score_threshold is 1.5, expected 0 to 1"),
        ("score_threshold=nan", "--set score_threshold=nan: expected a number"),
        ("min_size_px", "--set min_size_px: expected KEY=VALUE"),
        ("backbone=resnet50", "the weights do not fit the resnet50 mask_rcnn of the checkpoint"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    setting: str, message: str, foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        to_onnx.main([str(foreign), "-o", str(tmp_path / "model.onnx"), "--set", setting])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
