from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import atomic_path, write_png, write_text
from maskrt.runtime.files.kinds import OWN_NAME
from maskrt.runtime.inputs.frames import Frame, Inferred
from maskrt.runtime.outputs.open import end_sinks
from maskrt.runtime.outputs.tree import Layout, image_id
from maskrt.runtime.tasks.instances.result import Result
from tests.runtime.sinks import open_sinks

names = st.builds("".join, st.lists(st.sampled_from(["a", "b", "/", ".jpg", ".png"]), min_size=1, max_size=5))
paths = st.lists(
    names.filter(lambda n: Path(n).name and not Path(n).is_absolute()).map(lambda n: Path("in") / n),
    min_size=1,
    max_size=6,
    unique=True,
)


@given(inputs=paths)
@example(inputs=[Path("a.jpg"), Path("a.png"), Path("a.jpg.png")])
def test_every_input_has_an_overlay_of_its_own(inputs: list[Path]) -> None:
    layout = Layout([str(path) for path in inputs])

    targets = {layout.file(str(path), ".png") for path in inputs}

    assert len(targets) == len(inputs)
    assert {target.suffix for target in targets} == {".png"}
    assert not any(target.is_absolute() or ".." in target.parts for target in targets)


def test_a_great_many_inputs_have_overlays_of_their_own_too() -> None:
    inputs = [f"in/{i}.{suffix}" for i in range(5_000) for suffix in ("jpg", "png")]
    layout = Layout(inputs)

    assert len({layout.file(name, ".png") for name in inputs}) == len(inputs)


def test_overlays_are_named_by_stem_below_the_common_parent() -> None:
    layout = Layout(["in/day/a.jpg", "in/night/a.jpg"])

    assert layout.file("in/day/a.jpg", ".png") == Path("day/a.png")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("000000000139.jpg", 139), ("photo.png", "photo"), ("12a.png", "12a"), ("-3.png", "-3")],
)
def test_coco_s_image_id_is_a_number_where_the_name_is_one(name: str, expected: int | str) -> None:
    assert image_id(Path("photos") / name) == expected


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_images_are_written_in_rgb(suffix: str, tmp_path: Path) -> None:
    red = np.full((4, 4, 3), (200, 0, 0), np.uint8)

    write_png(tmp_path / "deep" / f"red{suffix}", red)

    assert cv2.imread(str(tmp_path / "deep" / f"red{suffix}"))[0, 0].tolist() == [0, 0, 200]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_text(path, "before", OWN_NAME)

    def write_half() -> None:
        with atomic_path(path, OWN_NAME) as temporary:
            temporary.write_text("half of wha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.json", "", OWN_NAME)
    finally:
        os.umask(before)

    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_names_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()

    with pytest.raises(MaskrtError) as caught:
        write_text(tmp_path / "taken" / "a.json", "", OWN_NAME)

    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'taken' / 'a.json'}: cannot be written (")
    assert said.endswith("Choose another output.")


@dataclass
class Clip:
    """A video that is run over."""

    name: str
    still: bool = False
    live: bool = False


def test_a_run_over_one_video_writes_its_first_kind_of_pictures_where_it_is_told_to(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    found = Result(
        48, 64, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), (), ()
    )
    sinks = open_sinks(
        tmp_path, [Clip("a.mp4")], ["overlays", "splash"], video=tmp_path / "out.avi", masks=True, contours=True
    )  # fmt: skip
    for index in range(2):
        for sink in sinks:
            frame = Frame("a.mp4", picture, index, fps=10.0)
            sink.add(Inferred(frame, found, {"overlays": picture, "splash": picture}))
    end_sinks(sinks, whole=True)

    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"out.avi", "splash/a.mp4", "predictions.json", "results.jsonl", "contours.jsonl"}
    assert cv2.VideoCapture(str(tmp_path / "out.avi")).get(cv2.CAP_PROP_FPS) == 10
