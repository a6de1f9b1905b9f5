"""`maskrt train`: it repeats itself, goes on after a kill, and stops before the first step on bad data."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from maskrt.models.checkpoint import read_checkpoint
from maskrt.models.settings import override
from maskrt.runtime.contract import LEARNED_SCALES
from maskrt.runtime.errors import ImageError, MaskrtError
from maskrt.runtime.files.atomic import claimed_folder
from maskrt.training import train as train_module
from maskrt.training.config import preset
from maskrt.training.data import load_dataset
from maskrt.training.loop import trainer as trainer_module
from maskrt.training.loop.fit import DetectorModule, lr_factor
from maskrt.training.loop.progress import LossBar
from maskrt.training.run import train
from tests.training.runs import SETTINGS, TINY, read, run, setting, weights

pytestmark = pytest.mark.usefixtures("narrow_resnet18")

SMALL = preset("small")
DATA = ("--data", "synthetic:4", "--val", "synthetic:2:1")  # two steps an epoch


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, narrow_resnet18: None) -> Path:
    output = tmp_path_factory.mktemp("run")
    assert run(*DATA, "-o", str(output), "--epochs", "2", *TINY) == 0
    return output


def test_a_run_leaves_checkpoints_logs_and_pictures(finished: Path) -> None:
    for name in (
        "best.pt",
        "last.pt",
        "last.ckpt",
        "curves.png",
        "predictions.png",
        "metrics.json",
        "run.yaml",
    ):
        assert (finished / name).stat().st_size > 0, name
    assert list((finished / "tensorboard").glob("events*"))
    metrics = json.loads((finished / "metrics.json").read_text())
    assert {"mask_ap", "mask_ap50", "box_ap75"} <= metrics.keys()
    checkpoint = read(finished / "last.pt")
    assert [c.name for c in checkpoint.classes] == ["disc", "square", "triangle", "star"]
    assert checkpoint.provenance["epoch"] == 2


def test_all_five_losses_and_the_learning_rate_are_logged(finished: Path) -> None:
    with (finished / "csv-01" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for name in ("classifier", "box_reg", "mask", "objectness", "rpn_box_reg"):
        assert sum(bool(row[f"train/loss_{name}"]) for row in rows) == 4, name
    assert sum(bool(row["lr-AdamW"]) for row in rows) >= 4
    assert sum(bool(row["val/mask_ap"]) for row in rows) == 2, "AP after each epoch"


@pytest.mark.usefixtures("without_pictures")
def test_the_same_seed_gives_the_same_weights(finished: Path, tmp_path: Path) -> None:
    arguments = [*DATA, "--epochs", "2", *TINY]
    assert run(*arguments, "-o", str(tmp_path / "again")) == 0
    assert run(*arguments, "-o", str(tmp_path / "other"), "--seed", "1") == 0
    first, again, other = (weights(p / "last.pt") for p in (finished, tmp_path / "again", tmp_path / "other"))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize("save_every", [0, 1], ids=["after the last epoch", "in the middle of an epoch"])
def test_a_killed_run_goes_on_to_the_same_weights(
    save_every: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = DetectorModule.training_step

    def killed(self, batch, index):
        if self.current_epoch == 1 and index == 1:
            raise RuntimeError("killed")
        steps.append((self.current_epoch, index))
        return step(self, batch, index)

    arguments = [*DATA, "-o", str(tmp_path), "--epochs", "2", *TINY]
    arguments += setting(f"save_every_iterations={save_every}")
    monkeypatch.setattr(DetectorModule, "training_step", killed)
    with pytest.raises(RuntimeError, match="killed"):
        train_module.main(arguments)
    assert steps[-2:] == [(0, 1), (1, 0)]
    monkeypatch.undo()
    assert read(tmp_path / "last.pt").provenance["epoch"] == 1
    assert run(*arguments, "--resume") == 0
    steps_again = 1 if save_every else 2
    with (tmp_path / "csv-02" / "metrics.csv").open() as stream:
        assert sum(bool(row["train/loss"]) for row in csv.DictReader(stream)) == steps_again
    checkpoint = read(tmp_path / "last.pt")
    assert checkpoint.provenance["epoch"] == 2
    uninterrupted = weights(finished / "last.pt")
    assert all(torch.equal(checkpoint.state_dict[k], v) for k, v in uninterrupted.items())
    assert len(list(tmp_path.glob("csv-*/metrics.csv"))) == 2, "the log before the kill is kept"


def test_a_folder_that_holds_another_run_is_not_overwritten(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "best.pt").read_bytes()
    assert run("--data", "synthetic:2", "-o", str(finished), *TINY) == 2
    assert "holds another run. Go on with it: --resume" in capsys.readouterr().err
    assert (finished / "best.pt").read_bytes() == before


def test_a_finished_run_or_another_model_is_not_resumed(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = [*DATA, "-o", str(finished), "--resume", *TINY]
    before = (finished / "metrics.json").read_bytes()
    assert run(*same, "--epochs", "2") == 2
    assert "already at epoch 2 of 2" in capsys.readouterr().err
    assert run(*same, "--epochs", "3", "--set", "mask_convs=32") == 2
    assert "a run with other model settings" in capsys.readouterr().err
    assert run(*same, "--epochs", "3", "--batch", "1") == 2
    assert "a run with other settings (batch was 2)" in capsys.readouterr().err
    assert run(*same, "--epochs", "3", "--data", "synthetic:5") == 2
    assert "a run with other images" in capsys.readouterr().err
    assert (finished / "metrics.json").read_bytes() == before


def test_frozen_norms_need_the_backbone_they_belong_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data", "synthetic:2", "-o", str(tmp_path / "run"), "--preset", "paper") == 2
    assert "--backbone imagenet" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self, batch, index):
        raise KeyboardInterrupt

    bars: list[LossBar] = []
    monkeypatch.setattr(trainer_module, "LossBar", lambda: bars.append(LossBar()) or bars[-1])
    monkeypatch.setattr(DetectorModule, "training_step", interrupted)
    assert run("--data", "synthetic:2", "-o", str(tmp_path / "run"), "--epochs", "1", *TINY) == 130
    assert "interrupted before anything was saved. Start again" in capsys.readouterr().err
    assert bars[0].train_progress_bar.disable, "closed, or it is drawn again when Python ends"


def test_resuming_from_nothing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--data", "synthetic:2", "-o", str(tmp_path), "--resume") == 2
    assert "nothing to resume from. Start afresh" in capsys.readouterr().err


def coco(tmp_path: Path, segmentation: list) -> Path:
    from benchmarks.samples import scene
    from maskrt.runtime.files.atomic import write_png

    write_png(tmp_path / "a.png", scene(0))
    annotation = {
        "id": 7,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10, 10, 50, 50],
        "area": 2500,
    }
    good = annotation | {"id": 8, "segmentation": [[10, 10, 60, 10, 60, 60, 10, 60]]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 320, "height": 256}],
        "annotations": [annotation | {"segmentation": segmentation}, good],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    return tmp_path / "a.json"


def test_bad_annotations_stop_training_before_its_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coco(tmp_path, [[10, 10, 20, 20]])
    assert run("--data", str(data), "-o", str(tmp_path / "run"), "--epochs", "1", *TINY) == 2
    message = capsys.readouterr().err
    assert "a.json" in message
    assert "annotation 7" in message
    assert "--skip-bad" in message
    assert not (tmp_path / "run").exists()


def test_skip_bad_trains_on_the_rest_and_counts_what_it_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coco(tmp_path, [[10, 10, 20, 20]])
    arguments = ["--data", str(data), "-o", str(tmp_path / "run"), "--epochs", "1", "--skip-bad", *TINY]
    assert run(*arguments) == 0
    assert "left out: 1 " in capsys.readouterr().err
    assert (tmp_path / "run" / "best.pt").exists()


def test_other_classes_in_the_validation_set_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coco(tmp_path, [[10, 10, 60, 10, 60, 60, 10, 60]])
    assert run("--data", str(data), "--val", "synthetic:2", "-o", str(tmp_path / "run"), *TINY) == 2
    assert "not among those of the model" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").write_text("mine")
    assert run("--data", "synthetic:2", "-o", str(tmp_path / "run"), *TINY) == 2
    assert f"{tmp_path / 'run'}: cannot be written" in capsys.readouterr().err
    assert (tmp_path / "run").read_text() == "mine"


def test_two_runs_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with claimed_folder(tmp_path / "run"):
        assert run("--data", "synthetic:2", "-o", str(tmp_path / "run"), *TINY) == 2
    assert "another run is writing into it" in capsys.readouterr().err
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.full
def test_an_image_that_a_loading_process_cannot_read_any_more_is_one_sentence(tmp_path: Path) -> None:
    dataset = load_dataset(coco(tmp_path, [[10, 10, 60, 10, 60, 60, 10, 60]]))
    (tmp_path / "a.png").unlink()
    fields = dict(pair.split("=") for pair in SETTINGS if not pair.startswith("precision"))
    config = override(SMALL[1], {"workers": "1", "epochs": "1", "precision": "32-true"})
    with pytest.raises(ImageError) as stopped:
        train(dataset, None, override(SMALL[0], fields), config, tmp_path / "run")
    assert str(stopped.value).startswith(f"{tmp_path / 'a.png'}: ")


def test_a_diverging_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", "synthetic:8", "-o", str(tmp_path), "--epochs", "4", *TINY, "--set", "clip=0"]
    assert run(*arguments, "--lr", "1e30", "--set", "warmup_iterations=1") == 2
    assert "training diverged" in capsys.readouterr().err


def test_the_learning_rate_warms_up_and_decays() -> None:
    config = override(SMALL[1], {"warmup_iterations": "10", "schedule": "step"})
    factors = [lr_factor(step, 90, config) for step in range(90)]
    assert factors[0] == pytest.approx(1e-3)
    assert factors[10] == factors[59] == 1
    assert factors[60] == pytest.approx(0.1)
    assert factors[80] == pytest.approx(0.01)
    cosine = override(config, {"schedule": "cosine"})
    assert lr_factor(45, 90, cosine) == pytest.approx(0.5)
    assert lr_factor(90, 90, cosine) == pytest.approx(0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("colour=1", "--set colour: no such setting"),
        ("min_size_px=big", "--set min_size_px=big: expected a whole number"),
        ("fpn_norm=1", "expected True or False"),
        ("min_size_px", "expected KEY=VALUE"),
        ("optimizer=adam", "optimizer is 'adam', expected one of"),
        ("augment=strong", "augment is 'strong', expected one of"),
        ("batch=0", "batch is 0, expected at least 1"),
        ("seed=-1", "seed is -1, expected at least 0"),
        ("seed=4294967296", "seed is 4294967296, expected at most 4294967295"),
        ("weight_decay=-1", "weight_decay is -1.0, expected at least 0"),
        ("nms=2", "nms is 2.0, expected 0 to 1"),
        ("lr=1e400", "--set lr=1e400: expected a number"),
        ("mean=(),()", "--set mean=(),(): expected numbers"),
        ("anchor_ratios=None", "--set anchor_ratios=None: expected numbers, such as (0.5,"),
        ("mean=1,2", "expected three numbers"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--data", "synthetic:2", "--set", setting) == 2
    assert message in capsys.readouterr().err


def test_settings_are_typed() -> None:
    model = override(SMALL[0], {"mask_convs": "64,64", "rpn_nms": "1", "fpn_norm": "True"})
    assert (model.mask_convs, model.rpn_nms, model.fpn_norm) == ((64, 64), 1.0, True)
    assert override(SMALL[0], {"mask_convs": "64"}).mask_convs == (64,)
    with pytest.raises(MaskrtError, match="no such setting"):
        override(SMALL[0], {"x": "1"})


@pytest.mark.usefixtures("without_pictures")
def test_a_finished_model_goes_on_in_eight_bits_and_its_scales_are_learned(
    finished: Path, tmp_path: Path
) -> None:
    output = tmp_path / "qat"
    arguments = ["--qat", str(finished / "best.pt"), "--data", "synthetic:4", "-o", str(output)]
    assert run(*arguments, "--epochs", "1", "--lr", "0.01") == 0
    after_one = read_checkpoint(output / "last.pt")
    assert run(*arguments, "--epochs", "2", "--lr", "0.01", "--resume") == 0
    after_two = read_checkpoint(output / "last.pt")
    original = weights(finished / "best.pt")
    assert after_two.state_dict.keys() == original.keys()
    scales = [one.provenance[LEARNED_SCALES] for one in (after_one, after_two)]
    assert len(scales[0]) > 20
    assert scales[0].keys() == scales[1].keys()
    assert scales[0] != scales[1]
    name = "backbone.body.layer1.0.conv1.weight"
    assert not torch.equal(after_two.state_dict[name], original[name])
    assert after_two.contract().precision.details[LEARNED_SCALES] == scales[1]


def test_eight_bits_begin_with_a_checkpoint_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "foreign.pt")
    arguments = ["--qat", str(tmp_path / "foreign.pt"), "--data", "synthetic:2", "-o", str(tmp_path / "x")]
    assert run(*arguments) == 2
    assert "foreign.pt: not a checkpoint of maskrt" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
