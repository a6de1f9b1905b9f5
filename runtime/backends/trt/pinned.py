"""Pinned host memory as numpy arrays: the GPU copies from it directly.

Pinning takes the driver about a millisecond, more than copying a canvas does. So the memory of an array that
is no longer referenced is used again.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque

import numpy as np
from numpy.typing import DTypeLike, NDArray

from maskrt.runtime.backends.trt.device import Resource, call, cudart

KEPT = 16  # blocks in nobody's hands; a pipeline has about ten canvases under way


class PinnedMemory(Resource):
    """Pinned host memory of `size_bytes` from `address` on; if mapped, `device_address` on the GPU."""

    def __init__(self, size_bytes: int, *, mapped: bool = False) -> None:
        """mapped: for kernels to read and write, where CPU and GPU share one memory. Raises CudaError."""
        flag = cudart().cudaHostAllocMapped if mapped else cudart().cudaHostAllocDefault
        self.size_bytes = size_bytes
        self.address = int(call("cudaHostAlloc", max(size_bytes, 1), flag))
        super().__init__("cudaFreeHost", self.address)
        self.device_address = int(call("cudaHostGetDevicePointer", self.address, 0)) if mapped else 0

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Array over the beginning of the block, which it keeps alive; not to be used after `close`."""
        return np.asarray(_Window(self, shape, dtype))


class _Window:
    """What an array lies in: numpy asks it where that is, and holds it as the array's base."""

    def __init__(self, memory: PinnedMemory, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.memory = memory
        self.__array_interface__ = {
            "version": 3,
            "data": (memory.address, False),
            "shape": shape,
            "typestr": np.dtype(dtype).str,
        }


class PinnedPool:
    """Pool of arrays in pinned memory; a block is used again once its array and all views are forgotten."""

    def __init__(self, *, mapped: bool = False) -> None:
        """mapped: as of PinnedMemory."""
        self._mapped = mapped
        self._taking = threading.Lock()
        self._free: list[PinnedMemory] = []
        self._given_back: deque[PinnedMemory] = deque()  # by whatever thread, so without a lock
        self._closed = False

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Uninitialised array, as numpy's. Raises CudaError where there is no memory to pin."""
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        window = _Window(self._take(size_bytes), shape, dtype)
        weakref.finalize(window, self._give_back, window.memory).atexit = False
        return np.asarray(window)

    def _take(self, size_bytes: int) -> PinnedMemory:
        """Take the smallest block that is large enough, so that large ones stay for large shapes."""
        with self._taking:
            while self._given_back:
                self._free.append(self._given_back.popleft())
            self._free.sort(key=lambda block: block.size_bytes)
            fits = next((i for i, block in enumerate(self._free) if block.size_bytes >= size_bytes), None)
            taken = None if fits is None else self._free.pop(fits)
            while len(self._free) > KEPT:
                self._free.pop(0).close()
        return taken or PinnedMemory(size_bytes, mapped=self._mapped)

    def _give_back(self, memory: PinnedMemory) -> None:
        """Return a block. Runs where an array is forgotten, even inside `_take`, where the lock is held."""
        if self._closed:
            memory.close()
        else:
            self._given_back.append(memory)

    def close(self) -> None:
        """Release the free blocks; the others follow as their arrays are forgotten."""
        self._closed = True
        with self._taking:
            for blocks in (self._free, self._given_back):
                while blocks:
                    blocks.pop().close()


def pinned_place(array: NDArray) -> tuple[int, int] | None:
    """Address of a contiguous array in pinned memory: the host's, and the GPU's if mapped; else None."""
    base = array.base
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, _Window) or not array.flags.c_contiguous:
        return None
    address = array.ctypes.data
    return address, base.memory.device_address + address - base.memory.address
