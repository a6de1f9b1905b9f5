"""The page of `maskrt inspect-data`, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskrt.runtime.files.atomic import write_png
from maskrt.training.inspect_data import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One grey image with one object, narrow, of a class whose name would break a script."""
    write_png(tmp_path / "a.png", np.full((30, 40, 3), 90, np.uint8))
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "area": 20, "bbox": [5, 5, 2, 10], "iscrowd": 0}
    annotation["segmentation"] = [[5, 5, 7, 5, 7, 15, 5, 15]]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "</script><b>nut</b>"}],
        "annotations": [annotation],
    }
    (tmp_path / "labels.json").write_text(json.dumps(document))
    return tmp_path


def test_the_page_shows_what_was_found(folder: Path, in_browser: Callable[[str], tuple[str, str]]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(folder), "--val", str(folder), "-o", str(folder / "report.html")])
    assert not ended.value.code
    shown, console = in_browser((folder / "report.html").read_text())
    assert console == ""
    assert (
        "4 places to look at" in shown
    )  # narrow twice, few of its class, and validated on what was trained on
    assert "1 images are in the training data too" in shown
    assert "a.png, annotation 1: 2.0 x 10.0 px" in shown
    assert "</script><b>nut</b> (id 1)" in shown
    assert shown.count('<img src="data:image/jpeg') == 2
