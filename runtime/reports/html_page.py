"""Report as one HTML page that needs no network and opens from disk."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from maskrt.runtime.errors import MissingDependencyError

STYLE, SCRIPT = Path(__file__).with_name("page.css"), Path(__file__).with_name("page.js")
JPEG_QUALITY = 80
GENERATOR = '<meta name="generator" content="maskrt">'  # by which runtime/files/kinds.py knows our pages


def check_matplotlib() -> None:
    """Raise MissingDependencyError where the pictures cannot be drawn: at once, not after the work."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "--html draws with matplotlib, which is not installed here. Install it: pip install matplotlib"
        ) from error


def html_page(template: Path, report: dict[str, Any]) -> str:
    """Fill a template: shared style at /*STYLE*/ and script at /*SCRIPT*/, the report at /*DATA*/null."""
    text = template.read_text(encoding="utf-8").replace("<head>", f"<head>\n{GENERATOR}", 1)
    for place, file in (("/*STYLE*/", STYLE), ("/*SCRIPT*/", SCRIPT)):
        text = text.replace(place, file.read_text(encoding="utf-8"))
    # A "</script>" in a file's name would end the script that holds the data.
    return text.replace("/*DATA*/null", json.dumps(report).replace("<", "\\u003c"))


def jpeg_url(image: NDArray, side_px: int) -> str:
    """Data URL of an image (RGB) with a longer side of `side_px`; enlarged, its pixels stay countable."""
    scale = side_px / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", scaled[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
