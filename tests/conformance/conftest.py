"""Every registered family, small; exported once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maskrt.models import FAMILIES
from tests.exports import Exports
from tests.families import Made, make

TOY = {"toy": "tests.conformance.toy"}
#: All that are registered, and one that is registered here: the proof that this is all it takes.
NAMES = (*FAMILIES, *TOY)


@pytest.fixture(scope="session")
def registered() -> Iterator[None]:
    """The toy among the families, as long as these tests run."""
    FAMILIES.update(TOY)
    yield
    for name in TOY:
        del FAMILIES[name]


@pytest.fixture(scope="session", params=NAMES)
def made(request: pytest.FixtureRequest, registered: None, exports: Exports) -> Made:
    return make(exports, request.param)
