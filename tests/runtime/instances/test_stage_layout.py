"""Which stages a model has follows from its contract, and so do the parts between them."""

from __future__ import annotations

from typing import Any

import pytest

from maskrt.runtime.stages import CANVAS, LAYOUTS, STAGES, Layout, parts_of, stages_of
from tests.runtime.conftest import make_contract

CONFIGS: dict[str, dict[str, Any]] = {
    "FPN": {"backbone": "resnet50"},  # as in files from before there was a neck to choose
    "C4": {"backbone": "resnet50", "neck": "c4"},
    "MobileNetV3": {"backbone": "mobilenet_v3_large", "neck": "fpn"},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_stage_is_made_by_one_part_from_what_came_before(config: dict[str, Any]) -> None:
    contract = make_contract(config=config)
    made = {CANVAS}
    for needed, given in parts_of(contract).values():
        assert {name for name in needed if name in STAGES} <= made
        assert not made & set(given)
        made |= set(given)
    assert made & set(STAGES) == set(stages_of(contract))


@pytest.mark.parametrize("layout", LAYOUTS, ids=CONFIGS)
def test_stages_have_one_order_for_all_models(layout: Layout) -> None:
    places = [STAGES.index(name) for name in layout.maps]
    assert places == sorted(places)


def test_a_model_on_c4_has_no_pyramid() -> None:
    contract = make_contract(config=CONFIGS["C4"])
    assert stages_of(contract)[:7] == ("canvas", "stem", "C2", "C3", "C4", "rpn_logits.C4", "rpn_deltas.C4")
    assert "pyramid" not in parts_of(contract)
    assert parts_of(contract)["box_pooling"] == (("proposals", "C4"), ("box_features",))
