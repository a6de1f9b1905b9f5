"""What the emulated kernels are held to, case by case: the host build's bits.

`python -m tests.export.plugins.emulation_cases EMULATED HOST LATE DROPPED CASE ...` does it in a process of its own,
for a library with a sanitizer or a fault in it; exit code 1: a case differs.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np

from maskrt.export.plugins.abi import Storage
from maskrt.export.plugins.python_operators import DeformConvOperator, NmsOperator, RoiAlignOperator
from tests.export.plugins.emulation import EmulatedKernels
from tests.export.plugins.kernels import HostKernels, Kernels

CANVAS, STRIDES = (256, 320), (4, 8, 16, 32)  # height, width
METHODS = ("align_avg", "align_max", "warp_avg", "warp_max", "pool_max", "crop_avg")


def suppress(kernels: Kernels, images: int, rows: int, groups: int, outputs: int) -> list[np.ndarray]:
    """NMS over boxes that overlap, with scores of which many are equal."""
    rng = np.random.default_rng(rows)
    corner = rng.uniform(0, 40 * np.sqrt(rows / groups), (images, rows, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 90, (images, rows, 2))], axis=2)
    scores = rng.integers(0, 40, (images, rows)) / 40
    operator = NmsOperator(0.4, 0.1, outputs, groups)
    return list(kernels.grouped_nms(operator, boxes, scores, rng.integers(-1, groups + 1, (images, rows))))


def pool(
    kernels: Kernels,
    storage: Storage,
    roi_pool: str = "align_avg",
    sampling_ratio: int = 2,
    aligned: int = 0,
    size: tuple[int, int] = (7, 6),
    channels: int = 13,
    count: int = 12,
) -> list[np.ndarray]:
    """RoIs of two images and all levels, beside and across the borders, inverted, empty, and of no image."""
    rng = np.random.default_rng(channels)
    maps = [rng.standard_normal((2, channels, CANVAS[0] // s, CANVAS[1] // s)) for s in STRIDES]
    corner = rng.uniform(-30, 300, (count, 2))
    rois = np.concatenate([corner, corner + np.exp(rng.uniform(0, 6.5, (count, 2)))], axis=1)
    rois[:4] = [(90, 20, 40, 70), (60, 60, 60, 60), (-300, -200, -120, -90), (-900, -1100, 1500, 1300)]
    batch = np.arange(count) % 2
    batch[4:6] = (-1, 2)
    method, mode = roi_pool.split("_")
    operator = RoiAlignOperator(
        *size, STRIDES, sampling_ratio=sampling_ratio, aligned=aligned, method=method, mode=mode
    )
    return [kernels.roi_align(operator, maps, rois, batch, storage)]


def deform(
    kernels: Kernels, storage: Storage, operator: DeformConvOperator, outputs: int
) -> list[np.ndarray]:
    """Two images of 13 channels, 9 x 11; samples leave the map, and one place is no number."""
    rng = np.random.default_rng(outputs)
    taps, sides = operator.kernel**2, (9, 11)
    moves = [side + 2 * operator.padding - operator.kernel for side in sides]
    places = [move // operator.stride + 1 for move in moves]
    offsets = rng.normal(0, 3, (2, 2 * taps, *places))
    offsets[0, 0, 0, 0] = np.nan
    mask, weight = rng.random((2, taps, *places)), rng.standard_normal((outputs, 13, *[operator.kernel] * 2))
    others = [offsets, mask, weight, rng.standard_normal(outputs)]
    return [kernels.deform_conv(operator, rng.standard_normal((2, 13, *sides)), others, storage)]


CASES = {
    "nms 2 images": lambda kernels: suppress(kernels, 2, 100, 3, 40),
    "nms 1 row": lambda kernels: suppress(kernels, 1, 1, 1, 3),
    "nms no rows": lambda kernels: suppress(kernels, 2, 0, 2, 3),
    "nms 9 groups": lambda kernels: suppress(kernels, 1, 200, 9, 300),
    **{
        f"roi_align {storage.name} {method} ratio {ratio}": lambda kernels, storage=storage, method=method, ratio=ratio: (
            pool(kernels, storage, method, ratio, aligned=ratio == 0)
        )
        for storage, method, ratio in itertools.product(Storage, METHODS, (0, 2))
    },
    "roi_align aligned": lambda kernels: pool(kernels, Storage.FLOAT, aligned=1),
    **{
        f"roi_align {storage.name} many samples": lambda kernels, storage=storage: pool(
            kernels, storage, sampling_ratio=11, size=(14, 14), count=6
        )
        for storage in Storage
    },
    **{
        f"deform_conv {storage.name}": lambda kernels, storage=storage: deform(
            kernels, storage, DeformConvOperator(3, 1, 1), 11
        )
        for storage in Storage
    },
}
WIDE = {
    **{
        f"deform_conv {storage.name} 5x5, two slices": lambda kernels, storage=storage: deform(
            kernels, storage, DeformConvOperator(5, 2, 1), 140
        )
        for storage in Storage
    },
    "nms a second tile": lambda kernels: suppress(kernels, 1, 2070, 60, 300),
    "nms 5 levels of 1000": lambda kernels: suppress(kernels, 1, 5000, 5, 1000),
    "nms 2 images, 40 chunks": lambda kernels: suppress(kernels, 2, 2500, 20, 300),
    **{
        f"roi_align {storage.name} {size}x{size}": lambda kernels, storage=storage, size=size: pool(
            kernels, storage, size=(size, size), channels=256, count=60
        )
        for storage, size in itertools.product(Storage, (7, 14))
    },
}


def same(case: str, emulated: Kernels, host: Kernels) -> bool:
    """Bit for bit, whatever the case gives."""
    run = {**CASES, **WIDE}[case]
    return all(a.tobytes() == b.tobytes() for a, b in zip(run(emulated), run(host), strict=True))


if __name__ == "__main__":
    library, shim, late, dropped, *cases = sys.argv[1:]
    emulated = EmulatedKernels(Path(library), late=int(late), dropped=int(dropped))
    differ = [case for case in cases if not same(case, emulated, HostKernels(Path(shim)))]
    sys.exit(f"other results than the host build's: {differ}" if differ else 0)
