"""Buffers of an engine's tensors: memory on the GPU, its counterpart on the host, and copies between both.

Where CPU and GPU share one memory, as on a Jetson, a buffer is one place and nothing is copied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.trt.device import DeviceMemory, Stream
from maskrt.runtime.backends.trt.pinned import PinnedMemory, pinned_place


class Buffer:
    """Memory of a tensor. `host` is the CPU's view of it, `address` the engine's."""

    def __init__(self, shape: tuple[int, ...], dtype: str, *, shared: bool) -> None:
        """shared: CPU and GPU share one memory. Raises CudaError."""
        self.size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._pinned = PinnedMemory(self.size_bytes, mapped=shared)
        self._device = None if shared else DeviceMemory(self.size_bytes)
        self.host: NDArray = self._pinned.array(shape, dtype)
        self.address = self._pinned.device_address if self._device is None else self._device.address

    def take(self, stream: Stream, array: NDArray) -> int:
        """Make the array's values visible to the GPU, in the stream's order; returns the address they will
        have.

        An array in pinned memory is copied to the GPU from its own place, and must stay until the stream has
        done so. Where the memory is shared it is read in place.
        """
        place = pinned_place(array)
        if place is None:
            np.copyto(self.host, array)
            place = self._pinned.address, self._pinned.device_address
        host_address, device_address = place
        if self._device is None:
            return device_address
        stream.to_device(host_address, self._device.address, self.size_bytes)
        return self.address

    def to_host(self, stream: Stream, start_bytes: int = 0, size_bytes: int | None = None) -> None:
        """Copy what the engine wrote to `host`, all or a part; returns at once."""
        if self._device is not None:
            size_bytes = self.size_bytes if size_bytes is None else size_bytes
            source, target = self._device.address + start_bytes, self._pinned.address + start_bytes
            stream.to_host(source, target, size_bytes)

    def close(self) -> None:
        """Release the memory, once nothing runs on it."""
        self._pinned.close()
        if self._device is not None:
            self._device.close()
