"""Where an object's label goes: near its box, off the other objects, and never over another label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.instances.instances import Instances

CELLS = 150  # of the map of who is where, along the picture's shorter side: three or so in a label's height
NOBODY = -1
SAMPLES = (3, 5)  # rows and columns of points at which a place is looked at
# What a place costs, of its share that covers another object, or the label's own; and each further one in
# the list of places, so that of equally free ones the first is taken.
OTHERS, OWN, LATER = 1.0, 0.3, 0.01
CLEAR = 0.1  # of a label: what it may cover of another object, which is seen nevertheless

Place = tuple[int, int]  # x, y of the upper left corner in px


class Map:
    """A picture in cells, and the object that is seen in each."""

    def __init__(self, instances: Instances) -> None:
        """Of objects without masks their boxes."""
        self._instances = instances
        self._cell_px = max(1, min(instances.height_px, instances.width_px) // CELLS)
        shape = -(-instances.height_px // self._cell_px), -(-instances.width_px // self._cell_px)
        self._owners = np.full(shape, NOBODY, np.int16)
        for row in reversed(range(len(instances))):  # the surer object on top
            self._enter(row)

    def place(self, sizes: Sequence[tuple[int, int]]) -> tuple[list[Place | None], bool]:
        """A place for each object's label, given their (width, height) in px, the surest object first; and
        whether all have one that leaves the other objects to be seen.

        Above the box's left corner where that is free; else where around or inside the box it covers least.
        None for a label that has no place off those before it.
        """
        if not sizes:
            return [], True
        extents = np.array(sizes, np.int64)
        places = self._thought_of(extents)
        covers_others, covers_own = self._covered(places, extents)
        costs = OTHERS * covers_others + OWN * covers_own + LATER * np.arange(places.shape[1])
        orders = np.argsort(costs, axis=1, kind="stable").tolist()
        ends = (places + extents[:, None] - 1) // self._cell_px + 1
        cells, ends_listed, listed = (places // self._cell_px).tolist(), ends.tolist(), places.tolist()
        taken = np.zeros(self._owners.shape, bool)
        found: list[Place | None] = []
        clear = True
        for row, order in enumerate(orders):
            found.append(None)
            for option in order:
                (left, top), (right, bottom) = cells[row][option], ends_listed[row][option]
                if not taken[top:bottom, left:right].any():
                    taken[top:bottom, left:right] = True
                    found[-1] = (listed[row][option][0], listed[row][option][1])
                    clear &= bool(covers_others[row, option] <= CLEAR)
                    break
        return found, clear and None not in found

    def _enter(self, row: int) -> None:
        side, owners = self._cell_px, self._owners
        if self._instances.crops is None:
            x1, y1, x2, y2 = (max(int(edge) // side, 0) for edge in self._instances.boxes[row])
            owners[y1 : y2 + 1, x1 : x2 + 1] = row
            return
        crop = self._instances.crops[row]
        if not crop.bits.any():
            return
        top, left = -(-crop.top // side), -(-crop.left // side)
        bits = crop.bits[top * side - crop.top :: side, left * side - crop.left :: side]
        owners[top : top + bits.shape[0], left : left + bits.shape[1]][bits] = row

    def _thought_of(self, extents: NDArray[np.int64]) -> NDArray[np.int64]:
        """(D, P, 2): x y of the places for each label, inside the picture, the usual ones first."""
        x1, y1, x2, y2 = self._instances.boxes.astype(np.int64).T
        width, height = extents.T
        above, below = y1 - height, y2
        middle_x, middle_y = (x1 + x2 - width) // 2, (y1 + y2 - height) // 2
        options = (
            (x1, above), (middle_x, above), (middle_x, below), (x2, middle_y), (x1 - width, middle_y),
            (x2 - width, above), (x1, below), (x2 - width, below),
            (middle_x, middle_y), (middle_x, y1), (middle_x, y2 - height), (x1, y1),
        )  # fmt: skip
        places = np.stack([np.stack(option, axis=1) for option in options], axis=1)
        room = np.array([self._instances.width_px, self._instances.height_px]) - extents
        return np.clip(places, 0, np.maximum(room, 0)[:, None])

    def _covered(
        self, places: NDArray[np.int64], extents: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D, P) twice: the share of each place on other objects, and on its own, seen at a few points."""
        down, across = (np.linspace(0, 1, count) for count in SAMPLES)
        x = (places[:, :, :1] + across * (extents[:, None, :1] - 1)).astype(np.int64) // self._cell_px
        y = (places[:, :, 1:] + down * (extents[:, None, 1:] - 1)).astype(np.int64) // self._cell_px
        height, width = self._owners.shape
        x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
        seen = self._owners[y[:, :, :, None], x[:, :, None, :]]
        own = seen == np.arange(len(places), dtype=np.int16)[:, None, None, None]
        covers_own = own.mean(axis=(2, 3))
        return (seen != NOBODY).mean(axis=(2, 3)) - covers_own, covers_own
