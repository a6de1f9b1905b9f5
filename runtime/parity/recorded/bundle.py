"""What a reference says of a set of images, in a file that another machine can check a model against.

A zip of numpy arrays (.npz): `about` is JSON (format, the reference's name and contract, the images' names),
then for each image its canvas, the reference's outputs and pasted masks, and samples of its stages. Written
and read image by image, so that memory does not grow with their number.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import CANVAS, Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.judge import Expected
from maskrt.runtime.preprocess import Batch, corner
from maskrt.runtime.structs import FileKind, Format, plain, read
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.arrays import check_array

FILE_KIND = FileKind(
    "parity bundle",
    "not a parity bundle, or one cut off",
    "Record it again: maskrt parity record REFERENCE.pt IMAGES -o {source}",
    ModelError,
)


@dataclass(frozen=True)
class About:
    """What a bundle says of itself. contract: the reference's, as JSON text; images: their names."""

    FORMAT: ClassVar[Format] = Format(1, "format_version")
    reference: str
    contract: str
    images: tuple[str, ...]


class BundleWriter:
    """Writes a bundle to `path`, which should be temporary until `close`."""

    def __init__(self, path: Path, reference: str, contract: Contract) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self._reference, self._contract, self._names = reference, contract, list[str]()

    def add(self, name: str, batch: Batch, expected: Expected) -> None:
        """One image: a batch of one, and what the reference says of it."""
        at = f"{len(self._names)}/"
        self._names.append(name)
        arrays: dict[str, NDArray] = {"images": batch.images, "image_sizes": batch.image_sizes}
        arrays |= task_of(self._contract).pack(expected)
        for stage, sample in (expected.samples or {}).items():
            if stage == CANVAS:  # made again from the images
                continue
            drawn = Sample.drawn(self._contract.inside.tap(stage).kind, sample.values)
            assert drawn.rows is not None
            assert drawn.positions is not None
            arrays |= {
                f"stages/{stage}/values": drawn.values,
                f"stages/{stage}/shape": np.array(drawn.shape),
                f"stages/{stage}/rows": drawn.rows.astype(np.int32),
                f"stages/{stage}/positions": drawn.positions.astype(np.int32),
            }
        for key, array in arrays.items():
            self._write(at + key, array)

    def close(self) -> None:
        """Write what the bundle is, last."""
        about = About(self._reference, self._contract.to_json(), tuple(self._names))
        self._write("about", np.frombuffer(json.dumps(plain(about)).encode(), np.uint8))
        self._zip.close()

    def _write(self, key: str, array: NDArray) -> None:
        with self._zip.open(f"{key}.npy", "w", force_zip64=True) as stream:
            np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


@dataclass(frozen=True)
class Bundle:
    """A bundle that was opened. name: the reference's, as it was called where it was recorded."""

    path: Path
    name: str
    contract: Contract
    images: tuple[str, ...]
    has_stages: bool

    def __iter__(self) -> Iterator[tuple[str, Batch, Expected]]:
        """Each image: its name, its canvas, what the reference says of it."""
        with zipfile.ZipFile(self.path) as archive:
            for number, name in enumerate(self.images):
                at = f"{number}/"
                arrays = {
                    key[len(at) : -len(".npy")]: _read(archive, key)
                    for key in archive.namelist()
                    if key.startswith(at)
                }
                try:
                    batch, expected = _image(arrays, self.contract)
                except (ValueError, KeyError, TypeError, IndexError) as error:
                    raise ModelError(
                        f"{self.path}: what it holds of {name} is damaged ({error}). "
                        f"{FILE_KIND.again.format(source=self.path)}"
                    ) from error
                yield name, batch, expected


def open_bundle(path: str | Path) -> Bundle:
    """Raises ModelError for a file that is no bundle, a damaged one, or one of another format."""
    path = Path(path)
    again = FILE_KIND.again.format(source=path)
    try:
        with zipfile.ZipFile(path) as archive:
            about = _read(archive, "about.npy").tobytes()
            stages = any("/stages/" in key for key in archive.namelist())
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ModelError(f"{path}: {FILE_KIND.denial} ({error}). {again}") from error
    if damaged:
        raise ModelError(f"{path}: damaged at {damaged}. Copy it again. {again}")
    stored = read(About, about, path, FILE_KIND)
    contract = Contract.from_json(stored.contract, str(path), FILE_KIND.again)
    return Bundle(path, stored.reference, contract, stored.images, stages)


def normalised_canvas(batch: Batch, contract: Contract) -> NDArray[np.float32]:
    """(3, H, W): the canvas stage of a batch's first image, as the contract defines it."""
    mean, std = (
        np.array(values, np.float32)[:, None, None]
        for values in (contract.normalise.mean, contract.normalise.std)
    )
    canvas = (batch.images[0].astype(np.float32).transpose(2, 0, 1) / np.float32(255) - mean) / std
    height, width = (int(side) for side in batch.image_sizes[0])
    layout = contract.canvas.placement
    top, left = corner((height, width), canvas.shape[1:], layout)
    laid = np.broadcast_to(-mean / std if layout == "square" else np.float32(0), canvas.shape).copy()
    laid[:, top : top + height, left : left + width] = canvas[:, top : top + height, left : left + width]
    return laid


def _image(arrays: dict[str, Any], contract: Contract) -> tuple[Batch, Expected]:
    batch = _batch(arrays)
    answer = task_of(contract).unpack(arrays, batch, contract)
    stages = {key.split("/")[1] for key in arrays if key.startswith("stages/")}
    samples = {
        stage: Sample(
            values=arrays[f"stages/{stage}/values"],
            shape=tuple(int(side) for side in arrays[f"stages/{stage}/shape"]),
            rows=arrays[f"stages/{stage}/rows"].astype(np.intp),
            positions=arrays[f"stages/{stage}/positions"].astype(np.intp),
        )
        for stage in stages
    }
    if samples:
        samples[CANVAS] = Sample.whole(normalised_canvas(batch, contract))
    return batch, Expected(contract, answer.outputs, answer.result, samples=samples or None)


def _batch(arrays: dict[str, Any]) -> Batch:
    """The canvas. Raises ValueError where it is none, or its valid area is not on it."""
    check_array("images", arrays, ((1, None, None, 3), "uf"))
    check_array("image_sizes", arrays, ((1, 2), "f"))
    images, sizes = arrays["images"], arrays["image_sizes"]
    height, width = images.shape[1:3]
    if not ((sizes >= 1) & (sizes <= (height, width))).all():
        raise ValueError(f"image_sizes is {sizes.tolist()}, on a canvas of {height}x{width}")
    return Batch(images, sizes, tuple((int(h), int(w)) for h, w in sizes))


def _read(archive: zipfile.ZipFile, key: str) -> NDArray:
    return np.lib.format.read_array(io.BytesIO(archive.read(key)), allow_pickle=False)
