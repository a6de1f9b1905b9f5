"""The preset for small devices (`--jetson`): less time and memory, and less accuracy on small objects."""

from __future__ import annotations

from maskrt.runtime.contract import Contract

LONG_SIDE_PX = 640
PROPOSALS = 300  # per image, of the 1000 that training's configuration keeps
WORKSPACE_MIB = 512


def small_sides(min_size_px: int, max_size_px: int) -> tuple[int, int]:
    """The two sizes of the resize rule (runtime/preprocess.py), the longer brought down to LONG_SIDE_PX."""
    if max_size_px <= LONG_SIDE_PX:
        return min_size_px, max_size_px
    return round(min_size_px * LONG_SIDE_PX / max_size_px), LONG_SIDE_PX


def small_contract(contract: Contract) -> Contract:
    """The contract with smaller pictures, where the model takes any size; a fixed canvas stays."""
    canvas = contract.canvas
    if canvas.height_px is not None and canvas.width_px is not None:
        return contract
    short, long = small_sides(canvas.min_size_px, canvas.max_size_px)
    return contract.on_canvas(min_size_px=short, max_size_px=long)
