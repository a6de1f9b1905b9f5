"""Which taps a model has, and the parts between them, as its exporter writes them into the contract."""

from __future__ import annotations

import pytest

from maskrt.models.parts.layout import LAYOUTS, Layout
from maskrt.models.rcnn.config import C4, MOBILENET, MaskRcnnConfig
from maskrt.models.rcnn.layout import TAPS, inside_of
from maskrt.runtime.contract import CANVAS

CONFIGS = {
    "FPN": MaskRcnnConfig(),
    "C4": C4,
    "MobileNetV3": MOBILENET,
    "boxes": MaskRcnnConfig(task="detection"),
    "keypoints": MaskRcnnConfig(task="keypoint"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_tap_is_made_by_one_part_from_what_came_before(config: MaskRcnnConfig) -> None:
    inside = inside_of(config)
    made = {CANVAS}
    for part in inside.parts:
        assert {name for name in part.takes if name in inside.names} <= made
        assert not made & set(part.gives)
        made |= set(part.gives)
    assert made >= set(inside.names)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_taps_have_one_order_for_all_models(layout: Layout) -> None:
    places = [TAPS.index(name) for name in layout.maps]
    assert places == sorted(places)


def test_a_model_on_c4_has_no_pyramid() -> None:
    inside = inside_of(C4)
    parts = {part.name: part for part in inside.parts}
    assert inside.names[:7] == ("canvas", "stem", "C2", "C3", "C4", "rpn_logits.C4", "rpn_deltas.C4")
    assert "pyramid" not in parts
    assert (parts["box_pooling"].takes, parts["box_pooling"].gives) == (
        ("proposals", "C4"),
        ("box_features",),
    )


def test_an_error_travels_down_the_pyramid() -> None:
    order = inside_of(CONFIGS["FPN"]).order
    assert order[:11] == ("canvas", "stem", "C2", "C3", "C4", "C5", "P5", "P4", "P3", "P2", "P6")
    assert set(inside_of(CONFIGS["FPN"]).names) < set(order)
