"""From a class map to what users get: labels in the image's pixels, areas, pictures, files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import MaskrtError, ModelError, OptionError
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.colours import class_colour
from maskrt.runtime.tasks.keep import Keep
from maskrt.runtime.tasks.semantic.decode import decode
from maskrt.runtime.tasks.semantic.result import SemanticResult
from tests.runtime.semantic.maps import CLASSES, batch_of, halves, make_contract, picture

LABELS = halves(4, 6)


def result(labels: np.ndarray = LABELS, **more: object) -> SemanticResult:
    return SemanticResult(*labels.shape, labels, CLASSES, **{"image": picture(labels)} | more)


def decoded(labels: np.ndarray, batch: Batch, **changes: object) -> SemanticResult:
    (found,) = decode(Outputs(semantic=labels[None]), batch, make_contract(**changes))
    return found


def test_a_map_of_the_images_size_is_taken_as_it_is() -> None:
    assert np.array_equal(decoded(LABELS, batch_of(LABELS)).labels, LABELS)


def test_a_map_is_enlarged_by_the_pixel_under_each_centre() -> None:
    ramp = np.arange(3, dtype=np.uint8)[None].repeat(2, axis=0)

    found = decoded(ramp, batch_of(ramp, size=(5, 7)))

    assert found.labels.shape == (5, 7)
    assert found.labels[0].tolist() == [0, 0, 1, 1, 1, 2, 2]  # centres at 0.21, 0.64, 1.07, …


@pytest.mark.parametrize(
    ("placement", "corner"), [("native", (0, 0)), ("corner", (0, 0)), ("square", (3, 1))]
)
def test_what_lies_around_the_picture_is_cut_away(placement: str, corner: tuple[int, int]) -> None:
    canvas = np.full((10, 8), 99, np.uint8)
    canvas[corner[0] : corner[0] + 4, corner[1] : corner[1] + 6] = LABELS
    batch = Batch(np.empty(0), np.array([[4, 6]], np.float32), ((4, 6),))

    assert np.array_equal(decoded(canvas, batch, placement=placement).labels, LABELS)


def test_a_label_without_a_class_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"output 'semantic' holds 3, but the model names only 3 classes"):
        decoded(LABELS + 1, batch_of(LABELS))


def test_classes_found_are_told_the_largest_first() -> None:
    found = result(halves(3, 6))

    assert [(one.name, one.area_px) for one in found] == [("background", 9), ("grass", 6), ("sky", 3)]
    assert found.names == ["background", "grass", "sky"]
    assert len(found) == 3
    assert found.shares.tolist() == pytest.approx([9 / 18, 6 / 18, 3 / 18])
    assert found.mask("sky").sum() == 3
    with pytest.raises(OptionError, match="no class is named 'tree'"):
        found.mask("tree")


def test_classes_may_be_chosen() -> None:
    (found,) = decode(
        Outputs(semantic=LABELS[None]), batch_of(LABELS), make_contract(), keep=Keep(0.0, ("sky",))
    )

    assert found.names == ["sky"]
    assert np.array_equal(found.labels, LABELS), "the map itself is whole"


def test_a_line_tells_shares_under_the_data_sets_ids() -> None:
    line = result().to_line("a")

    assert (line["width_px"], line["height_px"]) == (6, 4)
    assert [(row["category_id"], row["name"], row["share"]) for row in line["classes"]] == [
        (7, "background", 0.5),
        (5, "grass", 0.25),
        (300, "sky", 0.25),
    ]


def test_a_share_in_a_line_has_six_digits() -> None:
    assert result(np.array([[0, 0, 1]], np.uint8)).to_line("a")["classes"][0]["share"] == 0.666667


def test_an_overlay_has_the_classes_colours_and_leaves_the_background() -> None:
    labels = halves(200, 300)
    plotted = result(labels).plot(labels=False, alpha=1.0)

    assert np.array_equal(plotted[150, 20], picture(labels)[150, 20])
    assert tuple(plotted[150, 250]) == class_colour(1)
    assert tuple(plotted[50, 250]) == class_colour(2)


def test_a_background_that_is_asked_for_is_drawn() -> None:
    assert tuple(result(shown=(0,)).plot(labels=False, alpha=1.0)[0, 0]) == class_colour(0)


def test_a_legend_names_the_classes() -> None:
    labels = halves(200, 300)
    plain, named = (result(labels).plot(labels=legend) for legend in (False, True))

    changed = np.argwhere((plain != named).any(axis=2))
    assert len(changed) > 100
    assert changed.max(axis=0).tolist() < [100, 150], "in the upper left corner"


def test_pixels_of_no_class_stay_as_they_are() -> None:
    annotated = LABELS.copy()
    annotated[0, 3] = 255

    shown = SemanticResult(4, 6, annotated, CLASSES, image=picture(LABELS)).plot(labels=False)

    assert np.array_equal(shown[0, 3], picture(LABELS)[0, 3])


def test_a_splash_is_grey_but_for_the_classes_chosen() -> None:
    shown = result(shown=(2,)).splash()

    assert np.array_equal(shown[0, 5], picture(LABELS)[0, 5])
    assert len(set(shown[3, 5].tolist())) == 1


def test_without_a_picture_there_is_no_overlay() -> None:
    with pytest.raises(ValueError, match="has no picture"):
        result(image=None).plot()


def test_labels_are_saved_with_a_palette(tmp_path: Path) -> None:
    result().save(tmp_path / "a.labels.png")

    saved = Image.open(tmp_path / "a.labels.png")
    eight_bits, indexed = 8, 3  # then the only ones there are: deflate, adaptive filters; and no interlace
    assert (tmp_path / "a.labels.png").read_bytes()[24:29] == bytes((eight_bits, indexed, 0, 0, 0)), (
        "ISO/IEC 15948"
    )
    assert saved.mode == "P"
    assert np.array_equal(np.asarray(saved), LABELS)
    assert np.array_equal(np.asarray(saved.convert("RGB"))[0, 5], class_colour(2))


@pytest.mark.parametrize(("classes", "kind"), [(CLASSES, np.uint16), (CLASSES[:2], np.uint8)])
def test_ids_are_saved_as_the_data_set_has_them(
    classes: tuple[Category, ...], kind: type, tmp_path: Path
) -> None:
    labels = np.minimum(LABELS, len(classes) - 1).astype(np.uint8)
    SemanticResult(*labels.shape, labels, classes).save(tmp_path / "a.ids.png")

    saved = cv2.imread(str(tmp_path / "a.ids.png"), cv2.IMREAD_UNCHANGED)
    assert saved.dtype == kind
    assert np.array_equal(saved, np.array([category.id for category in classes])[labels])


def test_ids_that_no_png_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MaskrtError, match=r"ids go from -1 to 7.*\.labels\.png"):
        SemanticResult(4, 6, LABELS, (Category(-1, "a"), *CLASSES[:1])).save(tmp_path / "a.ids.png")


def test_other_names_save_the_line_or_the_overlay(tmp_path: Path) -> None:
    result().save(tmp_path / "a.json")
    result().save(tmp_path / "a.png")

    assert json.loads((tmp_path / "a.json").read_text())["image_id"] == "a"
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[:, :, ::-1], result().plot())
