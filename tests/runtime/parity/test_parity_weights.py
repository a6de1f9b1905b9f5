"""The constants of a file, held to the checkpoint's: which is which, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from maskrt.runtime.parity.inside.unseen import Unseen, finer
from maskrt.runtime.parity.inside.weights import weight_faults

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(size=(16, 8, 3, 3)).astype(np.float32)
MATRIX = RANDOM.normal(size=(16, 32)).astype(np.float32)
BIAS = RANDOM.normal(size=16).astype(np.float32)
OTHER_BIAS = RANDOM.normal(size=16).astype(np.float32)


@dataclass
class Stored:
    """A constant of a file."""

    name: str
    values: np.ndarray
    precision: str = "fp32"
    step: np.ndarray | None = None


def test_constants_of_the_checkpoints_names_are_held_to_it() -> None:
    expected = {"conv.weight": WEIGHT, "conv.bias": BIAS}
    found = [Stored("conv.weight", WEIGHT), Stored("conv.bias", BIAS * np.float32(1.5))]

    faults, held = weight_faults(expected, found)

    assert held == ["conv.weight", "conv.bias"]
    assert faults == {"conv.bias": "SNR 6 dB where fp32 has 100 dB at least: 1.5 times the checkpoint's"}


@pytest.mark.parametrize(
    ("values", "stored", "held"),
    [
        (WEIGHT, WEIGHT, True),
        (WEIGHT, WEIGHT * np.float32(1.4), True),  # 8 dB: near enough to be the one
        (WEIGHT, WEIGHT[::-1], False),  # -3 dB: of another layer
        (MATRIX, MATRIX.T, True),
        (BIAS, BIAS, True),
        (BIAS, BIAS[:, None, None], True),
        (BIAS, BIAS * np.float32(1.4), False),  # of so few values only an equal one is surely the same
        (BIAS, OTHER_BIAS, False),
        (MATRIX[:4, :8], MATRIX[:4, :8] * np.float32(1.4), False),
        (MATRIX[:8, :8], MATRIX[:8, :8] * np.float32(1.4), True),  # 64 values are enough
    ],
)
def test_of_another_name_it_is_the_nearest_that_is_surely_the_same(
    values: np.ndarray, stored: np.ndarray, held: bool
) -> None:
    _, names = weight_faults(
        {"layer": values}, [Stored("onnx::1", RANDOM.normal(size=(3, 3))), Stored("x", stored)]
    )

    assert names == (["layer"] if held else [])


def test_the_nearest_of_several_is_taken() -> None:
    found = [
        Stored("a", WEIGHT * np.float32(1.4)),
        Stored("b", WEIGHT),
        Stored("c", WEIGHT * np.float32(1.2)),
    ]

    assert weight_faults({"layer": WEIGHT}, found) == ({}, ["layer"])


def test_a_bias_of_zeros_that_an_exporter_left_out_counts_as_held() -> None:
    expected = {"zeros": np.zeros(16, np.float32), "bias": BIAS}

    assert weight_faults(expected, []) == ({}, ["zeros"])


@pytest.mark.parametrize(
    ("noise_db", "precision", "wrong"),
    [(110, "fp32", False), (90, "fp32", True), (70, "fp16", False), (50, "fp16", True)],
)
def test_a_constant_is_as_exact_as_its_type(noise_db: float, precision: str, wrong: bool) -> None:
    noise = RANDOM.normal(size=WEIGHT.shape) * 10 ** (-noise_db / 20) * WEIGHT.std()
    found = Stored("layer", (WEIGHT + noise).astype(np.float64), precision)

    faults, _ = weight_faults({"layer": WEIGHT}, [found])

    assert bool(faults) is wrong
    if wrong:
        least_db = 100 if precision == "fp32" else 60
        assert faults["layer"].startswith(f"SNR {noise_db} dB where {precision} has {least_db} dB at least")


def test_values_that_are_not_finite_are_counted() -> None:
    broken = WEIGHT.copy()
    broken[0, 0, 0] = np.nan

    assert weight_faults({"w": WEIGHT}, [Stored("w", broken)])[0] == {"w": "3 values are NaN or infinite"}


def test_eight_bits_are_rounded_to_the_nearest_step_or_clipped() -> None:
    step = np.full(WEIGHT.shape, np.abs(WEIGHT).max() / 100, np.float32)
    rounded = np.round(WEIGHT / step) * step
    stored = Stored("w", rounded.astype(np.float32), "int8", step)

    assert weight_faults({"w": WEIGHT}, [stored]) == ({}, ["w"])

    stored.values = stored.values.copy()
    stored.values[0, 0, 0] += step[0, 0, 0]
    assert weight_faults({"w": WEIGHT}, [stored])[0] == {
        "w": "3 of 1152 values are not rounded to the nearest of 8 bits"
    }
    clipped = Stored("w", np.clip(rounded, -50 * step, 50 * step), "int8", step * np.float32(0.5))
    beyond = np.abs(WEIGHT) > 127.5 * clipped.step
    assert beyond.any()
    clipped.values = np.where(beyond, 0, np.round(WEIGHT / clipped.step) * clipped.step)
    assert weight_faults({"w": WEIGHT}, [clipped])[0] == {}, "what lies beyond may have been clipped"


@pytest.mark.parametrize(
    ("claimed", "shown", "judged"),
    [
        ("fp32", "fp32", None),
        ("fp16", "fp16", None),
        ("fp16", "fp32", "fp32"),
        ("int8", "fp32", "fp32"),
        ("int8", "fp16", "fp16"),
        ("fp32", "fp16", None),  # coarser than it says: the strict limits hold it
        ("bf16", "fp32", None),
        ("fp16", None, None),
    ],
)
def test_a_claim_of_a_coarser_precision_than_the_graph_shows_is_broken(
    claimed: str, shown: str | None, judged: str | None
) -> None:
    unseen = Unseen(("boxes",), {"boxes": shown, "C3": "int8"} if shown else {})

    said = unseen.broken_claim(claimed)

    assert said == (
        [
            f"its contract says {claimed}, but nothing in its graph is coarser than {shown}: it is judged as {judged}"
        ]
        if judged
        else []
    )
    if shown:
        assert finer(claimed, shown) == (judged or claimed)


def test_the_coarsest_output_is_the_precision() -> None:
    assert Unseen(("boxes", "scores"), {"boxes": "fp32", "scores": "int8", "C3": "fp16"}).precision == "int8"
    assert Unseen().precision is None
