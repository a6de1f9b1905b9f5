from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.runtime.errors import DataError
from maskrt.training.data import load_dataset

Document = dict[str, Any]
Write = Callable[[Document], Path]


@pytest.mark.parametrize("name", ["coco_document", "via_document"])
def test_the_format_is_told_by_content_not_by_name(
    name: str, request: pytest.FixtureRequest, write_dataset: Write
) -> None:
    path = write_dataset(request.getfixturevalue(name))
    misnamed = path.rename(path.with_name("via_region_data.json"))
    dataset = load_dataset(misnamed)
    assert len(dataset.classes) == 2
    assert sum(len(sample.instances) for sample in dataset) == 3
    assert dataset.name == f"{path.parent.name}/via_region_data.json"
    assert len(load_dataset(str(path.parent))) == 2


def test_options_reach_the_reader(via_document: Document, write_dataset: Write, tmp_path: Path) -> None:
    path = write_dataset(via_document)
    images = tmp_path / "frames"
    images.mkdir()
    (tmp_path / "b.png").rename(images / "b.png")
    for entry in via_document.values():
        for region in entry["regions"]:
            region["region_attributes"] = {"kind": "nut", "colour": "red"}
    path.write_text(json.dumps(via_document))
    dataset = load_dataset(path, images_dir=images, skip_bad=True, class_attribute="colour")
    assert [c.name for c in dataset.classes] == ["red"]
    assert dataset.dropped == {"missing_image": 1, "on_dropped_image": 2}

    for entry in via_document.values():
        for region in entry["regions"]:
            region["region_attributes"] = {}
    path.write_text(json.dumps(via_document))
    dataset = load_dataset(path, images_dir=images, skip_bad=True, class_name="part")
    assert [c.name for c in dataset.classes] == ["part"]


@pytest.mark.parametrize("place", [".", "annotations"])
def test_a_folder_with_one_annotation_file_among_others(
    place: str, coco_document: Document, write_dataset: Write, tmp_path: Path
) -> None:
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    write_dataset(coco_document).rename(folder / "labels.json")
    (folder / "settings.json").write_text('{"colour": "blue"}')
    assert load_dataset(tmp_path, images_dir=tmp_path).name.endswith("labels.json")


def test_several_candidates_are_listed(coco_document: Document, write_dataset: Write) -> None:
    path = write_dataset(coco_document)
    second = path.with_name("more.json")
    second.write_text(path.read_text())
    with pytest.raises(DataError) as caught:
        load_dataset(path.parent)
    assert f"2 sets of annotations, expected one:\n  {path} (coco)\n  {second} (coco)\n" in str(caught.value)
    assert f"maskrt train --data {path} --format coco" in str(caught.value)


def test_the_named_format_picks_among_several(
    coco_document: Document, via_document: Document, write_dataset: Write
) -> None:
    folder = write_dataset(coco_document).parent
    (folder / "regions.json").write_text(json.dumps(via_document))
    assert load_dataset(folder, format="via").name.endswith("regions.json")
    assert load_dataset(folder, format="coco").name.endswith("data.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ("[]", "a JSON list, expected COCO"),
        ("[" * 100_000, "not JSON"),
        ('[{"image_id": 1, "category_id": 1, "score": 0.5}]', "a JSON list, expected COCO"),
        ("{}", "an object with the keys (none), expected COCO"),
        ('{"images": [], "annotations": []}', "an object with the keys images, annotations, expected COCO"),
        ('{"version": "5.0", "shapes": []}', "an object with the keys version, shapes, expected COCO"),
    ],
)
def test_another_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        load_dataset(path, skip_bad=True)


def test_a_byte_order_mark_is_no_obstacle(coco_document: Document, write_dataset: Write) -> None:
    path = write_dataset(coco_document)
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(load_dataset(path)) == 2


def test_a_wrongly_named_format_is_refused(
    coco_document: Document, via_document: Document, write_dataset: Write
) -> None:
    with pytest.raises(DataError, match=r"not a VIA 1 or 2 file, .*--format auto"):
        load_dataset(write_dataset(coco_document), format="via")
    with pytest.raises(DataError, match=r"not a COCO instance file, .*--format auto"):
        load_dataset(write_dataset(via_document), format="coco")
    with pytest.raises(DataError, match=r"expected folders in it with images/ and masks/"):
        load_dataset(write_dataset(coco_document), format="instance-masks")
    with pytest.raises(
        DataError, match="format is 'pascal', expected one of auto, coco, via, labelme, yolo, "
    ):
        load_dataset("synthetic", format="pascal")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json: no such file or folder, .*--data synthetic"):
        load_dataset(tmp_path / "absent.json")
    with pytest.raises(DataError, match="aaa: no such file or folder"):
        load_dataset("a" * 5000)
    with pytest.raises(DataError, match=r"0 JSON files in it .*--data FILE --format via"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("synthetic", "synthetic:160:0"),
        ("synthetic:12", "synthetic:12:0"),
        ("synthetic:12:5", "synthetic:12:5"),
    ],
)
def test_synthetic_spec(spec: str, name: str) -> None:
    dataset = load_dataset(spec)
    assert (dataset.name, len(dataset)) == (name, int(name.split(":")[1]))


@pytest.mark.parametrize(
    "spec", ["synthetic:", "synthetic:0", "synthetic:-1", "synthetic:3:x", "synthetic:1:2:3"]
)
def test_a_bad_synthetic_spec_is_refused(spec: str) -> None:
    with pytest.raises(DataError, match=rf"{spec}: expected synthetic\[:COUNT\[:SEED\]\], COUNT from 1 to"):
        load_dataset(spec)


def test_readers_do_without_torch() -> None:
    """`maskrt evaluate` reads datasets on machines without the training stack."""
    code = """if True:
        import sys
        sys.modules["torch"] = None  # importing it raises ImportError
        from maskrt.training.data import load_dataset
        print(len(load_dataset("synthetic:3")))
    """
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.returncode) == ("3\n", 0), result.stderr
