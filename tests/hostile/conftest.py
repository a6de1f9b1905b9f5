"""Commands that are to refuse something, and what they are given besides."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import maskrt.__main__ as umbrella
from tests.runtime.conftest import make_contract, tiny_model

Refuse = Callable[..., str]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a verb in this process, which is to end with a sentence; gives that."""

    def run(verb: str, *args: object, code: int = 2) -> str:
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(umbrella.VERBS[verb][0]).main([str(arg) for arg in args])
        out, said = capfd.readouterr()
        assert ended.value.code == code, said
        assert "Traceback" not in said
        assert "\x1b" not in out + said
        assert len(said) < 5000
        return said

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = tiny_model(make_contract())
    made.metadata_props.add(key="maskrt.contract", value=make_contract().to_json())
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return path


def coco(photo: Path, name: str) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": photo.name, "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": name}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0,
             "segmentation": [[1, 1, 10, 1, 10, 10, 1, 10]]}
        ],
    }  # fmt: skip
