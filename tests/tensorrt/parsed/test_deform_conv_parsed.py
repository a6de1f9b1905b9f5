"""DeformConv through NVIDIA's parser of TensorRT 8.6.0: as our plugin, with its weights among the inputs."""

from __future__ import annotations

import pytest

from maskrt.export.engine.prepare import prepare
from tests.export.deformed import ATTRIBUTES, deformed, values
from tests.tensorrt.parsed.conftest import Parser

pytestmark = pytest.mark.full


@pytest.mark.parametrize("half", [False, True])
def test_the_parser_of_8_6_takes_the_plugin(half: bool, parser: Parser) -> None:
    model = deformed(half)
    prepared = prepare(model, (8, 6), "plugin", "model.onnx")
    held = parser.hold(prepared, model, values(0, half), values(1, half))
    assert (held.errors, held.wrong, held.absent) == ([], [], [])
    assert held.plugins == [("DeformConv", ATTRIBUTES)]
    assert held.compared >= 2
