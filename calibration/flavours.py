"""The targets that an INT8 file is written for, and the default method for ranges. Imports no package."""

from __future__ import annotations

CPU, TENSORRT = "cpu", "tensorrt"
FLAVOURS = (CPU, TENSORRT)
METHOD = "percentile"  # of maskrt.calibration.measure.observers.METHODS
