"""Data set without files: scenes drawn on request, each from its seed and index alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskrt.runtime.contract import Category
from maskrt.training.data import masks
from maskrt.training.data.sample import Dataset, Instance, Sample
from maskrt.training.data.scenes import SHAPES, draw_scene


class SyntheticDataset(Dataset):
    """`count` scenes of discs, squares, triangles and stars (category ids 1 to 4).

    Scene i depends on `seed`, i and the size only: not on the order of access, nor on `count`. Datasets
    with different seeds share no scene, so train on one seed and validate on another.
    """

    def __init__(self, count: int, seed: int, height_px: int = 256, width_px: int = 320):
        classes = tuple(Category(number, name) for number, name in enumerate(SHAPES, start=1))
        samples = _Scenes(count, seed, height_px, width_px)
        super().__init__(f"synthetic:{count}:{seed}", classes, samples)


class _Scenes(Sequence[Sample]):
    def __init__(self, count: int, seed: int, height_px: int, width_px: int):
        self._indices = range(count)
        self._seed = seed
        self._size = height_px, width_px

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        index = self._indices[index]
        rng = np.random.default_rng([self._seed, index])
        image, visible = draw_scene(rng, self._size)
        instances = []
        for number, (label, mask) in enumerate(visible, start=1):
            rle = masks.mask_rle(mask)
            box, area_px = masks.tight_box(rle), masks.checked_area(rle)
            instances.append(Instance(number, label, rle, box, area_px, is_crowd=False))
        source = f"synthetic-{self._seed}-{index:05d}.png"
        return Sample(index + 1, source, *self._size, tuple(instances), read=image.copy)
