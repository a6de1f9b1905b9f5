from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maskrt.runtime.errors import ImageError
from maskrt.runtime.inputs.images import IMAGE_SUFFIXES, find_images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/{b.jpg, a.PNG, notes.txt, day/one/c.tiff, day/d.webp}; the working folder is its parent."""
    for name in ("b.jpg", "a.PNG", "notes.txt", "day/one/c.tiff", "day/d.webp"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def names(*inputs: object) -> list[str]:
    return [path.name for path in find_images([str(i) for i in inputs])]


def message(*inputs: object) -> str:
    with pytest.raises(ImageError) as caught:
        find_images([str(i) for i in inputs])
    return str(caught.value)


def test_a_folder_is_searched_deeply_and_in_order(folder: Path) -> None:
    found = find_images([str(folder)])

    assert found == sorted(found)
    assert {p.name for p in found} == {"a.PNG", "b.jpg", "c.tiff", "d.webp"}


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_knows_its_suffixes_in_capitals_too(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix.upper()}").touch()
    (tmp_path / f"b{suffix}").touch()

    assert names(tmp_path) == [f"a{suffix.upper()}", f"b{suffix}"]


def test_hidden_files_are_left_out_but_where_they_are_named(folder: Path) -> None:
    """macOS puts them beside the others."""
    (folder / "._b.jpg").touch()

    assert "._b.jpg" not in names(folder)
    assert names(folder / "._b.jpg") == ["._b.jpg"]


@pytest.mark.parametrize(
    ("pictures", "labels"),
    [
        ("images", "labels"),
        ("images/a", "masks/a"),
        ("0/images", "0/masks"),
        ("JPEGImages", "SegmentationClass"),
        ("leftImg8bit/train/ulm", "gtFine/train/ulm"),
    ],
)
def test_labels_that_are_images_are_left_out_but_where_they_are_named(
    pictures: str, labels: str, tmp_path: Path
) -> None:
    for name in (f"{pictures}/a.png", f"{labels}/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()

    assert names(tmp_path) == ["a.png"]
    assert names(tmp_path / labels) == ["b.png"]


def test_a_folder_that_is_called_labels_may_hold_photographs(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "jam.png").touch()

    assert names(tmp_path) == ["jam.png"]


def test_a_folder_called_like_an_image_is_none(folder: Path) -> None:
    (folder / "album.jpg").mkdir()

    assert "album.jpg" not in names(folder)


def test_a_file_is_taken_whatever_its_suffix(folder: Path) -> None:
    assert names(folder / "notes.txt") == ["notes.txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.jpg", ["b.jpg"]),
        ("photos/**/*.tiff", ["c.tiff"]),
        ("photos/day/[d-e].*", ["d.webp"]),
        ("photos/*", ["a.PNG", "b.jpg", "notes.txt"]),
    ],
)
def test_globs_name_files(pattern: str, expected: list[str], folder: Path) -> None:
    assert names(pattern) == expected


def test_a_name_with_glob_characters_is_a_name_first(folder: Path) -> None:
    (folder / "[b].jpg").touch()

    assert names(folder / "[b].jpg") == ["[b].jpg"]


def test_inputs_keep_their_order(folder: Path) -> None:
    assert names(folder / "day" / "d.webp", folder / "b.jpg", folder / "a.PNG") == [
        "d.webp",
        "b.jpg",
        "a.PNG",
    ]


@pytest.mark.parametrize(
    "again",
    ["photos/b.jpg", "./photos/b.jpg", "photos/*.jpg", "photos", "photos/day/../b.jpg", "ABSOLUTE"],
)
def test_a_file_named_twice_is_taken_once(again: str, folder: Path) -> None:
    again = str(folder / "b.jpg") if again == "ABSOLUTE" else again

    assert names("photos/b.jpg", again).count("b.jpg") == 1


def test_names_a_folder_without_images(folder: Path) -> None:
    empty = folder / "empty" / "deep"
    empty.mkdir(parents=True)
    (empty / "notes.txt").touch()

    said = message(folder, empty.parent)

    assert said.startswith(f"{empty.parent}: a folder with no images")
    assert ".jpg, .jpeg, .png" in said


def test_names_a_path_that_is_not_there(folder: Path) -> None:
    missing = folder / "x.jpg"

    assert message(folder, missing) == f"{missing}: no such file, folder, or glob with a match."


def test_names_a_pattern_that_is_none(folder: Path) -> None:
    if sys.version_info >= (3, 13):
        assert names(folder / "**.jpg") == ["b.jpg"], "** is like * there"
    else:
        assert "**.jpg: no pattern for names (" in message(folder / "**.jpg")


def test_names_a_glob_without_a_match(folder: Path) -> None:
    assert message("photos/*.bmp").startswith("photos/*.bmp: no such file, folder, or glob with a match")


def test_a_glob_that_matches_folders_alone_has_no_match(folder: Path) -> None:
    assert "no such file, folder, or glob with a match" in message("photos/d[a]y")
