"""What each layer of TensorRT computes (NvInfer.h), in torch, and the types of its outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

from tests.tensorrt.parsed import maps
from tests.tensorrt.parsed.maps import Inputs, Parameters
from tests.tensorrt.parsed.plugins import plugin
from tests.tensorrt.parsed.types import DTYPES, DataType

NUM_OUTPUTS = {"TopK": 2, "NMS": 2}
TOPK_LIMIT = 3840  # INetworkDefinition::addTopK

ELEMENTWISE: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    torch.add, torch.mul, torch.maximum, torch.minimum, torch.sub,
    lambda a, b: a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc"),
    torch.pow, lambda a, b: torch.div(a, b, rounding_mode="floor"),
    torch.logical_and, torch.logical_or, torch.logical_xor, torch.eq, torch.gt, torch.lt,
)  # fmt: skip
COMPARISONS = range(8, 14)
UNARY: dict[int, Callable[[Tensor], Tensor]] = {
    0: torch.exp, 1: torch.log, 2: torch.sqrt, 3: torch.reciprocal, 4: torch.abs, 5: torch.neg,
    17: torch.ceil, 18: torch.floor, 19: torch.erf, 20: torch.logical_not, 21: torch.sign, 22: torch.round,
}  # fmt: skip
REDUCE: tuple[Callable[..., Tensor], ...] = (torch.sum, torch.prod, torch.amax, torch.amin, torch.mean)


def _axes(mask: int) -> list[int]:
    return [axis for axis in range(8) if mask >> axis & 1]


def _same_rank(*tensors: Tensor) -> None:
    if len({tensor.ndim for tensor in tensors}) > 1:
        raise ValueError(f"ranks differ: {[tuple(t.shape) for t in tensors]}")


def constant(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IConstantLayer."""
    values = torch.empty(0) if p["weights"] is None else torch.from_numpy(p["weights"])
    return [values.reshape(p["dimensions"])]


def elementwise(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IElementWiseLayer: extents of 1 are broadcast, ranks must be the same."""
    _same_rank(x[0], x[1])
    return [ELEMENTWISE[p["op"]](x[0], x[1])]


def reduce(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IReduceLayer."""
    result, operation = x[0], REDUCE[p["operation"]]
    for axis in reversed(_axes(p["reduceAxes"])):
        result = operation(result, axis, keepdim=bool(p["keepDimensions"]))
    return [result]


def shuffle(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IShuffleLayer: transpose, reshape (0: as it was, -1: what is left), transpose."""
    result = x[0]
    if "firstTranspose" in p:
        result = result.permute(p["firstTranspose"][: result.ndim])
    wanted = x[1].tolist() if 1 in x else p.get("reshapeDimensions")
    if wanted is not None:
        if p.get("zeroIsPlaceholder", True):
            wanted = [result.shape[axis] if extent == 0 else extent for axis, extent in enumerate(wanted)]
        result = result.reshape(wanted)
    if "secondTranspose" in p:
        result = result.permute(p["secondTranspose"][: result.ndim])
    return [result]


def slice_(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """ISliceLayer: start, size and stride of each axis; outside there is nothing, or the fill value."""
    start, size, stride = (
        x[i].tolist() if i in x else p[name] for i, name in ((1, "start"), (2, "size"), (3, "stride"))
    )
    result, fills = x[0], p.get("mode", 0) == 3
    if p.get("mode", 0) not in (0, 3):
        raise ValueError(f"slice mode {p['mode']} is not known here")
    for axis, (first, count, step) in enumerate(zip(start, size, stride, strict=True)):
        at = first + torch.arange(count) * step
        outside = (at < 0) | (at >= result.shape[axis])
        if outside.any() and not fills:
            raise ValueError(
                f"a slice of axis {axis}: {first} + {count} x {step}, extent {result.shape[axis]}"
            )
        result = result.index_select(axis, at.masked_fill(outside, 0))
        if outside.any():
            fill = x[4].reshape(()).to(result.dtype) if 4 in x else torch.zeros((), dtype=result.dtype)
            result = torch.where(outside.reshape([-1] + [1] * (result.ndim - axis - 1)), fill, result)
    return [result]


def gather(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IGatherLayer. A negative index is out of bounds."""
    data, indices = x[0], x[1]
    mode, batch = p.get("mode", 0), p.get("nbElementWiseDims", 0)
    axis = p.get("gatherAxis", p.get("axis", 0))
    if indices.numel() and int(indices.min()) < 0:
        raise ValueError("a gather with a negative index")
    if mode == 1:
        return [data.gather(axis, indices)]
    if mode == 2:
        if batch:
            flat = zip(data.flatten(0, batch - 1), indices.flatten(0, batch - 1), strict=True)
            rows = torch.stack([one[tuple(at.movedim(-1, 0))] for one, at in flat])
            return [rows.reshape((*data.shape[:batch], *rows.shape[1:]))]
        return [data[tuple(indices.movedim(-1, 0))]]
    if batch:
        return [torch.stack([one.index_select(axis - 1, at) for one, at in zip(data, indices, strict=True)])]
    rows = data.index_select(axis, indices.reshape(-1))
    return [rows.reshape((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]))]


def scatter(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IScatterLayer."""
    result = x[0].clone()
    if p["mode"] == 0:
        return [result.scatter_(p.get("axis", 0), x[1], x[2])]
    result[tuple(x[1].movedim(-1, 0))] = x[2]
    return [result]


def topk(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """ITopKLayer: of equal values the first comes first."""
    (axis,) = _axes(p["reduceAxes"])
    k = int(x[1]) if 1 in x else p["k"]
    if not 0 < k <= TOPK_LIMIT or x[0].ndim < 2:
        raise ValueError(f"TopK of {tuple(x[0].shape)}, k={k}: at least 2 axes, and k at most {TOPK_LIMIT}")
    values, indices = x[0].sort(dim=axis, descending=p["op"] == 0, stable=True)
    return [values.narrow(axis, 0, k), indices.narrow(axis, 0, k)]


def matrix_multiply(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IMatrixMultiplyLayer, of matrices."""
    _same_rank(x[0], x[1])
    first, second = (x[i].mT if p[f"op{i}"] == 1 else x[i] for i in (0, 1))
    return [first @ second]


def select(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """ISelectLayer."""
    _same_rank(*x.values())
    return [torch.where(x[0], x[1], x[2])]


def softmax(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """ISoftMaxLayer: over one axis."""
    (axis,) = _axes(p["axes"])
    return [x[0].softmax(axis)]


def fill(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IFillLayer: alpha at the origin, beta more a step."""
    dims = x[0].tolist() if 0 in x else p["dimensions"]
    if p["op"] != 0:
        raise ValueError("a fill with random numbers")
    alpha = x[1].reshape(()) if 1 in x else torch.tensor(p.get("alpha", 0.0))
    beta = x[2].reshape(-1) if 2 in x else torch.full((len(dims),), p.get("beta", 1.0))
    result = torch.zeros(dims, dtype=alpha.dtype) + alpha
    for axis, extent in enumerate(dims):
        steps = torch.arange(extent).reshape([-1 if i == axis else 1 for i in range(len(dims))])
        result = result + steps * beta[axis]
    return [result]


def non_zero(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """INonZeroLayer: (rank, count), in row-major order. What is spare is found at the origin."""
    found = x[0].nonzero().T
    return [torch.cat([found, found.new_zeros(len(found), spare)], 1)]


def nms(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """INMSLayer: rows of (image, class, box) by image, class and descending score. Boxes: as corners."""
    boxes, scores, most = x[0], x[1], int(x[2])
    overlap, least = (float(x[i]) if i in x else 0.0 for i in (3, 4))
    rows = []
    for image, class_ in torch.cartesian_prod(
        torch.arange(len(boxes)), torch.arange(scores.shape[2])
    ).tolist():
        score = scores[image, :, class_]
        above = (score > least).nonzero()[:, 0]
        kept = above[torchvision_nms(boxes[image, above], score[above], overlap)][:most]
        rows.append(torch.stack([torch.full_like(kept, image), torch.full_like(kept, class_), kept], 1))
    found = torch.cat([*rows, torch.zeros((spare, 3), dtype=torch.long)])
    return [found, torch.tensor(len(found))]


def output_types(kind: str, p: Parameters, given: list[DataType], wide: bool) -> list[DataType]:
    """At the time the network is defined, where the layer's own setOutputType says nothing.

    wide: by the rules of TensorRT 10, which knows INT64.
    """
    if kind == "Plugin" and wide:
        return [DataType(t) for t in p["plugin"]["types"]]
    if kind == "Plugin":  # 8.6 counts a half output of a V2 plugin as float32 until it builds
        return [DataType.FLOAT if t == DataType.HALF else DataType(t) for t in p["plugin"]["types"]]
    if kind == "Constant":
        weights = p["weights"]
        return [
            DataType.FLOAT if weights is None else next(k for k, d in DTYPES.items() if d == weights.dtype)
        ]
    if kind == "Cast":
        return [DataType(p["toType"])]
    if kind == "TopK":
        return [given[0], DataType.INT32]
    if kind == "NMS":
        return [DataType.INT32, DataType.INT32]
    if kind == "Shape":
        return [DataType.INT64 if wide else DataType.INT32]
    if kind == "NonZero":
        return [DataType.INT32]
    if kind in ("Quantize", "Dequantize", "Fill") and "outputType" in p:
        return [DataType(p.get("toType", p["outputType"]))]
    if kind == "Quantize":
        return [DataType.INT8]
    if kind == "Dequantize":
        return [given[1] if wide else DataType.FLOAT]
    if kind == "Fill":
        return [given[1] if len(given) > 1 else DataType.FLOAT]
    if kind == "Select":
        return [given[1]]
    if kind == "ElementWise" and p["op"] in COMPARISONS:
        return [DataType.BOOL]
    return [given[0]]


COMPUTE: dict[str, Callable[[Parameters, Inputs, int], list[Tensor]]] = {
    "Activation": maps.activation,
    "Cast": lambda p, x, spare: [x[0]],
    "Concatenation": lambda p, x, spare: [torch.cat([x[i] for i in sorted(x)], p.get("axis", 0))],
    "Constant": constant,
    "Convolution": maps.convolution,
    "Deconvolution": maps.deconvolution,
    "Dequantize": maps.dequantise,
    "ElementWise": elementwise,
    "Fill": fill,
    "Gather": gather,
    "Identity": lambda p, x, spare: [x[0]],
    "MatrixMultiply": matrix_multiply,
    "NMS": nms,
    "NonZero": non_zero,
    "Plugin": plugin,
    "Pooling": maps.pooling,
    "Quantize": maps.quantise,
    "Reduce": reduce,
    "Resize": maps.resize,
    "Scale": maps.scale,
    "Scatter": scatter,
    "Select": select,
    "Shape": lambda p, x, spare: [torch.tensor(x[0].shape)],
    "Shuffle": shuffle,
    "Slice": slice_,
    "SoftMax": softmax,
    "TopK": topk,
    "Unary": lambda p, x, spare: [UNARY[p["operation"]](x[0])],
}
