"""Size that an image file declares, read from its header before memory is taken for the pixels.

PNG (W3C PNG, 11.2.2), JPEG (ITU-T T.81, B.2.2), BMP (Microsoft, BITMAPINFOHEADER), TIFF (revision 6.0,
section 2) and WebP (RFC 9649, 2.5 to 2.7).
"""

from __future__ import annotations

import struct

_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOFn; the others define tables
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3


def declared_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) in px as the header declares them; None for other formats and damaged headers."""
    readers = {b"\x89PNG": _png, b"\xff\xd8": _jpeg, b"BM": _bmp, b"II": _tiff, b"MM": _tiff, b"RIFF": _webp}
    for start, read in readers.items():
        if data.startswith(start):
            try:
                return read(data)
            except (struct.error, IndexError):
                return None
    return None


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _jpeg(data: bytes) -> tuple[int, int] | None:
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte, of which any number may precede a marker
            position += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return height, width
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _bmp(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # BITMAPCOREHEADER, of OS/2
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(height), abs(width)  # rows from the top down have a negative height


def _tiff(data: bytes) -> tuple[int, int] | None:
    order = "<" if data.startswith(b"II") else ">"
    magic, directory = struct.unpack_from(order + "HI", data, 2)
    if magic != 42:
        return None
    found: dict[int, int] = {}
    for entry in range(struct.unpack_from(order + "H", data, directory)[0]):
        place = directory + 2 + 12 * entry
        tag, kind = struct.unpack_from(order + "HH", data, place)
        found[tag] = struct.unpack_from(order + ("H" if kind == _TIFF_SHORT else "I"), data, place + 8)[0]
    if _TIFF_WIDTH not in found or _TIFF_HEIGHT not in found:
        return None
    return found[_TIFF_HEIGHT], found[_TIFF_WIDTH]


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None
