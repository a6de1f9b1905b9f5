"""The operators for the Python plugin: attributes, checks and launches, without TensorRT's classes.

They do what roi_align_operator.cpp, nms_operator.cpp and deform_conv_operator.cpp do, on a machine that
cannot compile these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from maskrt.export.plugins import abi
from maskrt.export.plugins.python_tensors import (
    INTEGER,
    REAL,
    STORAGE,
    Shape,
    Step,
    TensorKind,
    Tensors,
    expect,
)


def read_fields(operator: Any, fields: Mapping[str, np.ndarray]) -> Any:
    """Create an operator from plugin fields: numbers are arrays, text is bytes, unknown names are ignored."""
    values: dict[str, Any] = {}
    for name, kind in operator.KINDS.items():
        if name not in fields:
            continue
        array = np.asarray(fields[name])
        if kind is str:
            values[name] = array.tobytes().decode().rstrip("\0")
        elif kind is tuple:
            values[name] = tuple(int(v) for v in array.ravel())
        else:
            values[name] = kind(array.ravel()[0])
    missing = [name for name in operator.REQUIRED if name not in values]
    got = f"attribute '{', '.join(missing)}' is missing"
    expect(not missing, operator.NAME, got, "the node to carry it")
    return operator(**values)


def write_fields(operator: Any) -> dict[str, np.ndarray]:
    """The reverse of `read_fields`."""
    types = {str: np.int8, tuple: np.int32, int: np.int32, float: np.float32}
    fields = {}
    for name, value in asdict(operator).items():
        kind = operator.KINDS[name]
        values = list(value.encode()) if kind is str else value
        fields[name] = np.atleast_1d(np.array(values, types[kind]))
    return fields


@dataclass(frozen=True)
class RoiAlignOperator:
    """Pool RoIs from the levels of a feature pyramid (roi_align_core.h)."""

    NAME: ClassVar = "PyramidRoiAlign"
    OUTPUTS: ClassVar = 1
    REQUIRED: ClassVar = ("output_height", "output_width", "strides")
    KINDS: ClassVar = {
        "output_height": int,
        "output_width": int,
        "sampling_ratio": int,
        "aligned": int,
        "canonical_level": int,
        "strides": tuple,
        "canonical_scale": float,
        "method": str,
        "mode": str,
    }

    output_height: int
    output_width: int
    strides: tuple[int, ...]
    sampling_ratio: int = 0
    aligned: int = 0
    method: str = "align"
    mode: str = "avg"
    canonical_scale: float = 224.0
    canonical_level: int = 4

    def __post_init__(self) -> None:
        for name in ("output_height", "output_width"):
            bins = getattr(self, name)
            expect(1 <= bins <= abi.MAX_BINS, self.NAME, f"{name} is {bins}", f"1 to {abi.MAX_BINS}")
        ratio, scale = self.sampling_ratio, self.canonical_scale
        expect(ratio <= 1024, self.NAME, f"sampling_ratio is {ratio}", "0 to 1024")
        expect(self.aligned in (0, 1), self.NAME, f"aligned is {self.aligned}", "0 or 1")
        known = f"one of {abi.METHODS}"
        expect(self.method in abi.METHODS, self.NAME, f"method is '{self.method}'", known)
        modes = {"pool": ("max",), "crop": ("avg",)}.get(self.method, ("avg", "max"))
        expected = " or ".join(f"'{mode}'" for mode in modes) + f" with method '{self.method}'"
        expect(self.mode in modes, self.NAME, f"mode is '{self.mode}'", expected)
        expect(scale > 0, self.NAME, f"canonical_scale is {scale}", "a positive size")
        powers = all(stride > 0 and stride & (stride - 1) == 0 for stride in self.strides)
        ascending = list(self.strides) == sorted(set(self.strides))
        expect(
            1 <= len(self.strides) <= abi.MAX_LEVELS and powers and ascending,
            self.NAME, f"strides is {self.strides}", "1 to 5 powers of two, ascending, one a feature map",
        )  # fmt: skip

    def output_types(self, inputs: Sequence[Any], integer: Any) -> list[Any]:
        """The pooled values have the features' type."""
        return [inputs[2]]

    def output_shapes(self, inputs: Sequence[Shape]) -> list[list[Any]]:
        """(R, C, output_height, output_width); a new dimension is a plain int."""
        levels = len(self.strides)
        expect(
            len(inputs) == 2 + levels and len(inputs[0]) == 2 and len(inputs[2]) == 4,
            self.NAME, f"the node has {len(inputs)} inputs, with {[len(s) for s in inputs]} dimensions",
            f"rois (R, 4), batch_indices (R,) and {levels} feature maps (N, C, H, W)",
        )  # fmt: skip
        return [[inputs[0][0], inputs[2][1], self.output_height, self.output_width]]

    def supports(self, position: int, kinds: Sequence[TensorKind]) -> bool:
        """True if the tensor at `position`, inputs first, may be of this kind, given those before it."""
        if position < 2:
            return kinds[position] == (REAL, INTEGER)[position]
        return kinds[position] in STORAGE if position == 2 else kinds[position] == kinds[2]

    def check(self, inputs: Sequence[Shape], exact: bool = True) -> None:
        """Raise for shapes that do not fit together; of upper bounds only ranks and constants are checked."""
        self.output_shapes(inputs)
        rois, indices, first = (tuple(shape) for shape in inputs[:3])
        expect(rois[1] == 4, self.NAME, f"rois are {rois}", "(R, 4)")
        one_each = len(indices) == 1 and (not exact or indices == rois[:1])
        expect(one_each, self.NAME, f"batch_indices are {indices} for rois {rois}", "one a RoI")
        for i, shape in enumerate(inputs[2:]):
            together = len(shape) == 4 and shape[1] == first[1] and (not exact or shape[0] == first[0])
            got = f"feature map {i} is {tuple(shape)}"
            expect(together, self.NAME, f"{got}, the first {first}", "(N, C, H, W) with the same N and C")
            fits = not exact or 2 * (shape[1] + 7) * shape[2] * shape[3] < abi.MAX_IMAGE_BYTES
            expect(fits, self.NAME, f"an image of {got}", "less than 4 GiB")

    def workspace_bytes(self, inputs: Sequence[Shape]) -> int:
        """None is needed."""
        return 0

    def steps(self, tensors: Tensors) -> list[Step]:
        """The kernel launches, in order."""
        params = abi.RoiAlignParams()
        abi.set_pyramid(params, self.strides, self.canonical_scale, self.canonical_level)
        params.rois, params.batch_indices, *features = tensors.inputs
        params.pooled = tensors.outputs[0]
        params.count, (params.batch, params.channels) = tensors.shapes[0][0], tensors.shapes[2][:2]
        for i, (address, shape) in enumerate(zip(features, tensors.shapes[2:], strict=True)):
            params.features[i], params.heights[i], params.widths[i] = address, shape[2], shape[3]
        params.output_height, params.output_width = self.output_height, self.output_width
        params.sampling_ratio, params.aligned = self.sampling_ratio, self.aligned
        params.method = abi.METHODS.index(self.method)
        return [(abi.roi_align_launch(params, STORAGE[tensors.kinds[2]], self.mode), params)]


@dataclass(frozen=True)
class NmsOperator:
    """Greedy non-maximum suppression within groups (nms_core.h)."""

    NAME: ClassVar = "GroupedNms"
    OUTPUTS: ClassVar = 2
    REQUIRED: ClassVar = ("iou_threshold", "score_threshold", "max_output", "num_groups")
    KINDS: ClassVar = {"iou_threshold": float, "score_threshold": float, "max_output": int, "num_groups": int}

    iou_threshold: float
    score_threshold: float
    max_output: int
    num_groups: int

    def __post_init__(self) -> None:
        expect(self.max_output >= 1, self.NAME, f"max_output is {self.max_output}", "at least 1")
        known = 1 <= self.num_groups <= abi.MAX_GROUPS
        expect(known, self.NAME, f"num_groups is {self.num_groups}", f"1 to {abi.MAX_GROUPS}")

    def output_types(self, inputs: Sequence[Any], integer: Any) -> list[Any]:
        """Indices and counts are int32."""
        return [integer, integer]

    def output_shapes(self, inputs: Sequence[Shape]) -> list[list[Any]]:
        """indices (N, max_output) and counts (N,)."""
        dims = [len(shape) for shape in inputs]
        got = f"inputs have {dims} dimensions"
        expect(dims == [3, 2, 2], self.NAME, got, "boxes (N, R, 4), scores and groups (N, R)")
        return [[inputs[0][0], self.max_output], [inputs[0][0]]]

    def supports(self, position: int, kinds: Sequence[TensorKind]) -> bool:
        """Boxes and scores are float32, all else is int32, and everything is linear."""
        return kinds[position] == (REAL if position < 2 else INTEGER)

    def check(self, inputs: Sequence[Shape], exact: bool = True) -> None:
        """Raise for shapes that do not fit together, or for too many rows; of upper bounds as above."""
        self.output_shapes(inputs)
        boxes, scores, groups = (tuple(shape) for shape in inputs)
        got = f"boxes are {boxes}, scores {scores}, groups {groups}"
        together = boxes[2] == 4 and (not exact or scores == groups == boxes[:2])
        expect(together, self.NAME, got, "(N, R, 4), (N, R) and (N, R)")
        few = f"at most {abi.MAX_ROWS} rows an image; keep the best ones first (TopK)"
        expect(not exact or boxes[1] <= abi.MAX_ROWS, self.NAME, got, few)

    def workspace_bytes(self, inputs: Sequence[Shape]) -> int:
        """Bytes of device memory for inputs as large as these."""
        return inputs[0][0] * abi.nms_image_bytes(inputs[0][1], self.num_groups)

    def steps(self, tensors: Tensors) -> list[Step]:
        """The kernel launches, in order."""
        batch, rows = tensors.shapes[1]
        addresses = (*tensors.inputs, *tensors.outputs, tensors.workspace)
        thresholds = (self.iou_threshold, self.score_threshold)
        params = abi.NmsParams(*addresses, *thresholds, batch, rows, self.num_groups, self.max_output)
        return [(launch, params) for launch in abi.nms_launches(params)]


@dataclass(frozen=True)
class DeformConvOperator:
    """A convolution whose samples are moved and weighed (deform_conv_core.h)."""

    NAME: ClassVar = "DeformConv"
    OUTPUTS: ClassVar = 1
    REQUIRED: ClassVar = ("kernel", "stride", "padding")
    KINDS: ClassVar = {"kernel": int, "stride": int, "padding": int}

    kernel: int
    stride: int
    padding: int

    def __post_init__(self) -> None:
        bounds = {
            "kernel": (1, abi.MAX_KERNEL),
            "stride": (1, abi.MAX_STRIDE),
            "padding": (0, abi.MAX_PADDING),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            expect(least <= value <= most, self.NAME, f"{name} is {value}", f"{least} to {most}")

    def output_types(self, inputs: Sequence[Any], integer: Any) -> list[Any]:
        """The output has the values' type."""
        return [inputs[0]]

    def output_shapes(self, inputs: Sequence[Shape]) -> list[list[Any]]:
        """(N, O, h, w)."""
        dims = [len(shape) for shape in inputs]
        expected = "values (N, C, H, W), offsets, mask and weight of 4 dimensions, and bias (O,)"
        expect(dims == [4, 4, 4, 4, 1], self.NAME, f"inputs have {dims} dimensions", expected)
        return [[inputs[0][0], inputs[3][0], *list(inputs[2])[2:]]]

    def supports(self, position: int, kinds: Sequence[TensorKind]) -> bool:
        """Values and output have one of the kernels' layouts, the same one; all else is float32."""
        if position == 0:
            return kinds[0] in STORAGE
        return kinds[position] == (REAL if position < 5 else kinds[0])

    def check(self, inputs: Sequence[Shape], exact: bool = True) -> None:
        """Raise for shapes that do not fit together; of upper bounds as above."""
        self.output_shapes(inputs)
        values, offsets, mask, weight, bias = (tuple(shape) for shape in inputs)
        got = f"values are {values}, offsets {offsets}, mask {mask}, weight {weight}, bias {bias}"
        taps = self.kernel**2
        samples = (offsets[1], mask[1], *weight[2:]) == (2 * taps, taps, self.kernel, self.kernel)
        expected = f"2K offsets and K values of the mask a place, with K = kernel^2 = {taps}"
        expect(samples, self.NAME, got, expected)
        expected = "weight (O, C, kernel, kernel) and bias (O,) for C channels: one group"
        expect((weight[1], bias[0]) == (values[1], weight[0]), self.NAME, got, expected)
        if not exact:
            return
        moves = [side + 2 * self.padding - self.kernel for side in values[2:]]
        places = tuple(move // self.stride + 1 for move in moves)
        together = min(moves) >= 0 and offsets[2:] == mask[2:] == places
        together = together and values[0] == offsets[0] == mask[0]
        expected = f"offsets and mask for each image and each place of the output: {self}"
        expect(together, self.NAME, got, expected)
        cells = max(values[2] * values[3], mask[2] * mask[3])
        few = (
            cells <= abi.MAX_CELLS and values[0] * -(-weight[0] // abi.TILE_OUTPUTS) <= abi.MAX_BLOCKS_ALONG_Y
        )
        expected = f"at most {abi.MAX_CELLS} cells of a map, and {abi.MAX_BLOCKS_ALONG_Y} times "
        expected += f"{abi.TILE_OUTPUTS} channels of the output over the batch"
        expect(few, self.NAME, got, expected)

    def workspace_bytes(self, inputs: Sequence[Shape]) -> int:
        """None is needed."""
        return 0

    def steps(self, tensors: Tensors) -> list[Step]:
        """The kernel launch."""
        (batch, channels, height, width), _, mask, weight, _ = tensors.shapes
        sizes = (batch, channels, height, width, weight[0], *mask[2:])
        attributes = (self.kernel, self.stride, self.padding)
        params = abi.DeformConvParams(*tensors.inputs, *tensors.outputs, *sizes, *attributes)
        return [(abi.deform_conv_launch(params, STORAGE[tensors.kinds[0]]), params)]


OPERATORS = (RoiAlignOperator, NmsOperator, DeformConvOperator)
