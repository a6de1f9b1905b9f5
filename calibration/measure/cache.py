"""Reads and writes the calibration cache of TensorRT 8.6 and 10.x.

A text file: a line with the version and the calibrator, then for each tensor its name and its scale (the
largest magnitude over 127) as the eight hexadecimal digits of a big-endian float32.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from maskrt.calibration.rewrite.qdq import INT8_MAX, Ranges
from maskrt.runtime.errors import CalibrationError
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import CALIBRATION_CACHE

FIRST_LINE = "TRT-8601-EntropyCalibration2"
_LINE = re.compile(r"(?P<name>.+): (?P<scale>[0-9a-fA-F]{1,8})")


def write_cache(path: Path, ranges: Ranges) -> None:
    """Write the ranges in TensorRT 8.6's format, atomically."""
    lines = [FIRST_LINE]
    for name, (low, high) in sorted(ranges.items()):
        lines.append(f"{name}: {struct.pack('>f', max(-low, high) / INT8_MAX).hex()}")
    write_text(path, "\n".join(lines) + "\n", CALIBRATION_CACHE)


def read_cache(path: Path) -> Ranges:
    """Read symmetric ranges by tensor. Raises CalibrationError, naming the line, for another file."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{path}: not a calibration cache of TensorRT ({error}).") from error
    if not re.match(r"TRT-\d+-\w+", first):
        raise CalibrationError(
            f"{path}: begins with {first[:40]!r}, expected 'TRT-…', as a calibration cache of TensorRT does."
        )
    ranges: Ranges = {}
    for number, line in enumerate(lines, 2):
        match = _LINE.fullmatch(line)
        scale = struct.unpack(">f", bytes.fromhex(match["scale"].zfill(8)))[0] if match else -1.0
        if not match or not 0 <= scale < float("inf"):
            raise CalibrationError(f"{path}: line {number} is {line[:60]!r}, expected 'tensor: hexadecimal'.")
        ranges[match["name"]] = (-INT8_MAX * scale, INT8_MAX * scale)
    return ranges
