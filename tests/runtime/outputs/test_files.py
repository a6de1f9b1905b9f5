"""Outputs are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import atomic_path, write_text
from maskrt.runtime.files.kinds import OWN_NAME
from maskrt.runtime.outputs.tree import Layout


def write_half(path: Path) -> None:
    with atomic_path(path, OWN_NAME) as temporary:
        temporary.write_text("half")
        raise TypeError("the rest cannot be written")


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "old", OWN_NAME)
    with pytest.raises(TypeError):
        write_half(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_in_the_place_of_the_file_is_refused_before_the_work(tmp_path: Path) -> None:
    with (
        pytest.raises(MaskrtError, match="a folder; name the file to write in it"),
        atomic_path(tmp_path, OWN_NAME),
    ):
        pytest.fail("the work must not begin")


def test_overlays_stay_in_their_folder_whatever_the_inputs_names(tmp_path: Path) -> None:
    inputs = [tmp_path / "x" / ".." / "a" / "1.jpg", tmp_path / "y" / "2.jpg"]
    layout = Layout([str(path) for path in inputs])
    targets = [tmp_path / "out" / layout.file(str(path), ".png") for path in inputs]
    for target in targets:
        assert target.resolve().is_relative_to((tmp_path / "out").resolve())
    assert len(set(targets)) == 2
    assert {target.suffix for target in targets} == {".png"}
