"""Masks as image files: one PNG an image whose values number the objects, or one file an object."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.training.data import load_dataset

IDS = np.zeros((30, 40), np.uint16)
IDS[2:6, 3:9], IDS[10:14, 3:9], IDS[20:25, 30:38] = 1, 1, 7  # object 1 is in two pieces
PALETTE = [v for i in range(256) for v in (i, 0, 0)]


def save_palette(ids: np.ndarray, path: Path, last: tuple[int, int, int] = (255, 0, 0)) -> None:
    image = Image.fromarray(ids.astype(np.uint8), mode="P")
    image.putpalette(PALETTE[:-3] + list(last))
    image.save(path)


def save_colours(ids: np.ndarray, path: Path) -> None:
    Image.fromarray(np.stack([ids % 256, ids // 256, 0 * ids], axis=-1).astype(np.uint8)).save(path)


def save_grey(ids: np.ndarray, path: Path) -> None:
    Image.fromarray(ids.astype(np.uint8)).save(path)


def save_16_bit(ids: np.ndarray, path: Path) -> None:
    Image.fromarray(ids).save(path)


@pytest.fixture
def folder(tmp_path: Path, write_image: Callable[..., None]) -> Path:
    """images/ and masks/ of a, with two objects, and of b, with none."""
    for name, ids in (("a", IDS), ("b", 0 * IDS)):
        write_image(tmp_path / "images" / f"{name}.jpg")
        (tmp_path / "masks").mkdir(exist_ok=True)
        save_16_bit(ids, tmp_path / "masks" / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("save", [save_palette, save_colours, save_grey, save_16_bit])
def test_each_value_is_an_object(save: Callable[[np.ndarray, Path], None], folder: Path) -> None:
    save(IDS, folder / "masks" / "a.png")
    dataset = load_dataset(folder, class_name="cell")
    assert dataset.classes == (Category(1, "cell"),)
    assert [(s.source, len(s.instances)) for s in dataset] == [("a.jpg", 2), ("b.jpg", 0)]
    np.testing.assert_array_equal(dataset[0].masks(), [IDS == 1, IDS == 7])
    assert dataset[0].instances[0].box == (3, 2, 9, 14)


def test_the_borders_of_pascal_voc_are_no_object(folder: Path) -> None:
    bordered = IDS.copy()
    bordered[0] = 255
    save_palette(bordered, folder / "masks" / "a.png", last=(224, 224, 192))
    assert len(load_dataset(folder)[0].instances) == 2
    save_palette(bordered, folder / "masks" / "a.png")
    assert len(load_dataset(folder)[0].instances) == 3, "in another palette 255 is an object's number"


def test_with_classes_the_values_are_cityscapes(folder: Path) -> None:
    ids = np.where(IDS == 1, 2003, np.where(IDS == 7, 1, 0)).astype(np.uint16)
    save_16_bit(ids, folder / "masks" / "a.png")
    (folder / "classes.txt").write_text("sky\ncar\n\n")
    dataset = load_dataset(folder)
    assert dataset.classes == (Category(1, "sky"), Category(2, "car"))
    assert [(i.label, i.is_crowd) for i in dataset[0].instances] == [(0, True), (1, False)]


def remove_image(folder: Path) -> None:
    (folder / "images" / "b.jpg").unlink()


def remove_mask(folder: Path) -> None:
    (folder / "masks" / "b.png").unlink()


def shrink_mask(folder: Path) -> None:
    save_16_bit(IDS[1:], folder / "masks" / "b.png")


def break_mask(folder: Path) -> None:
    (folder / "masks" / "b.png").write_bytes(b"\x89PNG\r\n")


def lossy_mask(folder: Path) -> None:
    (folder / "masks" / "b.png").unlink()
    Image.fromarray(IDS.astype(np.uint8)).save(folder / "masks" / "b.jpg")


def foreign_class(folder: Path) -> None:
    (folder / "classes.txt").write_text("car\n")
    save_16_bit(np.where(IDS == 1, 1001, 0).astype(np.uint16), folder / "masks" / "a.png")
    save_16_bit(np.where(IDS == 1, 2001, 0).astype(np.uint16), folder / "masks" / "b.png")


def test_classes_in_another_encoding_are_no_names(folder: Path) -> None:
    (folder / "classes.txt").write_bytes("Schlüssel\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"classes\.txt: not text in UTF-8"):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        (remove_image, "missing_image", r"b: .*b\.png has no image, expected images/b\.\*"),
        (remove_mask, "missing_mask", r"b: .*b\.jpg has no mask, expected masks/b\.png"),
        (shrink_mask, "mask_size", "b: mask is 40 x 29 px, expected the image's 40 x 30"),
        (break_mask, "unreadable_mask", r"b: .*b\.png is not a readable image"),
        (lossy_mask, "unreadable_mask", r"b: .*b\.jpg is a JPEG, which changes numbers"),
        (
            foreign_class,
            "unknown_category",
            r"b\.png, annotation 2001: value 2001 is of class 2, expected 1 to 1",
        ),
    ],
)
def test_a_bad_mask_file_is_named(
    fault: Callable[[Path], None], reason: str, detail: str, folder: Path
) -> None:
    fault(folder)
    with pytest.raises(DataError, match=rf"1 problem, .*\n  {detail}.* \[{reason}\]\n.*--skip-bad"):
        load_dataset(folder)
    dataset = load_dataset(folder, skip_bad=True)
    assert dataset.dropped == {reason: 1}
    assert len(dataset[0].instances) > 0


@pytest.fixture
def nuclei(tmp_path: Path, write_image: Callable[..., None]) -> Path:
    """Two folders of an image: one with two masks, whose whites are 255 and 1, and one with none."""
    for name in ("one", "two"):
        write_image(tmp_path / name / "images" / f"{name}.png")
        (tmp_path / name / "masks").mkdir()
    save_grey((IDS == 1) * 255, tmp_path / "one" / "masks" / "x.png")
    save_grey(IDS == 7, tmp_path / "one" / "masks" / "y.png")
    return tmp_path


def test_each_file_is_an_object(nuclei: Path) -> None:
    dataset = load_dataset(nuclei, class_name="nucleus")
    assert dataset.classes == (Category(1, "nucleus"),)
    assert [s.source for s in dataset] == ["one/images/one.png", "two/images/two.png"]
    np.testing.assert_array_equal(dataset[0].masks(), [IDS == 1, IDS == 7])
    assert dataset[1].instances == ()


def test_softened_edges_are_cut_in_the_middle(nuclei: Path) -> None:
    soft = np.zeros((30, 40))
    soft[5:9, 5:9], soft[4, 5:9], soft[9, 5:9] = 255, 120, 130
    save_grey(soft, nuclei / "one" / "masks" / "x.png")
    assert load_dataset(nuclei)[0].instances[0].box == (5, 5, 9, 10)


def blank(folder: Path) -> None:
    save_grey(0 * IDS, folder / "two" / "masks" / "z.png")


def other_size(folder: Path) -> None:
    save_grey(IDS[:, 1:], folder / "two" / "masks" / "z.png")


def no_png(folder: Path) -> None:
    (folder / "two" / "masks" / "z.png").write_text("PNG")


def two_images(folder: Path) -> None:
    save_grey(IDS, folder / "two" / "images" / "z.png")


def no_masks(folder: Path) -> None:
    (folder / "two" / "masks").rmdir()


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        (blank, "zero_area", "two, annotation z.png: mask covers 0 pixels"),
        (other_size, "mask_size", "two, annotation z.png: mask is 39 x 30 px, expected the image's 40 x 30"),
        (no_png, "unreadable_mask", "two, annotation z.png: "),
        (two_images, "malformed", "two: "),
        (no_masks, "malformed", "two: "),
    ],
)
def test_a_bad_folder_of_masks_is_named(
    fault: Callable[[Path], None], reason: str, detail: str, nuclei: Path
) -> None:
    fault(nuclei)
    with pytest.raises(DataError, match=rf"1 problem, .*\n  {re.escape(detail)}.* \[{reason}\]\n"):
        load_dataset(nuclei)
    dataset = load_dataset(nuclei, skip_bad=True)
    assert (dataset.dropped, len(dataset[0].instances)) == ({reason: 1}, 2)


def test_nothing_annotated_is_an_error(nuclei: Path) -> None:
    for mask in (nuclei / "one" / "masks").iterdir():
        mask.unlink()
    with pytest.raises(DataError, match="2 usable images with 0 usable annotations"):
        load_dataset(nuclei)


def test_a_folder_of_two_kinds_asks_which(nuclei: Path, folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"2 sets of annotations, expected one:\n.*mask-png\)\n.*instance-masks"
    ):
        load_dataset(nuclei)
    assert load_dataset(folder, format="mask-png").name == folder.name
