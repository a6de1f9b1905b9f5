"""Numbers that are not ours to choose: limits of others, and what users' files and scripts rely on."""

from __future__ import annotations

from typing import Any

import pytest

from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.measure.scales import Scales
from maskrt.export.plugins import abi
from maskrt.models import checkpoint
from maskrt.models.operators import schema
from maskrt.models.parts import half, tensorrt_limits
from maskrt.models.rcnn.graph import detections
from maskrt.runtime import errors
from maskrt.runtime.backends.trt import engine_file
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.recorded.bundle import About


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            tensorrt_limits.TOPK_LIMIT, 3840, id="TensorRT's TopK takes 3840 (ITopKLayer, NvInfer.h)"
        ),
        pytest.param(detections.MAX_CANDIDATES, 3840, id="and there is one TopK over the candidates"),
        pytest.param(abi.MAX_IMAGE_BYTES, 4 * 1024**3, id="32 bits address 4 GiB"),
        pytest.param(checkpoint.FORMAT_VERSION, 1, id="checkpoints of users are of format 1"),
        pytest.param(engine_file.FORMAT_VERSION, 1, id="engine files are of format 1"),
        pytest.param(half.HALF_MAX, 65504.0, id="half precision ends at 65504 (IEEE 754)"),
        pytest.param(half.LIMIT, 32752.0, id="what is above half of that on scanned images stays in float32"),
        pytest.param(Contract.FORMAT.number, 2, id="exported files hold contracts of format 2"),
        pytest.param(
            About.FORMAT.number, 1, id="parity bundles, recorded on other machines, are of format 1"
        ),
        pytest.param(Plan.FORMAT.number, 1, id="precision plans, which people edit, are of format 1"),
        pytest.param(Scales.FORMAT.number, 2, id="scales that were measured are of format 2"),
        pytest.param(schema.VERSION, 1, id="the operators of exported files are of version 1"),
    ],
)
def test_a_limit_is_its_owners(found: Any, expected: Any) -> None:
    assert found == expected


def test_a_script_can_tell_how_a_command_ended() -> None:
    """Docs and users' CI ask for these exit codes; 2 is also what typer's usage errors end with."""
    assert errors.EXIT_FAILED_CHECK == 1, "the answer is no"
    assert errors.EXIT_USER_ERROR == errors.MaskrtError.exit_code == 2, "nothing was done"
    assert errors.EXIT_PARTIAL == 3, "some inputs were skipped"
    assert errors.EXIT_UNDECIDED == 4, "there was nothing to compare"
