"""Label maps as PNGs: folders as CamVid, Pascal VOC and Cityscapes have them, and labels painted from objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError, ImageError
from maskrt.training.data import load_dataset
from maskrt.training.data.problems import MalformedDataError

VALUES = np.zeros((30, 40), np.uint8)
VALUES[:10], VALUES[10:20], VALUES[20:25] = 1, 2, 7
NAMES = ("sky", "road", "car")


def save_grey(path: Path, values: np.ndarray = VALUES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def save_palette(path: Path) -> None:
    image = Image.fromarray(VALUES, mode="P")
    image.putpalette([v for i in range(256) for v in (255 - i, 3, i)])
    image.save(path)


def save_16_bit(path: Path) -> None:
    Image.fromarray(VALUES.astype(np.uint16) + 1000 * (VALUES == 7).astype(np.uint16)).save(path)


@pytest.fixture
def folder(tmp_path: Path, write_image: Callable[..., None]) -> Path:
    """data/images/ and data/labels/ of a and b, with their classes one above."""
    for name in "ab":
        write_image(tmp_path / "data" / "images" / f"{name}.jpg")
        save_grey(tmp_path / "data" / "labels" / f"{name}.png")
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return tmp_path / "data"


@pytest.mark.parametrize("save", [save_grey, save_palette, save_16_bit])
def test_a_value_is_the_class_of_that_line_and_others_are_ignored(
    save: Callable[[Path], None], folder: Path
) -> None:
    save(folder / "labels" / "a.png")

    dataset = load_dataset(folder)

    assert dataset.classes == tuple(Category(i, name) for i, name in enumerate(NAMES))
    assert (len(dataset), dataset.has_labels, dataset.task) == (2, True, "semantic")
    expected = np.where(VALUES == 7, 255, VALUES)
    np.testing.assert_array_equal(dataset[0].labels(), expected)
    assert dataset[0].labels().dtype == np.uint8


def test_labels_are_resized_by_the_pixel_under_each_centre(folder: Path) -> None:
    half = load_dataset(folder)[0].labels((15, 20))
    np.testing.assert_array_equal(half, np.where(VALUES == 7, 255, VALUES)[1::2, 1::2])


@pytest.mark.parametrize("content", [{"1": "road", "7": "car"}, {"car": 7, "road": 1}])
def test_ids_may_be_named_in_json(content: dict[str, Any], folder: Path) -> None:
    (folder / "classes.json").write_text(json.dumps(content))

    dataset = load_dataset(folder)

    assert dataset.classes == (Category(1, "road"), Category(7, "car"))
    assert np.unique(dataset[0].labels()).tolist() == [0, 1, 255]


def test_a_part_of_the_classes_is_told_in_those_of_a_model(folder: Path) -> None:
    (folder / "classes.json").write_text('{"7": "car", "1": "road"}')
    classes = tuple(Category(k, name) for k, name in enumerate(("tree", "car", "road")))

    labels = load_dataset(folder).for_model("semantic", classes)[0].labels()

    assert (labels[0, 0], labels[22, 0], labels[12, 0]) == (2, 1, 255)


def test_pascal_voc_is_read_by_its_list_with_its_own_classes(
    tmp_path: Path, write_image: Callable[..., None]
) -> None:
    for name in ("2007_1", "2007_2", "2007_3"):
        write_image(tmp_path / "VOC" / "JPEGImages" / f"{name}.jpg")
    for name in ("2007_1", "2007_2"):
        save_grey(tmp_path / "VOC" / "SegmentationClass" / f"{name}.png")
    (tmp_path / "VOC/ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "VOC/ImageSets/Segmentation/val.txt").write_text("2007_2\n")

    whole, part = load_dataset(tmp_path / "VOC"), load_dataset(f"{tmp_path / 'VOC'}:val")

    assert ([s.source for s in whole], [s.source for s in part]) == (
        ["2007_1.jpg", "2007_2.jpg"],
        ["2007_2.jpg"],
    )
    assert (whole.classes[0], whole.classes[7], len(whole.classes)) == (
        Category(0, "background"),
        Category(7, "car"),
        21,
    )
    assert np.unique(part[0].labels()).tolist() == [0, 1, 2, 7]


def test_cityscapes_is_read_by_its_label_ids(tmp_path: Path, write_image: Callable[..., None]) -> None:
    for split in ("train", "val"):
        stem = f"{split}/aachen/aachen_0_{split}"
        write_image(tmp_path / "city" / "leftImg8bit" / f"{stem}_leftImg8bit.jpg")
        save_grey(tmp_path / "city" / "gtFine" / f"{stem}_gtFine_labelIds.png")
        save_grey(tmp_path / "city" / "gtFine" / f"{stem}_gtFine_instanceIds.png")

    dataset = load_dataset(f"{tmp_path / 'city'}:val")

    assert [sample.source for sample in dataset] == ["aachen_0_val_leftImg8bit.jpg"]
    assert (len(dataset.classes), dataset.classes[0]) == (19, Category(7, "road"))
    assert np.unique(dataset[0].labels()).tolist() == [0, 255]


def test_a_part_that_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(DataError, match=r"data:night: no such part, expected .*night\.txt or folders"):
        load_dataset(f"{folder}:night")


def spoil_size(folder: Path) -> None:
    save_grey(folder / "labels" / "a.png", VALUES[:20])


def spoil_colours(folder: Path) -> None:
    Image.fromarray(np.dstack([VALUES] * 3)).save(folder / "labels" / "a.png")


def spoil_jpeg(folder: Path) -> None:
    (folder / "labels" / "a.png").unlink()
    save_grey(folder / "labels" / "a.jpg")


def spoil_pair(folder: Path) -> None:
    (folder / "labels" / "a.png").unlink()


def spoil_image(folder: Path) -> None:
    (folder / "images" / "a.jpg").unlink()


def spoil_bytes(folder: Path) -> None:
    (folder / "labels" / "a.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_size, r"a: labels are 40 x 20 px, expected the image's 40 x 30 \[mask_size\]"),
        (spoil_colours, r"a\.png is a picture in RGB, expected a PNG of class numbers"),
        (spoil_jpeg, r"a\.jpg is a JPEG, which changes numbers, expected a PNG"),
        (spoil_pair, r"a\.jpg has no labels, expected labels/a\.png"),
        (spoil_image, r"a\.png has no image, expected images/a\.\*"),
        (spoil_bytes, r"a\.png is not a readable image"),
    ],
)
def test_a_faulty_file_is_named_and_can_be_left_out(
    spoil: Callable[[Path], None], told: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(MalformedDataError, match=told):
        load_dataset(folder)
    dataset = load_dataset(folder, skip_bad=True)
    assert [sample.source for sample in dataset] == ["b.jpg"]
    assert sum(dataset.dropped.values()) == 1


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("classes.txt", "sky\nsky\n", r"expected different names"),
        ("classes.txt", "sky\n\nroad\n", r"expected different names and no empty line"),
        ("classes.json", "[1]", r'expected \{"value": "name", …\}'),
        ("classes.json", '{"a": "b"}', r'expected "value": "name"'),
        ("classes.json", '{"300": "far"}', r"the value 300, expected 0 to 254"),
    ],
)
def test_classes_that_cannot_be_read_are_an_error(name: str, text: str, told: str, folder: Path) -> None:
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=told):
        load_dataset(folder)


def test_labels_without_names_ask_for_them(folder: Path) -> None:
    (folder.parent / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"no classes\.txt in it or in .*, expected the names of the classes"):
        load_dataset(folder)


def test_a_label_map_that_was_cut_later_is_named_when_it_is_read(folder: Path) -> None:
    sample = load_dataset(folder)[0]
    save_grey(folder / "labels" / "a.png", VALUES[:20])
    with pytest.raises(ImageError, match="its label map is 40 x 20 px, expected the image's 40 x 30"):
        sample.labels()


def test_objects_are_painted_the_large_first_and_crowds_are_ignored(
    write_coco: Callable[..., Path],
) -> None:
    dataset = load_dataset(write_coco()).for_task("semantic")
    labels = dataset[0].labels()
    assert dataset.classes == (Category(0, "background"), Category(3, "nut"), Category(9, "bolt"))
    assert (labels[0, 0], labels[4, 4], labels[7, 7], labels[2, 30]) == (0, 1, 2, 255)


def test_label_maps_are_no_data_for_a_network_that_finds_objects(folder: Path) -> None:
    with pytest.raises(DataError, match=r"do not tell objects apart.*--preset fcn8s"):
        load_dataset(folder).for_task("instances")


@pytest.fixture
def write_coco(tmp_path: Path, write_image: Callable[..., None]) -> Callable[..., Path]:
    """A COCO file of one image with a large nut, a small bolt in it, and a crowd of nuts at the right."""

    def write() -> Path:
        boxes = [(3, 1, 2, 2, 12, 0), (9, 2, 6, 6, 4, 0), (3, 3, 28, 0, 10, 1)]
        annotations = [
            {
                "id": number,
                "image_id": 1,
                "category_id": category,
                "segmentation": [[x, y, x + side, y, x + side, y + side, x, y + side]]
                if not crowd
                else {"size": [30, 40], "counts": _runs(x, y, side)},
                "bbox": [x, y, side, side],
                "area": side**2,
                "iscrowd": crowd,
            }
            for category, number, x, y, side, crowd in boxes
        ]
        document = {
            "images": [{"id": 1, "file_name": "1.jpg", "width": 40, "height": 30}],
            "categories": [{"id": 3, "name": "nut"}, {"id": 9, "name": "bolt"}],
            "annotations": annotations,
        }
        write_image(tmp_path / "1.jpg")
        (tmp_path / "coco.json").write_text(json.dumps(document))
        return tmp_path / "coco.json"

    return write


def _runs(x: int, y: int, side: int) -> list[int]:
    """COCO's uncompressed RLE of a square: columns first."""
    mask = np.zeros((30, 40), bool)
    mask[y : y + side, x : x + side] = True
    flat = mask.ravel(order="F")
    ends = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    return [*([0] if flat[0] else []), *np.diff(ends).tolist()]
