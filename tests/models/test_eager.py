"""What a family's reference does wrong is one sentence that names the tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrt.models import FAMILIES
from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import ContractError, ModelError
from tests.conformance.toy.config import ToyConfig
from tests.conformance.toy.family import ToyReference
from tests.conformance.toy.network import Toy

CLASSES = tuple(Category(id=number, name=f"class {number}") for number in (1, 2, 3))
IMAGES, SIZES = np.full((1, 96, 128, 3), 200, np.uint8), np.array([[96, 128]], np.float32)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyReference:
    """Of random weights: it finds as many objects as there may be."""
    monkeypatch.setitem(FAMILIES, "toy", "tests.conformance.toy")
    config = ToyConfig(score_threshold=0.01)
    model = Toy(config).eval()
    contract = Checkpoint(config, CLASSES, model.state_dict()).contract(height_px=96, width_px=128, batch=1)
    return ToyReference(model, contract, name="best.pt")


TWICE = (*CLASSES[:2], Category(id=2, name="again"))
UNNAMED = (*CLASSES[:2], Category(id=3, name=" "))


@pytest.mark.parametrize(
    ("settings", "classes", "said"),
    [
        ({}, TWICE, "'classes[2].id' is 2, expected an id that no other class has"),
        ({}, UNNAMED, "'classes[2].name' is ' ', expected a text that is not empty"),
        (
            {"min_size_px": 200},
            CLASSES,
            "'canvas.max_size_px' is 128, expected at least canvas.min_size_px, 200",
        ),
        ({"std": (0.25, 0.0, 0.25)}, CLASSES, "'normalise.std[1]' is 0.0, expected a number from 1e-06"),
    ],
    ids=["class twice", "class without a name", "sizes", "std"],
)
def test_what_no_contract_may_hold_is_one_sentence(
    settings: dict[str, Any], classes: tuple[Category, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A family's own fault, before a file is written that nothing can read."""
    monkeypatch.setitem(FAMILIES, "toy", "tests.conformance.toy")
    with pytest.raises(ContractError) as refused:
        Checkpoint(ToyConfig(**settings), classes, {}).contract()
    assert str(refused.value).startswith(f"the toy of the checkpoint: the contract's field {said}")
    assert str(refused.value).endswith(
        "Correct its classes, or ToyConfig (docs/architecture.md, The contract)."
    )


@pytest.mark.parametrize(
    ("taps", "said"),
    [
        ({"features": "features"}, r"has no module for the tap 'cells': its `taps` are \['features'\]"),
        ({"features": "features", "cells": "tail"}, "takes the tap 'cells' from a module 'tail', which"),
        ({"features": "features", "cells": ""}, "never runs the module '' of the tap 'cells'"),
    ],
)
def test_a_wrong_tap_is_named(
    taps: dict[str, str], said: str, toy: ToyReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyReference, "taps", taps)
    with pytest.raises(ModelError, match=f"best.pt: the reference of the family 'toy' {said}"):
        toy.infer_with_stages(IMAGES, SIZES)


def test_more_rows_than_the_contract_has_are_refused(toy: ToyReference) -> None:
    toy.model.config = ToyConfig(score_threshold=0.01, max_detections=20)
    with pytest.raises(ModelError, match=r"gives \(20, 4\) as 'boxes', .* at most 12 of these"):
        toy.infer(IMAGES, SIZES)
