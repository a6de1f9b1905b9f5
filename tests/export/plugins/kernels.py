"""The kernels over numpy arrays, fed with what the Python plugin would launch."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from maskrt.export.plugins import abi
from maskrt.export.plugins.abi import Storage
from maskrt.export.plugins.python_operators import DeformConvOperator, NmsOperator, RoiAlignOperator
from maskrt.export.plugins.python_tensors import HALF_CHANNELS_LAST, INTEGER, REAL, Tensors

PLUGINS = Path(abi.__file__).parent
KINDS = {Storage.FLOAT: REAL, Storage.HALF_CHANNELS_LAST: HALF_CHANNELS_LAST}


def pack(array: np.ndarray, storage: Storage) -> np.ndarray:
    """(N, C, H, W) float as it lies in memory; the padding of channels-last is NaN, which nothing may let through."""
    if storage is Storage.FLOAT:
        return np.ascontiguousarray(array, np.float32)
    half = np.ascontiguousarray(array, np.float16)
    n, channels, height, width = half.shape
    packed = np.full((n, height, width, -(-channels // 8) * 8), np.nan, np.float16)
    packed[..., :channels] = half.transpose(0, 2, 3, 1)
    return packed


def unpack(packed: np.ndarray, channels: int, storage: Storage) -> np.ndarray:
    """The reverse, of what a kernel has written."""
    if storage is not Storage.HALF_CHANNELS_LAST:
        return packed
    assert np.all(packed[..., channels:] == 0), "padding channels must be written as zeros"
    return np.ascontiguousarray(packed[..., :channels].transpose(0, 3, 1, 2))


class Kernels:
    """The operators over numpy arrays; a subclass launches what they are to run."""

    def launch_roi_align(
        self, params: abi.RoiAlignParams, storage: Storage, maximum: bool, backwards: bool
    ) -> None:
        raise NotImplementedError

    def launch_grouped_nms(self, params: abi.NmsParams, backwards: bool) -> None:
        raise NotImplementedError

    def launch_deform_conv(self, params: abi.DeformConvParams, storage: Storage, backwards: bool) -> None:
        raise NotImplementedError

    def roi_align(
        self,
        operator: RoiAlignOperator,
        features: list[np.ndarray],
        rois: np.ndarray,
        batch_indices: np.ndarray | None = None,
        storage: Storage = Storage.FLOAT,
        backwards: bool = False,
    ) -> np.ndarray:
        """Pooled (R, C, height, width), of the storage's type."""
        rois = np.ascontiguousarray(rois, np.float32).reshape(-1, 4)
        indices = np.zeros(len(rois)) if batch_indices is None else batch_indices
        indices = np.ascontiguousarray(indices, np.int32)
        packed = [pack(f, storage) for f in features]
        channels = features[0].shape[1]
        poison = np.full((len(rois), channels, operator.output_height, operator.output_width), 777.0)
        pooled = pack(poison, storage)
        shapes = [rois.shape, indices.shape, *(f.shape for f in features)]
        kinds = [REAL, INTEGER, *([KINDS[storage]] * len(features))]
        addresses = [a.ctypes.data for a in (rois, indices, *packed)]
        operator.check(shapes)
        ((_, params),) = operator.steps(Tensors(shapes, kinds, addresses, [pooled.ctypes.data], 0))
        self.launch_roi_align(params, storage, operator.mode == "max", backwards)
        return unpack(pooled, channels, storage)

    def grouped_nms(
        self,
        operator: NmsOperator,
        boxes: np.ndarray,
        scores: np.ndarray,
        groups: np.ndarray,
        backwards: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Indices (N, max_output) and counts (N,)."""
        scores = np.ascontiguousarray(scores, np.float32)
        groups = np.ascontiguousarray(groups, np.int32)
        boxes = np.ascontiguousarray(boxes, np.float32).reshape(*scores.shape, 4)
        images = len(scores)
        indices = np.full((images, operator.max_output), -7, np.int32)
        counts = np.full(images, -7, np.int32)
        shapes = [boxes.shape, scores.shape, groups.shape]
        operator.check(shapes)
        words = (operator.workspace_bytes(shapes) + 16) // 4
        workspace = np.arange(words, dtype=np.int32) % 61  # what an earlier launch left: plausible, and wrong
        aligned = -(-workspace.ctypes.data // 16) * 16
        addresses = [a.ctypes.data for a in (boxes, scores, groups)]
        outputs = [indices.ctypes.data, counts.ctypes.data]
        tensors = Tensors(shapes, [REAL, REAL, INTEGER], addresses, outputs, aligned)
        params = operator.steps(tensors)[0][1]
        self.launch_grouped_nms(params, backwards)
        return indices, counts

    def deform_conv(
        self,
        operator: DeformConvOperator,
        values: np.ndarray,
        others: list[np.ndarray],
        storage: Storage = Storage.FLOAT,
        backwards: bool = False,
    ) -> np.ndarray:
        """others: offsets, mask, weight, bias. Returns (N, O, h, w), of the storage's type."""
        others = [np.ascontiguousarray(each, np.float32) for each in others]
        packed, outputs = pack(values, storage), others[2].shape[0]
        poison = np.full((len(values), outputs, *others[1].shape[2:]), 777.0)
        output = pack(poison, storage)
        shapes = [values.shape, *(each.shape for each in others)]
        operator.check(shapes)
        addresses = [a.ctypes.data for a in (packed, *others)]
        tensors = Tensors(shapes, [KINDS[storage], *[REAL] * 4], addresses, [output.ctypes.data], 0)
        ((_, params),) = operator.steps(tensors)
        self.launch_deform_conv(params, storage, backwards)
        return unpack(output, outputs, storage)


class HostKernels(Kernels):
    """The block programs of the kernels, run thread by thread."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.maskrt_host_nms_image_bytes.restype = ctypes.c_size_t
        self.library.maskrt_host_level_threshold.restype = ctypes.c_float
        self.library.maskrt_host_float_from_half.restype = ctypes.c_float
        self.library.maskrt_host_half_from_float.argtypes = [ctypes.c_float]
        self.library.maskrt_host_half_from_float.restype = ctypes.c_ushort

    def launch_roi_align(self, params, storage, maximum, backwards):
        self.library.maskrt_host_roi_align(ctypes.byref(params), int(storage), maximum, backwards)

    def launch_grouped_nms(self, params, backwards):
        self.library.maskrt_host_grouped_nms(ctypes.byref(params), backwards)

    def launch_deform_conv(self, params, storage, backwards):
        self.library.maskrt_host_deform_conv(ctypes.byref(params), int(storage), backwards)
