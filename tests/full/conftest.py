"""Models that take minutes to make: once a machine, in the user's cache until the training code changes."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.models import lively_checkpoint

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "maskrt" / "tests"
DROPLETS = ["--class-name", "droplet", "--preset", "small"]


def training_key(*arguments: str) -> str:
    """A hash of the command and of every file that has a part in training."""
    digest = hashlib.sha256("\0".join(arguments).encode())
    for file in sorted([*(REPOSITORY / "training").rglob("*.py"), REPOSITORY / "runtime" / "preprocess.py"]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def droplets_checkpoint(data_dir: Path) -> Path:
    """R18-FPN trained on the droplets by the command of docs/training.md."""
    from training import train

    folder = CACHE / f"droplets-{training_key(*DROPLETS)}"
    if not (folder / "metrics.json").exists():  # written last
        shutil.rmtree(folder, ignore_errors=True)
        droplets = data_dir / "droplets"
        arguments = ["--data", str(droplets / "train"), "--val", str(droplets / "val"), "-o", str(folder)]
        with pytest.raises(SystemExit) as finished:
            train.main([*arguments, *DROPLETS])
        assert not finished.value.code
    return folder / "best.pt"


@pytest.fixture(scope="session")
def lively_resnet50(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """R50-FPN with random weights of 90 classes at torchvision's sizes."""
    path = tmp_path_factory.mktemp("r50") / "resnet50.pt"
    lively_checkpoint("resnet50").save(path)
    return path


@pytest.fixture(scope="session")
def lively_resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """R18-FPN with random weights of 90 classes at torchvision's sizes."""
    path = tmp_path_factory.mktemp("r18") / "resnet18.pt"
    lively_checkpoint("resnet18").save(path)
    return path
