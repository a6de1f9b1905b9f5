"""Ways to train: from a checkpoint, heads first, by accumulated gradients, averaged, best by loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from maskrt.models.checkpoint import Checkpoint, read_weights_file
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.settings import override
from maskrt.models.transfer import take_over
from maskrt.runtime.contract import Category
from maskrt.training.config import TrainConfig, preset
from maskrt.training.loop.fit import DetectorModule
from tests.training.runs import SETTINGS, TINY, logged, read, run, setting, weights

pytestmark = pytest.mark.usefixtures("narrow_resnet18", "without_pictures")

SMALL = preset("small")
PAPER = preset("paper")

# Every image has one positive RoI and as many samples, so that the mean over images is that over batches; group
# norms see one image at a time.
EQUAL_SHARES = setting("norm=gn", "optimizer=sgd", "box_positive_fraction=0.07", "augment=none")
ROUNDING = 1e-5  # sums in another order, after two steps of weights below 1


OF_BOXES = ("box_predictor.cls_score", "box_predictor.bbox_pred")


def checkpoint(*names: str, **changes: str) -> Checkpoint:
    """A random detector of these classes, no two alike, in the tiny settings but for the changes."""
    fields = {name: value for name, value in (pair.split("=") for pair in SETTINGS) if name != "precision"}
    config = override(SMALL[0], fields | {"num_classes": str(len(names) + 1)} | changes)
    classes = tuple(Category(number, name) for number, name in enumerate(names, start=1))
    return Checkpoint(config=config, classes=classes, state_dict=build_mask_rcnn(config).state_dict())


def test_from_a_checkpoint_of_other_classes_the_heads_learn_on_a_backbone_that_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint("cat", "dog").save(tmp_path / "start.pt")
    output = tmp_path / "run"
    arguments = ["--data", "synthetic:2", "-o", str(output), "--from", str(tmp_path / "start.pt")]
    assert run(*arguments, "--layers", "heads", "--epochs", "1", "--set", "precision=32-true") == 0
    before, after = weights(tmp_path / "start.pt"), weights(output / "last.pt")
    body = [key for key in after if key.startswith("backbone.body.")]
    assert all(torch.equal(before[key], after[key]) for key in body), "running statistics too"
    assert not torch.equal(before["rpn.head.conv.0.0.weight"], after["rpn.head.conv.0.0.weight"])
    said = capsys.readouterr().err
    assert "left out, and learned anew: " in said
    assert all(f"roi_heads.{layer}.weight" in said for layer in (*OF_BOXES, "mask_predictor.mask_fcn_logits"))
    assert after["roi_heads.box_predictor.cls_score.weight"].shape[0] == 5


@pytest.mark.parametrize(
    ("changes", "of_masks"),
    [
        ({}, ["mask_predictor.mask_fcn_logits"]),
        ({"mask_head": "mlp"}, ["mask_predictor.logits"]),
        ({"mask_class_agnostic": "True"}, []),
    ],
)
def test_what_tells_classes_apart_is_left_out_and_nothing_else(
    changes: dict[str, str], of_masks: list[str]
) -> None:
    start, new = checkpoint("cat", "dog", **changes), checkpoint("nut", **changes)
    model = new.build()
    left_out = take_over(model, start, new.classes)
    assert {key.rpartition(".")[0] for key in left_out} == {f"roi_heads.{x}" for x in (*OF_BOXES, *of_masks)}
    weights = model.state_dict()
    assert all(torch.equal(weights[key], start.state_dict[key]) for key in weights if key not in left_out)
    assert all(torch.equal(weights[key], new.state_dict[key]) for key in left_out)


def test_of_a_checkpoint_of_the_same_classes_nothing_is_left_out() -> None:
    start, new = checkpoint("cat", "dog"), checkpoint("cat", "dog")
    model = new.build()
    assert take_over(model, start, new.classes) == []
    assert all(torch.equal(value, start.state_dict[key]) for key, value in model.state_dict().items())
    assert take_over(model, start, checkpoint("dog", "cat").classes) != [], "another order is another class"


def test_a_branch_that_the_start_has_not_is_learned_anew() -> None:
    start, new = checkpoint("cat"), checkpoint("cat", task="detection")
    model = new.build()
    assert take_over(model, start, new.classes) == [], "boxes alone are a part of what the start has"
    left_out = take_over(start.build(), new, start.classes)
    assert left_out == [key for key in start.state_dict if key.startswith("roi_heads.mask_")]


def test_a_bare_state_dict_of_unknown_classes_is_started_from_by_naming_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torchvision = checkpoint("disc", "square", mask_convs="256,256,256,256")
    torch.save(torchvision.state_dict, tmp_path / "bare.pth")
    arguments = ["--data", "synthetic:2", "-o", str(tmp_path / "run"), "--from", str(tmp_path / "bare.pth")]
    assert run(*arguments) == 2
    assert "Name them: --classes name1,name2" in capsys.readouterr().err
    named = [*arguments, "--classes", "disc, square", "--set", "mask_head=mlp"]  # goes on to the next check
    assert run(*named) == 2
    assert "do not fit the model: roi_heads.mask_head" in capsys.readouterr().err


def test_weights_that_do_not_fit_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint("cat").save(tmp_path / "start.pt")
    arguments = ["--data", "synthetic:2", "-o", str(tmp_path / "run"), "--from", str(tmp_path / "start.pt")]
    assert run(*arguments, "--set", "mask_convs=32") == 2
    assert "do not fit the model: roi_heads.mask_head.0.0.weight" in capsys.readouterr().err
    assert run(*arguments, "--backbone", "imagenet") == 2
    assert "Give one of them" in capsys.readouterr().err


def test_accumulated_gradients_are_those_of_the_larger_batch(tmp_path: Path) -> None:
    arguments = ["--data", "synthetic:4", "--epochs", "1", "--lr", "0.01", *TINY, *EQUAL_SHARES]
    assert run(*arguments, "-o", str(tmp_path / "one"), "--batch", "2") == 0
    assert run(*arguments, "-o", str(tmp_path / "two"), "--batch", "1", "--set", "accumulate=2") == 0
    first, second = (weights(tmp_path / name / "last.pt") for name in ("one", "two"))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, rtol=0, atol=ROUNDING, msg=key)


def test_the_average_is_kept_and_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [*TINY, *setting("save_every_iterations=1", "ema_decay=0.5")]
    arguments = ["--data", "synthetic:2", "--batch", "1", "--epochs", "1", *settings]
    assert run(*arguments, "-o", str(tmp_path / "whole")) == 0
    step = DetectorModule.training_step

    def killed(self, batch, index):
        if index == 1:
            raise RuntimeError("killed")
        return step(self, batch, index)

    with monkeypatch.context() as patched:
        patched.setattr(DetectorModule, "training_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            run(*arguments, "-o", str(tmp_path / "resumed"))
    assert run(*arguments, "-o", str(tmp_path / "resumed"), "--resume") == 0
    whole, resumed = (weights(tmp_path / name / "last.pt") for name in ("whole", "resumed"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    newest, _ = read_weights_file(tmp_path / "whole" / "last.ckpt")
    key = "rpn.head.conv.0.0.weight"
    assert not torch.equal(newest["current_model_state"][f"model.{key}"], whole[key])


def test_best_by_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", "synthetic:2", "--epochs", "3", *TINY, "--set", "best=loss"]
    assert run(*arguments, "-o", str(tmp_path / "none")) == 2
    assert "Give it: --val DATA" in capsys.readouterr().err
    output = tmp_path / "run"
    assert run(*arguments, "-o", str(output), "--val", "synthetic:2:1") == 0
    losses = logged(output, "val/loss")
    assert len(set(losses)) == 3
    assert read(output / "best.pt").metrics["loss"] == pytest.approx(min(losses))
    assert json.loads((output / "metrics.json").read_text())["loss"] == pytest.approx(losses[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "heads"], "the layers that do not learn are random. Start from weights: --from"),
        (["--layers", "head"], "'head' is none of heads"),
        (["--set", "sync_bn=True"], "synchronised batch norm needs GPUs"),
        (["--devices", "3"], "2 images for 3 processes of 2 at a time, expected at least 6"),
        (["--set", "ema_decay=1.0"], "ema_decay is 1.0, expected below 1"),
        (["--set", "accumulate=0"], "accumulate is 0, expected at least 1"),
        (["--set", "best=iou"], "best is 'iou', expected one of"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="with GPUs sync_bn is welcome")
def test_a_way_that_leads_nowhere_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data", "synthetic:2", "-o", str(tmp_path / "run"), *arguments) == 2
    assert message in capsys.readouterr().err


def test_the_paper_s_learning_rate_goes_with_the_images_a_step() -> None:
    config = PAPER[1]
    assert (config.lr, config.lr_images) == (0.02, 16)
    assert config.peak_lr == pytest.approx(0.0025), "two images on one GPU"
    assert override(config, {"devices": "8"}).peak_lr == pytest.approx(0.02)
    assert override(config, {"accumulate": "8"}).peak_lr == pytest.approx(0.02)
    assert TrainConfig(lr=0.3, batch=7).peak_lr == 0.3, "as it is, where it is meant for no number of images"
