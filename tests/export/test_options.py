"""What `maskrt export` refuses before it reads a checkpoint, of any family."""

from __future__ import annotations

import pytest

from maskrt.export.options import Shape
from maskrt.runtime.errors import ExportError


def test_rows_that_no_reader_takes_are_refused() -> None:
    with pytest.raises(ExportError, match="--detections is 'foo', expected 'fixed' or 'dynamic'"):
        Shape(detections="foo")
