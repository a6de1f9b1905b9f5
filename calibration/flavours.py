"""For what eight bits are written, and how ranges are taken unless asked otherwise. Needs no package."""

from __future__ import annotations

CPU, TENSORRT = "cpu", "tensorrt"
FLAVOURS = (CPU, TENSORRT)
METHOD = "percentile"  # of maskrt.calibration.measure.observers.METHODS
