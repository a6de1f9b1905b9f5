"""Jetson's CSI cameras: csi://0 as a short name of their GStreamer pipeline."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from maskrt.runtime.errors import ImageError

PREFIX = "csi://"
DEFAULTS = {"width": 1280, "height": 720, "fps": 30, "flip": 0}
MOST = {"width": 16384, "height": 16384, "fps": 1000, "flip": 7}
EXAMPLE = "csi://0?width=1920&height=1080&fps=30&flip=2"


def is_csi(text: str) -> bool:
    """True if an input is a CSI camera: csi://0."""
    return text.startswith(PREFIX)


def csi_pipeline(text: str) -> str:
    """GStreamer pipeline of csi://SENSOR?width=…&height=…&fps=…&flip=…, whose frames are BGR.

    NVIDIA's elements (Accelerated GStreamer, Jetson Linux developer guide): nvarguscamerasrc takes the frames
    through the image processor, and nvvidconv copies them out of its memory. flip is nvvidconv's flip-method.
    Old frames are dropped, so that a slow model sees the newest. Raises ImageError for another form.
    """
    parts = urlsplit(text)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    numbers = {"sensor": parts.netloc, **given}
    wrong = [name for name in given if name not in DEFAULTS]
    wrong += [name for name, value in numbers.items() if not value.isascii() or not value.isdecimal()]
    wrong += [name for name in given if name not in wrong and not 0 <= int(given[name]) <= MOST[name]]
    wrong += [name for name in ("width", "height", "fps") if name not in wrong and given.get(name) == "0"]
    if wrong or parts.path:
        raise ImageError(
            f"{text}: {wrong[0] if wrong else parts.path} is not of a CSI camera's form, "
            f"expected for example {EXAMPLE}"
        )
    size = DEFAULTS | {name: int(value) for name, value in given.items()}
    return (
        f"nvarguscamerasrc sensor-id={int(parts.netloc)} ! "
        f"video/x-raw(memory:NVMM), width={size['width']}, height={size['height']}, "
        f"framerate={size['fps']}/1 ! nvvidconv flip-method={size['flip']} ! video/x-raw, format=BGRx ! "
        "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1"
    )
