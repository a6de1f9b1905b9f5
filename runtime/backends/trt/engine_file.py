"""An engine file: a header that says what the engine is and where it runs, then TensorRT's plan.

A plan alone is opaque: it names neither the TensorRT that made it nor how its inputs are to be filled.

| bytes | what |
|---|---|
| 8 | magic |
| 4, 4, 8 | format version, header's length, plan's length: unsigned, little-endian |
| header's length | JSON (`EngineHeader`), filled up with spaces so that the plan is aligned |
| plan's length | the plan, as `trtexec --loadEngine` takes it |
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import ENGINE
from maskrt.runtime.rules import whole
from maskrt.runtime.structs import FileKind, parse, plain, read

MAGIC = b"MASKRTEN"
FORMAT_VERSION = 1
PREFIX = struct.Struct("<8sIIQ")
MOST_SIDE = 2**31 - 1  # of a shape: TensorRT's
ALIGNMENT_BYTES = 64  # of the plan in the file; TensorRT reads wide integers out of it

PLAN = (
    "a plan of TensorRT itself (of trtexec, say), which does not say how its inputs are to be filled",
    "Build it with maskrt: maskrt build MODEL.onnx -o {path}",
)
FOREIGN = {  # first bytes of what is mistaken for an engine: what it is, and what to do with it
    b"ftrt": PLAN,  # TensorRT 8.6, 10 and 11 compare a plan's first four bytes with these two
    b"ptrt": PLAN,
    b"PK\x03\x04": ("a checkpoint of PyTorch", "Make an engine of it: maskrt export {path} -o MODEL.onnx"),
    b"\x08": ("an ONNX model", "Make an engine of it: maskrt build {path} -o MODEL.engine"),
}

FILE_KIND = FileKind(
    "engine header",
    "its header is damaged",
    "Copy the file again, or build it: maskrt build MODEL.onnx -o {source}",
    ModelError,
)
BUILD_AGAIN = (
    "Export the model again and build the engine again: maskrt export CHECKPOINT -o MODEL.onnx, then "
    "maskrt build MODEL.onnx -o {source}"
)
Side = Annotated[int, whole(1, MOST_SIDE)]
Shape = tuple[Side, Side, Side]  # N, H, W of the input `images`


@dataclass(frozen=True)
class Profile:
    """Optimisation profile: from `min` to `max`, fastest at `opt`; each is (N, H, W) of `images`."""

    name: str
    min: Shape
    opt: Shape
    max: Shape

    def accepts(self, shape: Shape) -> bool:
        """True if images of this (N, H, W) lie within the profile."""
        return all(low <= n <= high for low, n, high in zip(self.min, shape, self.max, strict=True))


@dataclass(frozen=True)
class EngineHeader:
    """Description of an engine and of the machine that it runs on. `profiles` are in the engine's order."""

    contract: Contract
    tensorrt_version: str  # "10.3.0"
    cuda_version: str  # of the CUDA runtime that it was built with, "12.6"
    driver_version: str  # the newest CUDA that the driver knew, "12.8"
    gpu_name: str
    compute_capability: str  # "8.7"
    platform: str  # of the operating system and the processor, "linux-aarch64"
    precision: str  # "fp32", "fp16", "int8"
    profiles: tuple[Profile, ...]
    operators: str  # "plugin": ours; "body": the ONNX function bodies, which need no plugin
    plugin_sha256: str | None  # of the plugin library; None for the bodies and for the Python plugin
    plugin_embedded: bool  # the library lies in the plan, nothing is to be loaded before it
    version_compatible: bool  # runs on later TensorRT of the same major version
    hardware_compatible: bool  # runs on any GPU of compute capability 8.0 and later
    onnx_sha256: str

    def to_json(self) -> str:
        """As it stands in the file (keys sorted)."""
        return json.dumps(plain(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes, path: str | os.PathLike[str]) -> EngineHeader:
        """Read back what `to_json` wrote; `path` goes into the messages. Raises ModelError, ContractError."""
        fields = parse(text, path, FILE_KIND)
        if "contract" in fields:
            fields["contract"] = Contract.from_json(json.dumps(fields["contract"]), str(path), BUILD_AGAIN)
        return read(cls, fields, path, FILE_KIND)


def write_engine(path: str | os.PathLike[str], header: EngineHeader, plan: Any) -> None:
    """Write an engine file atomically.

    plan: bytes, or anything with the buffer protocol, as TensorRT's IHostMemory: it is not copied.
    """
    text = header.to_json().encode()
    text += b" " * (-(PREFIX.size + len(text)) % ALIGNMENT_BYTES)
    with memoryview(plan) as view, atomic_path(path, ENGINE) as temporary, temporary.open("wb") as file:
        file.write(PREFIX.pack(MAGIC, FORMAT_VERSION, len(text), view.nbytes))
        file.write(text)
        file.write(view)


def read_header(path: str | os.PathLike[str]) -> EngineHeader:
    """Read the header of an engine file; the plan is not read.

    Raises ModelError for a file that is none, is cut short, of another format version or damaged, and
    ContractError where its contract is of another version.
    """
    start, _ = _plan_place(Path(path))
    with open(path, "rb") as file:
        return EngineHeader.from_json(file.read(start)[PREFIX.size :], path)


def read_plan(path: str | os.PathLike[str]) -> memoryview:
    """Map the plan of an engine file read-only: pages are loaded as they are read.

    Raises ModelError as `read_header`, except for what is inside the header.
    """
    start, length = _plan_place(Path(path))
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start : start + length]


def _plan_place(path: Path) -> tuple[int, int]:
    """Offset and length of the plan in an engine file, in bytes."""
    try:
        with path.open("rb") as file:
            prefix = file.read(PREFIX.size)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}). Build it: maskrt build MODEL.onnx -o {path}"
        ) from error
    if not prefix.startswith(MAGIC):
        raise ModelError(f"{path}: no engine file of maskrt but {_what_it_is(prefix, path)}")
    if len(prefix) == PREFIX.size:
        _, version, header_bytes, plan_bytes = PREFIX.unpack(prefix)
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{path}: engine file format {version}, but this maskrt reads format {FORMAT_VERSION}. "
                + ("Upgrade maskrt here, or build" if version > FORMAT_VERSION else "Build")
                + f" the engine with this one: maskrt build MODEL.onnx -o {path}"
            )
        expected = PREFIX.size + header_bytes + plan_bytes
        if size == expected:
            return PREFIX.size + header_bytes, plan_bytes
        got = f"{size} bytes, its prefix promises {expected}"
    else:
        got = f"{size} bytes, not even a whole prefix"
    raise ModelError(
        f"{path}: an engine file of the wrong length ({got}): it was cut short, or changed, on its way. "
        f"Copy it again, or build it: maskrt build MODEL.onnx -o {path}"
    )


def _what_it_is(prefix: bytes, path: Path) -> str:
    if not prefix:
        return f"an empty file. Build it: maskrt build MODEL.onnx -o {path}"
    for start, (what, remedy) in FOREIGN.items():
        if prefix.startswith(start):
            return f"{what}. {remedy.format(path=path)}"
    return f"something else (it begins with {prefix[:8]!r}). Build one: maskrt build MODEL.onnx -o {path}"
