"""The trial of parity on class maps: each planted fault is caught, at its stage, by its cause."""

from __future__ import annotations

import pytest

from benchmarks.parity_trial.__main__ import class_map_trial
from benchmarks.parity_trial.class_maps import SIZES

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


@pytest.mark.parametrize("geometry", SIZES)
def test_each_planted_fault_is_named(geometry: str) -> None:
    rows = class_map_trial("", geometry)

    assert len(rows) >= 3
    assert [row for row in rows if row[1:4] != ["yes"] * 3] == []
