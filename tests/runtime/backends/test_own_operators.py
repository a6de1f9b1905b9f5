"""ONNX Runtime runs its own DeformConv where it has a kernel, and our operator's body where it has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from maskrt.runtime.backends.ort_session import load_onnx
from maskrt.runtime.backends.own_operators import own_form
from tests.export.deformed import NAME, deformed, values

Loaded = list[tuple[bool, bool]]  # of each form that was tried: is the operator ONNX's own, was it taken
TOLERANCE = 2e-4  # of sums of 36 products of some ten, in another order


@pytest.fixture(params=["file", "bytes"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> str | bytes:
    if request.param == "bytes":
        return deformed().SerializeToString()
    onnx.save(deformed(), tmp_path / "model.onnx")
    return str(tmp_path / "model.onnx")


@pytest.fixture
def expected() -> np.ndarray:
    """By the body."""
    return run(onnxruntime.InferenceSession(deformed().SerializeToString()))


def run(session: Any) -> np.ndarray:
    (found,) = session.run(["y"], values())
    return found


def is_own(form: str | bytes) -> bool:
    """Whether the operator is ONNX's."""
    read = ModelProto.FromString(form) if isinstance(form, bytes) else onnx.load(form)
    (node,) = read.graph.node
    assert (node.op_type, node.name) == ("DeformConv", NAME)
    return not node.domain


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Loaded]:
    """Lets ONNX Runtime have the kernel or not, and writes down what it is given."""
    real = onnxruntime.InferenceSession

    def begin(has_kernel: bool) -> Loaded:
        loaded: Loaded = []

        def opened(form: str | bytes, **options: Any) -> Any:
            taken = has_kernel or not is_own(form)
            loaded.append((is_own(form), taken))
            if not taken:
                raise RuntimeError("[NotImplemented] Could not find an implementation for DeformConv(19)")
            return real(form, **options)

        monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
        return loaded

    return begin


def test_its_own_kernel_is_taken(
    model: str | bytes, expected: np.ndarray, record: Callable[[bool], Loaded]
) -> None:
    loaded = record(True)
    np.testing.assert_allclose(run(load_onnx(model, "model.onnx", "cpu")), expected, atol=TOLERANCE, rtol=0)
    assert loaded == [(True, True)]


def test_without_the_kernel_the_body_serves(
    model: str | bytes, expected: np.ndarray, record: Callable[[bool], Loaded]
) -> None:
    loaded = record(False)
    np.testing.assert_array_equal(run(load_onnx(model, "model.onnx", "cpu")), expected)
    assert loaded == [(True, False), (False, True)]


def test_without_onnx_the_file_serves_as_it_is(tmp_path: Path, without: Callable[..., Any]) -> None:
    onnx.save(deformed(), path := tmp_path / "model.onnx")
    code = (
        "from maskrt.runtime.backends import ort_session, own_operators\n"
        f"assert own_operators.own_form({str(path)!r}) is None\n"
        f"print(ort_session.load_onnx({str(path)!r}, 'model.onnx', 'cpu').get_outputs()[0].name)"
    )
    ended = without({"onnx", "torch"}, code=code)
    assert (ended.code, ended.out.strip()) == (0, "y"), ended.err


def test_a_file_without_the_operator_is_given_as_it_is(tmp_path: Path) -> None:
    plain = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[2] x) => (float[2] y) { y = Abs (x) }'
    )
    onnx.save(plain, tmp_path / "plain.onnx")
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "other.onnx").write_bytes(b"no ONNX file")
    assert own_form(plain.SerializeToString()) is None
    for name in ("plain", "empty", "other", "absent"):
        assert own_form(str(tmp_path / f"{name}.onnx")) is None
