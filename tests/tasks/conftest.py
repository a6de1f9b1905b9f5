"""Examples of the tasks beside instance segmentation, which tests/conformance takes through every command."""

from __future__ import annotations

import pytest

from tests.exports import Exports
from tests.families import Made, make


@pytest.fixture(scope="session")
def faster_rcnn(exports: Exports) -> Made:
    """Faster R-CNN on R18-FPN."""
    return make(exports, "faster_rcnn")


@pytest.fixture(scope="session")
def keypoint_rcnn(exports: Exports) -> Made:
    """Keypoint R-CNN on R18-FPN."""
    return make(exports, "keypoint_rcnn")
