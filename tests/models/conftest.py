from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.narrow import narrow_resnets


@pytest.fixture(scope="module")
def narrow_resnet18() -> Iterator[None]:
    """Convolutions take most of the time of a comparison in float64, and their width changes no operation."""
    with narrow_resnets():
        yield
