"""A run as a file: what a run leaves gives the same run again, and what cannot be is named."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from maskrt.models.settings import override
from maskrt.runtime.errors import MaskrtError
from maskrt.training import run as run_module
from maskrt.training.config import TrainConfig, preset
from maskrt.training.data import load_dataset
from maskrt.training.loop import largest_batch, loggers
from maskrt.training.loop.largest_batch import automatic_batch, by_estimate, by_trial
from maskrt.training.loop.loggers import check_loggers, make_loggers
from maskrt.training.run_file import read_run
from tests.training.runs import run, setting

SMALL = preset("small")

Started = list[SimpleNamespace]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What the command would train: the runs are noted, not run."""
    runs: Started = []

    def train(dataset: Any, validation: Any, model: Any, config: Any, output: Path, **options: Any) -> Any:
        runs.append(
            SimpleNamespace(dataset=dataset, validation=validation, model=model, config=config, **options)
        )
        return SimpleNamespace(metrics={}, config=model)

    monkeypatch.setattr(run_module, "train", train)
    return runs


def test_what_a_run_leaves_gives_the_same_run_again(started: Started, tmp_path: Path) -> None:
    arguments = ["--data", "synthetic:3", "--val", "synthetic:2:1", "--preset", "paper", "--lr", "0.01"]
    arguments += ["--epochs", "7", "--seed", "5", "--layers", "heads:2,all", "--logger", "csv"]
    arguments += [
        "--backbone",
        "imagenet",
        *setting("mean=0.5,0.5,0.5", "anchor_sizes_px=(8,),(16,),(32,),(64,),(128,)"),
    ]
    assert run(*arguments) == 0
    file = tmp_path / "run.yaml"
    file.write_text(started[0].run_file)
    assert run("--config", str(file), "-o", str(tmp_path / "again")) == 0
    first, again = started
    assert again.model == first.model
    assert again.model.anchor_sizes_px == ((8,), (16,), (32,), (64,), (128,))
    assert again.config == first.config
    assert again.config.lr_images == 0, "--lr was taken as it was"
    assert again.run_file == first.run_file
    assert (len(again.dataset), len(again.validation)) == (3, 2)
    assert again.backbone_weights == "imagenet"


def test_the_command_line_goes_before_the_file(started: Started, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("data: synthetic:3\nrun: {epochs: 3, lr: 1e-4, seed: 9}\nmodel: {min_size_px: 320}\n")
    assert run("--config", str(file), "--epochs", "5", "--data", "synthetic:2", *setting("seed=1")) == 0
    (one,) = started
    assert (one.config.epochs, one.config.lr, one.config.seed, len(one.dataset)) == (5, 1e-4, 1, 2)
    assert one.model == replace(SMALL[0], min_size_px=320)


def test_a_file_in_the_run_s_own_folder_is_left_as_it_is(started: Started, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: synthetic:2\n")
    assert run("--config", str(tmp_path / "run.yaml"), "-o", str(tmp_path)) == 0
    assert started[0].run_file is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dta: synthetic", "dta: no such entry; did you mean data?"),
        ("epochs: 3", "of the model and of the run stand below `model:` and `run:`"),
        ("run: {epoch: 3}", "run: epoch: no such setting; did you mean epochs"),
        ("model: {min_size: 3}", "model: min_size: no such setting; did you mean min_size_px"),
        ("run: {epochs: three}", "run: epochs is 'three', expected a whole number"),
        ("run: {lr: .nan}", "run: lr is nan, expected a number"),
        ("run: {epochs: 0}", "epochs is 0, expected at least 1"),
        ("model: [1]", "model is [1], expected names with values"),
        ("data: 3", "data is 3, expected text"),
        ("skip_bad: 'no'", "skip_bad is 'no', expected true or false"),
        ("- data", "holds a list, expected entries"),
        ("data: [", "not YAML that can be read"),
        ("data: synthetic:2\ndata: synthetic:3", "data is there twice"),
        ("run: {epochs: 3, lr: 0.1, epochs: 4}", "epochs is there twice"),
        ("!!python/object/apply:os.system [echo]", "not YAML that can be read"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    text: str, message: str, started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    assert run("--config", str(file), *(() if text.startswith("data") else ("--data", "synthetic:2"))) == 2
    assert f"{file}: " in (said := capsys.readouterr().err) or "training configuration" in said
    assert message in said
    assert not started


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--config", "none.yaml") == 2
    assert "none.yaml: no such file" in capsys.readouterr().err


# Loggers


def test_a_logger_that_is_not_installed_is_told_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    find = loggers.importlib.util.find_spec
    monkeypatch.setattr(
        loggers.importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name)
    )
    check_loggers("csv,tensorboard")
    assert run("--data", "synthetic:2", "-o", str(tmp_path / "run"), "--logger", "wandb") == 2
    assert "--logger wandb needs the package wandb" in (said := capsys.readouterr().err)
    assert said.rstrip().endswith("Install it: pip install wandb")
    assert not (tmp_path / "run").exists()


def test_an_unknown_logger_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--data", "synthetic:2", "--logger", "wandb,comet") == 2
    assert "logger is 'comet', expected csv, tensorboard, wandb, mlflow" in capsys.readouterr().err


def test_each_logger_is_lightning_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: dict[str, Any] = {}

    def recorder(name: str) -> Any:
        def make(*_: Any, **options: Any) -> Any:
            made[name] = options
            return SimpleNamespace(log_hyperparams=lambda values: made[name].update(settings=values))

        return make

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("WandbLogger", "MLFlowLogger"):
        monkeypatch.setattr(f"lightning.pytorch.loggers.{name}", recorder(name))
    found = make_loggers("wandb,mlflow", tmp_path / "mine", {"epochs": 3})
    assert type(found[0]).__name__ == "CSVLogger", "which curves.png is drawn from"
    assert len(found) == 3
    assert made["WandbLogger"]["name"] == made["MLFlowLogger"]["run_name"] == "mine"
    assert made["MLFlowLogger"]["tracking_uri"] == f"file:{tmp_path / 'mine' / 'mlflow'}"
    assert made["WandbLogger"]["settings"] == made["MLFlowLogger"]["settings"] == {"epochs": 3}


# --batch auto


@pytest.fixture(scope="module")
def few_objects() -> None:
    """Each try collects garbage: what other tests keep alive is not to be gone through every time."""
    gc.freeze()


@pytest.mark.usefixtures("few_objects")
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 11, 15, 16, 100])
def test_the_batch_is_the_largest_that_a_gpu_takes(limit: int) -> None:
    tried = []

    def step(images: int) -> None:
        tried.append(images)
        if images > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    assert by_trial(step, 16) == min(limit, 16)
    assert len(tried) <= 8


def test_a_gpu_that_is_too_small_for_one_image_is_told() -> None:
    def step(_: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(MaskrtError, match="a step of one image runs out of the GPU's memory"):
        by_trial(step, 16)


def test_a_cpu_s_batch_is_estimated_from_one_and_two_images() -> None:
    assert by_estimate(3000, 3500, 10000, 16) == 11, "8000 of 10000: ten more of 500"
    assert by_estimate(3000, 3500, 10**6, 16) == 16
    assert by_estimate(3000, 3000, 10000, 16) == 16
    with pytest.raises(MaskrtError, match="a step of one image takes"):
        by_estimate(2**31, 2**31 + 2**20, 2**30, 16)


@pytest.mark.usefixtures("narrow_resnet18")
def test_auto_takes_steps_of_this_model_and_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine: no more than the data has, whose steps are then taken in fact."""
    model = override(
        SMALL[0], {"min_size_px": "64", "max_size_px": "80", "fpn_channels": "8", "mask_convs": "16"}
    )
    config = TrainConfig(optimizer="adamw")
    assert automatic_batch(load_dataset("synthetic:3"), model, config, resume=False) == 3
    monkeypatch.setattr(largest_batch, "_free_bytes", lambda: -(10**12))
    with pytest.raises(MaskrtError, match="--batch auto: a step of one image takes"):
        automatic_batch(load_dataset("synthetic:3"), model, config, resume=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume",), "a run that goes on keeps its batch"),
        (("--devices", "2"), "several processes take batches of one size"),
    ],
)
def test_auto_is_refused_where_it_could_come_out_differently(
    arguments: tuple[str, ...], message: str, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data", "synthetic:2", "--batch", "auto", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not started


@pytest.mark.parametrize("batch", ["0", "-1", "two", "1.5"])
def test_another_batch_is_refused(batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--data", "synthetic:2", "--batch", batch) == 2
    assert "is neither a number from 1 on nor auto" in " ".join(
        capsys.readouterr().err.replace("│", "").split()
    )


def test_the_file_is_yaml_that_people_can_read(started: Started) -> None:
    assert run("--data", "synthetic:2", "--batch", "4") == 0
    lines = started[0].run_file.splitlines()
    assert lines[0].startswith("# maskrt train --config run.yaml")
    content = yaml.safe_load(started[0].run_file)
    assert content["data"] == "synthetic:2"
    assert content["run"]["batch"] == 4
    assert "num_classes" not in content["model"], "it follows from the data"


def test_what_follows_from_the_annotations_is_not_given(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("model: {num_classes: 5}\n")
    with pytest.raises(MaskrtError, match="num_classes follows from the annotations"):
        read_run(tmp_path / "run.yaml")
