"""The Dockerfiles, linted: nobody has built them here, but what they copy and ask for exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.dockerfiles import faults
from tests.test_packaging import PROJECT, ROOT

FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
GOOD = (ROOT / "docker" / "jetson.Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dockerfile_is_without_faults(file: Path) -> None:
    assert faults(file.read_text(encoding="utf-8"), ROOT) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_image_holds_all_that_the_wheel_is_made_of(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for stage in ("runtime", "training", "export", "calibration"):
        assert f"COPY {stage} {stage}" in text
    (extra,) = re.findall(r"'\.\[(\w+)\]'", text)
    assert extra in PROJECT["optional-dependencies"]
    assert "Not built yet" in text


@pytest.mark.parametrize(
    ("was", "is_now", "rule"),
    [
        (":r36.4.0", "", "DL3006"),
        (":r36.4.0", ":latest", "DL3006"),
        ("USER maskrt", "USER root", "DL3002"),
        ("USER maskrt\n", "", "DL3002"),
        ("--no-install-recommends ", "", "DL3015"),
        ("    && rm -rf /var/lib/apt/lists/*\n", "    && true\n", "DL3009"),
        ("--no-cache-dir ", "", "DL3042"),
        ("COPY runtime runtime", "COPY runtimes runtime", "COPY runtimes: no such file"),
        ('["doctor"]', "doctor", "DL3025"),
        ("WORKDIR /data", "WORKDIR data", "DL3000"),
        ("RUN apt-get update", "RUN sudo apt-get update", "DL3004"),
    ],
)
def test_the_linter_sees_a_fault(was: str, is_now: str, rule: str) -> None:
    assert was in GOOD
    found = faults(GOOD.replace(was, is_now), ROOT)
    assert any(fault.startswith(rule) for fault in found), found
