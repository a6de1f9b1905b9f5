"""PyramidRoiAlign's kernel program on a CPU gives torchvision's bits, for ordinary and for nasty regions."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrt.export.plugins import abi
from maskrt.export.plugins.python_operators import RoiAlignOperator

pytest.importorskip("torchvision")

import torch
import torchvision

from tests.export.plugins.torchvision_reference import (
    BATCH,
    NASTY,
    PYRAMID,
    ROIS,
    STRIDES,
    random_features,
    random_rois,
    torchvision_pyramid,
    torchvision_single,
)


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(7, 7), (14, 14), (3, 5), (1, 1), (20, 17)])
def test_one_level_is_torchvisions_roi_align(host, size, sampling_ratio, aligned):
    operator = RoiAlignOperator(*size, (8,), sampling_ratio=sampling_ratio, aligned=aligned)
    feature = random_features(5, images=2, strides=(8,))[0]
    expected = torchvision_single(operator, feature, ROIS, BATCH)
    np.testing.assert_array_equal(host.roi_align(operator, [feature], ROIS, BATCH), expected)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("strides", [STRIDES, (4, 8), (8, 16, 32), (2, 4, 8, 16, 32)])
def test_a_pyramid_is_torchvisions_multi_scale_roi_align(host, strides, sampling_ratio):
    operator = replace(PYRAMID, strides=strides, sampling_ratio=sampling_ratio)
    features = random_features(4, images=2, strides=strides)
    expected = torchvision_pyramid(operator, features, ROIS, BATCH)
    np.testing.assert_array_equal(host.roi_align(operator, features, ROIS, BATCH), expected)


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_region_alone(host, name):
    features, roi, batch = random_features(3), np.array([NASTY[name]], np.float32), np.zeros(1, np.int64)
    for sampling_ratio in (0, 2):
        operator = replace(PYRAMID, sampling_ratio=sampling_ratio)
        expected = torchvision_pyramid(operator, features, roi, batch)
        np.testing.assert_array_equal(host.roi_align(operator, features, roi), expected)


coordinate = st.floats(-400, 700, width=32) | st.integers(-400, 700).map(float)


@settings(max_examples=100, database=None)
@given(
    st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), min_size=1, max_size=8),
    st.integers(0, 3),
    st.booleans(),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_any_regions(host, boxes, sampling_ratio, aligned, size):
    rois, batch = np.array(boxes, np.float32), np.zeros(len(boxes), np.int64)
    operator = RoiAlignOperator(*size, (16,), sampling_ratio=sampling_ratio, aligned=int(aligned))
    feature = random_features(2, strides=(16,))[0]
    expected = torchvision_single(operator, feature, rois, batch)
    np.testing.assert_array_equal(host.roi_align(operator, [feature], rois), expected)


def roi_levels(host, operator: RoiAlignOperator, rois: np.ndarray) -> np.ndarray:
    params = abi.RoiAlignParams()
    abi.set_pyramid(params, operator.strides, operator.canonical_scale, operator.canonical_level)
    rows = [np.ascontiguousarray(roi, np.float32) for roi in rois]
    level = host.library.maskrt_host_roi_level
    return np.array([level(ctypes.byref(params), ctypes.c_void_p(row.ctypes.data)) for row in rows])


def torchvision_levels(operator: RoiAlignOperator, rois: np.ndarray) -> np.ndarray:
    lowest, highest = (s.bit_length() - 1 for s in (operator.strides[0], operator.strides[-1]))
    mapper = torchvision.ops.poolers.LevelMapper(
        lowest, highest, operator.canonical_scale, operator.canonical_level
    )
    return mapper([torch.from_numpy(rois)]).numpy()


@pytest.mark.parametrize("canonical", [(224.0, 4), (224.0, 5), (100.0, 3), (1.5, 4), (56.0, 0)])
def test_level_borders_fall_where_torchvisions_do(host, canonical):
    operator = RoiAlignOperator(
        7, 7, (2, 4, 8, 16, 32), canonical_scale=canonical[0], canonical_level=canonical[1]
    )
    sides = []
    for level in range(8):  # every float32 side length around the border of each level
        border = np.float32(canonical[0] * 2.0 ** (level - canonical[1]))
        sides.append((border.view(np.int32) + np.arange(-60, 61, dtype=np.int32)).view(np.float32))
    side = np.concatenate(sides)
    rois = np.stack([np.zeros_like(side), np.zeros_like(side), side, side], axis=1)
    np.testing.assert_array_equal(roi_levels(host, operator, rois), torchvision_levels(operator, rois))


@settings(max_examples=200, database=None)
@given(coordinate, coordinate, st.floats(0, 1500, width=32), st.floats(0, 1500, width=32))
def test_levels_of_any_region(host, x, y, width, height):
    rois = np.array([[x, y, x + width, y + height]], np.float32)
    np.testing.assert_array_equal(roi_levels(host, PYRAMID, rois), torchvision_levels(PYRAMID, rois))


def test_a_region_without_a_real_area_belongs_to_no_level(host):
    rois = np.array([NASTY["inverted in x"], (np.nan, 0, 9, 9)], np.float32)
    np.testing.assert_array_equal(roi_levels(host, PYRAMID, rois), [-1, -1])
    np.testing.assert_array_equal(host.roi_align(PYRAMID, random_features(3), rois), 0)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.parametrize("place", range(4))
def test_coordinates_that_are_no_place_pool_to_finite_values(host, place, bad, mode):
    roi = np.array([[10, 20, 60, 70]], np.float32)
    roi[0, place] = bad
    for aligned in (0, 1):
        for sampling_ratio in (0, 2):
            operator = RoiAlignOperator(7, 7, (8,), sampling_ratio=sampling_ratio, aligned=aligned, mode=mode)
            pooled = host.roi_align(operator, random_features(2, strides=(8,)), roi)
            assert np.isfinite(pooled).all()
            if np.isnan(bad):
                np.testing.assert_array_equal(pooled, 0)


@pytest.mark.parametrize("index", [-1, 2, 2**31 - 1])
def test_an_image_that_does_not_exist_pools_to_zeros(host, index):
    features, rois = random_features(3, images=2), random_rois(3, seed=3)
    pooled = host.roi_align(PYRAMID, features, rois, np.array([0, index, 1]))
    np.testing.assert_array_equal(pooled[1], 0)
    assert pooled[0].any()
    assert pooled[2].any()


def test_no_regions(host):
    assert host.roi_align(PYRAMID, random_features(3), np.zeros((0, 4))).shape == (0, 3, 7, 7)
