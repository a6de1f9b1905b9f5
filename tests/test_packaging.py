"""What pip is asked for: OpenCV everywhere but on a Jetson, where JetPack's own has GStreamer."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
JETSON = {"sys_platform": "linux", "platform_machine": "aarch64"}
ELSEWHERE = (
    {"sys_platform": "linux", "platform_machine": "x86_64"},
    {"sys_platform": "darwin", "platform_machine": "arm64"},
    {"sys_platform": "win32", "platform_machine": "AMD64"},
)


def asked_for(machine: dict[str, str], *extras: str) -> set[str]:
    """The packages that pip installs of `pip install '.[extras]'` itself, not of their own needs."""
    lines: list[Any] = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    wanted: set[str] = set()
    for line in map(Requirement, lines):
        if line.marker is None or line.marker.evaluate({"python_version": "3.10", **machine}):
            wanted |= asked_for(machine, *line.extras) if line.name == "maskrt" else {line.name}
    return wanted


def test_a_jetson_keeps_jetpack_s_opencv() -> None:
    assert not {name for name in asked_for(JETSON, "jetson") if "opencv" in name}


@pytest.mark.parametrize("machine", ELSEWHERE, ids=lambda machine: machine["platform_machine"])
def test_everyone_else_gets_opencv_with_a_plain_install(machine: dict[str, str]) -> None:
    assert "opencv-python-headless" in asked_for(machine)


@pytest.mark.parametrize("extra", sorted({*PROJECT["optional-dependencies"]} - {"jetson", "dev", "keras"}))
def test_a_server_of_64_bit_arm_gets_it_with_any_extra(extra: str) -> None:
    assert "opencv-python-headless" in asked_for(JETSON, extra)


def test_the_readme_names_every_extra() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z0-9-]+)` \|", readme, flags=re.M))
    assert named == {*PROJECT["optional-dependencies"]} - {"dev"}
