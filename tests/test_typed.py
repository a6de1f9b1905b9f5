"""What a wheel must hold for users' type checkers to read our annotations (PEP 561)."""

from __future__ import annotations

from pathlib import Path

import pytest
from setuptools.config.pyprojecttoml import read_configuration

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = read_configuration(ROOT / "pyproject.toml", expand=False)["tool"]["setuptools"]


@pytest.mark.parametrize("package", sorted({name.split(".")[0] for name in SETTINGS["packages"]}))
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in SETTINGS["package-data"]["*"]
