from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.training import run as run_module

Document = dict[str, Any]
HEIGHT, WIDTH = 30, 40


@pytest.fixture
def without_pictures() -> Iterator[None]:
    """Runs draw neither curves nor predictions, for tests that look at what was learned."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("plot_curves", "plot_predictions"):
            patched.setattr(run_module, name, lambda *_: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data for tests: $MASKRT_DATA, or shared/data beside the repository."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("MASKRT_DATA", default))
    if not (folder / "droplets").is_dir() or not (folder / "coco-mini").is_dir():
        pytest.skip(f"{folder} has no droplets/ and coco-mini/; set MASKRT_DATA to the folder that has them")
    return folder


@pytest.fixture(scope="session")
def write_image() -> Callable[[Path], None]:
    """Write noise of 30 x 40 pixels to a path."""

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        assert cv2.imwrite(str(path), pixels)

    return write


@pytest.fixture
def coco_document() -> Document:
    """Two images, three annotations: a polygon in two parts and a crowd in a.png, a polygon in b.png."""
    runs = [0, *[10, HEIGHT - 10] * WIDTH]  # rows 0 to 9
    return {
        "images": [
            {"id": 11, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 5, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
        ],
        "categories": [{"id": 90, "name": "dog"}, {"id": 7, "name": "cat"}],
        "annotations": [
            {
                "id": 100,
                "image_id": 11,
                "category_id": 90,
                "segmentation": [[2, 2, 12, 2, 12, 7, 2, 7], [20, 10, 24, 10, 24, 20, 20, 20]],
                "bbox": [2, 2, 22, 18],
                "area": 90.0,
                "iscrowd": 0,
            },
            {
                "id": 101,
                "image_id": 11,
                "category_id": 7,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs},
                "bbox": [0, 0, WIDTH, 10],
                "area": 400.0,
                "iscrowd": 1,
            },
            {
                "id": 102,
                "image_id": 5,
                "category_id": 7,
                "segmentation": [[5, 5, 15, 5, 15, 25, 5, 25]],
                "bbox": [5, 5, 10, 20],
                "area": 200.0,
                "iscrowd": 0,
            },
        ],
    }


@pytest.fixture
def via_document() -> Document:
    """Two images, three regions with the class attribute "kind": two in a.png, one in b.png."""

    def region(kind: str, **shape: Any) -> Document:
        return {"shape_attributes": shape, "region_attributes": {"kind": kind}}

    square = region("nut", name="polygon", all_points_x=[2, 12, 12, 2], all_points_y=[3, 3, 13, 13])
    bar = region("bolt", name="rect", x=20, y=10, width=4, height=15)
    disc = region("nut", name="circle", cx=20, cy=15, r=8)
    return {
        "a.png1234": {"filename": "a.png", "size": 1234, "regions": [square, bar], "file_attributes": {}},
        "b.png5678": {"filename": "b.png", "size": 5678, "regions": [disc], "file_attributes": {}},
    }


@pytest.fixture
def write_dataset(tmp_path: Path, write_image: Callable[[Path], None]) -> Callable[[Document], Path]:
    """Write a document to data.json, beside images a.png and b.png of 30 x 40 pixels; return its path."""

    def write(document: Document) -> Path:
        for name in ("a.png", "b.png"):
            write_image(tmp_path / name)
        path = tmp_path / "data.json"
        path.write_text(json.dumps(document))
        return path

    return write
