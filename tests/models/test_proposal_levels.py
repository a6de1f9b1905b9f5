"""How many proposals each level of a pyramid gave, and how many of them ties may have decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrt.models.parts.layout import C4, FPN
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.layout import PROPOSALS
from maskrt.models.rcnn.parity.levels import proposals_by_level
from maskrt.models.rcnn.parity.ties import CONTENDERS, tied_proposals
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.preprocess import Batch
from tests.runtime.conftest import make_contract

CANVAS_PX, VALID_PX = (128, 192), (120, 150)  # height, width
BATCH = Batch(np.zeros((1, *CANVAS_PX, 3), np.uint8), np.array([VALID_PX], np.float32), (VALID_PX,))
NOWHERE = -9.0


def contract(**config: Any) -> Contract:
    return make_contract(config=MaskRcnnConfig(**config).to_dict())


def cells() -> dict[str, np.ndarray]:
    """Two anchors a level, of two and of one stride, around the origin."""
    return {
        level: np.array([[-s, -s, s, s], [-s / 2, -s, s / 2, s]], np.float32)
        for level, s in FPN.strides_px.items()
    }


def samples(boxes: list[tuple[float, ...]]) -> dict[str, Sample]:
    """Maps where nothing is found, and these proposals."""
    made = {PROPOSALS: Sample.whole(np.array(boxes, np.float32).reshape(-1, 4))}
    for level, stride in FPN.strides_px.items():
        height, width = (side // stride for side in CANVAS_PX)
        made[f"rpn_logits.{level}"] = Sample.whole(np.full((2, height, width), NOWHERE, np.float32))
        made[f"rpn_deltas.{level}"] = Sample.whole(np.zeros((8, height, width), np.float32))
    return made


def find(
    made: dict[str, Sample],
    level: str,
    kind: int,
    row: int,
    column: int,
    logit: float,
    deltas: tuple[float, ...] = (),
) -> None:
    made[f"rpn_logits.{level}"].values[kind, row, column] = logit
    made[f"rpn_deltas.{level}"].values[4 * kind : 4 * kind + len(deltas), row, column] = deltas


def counted(made: dict[str, Sample], most: int = 1) -> dict[str, int]:
    found = proposals_by_level(contract(rpn_pre_nms_test=most), made, BATCH, cells())
    assert tuple(found) == FPN.levels
    return {level: number for level, number in found.items() if number}


def test_a_proposal_is_of_the_level_whose_anchor_it_is() -> None:
    made = samples([(16, 24, 32, 40), (88, 32, 104, 64), (0, 0, 500, 500)])
    find(made, "P3", kind=0, row=4, column=3, logit=2)
    find(made, "P4", kind=1, row=3, column=6, logit=2)
    assert counted(made) == {"P3": 1, "P4": 1}


def test_it_is_moved_and_scaled_by_its_deltas() -> None:
    """By shares of the anchor's sides; both sides by a factor (arXiv:1506.01497, eq. 2)."""
    made = samples([(32 + 4 - 16, 48 - 8 - 4, 32 + 4 + 16, 48 - 8 + 4)])
    find(made, "P3", kind=0, row=6, column=4, logit=2, deltas=(0.25, -0.5, np.log(2), np.log(0.5)))
    assert counted(made) == {"P3": 1}


def test_a_side_grows_to_62_times_the_anchors_at_most() -> None:
    """1000 / 16, as torchvision clamps it. The anchor is a pixel wide."""
    made = samples([(61 - 31.25, 40 - 4, 61 + 31.25, 40 + 4)])
    find(made, "P2", kind=0, row=10, column=9, logit=2, deltas=(25, 0, 9, np.log(8)))
    narrow = cells() | {"P2": np.array([[-0.5, -0.5, 0.5, 0.5]] * 2, np.float32)}
    assert proposals_by_level(contract(rpn_pre_nms_test=1), made, BATCH, narrow)["P2"] == 1


def test_boxes_are_clipped_to_the_picture() -> None:
    """To the valid part of the canvas, 150 px wide."""
    made = samples([(136, 0, 150, 16)])
    find(made, "P3", kind=0, row=1, column=18, logit=2)
    assert counted(made) == {"P3": 1}


def test_only_the_best_of_a_level_are_decoded() -> None:
    made = samples([(16, 24, 32, 40), (24, 24, 40, 40)])
    find(made, "P3", kind=0, row=4, column=3, logit=2)
    find(made, "P3", kind=0, row=4, column=4, logit=1)
    assert counted(made, most=1) == {"P3": 1}
    assert counted(made, most=2) == {"P3": 2}


@pytest.mark.parametrize(("apart_px", "number"), [(0.04, 1), (0.06, 0)])
def test_it_is_the_same_box_within_a_twentieth_of_a_pixel(apart_px: float, number: int) -> None:
    made = samples([(16, 24, 32 + apart_px, 40)])
    find(made, "P3", kind=0, row=4, column=3, logit=2)
    assert counted(made) == ({"P3": number} if number else {})


def test_without_anchors_the_level_is_the_one_it_is_pooled_from() -> None:
    made = samples([(0, 0, 60, 60), (0, 0, 120, 120), (0, 0, 111, 111), (0, 0, 460, 460)])
    expected = {"P2": 2, "P3": 1, "P4": 0, "P5": 1}
    assert proposals_by_level(contract(), made, BATCH, None) == expected
    made["rpn_logits.P4"] = Sample.drawn("map", made["rpn_logits.P4"].values)
    assert proposals_by_level(contract(), made, BATCH, cells()) == expected, "where a map is not whole, too"


def test_where_nothing_can_be_known_nothing_is_counted() -> None:
    made = samples([(0, 0, 60, 60)])
    made["rpn_logits.C4"] = made["rpn_logits.P4"]
    assert proposals_by_level(contract(neck="c4", anchor_sizes_px=((32,),)), made, BATCH, None) == {}
    assert C4.pooled == 1
    del made[PROPOSALS]
    assert proposals_by_level(contract(), made, BATCH, cells()) == {}


def tied(kept: int, *levels: np.ndarray) -> float:
    made = {PROPOSALS: Sample.whole(np.zeros((kept, 4), np.float32))}
    for name, logits in zip(FPN.rpn_logits, levels, strict=False):
        made[name] = Sample.whole(logits.astype(np.float32))
    return tied_proposals(made)


def test_equal_logits_of_a_level_may_decide_a_proposal() -> None:
    different = np.arange(10.0).reshape(1, 2, 5)
    assert tied(4, different) == 0
    assert tied(4, np.array([[[5.0, 5, 3, 2]]])) == pytest.approx(2 / 4)
    assert tied(4, np.array([[[5.0, 4, 3, 3]]])) == pytest.approx(2 / 4), "the last two as well"
    assert tied(8, np.array([[[5.0, 5, 5, 2]]]), np.array([[[1.0, 1]]])) == pytest.approx(5 / 8)
    assert tied(8, np.array([[[5.0, 4]]]), np.array([[[5.0, 4]]])) == 0, "of different levels"


def test_it_is_all_of_them_at_most() -> None:
    assert tied(1, np.zeros((1, 2, 2))) == 1
    assert tied(0, np.zeros((1, 2, 2))) == 1


def test_what_is_never_decoded_decides_nothing() -> None:
    logits = np.concatenate([np.arange(CONTENDERS, 0, -1.0), np.zeros(1000)])
    assert CONTENDERS == 1000
    assert tied(100, logits[None, None]) == 0


def test_of_a_sample_the_share_stands_for_all() -> None:
    """500 values of 4000, of which the best quarter are contenders: 125."""
    values = np.concatenate([np.arange(500.0, 375, -1), np.zeros(375)])[None]
    values[0, 123] = values[0, 124]
    made = {
        PROPOSALS: Sample.whole(np.zeros((1000, 4), np.float32)),
        "rpn_logits.P2": Sample(values.astype(np.float32), (1, 40, 100), np.arange(1), np.arange(500)),
    }
    assert tied_proposals(made) == pytest.approx(1000 * 2 / 125 / 1000)
