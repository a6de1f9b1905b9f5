"""Numbers of options: both ends of a range belong to it, and NaN and infinity to none."""

from __future__ import annotations

import math

import pytest
import typer

from maskrt.runtime.commands.options import MOST_THREADS, ONE_PIXEL, between


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_a_number_in_the_range_is_taken_as_it_is(value: float) -> None:
    assert between(0, 1)(value) == value


@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9, -5.0, 7.0, math.nan, math.inf, -math.inf])
def test_a_number_outside_is_refused_with_the_range(value: float) -> None:
    with pytest.raises(typer.BadParameter, match=rf"^{value:g} is not a number from 0 to 1\.$"):
        between(0, 1)(value)


@pytest.mark.parametrize("value", [2.0, 1e300])
def test_a_range_may_have_no_end(value: float) -> None:
    assert between(2)(value) == value


@pytest.mark.parametrize("value", [1.999, math.inf, math.nan])
def test_a_range_without_an_end_has_a_beginning(value: float) -> None:
    with pytest.raises(typer.BadParameter, match=rf"^{value:g} is not a number from 2 on\.$"):
        between(2)(value)


def test_the_limits_of_the_options_themselves() -> None:
    assert (MOST_THREADS, ONE_PIXEL) == (1024, 1e-6)
