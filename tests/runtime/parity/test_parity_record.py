"""What is put into a bundle of images, some of which cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskrt.runtime.errors import ParityError
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.recorded.bundle import BundleWriter, open_bundle
from maskrt.runtime.parity.recorded.record import record
from tests.runtime.played import CANVAS_PX, ROWS, SCORES, PlayedSession, keep, reference


def recorded(names: list[str], tmp_path: Path) -> tuple[int, list[str]]:
    """How many images are said to be recorded, and the names of those that are in the bundle."""
    session = PlayedSession(reference())
    bundle = BundleWriter(tmp_path / "bundle.npz", "best.pt", session.contract)
    count = record(session, [tmp_path / name for name in names], session.contract.canvas, bundle)
    bundle.close()
    kept = list(open_bundle(tmp_path / "bundle.npz"))
    for _, _, expected in kept:
        np.testing.assert_array_equal(expected.outputs["scores"][0, : len(SCORES)], SCORES)
    return count, [Path(name).name for name, _, _ in kept]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, np.zeros((CANVAS_PX, CANVAS_PX, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG, and no more")
    return tmp_path


def test_every_image_that_can_be_read_is_recorded_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recorded(["a.png", "broken.png", "b.png"], folder) == (2, ["a.png", "b.png"])

    said = capsys.readouterr()
    assert said.out.count("skipped") + said.err.count("skipped") == 1


def test_an_image_with_nothing_in_it_is_recorded_too(folder: Path) -> None:
    empty = reference()
    keep(empty, [])
    session = PlayedSession(empty)
    bundle = BundleWriter(folder / "bundle.npz", "best.pt", session.contract)
    assert record(session, [folder / "a.png"], session.contract.canvas, bundle) == 1
    bundle.close()

    ((_, _, expected),) = open_bundle(folder / "bundle.npz")
    assert (len(expected.result), expected.outputs["num_detections"].tolist()) == (0, [0])


def test_an_image_with_as_many_as_there_may_be_is_recorded_too(folder: Path) -> None:
    full = reference()
    keep(full, [0] * ROWS)
    session = PlayedSession(full)
    bundle = BundleWriter(folder / "bundle.npz", "best.pt", session.contract)
    assert record(session, [folder / "a.png"], session.contract.canvas, bundle) == 1
    bundle.close()

    ((_, _, expected),) = open_bundle(folder / "bundle.npz")
    assert len(expected.result) == ROWS == session.contract.options.max_detections


def test_a_bundle_without_an_image_is_an_error(folder: Path) -> None:
    with pytest.raises(ParityError, match="nothing was recorded"):
        recorded(["broken.png"], folder)
