from __future__ import annotations

from pathlib import Path

import pytest

from maskrt.runtime.files.atomic import write_png
from tests.runtime.semantic.maps import halves, make_contract, picture, write_model


@pytest.fixture(scope="session")
def semantic_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("semantic") / "model.onnx", make_contract())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two pictures, of different sizes, of which the model says `halves`."""
    folder = tmp_path_factory.mktemp("pictures") / "images"
    folder.mkdir()
    for name, size in (("a", (40, 60)), ("b", (30, 50))):
        write_png(folder / f"{name}.png", picture(halves(*size)))
    return folder
