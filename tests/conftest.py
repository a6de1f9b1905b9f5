"""What the tests share: real data, and models that are made once a session or once a machine."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before torch starts its threads: test processes share the machine, and spinning at barriers starves others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# pytest-xdist's workers, and the programs they start, keep to cores of their own, so that the thread pools
# of one never wait for those of another.
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    worker, workers = int(os.environ["PYTEST_XDIST_WORKER"][2:]), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[worker % len(cores) :: workers])

import pytest
from hypothesis import settings

from tests.exports import Exports, shared_folder

# An example's time says how busy the machine is.
settings.register_profile("maskrt")
settings.load_profile("maskrt")

REPOSITORY = Path(__file__).resolve().parents[1]
#: The files that take longest, which are begun first: an xdist worker takes a file as a whole.
LONG = ("test_readme.py", "test_commands.py", "test_train.py", "test_run_file.py", "test_train_ways.py")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real images and annotations."""
    folder = Path(os.environ.get("MASKRT_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MASKRT_DATA to a folder with droplets/ and coco-mini/")
    return folder


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Makes checkpoints and exported files that the session's tests share (tests/exports.py)."""
    return Exports(shared_folder(tmp_path_factory))


@pytest.fixture(scope="session")
def random_checkpoint(exports: Exports) -> Path:
    """R18-FPN of 90 classes with confident random weights: narrow, on small canvases, with few proposals, to be quick.

    At the usual 256 channels the mask head alone is nine tenths of what a picture costs.
    """
    from benchmarks.samples import confident_checkpoint  # needs torch, which tests/parity does not

    small: dict[str, Any] = {"min_size_px": 256, "max_size_px": 448, "rpn_post_nms_test": 200}
    narrow: dict[str, Any] = {"fpn_channels": 64, "mask_convs": (64,) * 4}
    return exports.checkpoint("resnet18", lambda: confident_checkpoint("resnet18", **small, **narrow))


@pytest.fixture(scope="session")
def random_onnx(random_checkpoint: Path, exports: Exports) -> Path:
    """The same, exported for any size and batch."""
    return exports.onnx(random_checkpoint)


@pytest.fixture(scope="module")
def narrow_resnet18() -> Iterator[None]:
    """Meanwhile ResNet-18 has a quarter of its channels: convolutions and the writing of weights take most of the
    time of many tests, and their width changes no operation."""
    from tests.narrow import narrow_resnets

    with narrow_resnets():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: at the end one worker would be alone with them."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """The garbage collector need not look through what modules hold, again and again: they stay."""
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/parity; pytest takes them from this file alone, whatever folder it is given."""
    group = parser.getgroup("maskrt", "parity of your own model (tests/parity)")
    group.addoption("--maskrt-reference", help="the checkpoint (.pt), or a bundle of maskrt parity record")
    group.addoption("--maskrt-candidate", help="the deployed model (.onnx, .engine)")
    group.addoption("--maskrt-images", action="append", help="file, folder or glob; may be repeated")
    group.addoption("--maskrt-device", default="cpu", help="cpu or cuda")
