"""Presets of families: what is wrong with one is named, with the family that has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from maskrt.models import FAMILIES, find_family
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Preset
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import MaskrtError
from maskrt.training.config import preset, preset_names
from maskrt.training.matterport_config import Config, settings
from tests.conformance.toy.config import ToyConfig
from tests.conformance.toy.family import ToyFamily


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "toy", "tests.conformance.toy")


def of_the_toy(monkeypatch: pytest.MonkeyPatch, name: str, run: Mapping[str, Any]) -> None:
    monkeypatch.setattr(ToyFamily, "presets", {name: Preset(ToyConfig(), run)})


def test_a_wrong_setting_of_the_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_toy(monkeypatch, "toy", {"epoch": 1})
    with pytest.raises(MaskrtError, match="preset 'toy' of the family 'toy': run: epoch: no such setting"):
        preset("toy")


def test_one_name_is_one_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_toy(monkeypatch, "small", {})
    with pytest.raises(MaskrtError, match="preset 'small': the families 'mask_rcnn' and 'toy' have one"):
        preset_names()


def test_a_family_without_a_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "new", "maskrt.models.nowhere")
    with pytest.raises(MaskrtError, match=r"the family 'new': FAMILIES .* says 'maskrt\.models\.nowhere'"):
        find_family("new")


def test_matterport_s_names_are_offered_models_that_have_them() -> None:
    class Mine(Config):
        PRESET = "toy"

    with pytest.raises(MaskrtError, match=r"PRESET is 'toy', expected one of small, .*mobilenet: models"):
        settings(Mine(), start=None, epochs=None, layers="all")
    start = Checkpoint(ToyConfig(num_classes=1), (Category(1, "nut"),), {})
    with pytest.raises(MaskrtError, match="the weights are of a toy, which lacks Matterport's settings"):
        settings(Config(), start=start, epochs=None, layers="all")
