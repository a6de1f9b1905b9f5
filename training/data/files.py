"""Finds and reads a data set's files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maskrt.runtime.errors import DataError
from maskrt.runtime.files.guard import check_readable, note_read
from maskrt.training.data.sample import Sample


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises DataError where it is not JSON."""
    check_readable(path)
    note_read(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}), expected an annotation file in JSON. "
            "Check the path given to --data."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: not JSON ({error}), expected annotations. Export it from the annotation tool again."
        ) from error


def find_images_dir(
    annotation_file: Path, images_dir: Path | None, default_dirs: Iterable[Path], names: list[str]
) -> Path:
    """Find the folder that holds the images: the one given, or the first default that has any of `names`."""
    if images_dir is not None:
        if not images_dir.is_dir():
            raise DataError(
                f"{images_dir}: no such folder, expected the images of {annotation_file}. "
                "Check the path given to --images."
            )
        return images_dir
    if not names:
        raise DataError(
            f"{annotation_file}: lists 0 images, expected at least one. Export it again with its images."
        )
    candidates = list(default_dirs)
    for folder in candidates:
        if any((folder / name).is_file() for name in names):
            return folder
    looked = "".join(f"\n  {folder}" for folder in candidates)
    raise DataError(
        f"{annotation_file}: found none of its {len(names)} images, such as {names[0]!r}, in{looked}\n"
        "Say where they are: --images DIR"
    )


def require_annotations(annotation_file: Path, samples: list[Sample], dropped: dict[str, int]) -> None:
    """Raise DataError for a dataset from which nothing can be learnt or measured."""
    if any(sample.instances for sample in samples):
        return
    left_out = f" (left out: {', '.join(f'{k} {n}' for k, n in dropped.items())})" if dropped else ""
    raise DataError(
        f"{annotation_file}: {len(samples)} usable images with 0 usable annotations{left_out}, "
        "expected at least one annotation. Annotate some objects, or give another file to --data."
    )
