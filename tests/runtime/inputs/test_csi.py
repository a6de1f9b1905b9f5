"""A Jetson's CSI camera by a short name: the pipeline that OpenCV is given, and what is no such name."""

from __future__ import annotations

from typing import Any

import cv2
import pytest

from maskrt.runtime.errors import ImageError
from maskrt.runtime.inputs import video
from maskrt.runtime.inputs.csi import csi_pipeline
from maskrt.runtime.inputs.frames import Skipped
from maskrt.runtime.inputs.open import open_inputs


class NoCamera:
    """Notes what it was asked to open, and does not open."""

    opened: list[tuple[Any, ...]]

    def __init__(self, *asked: Any) -> None:
        self.opened.append(asked)

    def isOpened(self) -> bool:
        return False

    def get(self, _: int) -> float:
        return 0.0

    def release(self) -> None: ...


def test_a_csi_camera_is_opened_as_nvidia_s_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    NoCamera.opened = []
    monkeypatch.setattr(video, "RECONNECT_AFTER_S", 0.0)
    monkeypatch.setattr(cv2, "VideoCapture", NoCamera)
    (source,) = open_inputs(["csi://1?width=1920&height=1080&fps=60&flip=2"])
    assert (source.live, source.name) == (True, "csi://1?width=1920&height=1080&fps=60&flip=2")
    *_, last = source.frames()
    pipeline, backend = NoCamera.opened[0]
    assert backend == cv2.CAP_GSTREAMER
    steps = pipeline.split(" ! ")
    assert steps[0] == "nvarguscamerasrc sensor-id=1"
    assert steps[1] == "video/x-raw(memory:NVMM), width=1920, height=1080, framerate=60/1"
    assert steps[2] == "nvvidconv flip-method=2"
    assert steps[-2:] == ["video/x-raw, format=BGR", "appsink drop=true max-buffers=1"]
    assert isinstance(last, Skipped)
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):  # as in the wheels of pip
        assert "this OpenCV" in last.reason
        assert "on a Jetson take JetPack's" in last.reason


def test_what_is_not_said_has_a_default() -> None:
    assert "width=1280, height=720, framerate=30/1" in csi_pipeline("csi://0")


def test_the_least_and_the_most_of_each_are_taken() -> None:
    least, most = "csi://0?width=1&height=1&fps=1&flip=0", "csi://9?width=16384&height=16384&fps=1000&flip=7"

    assert "width=1, height=1, framerate=1/1 ! nvvidconv flip-method=0 " in csi_pipeline(least)
    assert "width=16384, height=16384, framerate=1000/1 ! nvvidconv flip-method=7 " in csi_pipeline(most)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("csi://", "sensor"),
        ("csi://front", "sensor"),
        ("csi://0?widht=640", "widht"),
        ("csi://0?width=640 ! filesink location=x", "width"),
        ("csi://0?height=0", "height"),
        ("csi://0?flip=8", "flip"),
        ("csi://0?width=16385", "width"),
        ("csi://0?width=0", "width"),
        ("csi://0?fps=0", "fps"),
        ("csi://0?fps=1001", "fps"),
        ("csi://0?fps=99999", "fps"),
        ("csi://0/photos", "/photos"),
    ],
)
def test_another_form_is_refused_with_an_example(text: str, wrong: str) -> None:
    with pytest.raises(ImageError) as refused:
        csi_pipeline(text)
    assert f"{wrong} is not of a CSI camera's form, expected for example csi://0?" in str(refused.value)


def test_a_number_is_a_camera_up_to_linux_s_last() -> None:
    (camera,) = open_inputs(["255"])

    assert (camera.live, camera.name) == (True, "255")
    with pytest.raises(ImageError, match="256: no such file, and no camera's number, which is 255 at most"):
        open_inputs(["256"])
