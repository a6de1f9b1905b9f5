"""Image files, archives and videos that are damaged, lie, or are named to deceive."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.hostile.case import EITHER, REFUSED, RIGHT, Case, Make, both, cases, cut, flipped, wrote

INFER = "infer tiny.onnx {} -o out"
USERS = {  # the verbs that read a picture, each with a bad one only
    "infer": INFER,
    "bench": "bench tiny.onnx --image {} --rounds 3 --no-memory",
    "parity": "parity best.pt real.onnx {}",
    "record": "parity record best.pt {} -o b.npz",
    "calibrate": "calibrate real.onnx --data {} -o q.onnx",
}


def drawn(name: str, mode: str = "RGB", side_px: int = 48, **options: object) -> Make:
    """A picture of PIL's `mode`."""

    def make(folder: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (side_px, side_px, 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / name, **options)  # type: ignore[arg-type]

    return make


def sixteen_bit(name: str) -> Make:
    def make(folder: Path) -> None:
        cv2.imwrite(str(folder / name), np.full((32, 40, 3), 40000, np.uint16))

    return make


def turned(orientation: int) -> Make:
    """A JPEG whose EXIF says an orientation."""

    def make(folder: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (40, 30), (200, 10, 10)).save(folder / "turned.jpg", exif=exif)

    return make


def declared(name: str, width: int, height: int) -> Make:
    """A PNG of some bytes whose header says a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return wrote(
        name, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def animated(name: str) -> Make:
    def make(folder: Path) -> None:
        frames = [Image.new("RGB", (30, 30), (index * 50, 0, 9)) for index in range(4)]
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])

    return make


def zipped(name: str, entries: Callable[[zipfile.ZipFile, bytes], None]) -> Make:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            entries(archive, (folder / "photo.png").read_bytes())

    return make


def bomb(archive: zipfile.ZipFile, _: bytes) -> None:
    with archive.open("big.png", "w", force_zip64=True) as file:
        for _index in range(64):
            file.write(bytes(1 << 20))


def nested(archive: zipfile.ZipFile, photo: bytes) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as second:
        second.writestr("a.png", photo)
    archive.writestr("inner.zip", inner.getvalue())


def encrypted(folder: Path) -> None:
    zipped("enc.zip", lambda archive, photo: archive.writestr("a.png", photo))(folder)
    data = bytearray((folder / "enc.zip").read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (folder / "enc.zip").write_bytes(data)


def damaged_directory(folder: Path) -> None:
    zipped("dir.zip", lambda archive, photo: archive.writestr("a.png", photo))(folder)
    data = bytearray((folder / "dir.zip").read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 42 : at + 46] = b"\xff\xff\xff\x7f"
    (folder / "dir.zip").write_bytes(data)


def video(name: str, frames: int) -> Make:
    def make(folder: Path) -> None:
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
        for index in range(frames):
            writer.write(np.full((48, 64, 3), index * 9, np.uint8))
        writer.release()

    return make


def link(name: str, to: str) -> Make:
    return lambda folder: (folder / name).symlink_to(to)


def folder_named(name: str) -> Make:
    return lambda folder: (folder / name).mkdir()


def renamed(name: str) -> Make:
    """The good photo under another name."""
    return lambda folder: os.link(folder / "photo.png", folder / name)


BAD: list[tuple[str, Make]] = [
    ("cut.png", cut("photo.png", "cut.png", 0.5)),
    ("cut.jpg", cut("photo.jpg", "cut.jpg", 0.1)),
    ("empty.png", wrote("empty.png", b"")),
    ("text.jpg", wrote("text.jpg", "not a picture at all")),
    ("svg.png", wrote("svg.png", "<svg xmlns='http://www.w3.org/2000/svg'/>")),
    ("giant.png", declared("giant.png", 60000, 60000)),
    ("giant2.png", declared("giant2.png", 2**31 - 1, 2**31 - 1)),
    ("zero.png", declared("zero.png", 0, 0)),
    ("thin.png", declared("thin.png", 1, 1_000_000)),
    ("folder.jpg", folder_named("folder.jpg")),
    ("loop.png", link("loop.png", "loop.png")),
    ("broken.png", link("broken.png", "nowhere.png")),
    ("model.png", lambda folder: os.link(folder / "tiny.onnx", folder / "model.png")),
    ("new\nline.png", wrote("new\nline.png", b"x")),
]
FAULTY = [
    Case("images", f"{user} {name!r}", tuple(word.format(name) for word in line.split()), make,
         EITHER if (user, name) in [("infer", "cut.png")] else REFUSED)
    for user, line in USERS.items()
    for name, make in BAD
]  # fmt: skip

SOUND = cases(
    "images",
    [
        *[(INFER.format(f"{mode}.{kind}"), drawn(f"{mode}.{kind}", mode), RIGHT) for mode, kind in (
            ("CMYK", "jpg"), ("1", "png"), ("L", "png"), ("P", "png"), ("RGBA", "png"), ("LA", "png"),
            ("RGB", "webp"), ("RGB", "bmp"), ("RGB", "tif"))],
        (INFER.format("deep.png"), sixteen_bit("deep.png"), EITHER),
        *[(INFER.format("turned.jpg"), turned(orientation), RIGHT) for orientation in (0, 5, 9, 65535)],
        (INFER.format("moves.gif"), animated("moves.gif"), EITHER),
        (INFER.format("moves.webp"), animated("moves.webp"), EITHER),
        (INFER.format("dot.png"), drawn("dot.png", side_px=1), EITHER),
        (["infer", "tiny.onnx", "a\x1b[2Jb.png", "-o", "out"], renamed("a\x1b[2Jb.png"), RIGHT),
        (["infer", "tiny.onnx", "new\nline.png", "-o", "out"], renamed("new\nline.png"), RIGHT),
        (["infer", "tiny.onnx", "[a].png", "-o", "out"], renamed("[a].png"), RIGHT),
        (["infer", "tiny.onnx", "é€😀.png", "-o", "out"], renamed("é€😀.png"), RIGHT),
        (["infer", "tiny.onnx", "--", "-o.png"], renamed("-o.png"), RIGHT),
        (INFER.format("photo.png photo.png"), None, EITHER),
        (INFER.format("flip.png"), flipped("photo.png", "flip.png", 0.5), EITHER),
        (INFER.format("flip.jpg"), flipped("photo.jpg", "flip.jpg", 0.7), EITHER),
        (INFER.format("photo.jpg cut.png"), cut("photo.png", "cut.png", 60)),
        (INFER.format("in"), both(folder_named("in"), link("in/up", "..")), EITHER),
        (INFER.format("none"), folder_named("none")),
    ],
)  # fmt: skip
ARCHIVES = cases(
    "archives",
    [
        (INFER.format("a.zip"), zipped("a.zip", lambda z, p: z.writestr("/etc/a.png", p)), EITHER),
        (INFER.format("a.zip"), zipped("a.zip", lambda z, p: z.writestr("../../a.png", p)), EITHER),
        (INFER.format("a.zip --masks --splash"), zipped("a.zip", lambda z, p: z.writestr("..\\..\\a.png", p)), EITHER),
        (INFER.format("a.zip"), zipped("a.zip", lambda z, p: (z.writestr("a.png", p), z.writestr("a.png", p))), EITHER),
        (INFER.format("a.zip"), zipped("a.zip", lambda z, p: z.writestr("a\x1b[2J\n.png", p)), EITHER),
        (INFER.format("a.zip"), zipped("a.zip", lambda z, p: z.writestr("x" * 3000 + ".png", p)), EITHER),
        (INFER.format("a.zip"), zipped("a.zip", lambda z, p: z.writestr("a/" * 500 + "b.png", p)), EITHER),
        (INFER.format("a.zip"), zipped("a.zip", lambda z, p: z.writestr("a.png/", b""))),
        (INFER.format("a.zip"), zipped("a.zip", lambda z, p: None)),
        (INFER.format("a.zip"), zipped("a.zip", nested)),
        (INFER.format("a.zip"), zipped("a.zip", bomb)),
        (INFER.format("enc.zip"), encrypted),
        (INFER.format("dir.zip"), damaged_directory),
        (INFER.format("a.zip"), wrote("a.zip", b"PK\x05\x06" + bytes(17))),
        (INFER.format("a.zip"), wrote("a.zip", b"")),
        (INFER.format("a.zip"), wrote("a.zip", "text")),
        (INFER.format("h.zip"), both(zipped("a.zip", lambda z, p: z.writestr("a.png", p)), cut("a.zip", "h.zip", 0.5))),
        (INFER.format("f.zip"), both(zipped("a.zip", lambda z, p: z.writestr("a.png", p)),
                                     flipped("a.zip", "f.zip", 0.4, 200))),
        ("parity best.pt real.onnx dir.zip", damaged_directory),
        ("calibrate real.onnx --data enc.zip -o q.onnx", encrypted),
    ],
)  # fmt: skip
VIDEOS = cases(
    "videos",
    [
        (INFER.format("none.mp4"), video("none.mp4", 0)),
        (INFER.format("cut.mp4"), both(video("v.mp4", 9), cut("v.mp4", "cut.mp4", 0.5))),
        (INFER.format("head.mp4"), both(video("v.mp4", 9), cut("v.mp4", "head.mp4", 40))),
        (INFER.format("empty.mp4"), wrote("empty.mp4", b"")),
        (INFER.format("text.avi"), wrote("text.avi", "RIFF....AVI LIST")),
        (INFER.format("f.mp4"), both(video("v.mp4", 9), flipped("v.mp4", "f.mp4", 0.3, 300)), EITHER),
        (INFER.format("d.mkv"), folder_named("d.mkv")),
        ("infer tiny.onnx v.mp4 -o v.mp4", video("v.mp4", 4)),
        ("infer tiny.onnx v.mp4 -o photo.png", video("v.mp4", 4)),
        ("infer tiny.onnx v.mp4 -o o.xyz", video("v.mp4", 4), EITHER),
        ("infer tiny.onnx one.mp4 -o out", video("one.mp4", 1), RIGHT),
        ("parity best.pt real.onnx v.mp4", video("v.mp4", 3)),
        ("bench tiny.onnx --image v.mp4", video("v.mp4", 3)),
        (
            "infer tiny.onnx i.png -o out",
            both(video("v.mp4", 3), lambda f: (f / "v.mp4").rename(f / "i.png")),
        ),
    ],
)
CASES = FAULTY + SOUND + ARCHIVES + VIDEOS
