"""Models that take minutes to make: once a machine, in the user's cache until the training code changes."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
from pathlib import Path

import pytest

from maskrt.export.demo import TRAIN, VALIDATION
from tests.conftest import REPOSITORY

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "maskrt" / "tests"
# The command of docs/training.md, and a deeper network for less long: no more than its parity is judged on.
DROPLETS = ["--class-name", "droplet", "--preset", "small"]
DROPLETS_RESNET50 = [*DROPLETS, "--set", "backbone=resnet50", "--epochs", "5"]
HEIGHT_PX, WIDTH_PX = 192, 256  # of the synthetic scenes, in training and in files of one shape
# As the demo's, for longer: after its three epochs proposals of nearly equal worth still change places.
SIZE = ["--set", f"min_size_px={HEIGHT_PX}", "--set", f"max_size_px={WIDTH_PX}"]
SCENES = ["--epochs", "8", "--batch", "4", "--lr", "8e-4", *SIZE]
WITHOUT_A_PART_IN_IT = (
    *("eager.py", "stage_hooks.py", "random_weights.py", "plots.py", "progress.py", "limits.py"),
    *("inspect_data.py", "faults.py", "survey.py", "matterport.py", "matterport_config.py"),
)


def training_key(*arguments: str) -> str:
    """A hash of the command and of every file that has a part in training."""
    digest = hashlib.sha256("\0".join(arguments).encode())
    for file in sorted([*(REPOSITORY / "training").rglob("*.py"), REPOSITORY / "runtime" / "preprocess.py"]):
        if file.name not in WITHOUT_A_PART_IN_IT:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def trained(name: str, train: str | Path, val: str | Path, *arguments: str) -> Path:
    """The best checkpoint of a run of `maskrt train`, from the cache or into it."""
    folder = CACHE / f"{name}-{training_key(*arguments)}"
    if not (folder / "metrics.json").exists():  # written last
        shutil.rmtree(folder, ignore_errors=True)
        sets = ["--data", str(train), "--val", str(val), "-o", str(folder)]
        assert run("maskrt.training.train", *sets, *arguments) == 0
    return folder / "best.pt"


@pytest.fixture(scope="session")
def droplets_checkpoint(data_dir: Path) -> Path:
    """R18-FPN trained on the droplets."""
    return trained("droplets", data_dir / "droplets/train", data_dir / "droplets/val", *DROPLETS)


@pytest.fixture(scope="session")
def scenes_checkpoint() -> Path:
    """R18-FPN trained on drawn scenes of four classes."""
    return trained("scenes", TRAIN, VALIDATION, *SCENES)


@pytest.fixture(scope="session")
def droplets_onnx(droplets_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """R18-FPN trained on the droplets, exported for a CPU."""
    path = tmp_path_factory.mktemp("droplets") / "droplets.onnx"
    export = [str(droplets_checkpoint), "-o", str(path), "--detections", "dynamic"]
    assert run("maskrt.export.to_onnx", *export) == 0
    return path


@pytest.fixture(scope="session")
def droplets_int8(droplets_onnx: Path, data_dir: Path) -> Path:
    """The same in INT8, for a CPU, as it passed the gate."""
    path = droplets_onnx.with_suffix(".int8.onnx")
    droplets = data_dir / "droplets"
    sets = ["--data", str(droplets / "train"), "--val", str(droplets / "val"), "--class-name", "droplet"]
    assert run("maskrt.calibration.calibrate", str(droplets_onnx), "-o", str(path), *sets) == 0
    return path


def run(module: str, *arguments: str) -> int:
    """A stage's program, in this process. Its exit code."""
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture(scope="session")
def droplets_resnet50(data_dir: Path) -> Path:
    """R50-FPN trained on the droplets."""
    folder = data_dir / "droplets"
    return trained("droplets", folder / "train", folder / "val", *DROPLETS_RESNET50)
