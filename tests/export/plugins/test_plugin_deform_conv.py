"""DeformConv's kernel program on a CPU computes torchvision's deform_conv2d, in either storage."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrt.export.plugins import abi
from maskrt.export.plugins.abi import Storage
from maskrt.export.plugins.python_operators import DeformConvOperator
from maskrt.export.plugins.python_tensors import HALF_CHANNELS_LAST, INTEGER, REAL, TensorKind
from maskrt.runtime.errors import ModelError
from tests.export.plugins.kernels import HostKernels

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

OPERATOR = DeformConvOperator(3, 1, 1)
#: Of the sum of all products' sizes: the sums of a few hundred float32 products in another order.
TOLERANCE, HALF_TOLERANCE = 1e-6, 1e-3


def places_of(operator: DeformConvOperator, sides: tuple[int, int]) -> list[int]:
    return [(side + 2 * operator.padding - operator.kernel) // operator.stride + 1 for side in sides]


def made(
    operator: DeformConvOperator,
    images: int = 2,
    channels: int = 5,
    sides: tuple[int, int] = (7, 9),
    outputs: int = 6,
    moved_px: float = 3.0,
    seed: int = 0,
) -> list[np.ndarray]:
    """Values, offsets, mask, weight and bias; values that half precision holds exactly."""
    rng = np.random.default_rng(seed)
    taps, places = operator.kernel**2, places_of(operator, sides)
    shapes = [
        (images, channels, *sides),
        (images, 2 * taps, *places),
        (images, taps, *places),
        (outputs, channels, operator.kernel, operator.kernel),
        (outputs,),
    ]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    arrays[0] = arrays[0].astype(np.float16).astype(np.float32)
    arrays[1] *= moved_px
    return arrays


def torchvisions(operator: DeformConvOperator, arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Its result, and the sum of the sizes of what it adds up, which says how far rounding may go."""

    def run(values, offsets, mask, weight, bias):
        sides = {"stride": operator.stride, "padding": operator.padding}
        return torchvision.ops.deform_conv2d(values, offsets, weight, bias, mask=mask, **sides).numpy()

    values, offsets, mask, weight, bias = map(torch.from_numpy, arrays)
    sizes = run(values.abs(), offsets, mask.abs(), weight.abs(), bias.abs())
    return run(values, offsets, mask, weight, bias), sizes


def check(
    host: HostKernels, operator: DeformConvOperator, arrays: list[np.ndarray], storage: Storage
) -> None:
    """Forwards and backwards."""
    expected, sizes = torchvisions(operator, arrays)
    tolerance = TOLERANCE if storage is Storage.FLOAT else HALF_TOLERANCE
    forwards, backwards = (
        host.deform_conv(operator, arrays[0], arrays[1:], storage, order) for order in (False, True)
    )
    assert forwards.tobytes() == backwards.tobytes()
    assert np.all(np.abs(forwards.astype(np.float32) - expected) <= tolerance * (sizes + 1e-6))


@settings(max_examples=80, deadline=None, database=None)
@given(data=st.data(), storage=st.sampled_from(Storage))
def test_any_deformed_convolution(host, data, storage):
    operator = DeformConvOperator(
        data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3)), data.draw(st.integers(0, 3))
    )
    least = max(operator.kernel - 2 * operator.padding, 1)
    sides = data.draw(st.tuples(st.integers(least, least + 7), st.integers(least, least + 7)))
    images, channels, outputs = data.draw(
        st.tuples(st.integers(1, 2), st.integers(1, 18), st.integers(1, 10))
    )
    moved_px = data.draw(st.sampled_from([0.0, 0.5, 4.0, 100.0]))
    check(host, operator, made(operator, images, channels, sides, outputs, moved_px), storage)


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("outputs", [127, 128, 129, 300])
def test_more_channels_than_a_block_gives(host, outputs, storage):
    check(host, OPERATOR, made(OPERATOR, channels=9, sides=(5, 4), outputs=outputs), storage)


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("sides", [(1, 1), (1, 40), (40, 1), (4, 4), (16, 17)])
def test_places_fill_blocks_or_do_not(host, sides, storage):
    check(host, OPERATOR, made(OPERATOR, sides=sides), storage)


@pytest.mark.parametrize("storage", Storage)
def test_samples_on_cells_and_on_the_borders_of_the_map(host, storage):
    """Whole px, half px, and just within and beyond a px outside."""
    arrays = made(OPERATOR)
    steps = [-2.0, -1.0, np.nextafter(np.float32(-1), 0), -0.5, 0.0, 0.5, 1.0, 6.0, 8.0]
    arrays[1][:] = np.resize(np.array(list(itertools.permutations(steps, 2))), arrays[1].shape)
    check(host, OPERATOR, arrays, storage)


@pytest.mark.parametrize("storage", Storage)
def test_what_moves_nothing_and_counts_all_is_a_convolution(host, storage):
    arrays = made(OPERATOR, moved_px=0.0)
    arrays[2][:] = 1
    values, _, _, weight, bias = map(torch.from_numpy, arrays)
    expected = torch.nn.functional.conv2d(values, weight, bias, padding=1).numpy()
    found = host.deform_conv(OPERATOR, arrays[0], arrays[1:], storage)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-2 if storage else 1e-5)


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("nowhere", [np.nan, np.inf, -np.inf, 3e38, -3e38, 2.0**31, -(2.0**31)])
def test_samples_that_lie_nowhere_count_nothing(host, nowhere, storage):
    arrays = made(OPERATOR)
    arrays[1][:, 4, 2, 3] = arrays[1][:, 9, 1, 1] = nowhere  # of one tap dy, of another dx
    found = host.deform_conv(OPERATOR, arrays[0], arrays[1:], storage)
    arrays[1][:, 4, 2, 3] = arrays[1][:, 9, 1, 1] = -100
    np.testing.assert_array_equal(found, host.deform_conv(OPERATOR, arrays[0], arrays[1:], storage))


@pytest.mark.parametrize("storage", Storage)
def test_images_of_a_batch_do_not_see_each_other(host, storage):
    arrays = made(OPERATOR, images=3)
    together = host.deform_conv(OPERATOR, arrays[0], arrays[1:], storage)
    for i in range(3):
        values, *moved = (each[i : i + 1] for each in arrays[:3])
        alone = host.deform_conv(OPERATOR, values, [*moved, *arrays[3:]], storage)
        np.testing.assert_array_equal(together[i : i + 1], alone)


def test_no_images(host):
    assert host.deform_conv(OPERATOR, *split(made(OPERATOR, images=0))).shape == (0, 6, 7, 9)


def split(arrays: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    return arrays[0], arrays[1:]


@pytest.mark.parametrize("change", ["weight", "mask", "offsets", "bias"])
def test_every_input_decides(host, change):
    """The negative control: of each input one number is another, and so is the result."""
    arrays = made(OPERATOR, moved_px=0.3)
    before = host.deform_conv(OPERATOR, *split(arrays))
    place = 1 + ["offsets", "mask", "weight", "bias"].index(change)
    arrays[place].ravel()[arrays[place].size // 2] += 0.25
    assert (host.deform_conv(OPERATOR, *split(arrays)) != before).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 0}, "kernel is 0; expected 1 to 64"),
        ({"kernel": -3}, "kernel is -3; expected 1 to 64"),
        ({"kernel": 2**31 - 1}, "kernel is 2147483647; expected 1 to 64"),
        ({"stride": 0}, "stride is 0; expected 1 to 1024"),
        ({"padding": -1}, "padding is -1; expected 0 to 1024"),
    ],
)
def test_attributes_that_no_kernel_has_are_refused(change, message):
    with pytest.raises(ModelError, match=f"maskrt::DeformConv: {message}"):
        replace(OPERATOR, **change)


SHAPES = [(2, 8, 9, 12), (2, 18, 5, 6), (2, 9, 5, 6), (5, 8, 3, 3), (5,)]
STEPS = DeformConvOperator(3, 2, 1)


@pytest.mark.parametrize(
    ("place", "shape", "message"),
    [
        (0, (2, 8, 9), r"inputs have \[3, 4, 4, 4, 1\] dimensions"),
        (0, (2, 4, 9, 12), "one group"),
        (0, (1, 8, 9, 12), "offsets and mask for each image"),
        (1, (2, 9, 5, 6), "2K offsets and K values of the mask a place"),
        (1, (2, 36, 5, 6), "2K offsets"),  # two groups of offsets
        (1, (2, 18, 5, 7), "each place of the output"),
        (2, (2, 9, 9, 12), "each place of the output"),  # as of stride 1
        (3, (5, 8, 5, 5), "2K offsets"),
        (3, (5, 4, 3, 3), "one group"),
        (4, (6,), "one group"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(place, shape, message):
    STEPS.check(SHAPES)
    with pytest.raises(ModelError, match=f"maskrt::DeformConv: .*{message}"):
        STEPS.check([*SHAPES[:place], shape, *SHAPES[place + 1 :]])


def test_a_map_smaller_than_the_kernel_is_refused():
    with pytest.raises(ModelError, match="each place of the output"):
        DeformConvOperator(3, 2, 0).check([(1, 8, 2, 2), (1, 18, 1, 1), (1, 9, 1, 1), *SHAPES[3:]])


@pytest.mark.parametrize("shape", [(1, 8, 1 << 15, (1 << 15) + 1), (65536, 8, 9, 12)])
def test_more_than_the_kernels_count_is_refused(shape):
    images, _, height, width = shape
    places = ((height - 1) // 2 + 1, (width - 1) // 2 + 1)
    others = [(images, 18, *places), (images, 9, *places), (5, 8, 3, 3), (5,)]
    with pytest.raises(ModelError, match="at most 1073741824 cells of a map, and 65535 times 128 channels"):
        STEPS.check([shape, *others])
    assert abi.MAX_BLOCKS_ALONG_Y == 65535


def test_upper_bounds_need_not_fit_together():
    bounds = [(8, 8, 30, 40), (8, 18, 99, 99), (4, 9, 9, 9), (5, 8, 3, 3), (5,)]
    STEPS.check(bounds, exact=False)
    with pytest.raises(ModelError):
        STEPS.check(bounds)
    with pytest.raises(ModelError, match="one group"):
        STEPS.check([*bounds[:4], (6,)], exact=False)


@pytest.mark.parametrize(
    ("values", "output", "supported"),
    [
        (REAL, REAL, True),
        (HALF_CHANNELS_LAST, HALF_CHANNELS_LAST, True),
        (HALF_CHANNELS_LAST, REAL, False),
        (REAL, HALF_CHANNELS_LAST, False),
        (TensorKind("HALF", "LINEAR"), TensorKind("HALF", "LINEAR"), False),
        (INTEGER, INTEGER, False),
    ],
)
def test_values_and_output_have_one_of_the_kernels_layouts(values, output, supported):
    kinds = [values, *[REAL] * 4, output]
    assert all(OPERATOR.supports(i, kinds) for i in range(len(kinds))) is supported


@pytest.mark.parametrize("place", [1, 2, 3, 4])
def test_places_weights_and_bias_are_float32_whatever_the_values(place):
    kinds = [HALF_CHANNELS_LAST, *[REAL] * 4]
    kinds[place] = HALF_CHANNELS_LAST
    assert not OPERATOR.supports(place, kinds)
