"""A PNG an image whose values are the pixels' classes: images/NAME.* and labels/NAME.png.

Pascal VOC's folders (JPEGImages, SegmentationClass) and Cityscapes' (leftImg8bit, gtFine with *_labelIds.png)
are read as well; NAME:SPLIT is a list in ImageSets/Segmentation, or a folder in both. A palette does not
matter: the value is the index. What the values mean is in classes.txt, a name a line from value 0, or in
classes.json, {"7": "road", …}, beside the folders or one above; without either, VOC's and Cityscapes' own
classes. A value that means no class is ignored, as 255 is.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PIL import Image

from maskrt.runtime.errors import DataError
from maskrt.runtime.inputs.images import is_image, read_image
from maskrt.training.data import checks
from maskrt.training.data.formats.label_classes import label_classes
from maskrt.training.data.label_maps import PLAIN_MODES, LabelFile, in_colours, table_of
from maskrt.training.data.problems import Flaw, Problems
from maskrt.training.data.sample import Dataset, Sample

#: Folders of images and of their label maps.
LAYOUTS = (("images", "labels"), ("JPEGImages", "SegmentationClass"), ("leftImg8bit", "gtFine"))
LISTS = Path("ImageSets/Segmentation")
#: What the names of a picture and of its labels end in, where they are not the same.
IMAGE_ENDS, LABEL_ENDS = ("_leftImg8bit",), ("_gtFine_labelIds", "_labelIds")
LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")


def is_label_png(folder: Path) -> bool:
    """True if a folder has one of the layouts, with pictures among the labels."""
    return _layout(folder) is not None


def read_label_png(folder: Path, split: str | None, images_dir: Path | None, skip_bad: bool) -> Dataset:
    """Read such a folder as a data set. split: the part of it that is meant, None: all."""
    layout = _layout(folder)
    if layout is None:
        raise DataError(
            f"{folder}: expected the folders images/ and labels/ in it, a PNG of class numbers an image. "
            "Let maskrt look at the content: --format auto"
        )
    image_files = _by_stem(images_dir or folder / layout[0], IMAGE_ENDS)
    label_files = _by_stem(folder / layout[1], LABEL_ENDS)
    classes = label_classes(folder, next(iter(label_files.values())))
    wanted = _split(folder, split, image_files, label_files)
    table = table_of([category.id for category in classes])
    problems, samples = Problems(folder), []
    for image_id, stem in enumerate(wanted, start=1):
        with problems.noting(stem):
            samples.append(_sample(image_id, stem, layout, image_files, label_files, table))
    dropped = problems.raise_or_count(skip_bad)
    if not samples:
        raise DataError(
            f"{folder}: has no image with labels that can be used. Mend the files that are named."
        )
    return Dataset(folder.name if split is None else f"{folder.name}:{split}", classes, samples, dropped)


def _sample(
    image_id: int,
    stem: str,
    layout: tuple[str, str],
    image_files: dict[str, Path],
    label_files: dict[str, Path],
    table: bytes,
) -> Sample:
    """Raises Flaw for a missing partner, labels in colours, and labels of another size."""
    if stem not in image_files:
        raise Flaw("missing_image", f"{label_files[stem]} has no image, expected {layout[0]}/{stem}.*")
    if stem not in label_files:
        raise Flaw("missing_mask", f"{image_files[stem]} has no labels, expected {layout[1]}/{stem}.png")
    path, size = image_files[stem], checks.image_size(image_files[stem])
    _check_labels(label_files[stem], size)
    return Sample(
        image_id,
        path.name,
        *size,
        (),
        read=partial(read_image, path),
        label_map=LabelFile(label_files[stem], table),
    )


def _check_labels(path: Path, size: tuple[int, int]) -> None:
    try:
        with Image.open(path) as image:
            kind, mode, (width, height) = image.format, image.mode, image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Flaw("unreadable_mask", f"{path} is not a readable image: {error}") from None
    if kind not in LOSSLESS:
        raise Flaw("unreadable_mask", f"{path} is a {kind}, which changes numbers, expected a PNG")
    if mode not in PLAIN_MODES:
        raise Flaw("unreadable_mask", f"{path} is {in_colours(mode)}")
    if (height, width) != size:
        raise Flaw(
            "mask_size", f"labels are {width} x {height} px, expected the image's {size[1]} x {size[0]}"
        )


def _layout(folder: Path) -> tuple[str, str] | None:
    def fits(images: str, labels: str) -> bool:
        return (folder / images).is_dir() and any(is_image(p.name) for p in (folder / labels).rglob("*"))

    return next((layout for layout in LAYOUTS if fits(*layout)), None)


def _split(
    folder: Path, split: str | None, image_files: dict[str, Path], label_files: dict[str, Path]
) -> list[str]:
    """Names of the pictures that are meant, sorted. Raises DataError for a split that there is not."""
    stems = sorted(image_files.keys() | label_files.keys())
    if (folder / LISTS).is_dir() and split is None:
        return sorted(label_files)  # VOC has pictures without labels, of its other tasks
    if split is None:
        return stems
    listed = folder / LISTS / f"{split}.txt"
    if listed.is_file():
        return listed.read_text(encoding="utf-8").split()
    found = [
        stem
        for stem in stems
        if any(
            split in files[stem].relative_to(folder).parts[1:-1]
            for files in (image_files, label_files)
            if stem in files
        )
    ]
    if not found:
        raise DataError(
            f"{folder}:{split}: no such part, expected {listed} or folders of that name. Leave ':{split}' "
            "out to take everything."
        )
    return found


def _by_stem(folder: Path, ends: tuple[str, ...]) -> dict[str, Path]:
    """Pictures at any depth by their names, without what only images or only labels end in.

    Cityscapes has other pictures beside its labels, such as instanceIds: where some names end so, the rest
    does not count.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, expected images. Check the path given to --images.")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and is_image(p.name))
    for end in ends:
        if marked := {p.stem.removesuffix(end): p for p in files if p.stem.endswith(end)}:
            return marked
    return {p.stem: p for p in files}
