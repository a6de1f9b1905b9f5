"""Every way that PyramidRoiAlign's work is dealt out to blocks and threads, and its maximum, on a CPU."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.export.plugins.abi import Storage
from maskrt.export.plugins.python_operators import RoiAlignOperator

pytest.importorskip("torchvision")

from tests.export.plugins.torchvision_reference import (
    ROIS,
    random_features,
    torchvision_pyramid,
    torchvision_single,
)


# How the work is dealt out to blocks and threads: every shape of it, forwards and backwards.
@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("channels", [1, 7, 8, 9, 64, 65, 130, 264])
@pytest.mark.parametrize("size", [(7, 7), (2, 3)])
def test_any_number_of_channels(host, channels, size, storage):
    operator = RoiAlignOperator(*size, (16, 32), sampling_ratio=2)
    features = random_features(channels, strides=(16, 32))
    check_storage(host, operator, features, ROIS[::9], storage)


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("size", [(28, 28), (64, 64), (1, 64), (14, 14), (64, 1)])
def test_any_number_of_bins(host, size, storage):
    operator = RoiAlignOperator(*size, (8, 16), sampling_ratio=0)
    check_storage(host, operator, random_features(9, strides=(8, 16)), ROIS[::13], storage)


def check_storage(
    host, operator: RoiAlignOperator, features: list[np.ndarray], rois: np.ndarray, storage: Storage
) -> None:
    """Against torchvision in float32 on the values as stored; half results are its rounded ones."""
    stored = (
        features if storage is Storage.FLOAT else [f.astype(np.float16).astype(np.float32) for f in features]
    )
    expected = torchvision_pyramid(operator, stored, rois, np.zeros(len(rois), np.int64))
    pooled = host.roi_align(operator, features, rois, storage=storage)
    np.testing.assert_array_equal(pooled, expected.astype(pooled.dtype))
    np.testing.assert_array_equal(
        host.roi_align(operator, features, rois, storage=storage, backwards=True), pooled
    )


def test_more_samples_than_a_block_keeps_in_its_table(host):
    operator = RoiAlignOperator(14, 14, (2,), sampling_ratio=0)
    rois = np.array([(0, 0, 319, 255), (3, 5, 310, 20), (-500, 0, 700, 250)], np.float32)
    assert 14 * np.ceil(319 / 2 / 14) > 128
    feature = random_features(3, strides=(2,))
    expected = torchvision_single(operator, feature[0], rois, np.zeros(3, np.int64))
    np.testing.assert_array_equal(host.roi_align(operator, feature, rois), expected)


def pool_by_hand(operator: RoiAlignOperator, feature: np.ndarray, roi: np.ndarray) -> np.ndarray:
    """One RoI of one image (C, H, W) in plain NumPy float32: (C, height, width)."""
    one = np.float32
    offset, scale = one(0.5 if operator.aligned else 0), one(1 / operator.strides[0])
    _, extent_y, extent_x = feature.shape

    def positions(low, high, bins):
        start = low * scale - offset
        size = high * scale - offset - start
        size = size if operator.aligned else max(size, one(1))
        bin_size = size / one(bins)
        samples = operator.sampling_ratio or int(np.ceil(bin_size))
        if operator.mode == "max" and samples:  # the samples of all bins are one grid
            share = size / one(bins * samples)
            at = [start + one(i) * share + one(0.5) * share for i in range(bins * samples)]
            return [at[b * samples : (b + 1) * samples] for b in range(bins)]
        return [
            [start + one(b) * bin_size + one(i + 0.5) * bin_size / one(samples) for i in range(samples)]
            for b in range(bins)
        ]

    def value(y, x):
        if not (-1 <= y <= extent_y and -1 <= x <= extent_x):
            return np.zeros(len(feature), np.float32)
        (y0, y1, fy), (x0, x1, fx) = (neighbours(y, extent_y), neighbours(x, extent_x))
        gy, gx = one(1) - fy, one(1) - fx
        top = gy * gx * feature[:, y0, x0] + gy * fx * feature[:, y0, x1]
        return top + fy * gx * feature[:, y1, x0] + fy * fx * feature[:, y1, x1]

    def neighbours(position, extent):
        position = max(position, one(0))
        low = int(position)
        return (extent - 1, extent - 1, one(0)) if low >= extent - 1 else (low, low + 1, position - one(low))

    pooled = np.zeros((len(feature), operator.output_height, operator.output_width), np.float32)
    for by, ys in enumerate(positions(roi[1], roi[3], operator.output_height)):
        for bx, xs in enumerate(positions(roi[0], roi[2], operator.output_width)):
            values = [value(y, x) for y in ys for x in xs]
            if values:
                total = np.zeros(len(feature), np.float32)
                for v in values:
                    total = total + v
                pooled[:, by, bx] = (
                    np.max(values, axis=0) if operator.mode == "max" else total / one(len(values))
                )
    return pooled


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("mode", ["avg", "max"])  # avg shows that the reference itself is torchvision's
def test_max_is_the_largest_interpolated_sample(host, mode, sampling_ratio, aligned):
    operator = RoiAlignOperator(5, 4, (16,), sampling_ratio=sampling_ratio, aligned=aligned, mode=mode)
    feature = random_features(6, strides=(16,))[0]
    feature[:, :3] -= 5  # where all samples are negative, those outside, which count as zero, win
    rois = ROIS[:30].copy()
    expected = np.stack([pool_by_hand(operator, feature[0], roi) for roi in rois])
    np.testing.assert_array_equal(host.roi_align(operator, [feature], rois), expected)
    if mode == "avg":
        np.testing.assert_array_equal(
            expected, torchvision_single(operator, feature, rois, np.zeros(len(rois), np.int64))
        )


def test_max_keeps_nan_as_torch_does(host):
    operator = RoiAlignOperator(1, 1, (16,), sampling_ratio=2, mode="max")
    feature = random_features(1, strides=(16,))[0]
    feature[0, 0, 4, 4] = np.nan
    assert np.isnan(host.roi_align(operator, [feature], np.array([[40, 40, 100, 100]]))).all()
