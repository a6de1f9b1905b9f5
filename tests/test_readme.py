"""Every command of the README, run as it stands there, in its order."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.samples import confident_checkpoint, scene
from maskrt.__main__ import VERBS
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.presets import PRESETS
from maskrt.runtime.files.atomic import write_png
from maskrt.training.data import load_dataset
from tests.runtime.videos import write_video

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
# By tests/full/test_demo.py; those of fcn8s by tests/tasks/test_class_maps.py; by make's own set-up; where there is a GPU, by `make gpu-check`.
RUN_ELSEWHERE = ("make demo", "pip install", "maskrt build", "maskrt infer model.engine")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.splitlines() if "fcn8s" not in line]
    return [shlex.split(line, comments=True) for line in lines if not line.startswith(RUN_ELSEWHERE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: data/train and data/val in COCO's format, and photos/."""
    root = tmp_path_factory.mktemp("user")
    for split, data in (("train", "synthetic:2:0"), ("val", "synthetic:1:1")):
        dataset = load_dataset(data)
        truth = dataset.to_coco()
        for index, image in enumerate(truth["images"]):
            image["file_name"] = f"{index}.png"
            write_png(root / "data" / split / image["file_name"], dataset[index].image())
        (root / "data" / split / "annotations.json").write_text(json.dumps(truth))
    write_png(root / "photos" / "a.png", scene(1))
    shutil.copy(root / "photos" / "a.png", root / "photo.jpg")  # what a file is, its content says
    write_video(root / "clip.mp4", [scene(1)] * 3, "mp4v")
    return root


def test_the_commands_of_the_readme_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    short = dataclasses.replace(PRESETS["tiny"], run=PRESETS["tiny"].run | {"epochs": 1})
    monkeypatch.setitem(PRESETS, "small", short)  # what is trained is replaced anyway, below
    verbs = []
    for _, verb, *arguments in commands():
        verbs.append(verb)
        # In this process: each of its own would spend most of its time on importing torch.
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(VERBS[verb][0]).main(arguments)
        assert not ended.value.code, f"maskrt {verb}: {capfd.readouterr().err[-2000:]}"
        if verb == "train":
            # A dozen steps teach nothing, and parity has nothing to compare where nothing is found.
            small = {"min_size_px": 256, "max_size_px": 320, "rpn_post_nms_test": 100}
            narrow = {"fpn_channels": 64, "mask_convs": (64,) * 2}
            confident_checkpoint("resnet18", num_classes=5, **small, **narrow).save(folder / "confident.pt")
            rename_classes(folder / "confident.pt", folder / "out/mine/best.pt")
    assert verbs == [
        "inspect-data",
        "train",
        "export",
        "infer",
        "infer",
        "evaluate",
        "parity",
        "serve-triton",
        "doctor",
    ]
    assert json.loads((folder / "out/photos/predictions.json").read_text())
    snippet = subprocess.run([sys.executable, "-c", blocks("python")[0]], cwd=folder, capture_output=True)
    assert snippet.returncode == 0, snippet.stderr.decode()


def rename_classes(source: Path, target: Path) -> None:
    """Give a checkpoint the names of the data set that the README's commands evaluate it on."""
    checkpoint = load_checkpoint(source)
    dataclasses.replace(checkpoint, classes=load_dataset("synthetic:1").classes).save(target)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    root = Path(__file__).resolve().parents[1]
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (root / target).exists(), target
