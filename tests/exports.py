"""Models that tests share: each is made once a session, by whichever process asks first.

An export takes longer than most tests, so no two of them make the same one. A fixture asks:

    def path(exports: Exports) -> Path:
        checkpoint = exports.checkpoint("boxes", lambda: confident_checkpoint("resnet18", task="detection"))
        return exports.onnx(checkpoint, detections="dynamic")

The workers of pytest-xdist share the folder, so the first to ask makes the file and the others wait for it. What is
made is read only: a test that changes a model writes the change into its own tmp_path.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from maskrt.models.checkpoint import Checkpoint
    from maskrt.runtime.contract import Contract


class Exports:
    """Checkpoints and exported files of one test session, in a folder that its processes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def once(self, path: Path, make: Callable[[Path], object]) -> Path:
        """The file at `path`, made by the first process that asks; `make` gets a path of the same name to write."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                unfinished = path.parent / "unfinished" / path.name
                unfinished.parent.mkdir(exist_ok=True)
                make(unfinished)
                os.replace(unfinished, path)
        return path

    def checkpoint(self, name: str, make: Callable[[], Checkpoint]) -> Path:
        """The checkpoint of that name, saved as <name>.pt; one name is one model in all tests."""
        return self.once(self.folder / name / f"{name}.pt", lambda path: make().save(path))

    def onnx(self, checkpoint: Path, contract: Contract | None = None, **options: Any) -> Path:
        """The file exported from a checkpoint's file, in a folder of its own.

        contract: by default `Checkpoint.contract(**options)`. Equal weights and contracts are one file.
        """
        from maskrt.export.onnx_model import export_onnx, save_onnx
        from maskrt.models.load import load_checkpoint

        loaded = load_checkpoint(checkpoint)
        wanted = contract or loaded.contract(**options)
        key = hashlib.sha256(f"{loaded.sha256} {wanted.to_json()}".encode()).hexdigest()[:16]
        path = self.folder / f"{checkpoint.stem}-{key}" / f"{checkpoint.stem}.onnx"
        return self.once(path, lambda path: save_onnx(export_onnx(loaded, wanted), path))


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, the same in each of pytest-xdist's workers; or $MASKRT_TEST_EXPORTS, where several
    sessions test the same code."""
    if given := os.environ.get("MASKRT_TEST_EXPORTS"):
        return Path(given)
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports"
    folder.mkdir(exist_ok=True)
    return folder
