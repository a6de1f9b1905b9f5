"""Parameter blocks and launch sizes of the CUDA kernels, as in the C++ headers beside this file.

The Python plugin launches the kernels with these; a test compares every number with the compiled headers.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

METHODS = ("align", "warp", "pool", "crop")  # by their number in roi_align_core.h: Method
MAX_LEVELS = 5
MAX_BINS = 64
MAX_IMAGE_BYTES = 1 << 32  # of a feature map in half precision, its channels padded to a multiple of 8
MAX_ROWS = 32768
MAX_GROUPS = 131071
WORD_BITS = 64
MAX_KERNEL, MAX_STRIDE, MAX_PADDING = 64, 1024, 1024  # of a deformable convolution
MAX_CELLS = 1 << 30
MAX_BLOCKS_ALONG_Y = 65535  # CUDA C++ Programming Guide, technical specifications: y-dimension of a grid
TILE_OUTPUTS = 128


class Storage(IntEnum):
    """How features lie in memory (storage.h): float32 linear, or half channels-last by 8."""

    FLOAT = 0
    HALF_CHANNELS_LAST = 1


KINDS = {Storage.FLOAT: "float_linear", Storage.HALF_CHANNELS_LAST: "half_channels_last"}


class RoiAlignParams(ctypes.Structure):
    """roi_align_core.h: RoiAlignParams."""

    _fields_ = [
        ("features", ctypes.c_void_p * MAX_LEVELS),
        ("rois", ctypes.c_void_p),
        ("batch_indices", ctypes.c_void_p),
        ("pooled", ctypes.c_void_p),
        ("heights", ctypes.c_int * MAX_LEVELS),
        ("widths", ctypes.c_int * MAX_LEVELS),
        ("scales", ctypes.c_float * MAX_LEVELS),
        ("level_thresholds", ctypes.c_float * MAX_LEVELS),
        ("canonical_scale", ctypes.c_float),
        ("levels", ctypes.c_int),
        ("count", ctypes.c_int),
        ("batch", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("output_height", ctypes.c_int),
        ("output_width", ctypes.c_int),
        ("sampling_ratio", ctypes.c_int),
        ("aligned", ctypes.c_int),
        ("method", ctypes.c_int),
    ]


class NmsParams(ctypes.Structure):
    """nms_core.h: NmsParams."""

    _fields_ = [
        ("boxes", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
        ("groups", ctypes.c_void_p),
        ("indices", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("iou_threshold", ctypes.c_float),
        ("score_threshold", ctypes.c_float),
        ("batch", ctypes.c_int),
        ("rows", ctypes.c_int),
        ("num_groups", ctypes.c_int),
        ("max_output", ctypes.c_int),
    ]


class DeformConvParams(ctypes.Structure):
    """deform_conv_core.h: DeformConvParams."""

    _fields_ = [
        ("values", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
        ("batch", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("outputs", ctypes.c_int),
        ("output_height", ctypes.c_int),
        ("output_width", ctypes.c_int),
        ("kernel", ctypes.c_int),
        ("stride", ctypes.c_int),
        ("padding", ctypes.c_int),
    ]


@dataclass(frozen=True)
class Launch:
    """One kernel launch: blocks along x and y, threads of a block."""

    kernel: str
    x: int
    y: int
    threads: int


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def level_threshold(level: int, canonical_level: int) -> float:
    """Smallest float32 sqrt(area) / canonical_scale of `level` or a coarser one (roi_align_levels.h)."""
    one = np.float32

    def reaches(ratio: np.float32) -> bool:
        return math.floor(one(canonical_level) + one(math.log2(float(ratio))) + one(1e-6)) >= level

    ratio = one(2.0) ** one(level - canonical_level)
    while reaches(below := np.nextafter(ratio, one(0.0))):
        ratio = below
    return float(ratio)


def set_pyramid(
    params: RoiAlignParams, strides: Sequence[int], canonical_scale: float, canonical_level: int
) -> None:
    """Fill in what follows from the strides (powers of two, ascending)."""
    params.levels = len(strides)
    params.canonical_scale = canonical_scale
    for i, stride in enumerate(strides):
        params.scales[i] = 1.0 / stride
        params.level_thresholds[i] = level_threshold(stride.bit_length() - 1, canonical_level)


def roi_align_launch(params: RoiAlignParams, storage: Storage, mode: str) -> Launch:
    """roi_align_block.h: roi_align_grid."""
    last = storage is Storage.HALF_CHANNELS_LAST
    groups = _ceil_div(params.channels, 8 if last else 1)
    per_block, limit = (16, 224) if last else (64, 256)
    width = min(min(groups, per_block) if last else params.output_height * params.output_width, limit)
    threads = _ceil_div(limit // width * width, 32) * 32
    kernel = f"maskrt_roi_align_{KINDS[storage]}_{mode}"
    return Launch(kernel, params.count, _ceil_div(groups, per_block), threads)


def deform_conv_launch(params: DeformConvParams, storage: Storage) -> Launch:
    """deform_conv_block.h: deform_conv_grid."""
    places = params.output_height * params.output_width
    slices = params.batch * _ceil_div(params.outputs, TILE_OUTPUTS)
    return Launch(f"maskrt_deform_conv_{KINDS[storage]}", _ceil_div(places, 16), slices, TILE_OUTPUTS)


def nms_launches(params: NmsParams) -> list[Launch]:
    """nms_block.h: the four launches, in order."""
    count, chunks = max(_ceil_div(params.rows, 32), 1), _ceil_div(params.rows, WORD_BITS)
    return [
        Launch("maskrt_nms_rank", count, params.batch, 512),
        Launch("maskrt_nms_mask", chunks * chunks, params.batch, 64),
        Launch("maskrt_nms_sweep", params.num_groups, params.batch, 512),
        Launch("maskrt_nms_emit", count, params.batch, 512),
    ]


def nms_image_bytes(rows: int, num_groups: int) -> int:
    """nms_core.h: work space of one image."""
    unpadded = rows * (16 + 8 * _ceil_div(rows, WORD_BITS) + 12) + 4 * (2 * num_groups + 1)
    return _ceil_div(unpadded, 16) * 16
