"""Kinds of files that maskrt writes, recognised by content, since a name proves nothing.

An output of an earlier run is of the kind that the command writes again; a user's own file is not.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ENDS_BYTES = 2048  # of a file's beginning, and of its end, that are looked at

Test = Callable[[Path, bytes], bool]


@dataclass(frozen=True)
class Kind:
    """Kind of a file. name: with its article, for messages. test: takes a path and the file's first and last
    bytes."""

    name: str
    test: Test

    def is_kind_of(self, path: Path) -> bool:
        """True if an existing file is of this kind. Raises OSError where it cannot be read."""
        return self.test(path, _ends(path))


def what_it_is(path: Path) -> str:
    """Describe a file for messages. Raises OSError where it cannot be read."""
    ends = _ends(path)
    known = next((kind.name for kind in (*OURS, *FOREIGN) if kind.test(path, ends)), None)
    return known or f"a file that begins with {ends[:12]!r}"


def _ends(path: Path) -> bytes:
    with path.open("rb") as stream:
        head = stream.read(ENDS_BYTES)
        stream.seek(max(ENDS_BYTES, stream.seek(0, 2) - ENDS_BYTES))
        return head + stream.read()


def _starts(pattern: bytes) -> Test:
    """Test by a regular expression on the first bytes, after the white space that JSON may begin with."""
    compiled = re.compile(rb"\s*" + pattern, re.DOTALL)
    return lambda _, ends: bool(compiled.match(ends))


def _zip_with(member: str) -> Test:
    """Test for a zip archive with a member whose name ends so."""

    def test(path: Path, ends: bytes) -> bool:
        if not ends.startswith(b"PK\x03\x04"):
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith(member) for name in archive.namelist())
        except zipfile.BadZipFile:
            return False

    return test


def _is_plot(_: Path, ends: bytes) -> bool:
    return bool(re.match(rb"\x89PNG|%PDF|<\?xml", ends)) and b"matplotlib" in ends.lower()


def _is_video_of_a_run(path: Path, _: bytes) -> bool:
    """True if a run's results lie beside the video or above its overlays; otherwise it is a user's video."""
    return any((folder / "results.jsonl").is_file() for folder in (path.with_suffix(""), *path.parents))


ONNX = Kind("an ONNX model", _starts(rb"\x08[\x01-\x7f][\x12\x1a\x22\x28\x32\x3a\x42\x72]"))
CHECKPOINT = Kind("a checkpoint of PyTorch", _zip_with("/data.pkl"))
ENGINE = Kind("an engine", _starts(rb"MASKRTEN"))
TENSORRT_PLAN = Kind("a plan of TensorRT", _starts(rb"[fp]trt"))
LIBRARY = Kind("a shared library", _starts(rb"\x7fELF"))
BUNDLE = Kind("a parity bundle", _zip_with("about.npy"))
PARTIAL_RANGES = Kind("an interrupted measurement of ranges", _zip_with("state.npy"))
PRECISION_PLAN = Kind("a precision plan", _starts(rb'\{\s*"format"\s*:\s*\d+\s*,\s*"flavour"'))
SCALES = Kind("measured ranges", _starts(rb'\{\s*"format"\s*:\s*\d+\s*,\s*"key"'))
CALIBRATION_CACHE = Kind("a calibration cache of TensorRT", _starts(rb"TRT-\d"))
SENSITIVITY = Kind("a table of sensitivity", _starts(rb'\[\s*(\]|\{\s*"group"\s*:)'))
METRICS = Kind("metrics of an evaluation", _starts(rb'\{\s*"model"\s*:\s*"[^"]*"\s*,\s*"data"\s*:'))
RUN_METRICS = Kind("metrics of a training", _starts(rb'\{\s*(\}|"(box|mask|keypoint)_ap|"loss")'))
PARITY_REPORT = Kind("a parity report", _starts(rb'\{\s*"reference"\s*:'))
PAGE = Kind("a page of maskrt", _starts(rb'<!doctype html>.{0,200}content="maskrt"'))
RUN_FILE = Kind("the settings of a training run", _starts(rb"# maskrt train --config"))
MODEL_CARD = Kind("a model card", _starts(rb"# Model card: "))
PLOT = Kind("a plot", _is_plot)
PICTURE = Kind("a PNG image", _starts(rb"\x89PNG"))
VIDEO = Kind("a video that maskrt drew", _is_video_of_a_run)
COCO_RESULTS = Kind("COCO results", _starts(rb'\[\s*(\]|\{\s*"image_id"\s*:)'))
LINES = Kind("results as JSON lines", _starts(rb'\{\s*"file"\s*:'))
TRACE = Kind("a trace", _starts(rb'\[\s*(\]|\{\s*"name"\s*:\s*"[^"]*"\s*,\s*"ph")'))
#: What nobody else would call so, or a program of the developers writes.
OWN_NAME = Kind("a file of maskrt", lambda _path, _ends: True)

OURS = (
    ONNX,
    CHECKPOINT,
    ENGINE,
    TENSORRT_PLAN,
    LIBRARY,
    BUNDLE,
    PARTIAL_RANGES,
    PRECISION_PLAN,
    SCALES,
    CALIBRATION_CACHE,
    SENSITIVITY,
    METRICS,
    PARITY_REPORT,
    PAGE,
    MODEL_CARD,
    RUN_FILE,
    PLOT,
    PICTURE,
    LINES,
    TRACE,
    COCO_RESULTS,
)
FOREIGN = (  # only to be named in messages
    Kind("a JPEG image", _starts(rb"\xff\xd8\xff")),
    Kind("a TIFF image", _starts(rb"II\*\x00|MM\x00\*")),
    Kind("a BMP image", _starts(rb"BM.{4}\x00\x00\x00\x00")),
    Kind("a WebP image", _starts(rb"RIFF.{4}WEBP")),
    Kind("a video", _starts(rb".{4}ftyp|RIFF.{4}AVI |\x1aE\xdf\xa3")),
    Kind("a zip archive", _starts(rb"PK\x03\x04")),
    Kind("a page of somebody else", _starts(rb"(?i:<!doctype html|<html)")),
    Kind("JSON, but not what maskrt writes there", _starts(rb"[\[{]")),
)
