"""A measured row: its names in JSON and for people, its judgement, its sentence, its cells in tables."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.parity.findings import of_rows
from maskrt.runtime.tasks.rows import Count, Row, Share, jsonable

BOX = Row(
    "Box difference", "px", ((0.5, None, 1.0), (), (2.0,)), limit=1.0, judged="each", says="box differs"
)
IOU = Row("mask IoU", "", ((0.5, 1.0), (0.75,)), limit=0.75, judged="each", at_least=True, says="mask IoU")


def changed(row: Row, **changes: Any) -> Any:
    return dataclasses.replace(row, **changes)


def faults(row: Row) -> list[str]:
    """The sentences of all figures beyond their limits."""
    return [found.fault for found in of_rows([row]) if found.beyond]


def test_names() -> None:
    assert (BOX.key, BOX.keys, BOX.label) == (
        "box_difference_px",
        "box_differences_px",
        "Box difference (px)",
    )
    assert (IOU.key, IOU.keys, IOU.label) == ("mask_iou", "mask_ious", "mask IoU")


def test_values_that_are_there() -> None:
    assert BOX.there == [0.5, 1.0, 2.0]
    assert BOX.mean == pytest.approx(3.5 / 3)
    assert math.isnan(changed(BOX, values=((None,), ())).mean)


def test_the_spread() -> None:
    row = changed(BOX, values=(tuple(range(50)), tuple(range(50, 101))))
    assert row.spread == {
        "min": 0, "p1": 1, "p10": 10, "median": 50, "p90": 90, "p99": 99, "max": 100, "mean": 50,
    }  # fmt: skip
    assert changed(BOX, values=((None,),)).spread is None
    assert set(changed(BOX, values=((math.nan, 1.0),)).spread.values()) == {None}


@pytest.mark.parametrize(
    ("row", "by_image"),
    [
        (BOX, ["", "", "box differs by 2 px, allowed 1 px"]),
        (
            changed(BOX, unit="", limit=0.3),
            ["box differs by 1, allowed 0.3", "", "box differs by 2, allowed 0.3"],
        ),
        (changed(BOX, limit=None), ["", "", ""]),
        (changed(BOX, judged="mean"), ["", "", ""]),
        (changed(BOX, values=((math.nan, 0.0),)), ["box differs by nan px, allowed 1 px"]),
        (IOU, ["mask IoU 0.5000, at least 0.75 expected", ""]),
        (changed(IOU, values=((1.0, math.nan),)), ["mask IoU nan, at least 0.75 expected"]),
    ],
    ids=["largest", "no unit", "no limit", "by the mean", "no number", "smallest", "no number at least"],
)
def test_each_value_is_judged(row: Row, by_image: list[str]) -> None:
    assert [row.fault_in(image) for image in range(len(row.values))] == by_image
    assert faults(row) == [] or row.judged == "mean"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (BOX, ""),
        (changed(BOX, judged="mean"), "box differs by 1.2 px on average, allowed 1 px"),
        (changed(BOX, judged="mean", unit=""), "box differs by 1.2 on average, allowed 1"),
        (changed(BOX, judged="mean", values=((1.0,), (0.5, 1.5))), ""),
        (changed(BOX, judged="mean", values=((None,),)), ""),
        (changed(BOX, judged="mean", limit=None), ""),
        (changed(IOU, judged="mean"), ""),
        (changed(IOU, judged="mean", limit=0.8), "mean mask IoU 0.7500, at least 0.8 expected"),
    ],
    ids=["each", "mean", "no unit", "at the limit", "nothing", "no limit", "at the least", "below"],
)
def test_the_mean_is_judged(row: Row, fault: str) -> None:
    assert faults(row) == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (BOX, ("1", "2", "1")),
        (changed(BOX, judged="mean"), ("1", "1.17", "1")),
        (IOU, ("0.75", "0.5", "≥ 0.75")),
        (changed(IOU, judged="mean", limit=None), ("0.75", "0.75", "–")),
        (changed(BOX, values=()), ("–", "–", "1")),
        (changed(BOX, values=((0.0, 12345.678),)), ("6.17e+03", "1.23e+04", "1")),
    ],
    ids=["largest", "mean", "smallest", "no limit", "nothing", "long numbers"],
)
def test_cells_of_a_table(row: Row, cells: tuple[str, str, str]) -> None:
    assert row.shown == cells


def test_the_median_and_nine_in_ten_are_judged() -> None:
    """The worst value that the better half, and the best nine of ten, have."""
    values = (tuple(range(10)), tuple(range(10, 20)))
    row = changed(BOX, judged="quantiles", values=values, limit=9, tail=17)
    assert faults(row) == []
    assert [held.name for held in row.held] == [
        "median Box difference (px)",
        "Box difference (px) of nine in ten",
    ]
    assert faults(changed(row, limit=8.9, tail=16.9)) == [
        "box differs by 9 px (median), allowed 8.9 px",
        "box differs by 17 px in one of ten, allowed 16.9 px",
    ]
    least = changed(IOU, judged="quantiles", values=values, limit=10, tail=2)
    assert faults(least) == []
    assert faults(changed(least, limit=10.1, tail=2.1)) == [
        "median mask IoU 10.0000, at least 10.1 expected",
        "mask IoU of one in ten below 2.0000, at least 2.1 expected",
    ]
    assert (row.shown, least.shown) == (("9.5", "17.1", "9; 17"), ("9.5", "1.9", "≥ 10; 2"))


def test_values_weigh_as_often_as_their_images_are_drawn() -> None:
    median, most = changed(BOX, judged="quantiles", tail=2.0).held
    values, weights = np.array([1.0, 2.0, 3.0]), np.array([[1.0, 1.0, 1.0], [3.0, 1.0, 0.0], [0.0, 1.0, 9.0]])
    assert list(median.of(values, weights)) == [2, 1, 3]
    assert list(most.of(values, weights)) == [3, 2, 3]
    (mean,) = changed(BOX, judged="mean").held
    assert list(mean.of(values, weights)) == [2, 1.25, 2.9]


def test_things_that_were_counted() -> None:
    missed = Count("missed", "", ((0,), (2,), (1,)), limit=0, judged="each", says="{:g} missed")
    assert [missed.fault_in(image) for image in range(3)] == ["", "2 missed", "1 missed"]
    assert (missed.total, missed.note) == (3, "")
    excused = changed(missed, excused=2, excuse="at a threshold")
    assert (excused.total, excused.note) == (5, "2 at a threshold")


def test_a_share_of_things() -> None:
    matched = Share("matched", "", ((1, 1, 1), (0,)), limit=0.75, judged="mean", at_least=True,
                    says="of the instances matched", detail=" (COCO)")  # fmt: skip
    assert (matched.allowed, faults(matched)) == ("≥ 75%", [])
    assert faults(changed(matched, limit=0.98)) == [
        "75.0% of the instances matched (COCO), at least 98.0% expected"
    ]
    assert faults(changed(matched, at_least=False, limit=0.7)) == [
        "75.0% of the instances matched (COCO), at most 70.0% allowed"
    ]


def test_json_has_no_nan_and_no_infinity() -> None:
    assert jsonable({"a": [math.nan, 1.5], "b": (math.inf, -math.inf), "c": {"d": 3}, "e": "nan"}) == {
        "a": [None, 1.5], "b": [None, None], "c": {"d": 3}, "e": "nan",
    }  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_values_that_are_infinitely_far_are_counted_without_a_word() -> None:
    far = dataclasses.replace(BOX, values=((0.0, 0.0, 1.0, math.inf),))
    assert far.spread is not None
    assert (far.spread["median"], far.spread["max"]) == (0.5, None)
