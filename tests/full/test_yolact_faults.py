"""The trial of parity on YOLACT: each planted fault is caught, at its stage, by its cause."""

from __future__ import annotations

import pytest

from benchmarks.parity_trial.__main__ import yolact_trial

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


def test_each_planted_fault_is_named() -> None:
    rows = yolact_trial("")

    assert len(rows) >= 20
    assert [row for row in rows if row[1:4] != ["yes"] * 3] == []
