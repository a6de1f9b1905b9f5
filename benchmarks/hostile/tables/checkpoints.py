"""Checkpoints: damaged, with code in them, or with weights and settings that are no model's."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.hostile.case import EITHER, Case, Make, cases, cut, flipped, wrote
from benchmarks.hostile.tables.images import encrypted, zipped

EXPORT = "export bad.pt -o o.onnx --height 64 --width 96"
USERS = (
    EXPORT,
    "parity bad.pt real.onnx photo.png",
    "train --data ann.json --from bad.pt -o run --epochs 1",
    "infer bad.pt photo.png -o out",
)


class Code:
    """Unpickled without care, it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def changed(change: Callable[[dict[str, Any]], object]) -> Make:
    """The shared checkpoint, changed, as bad.pt."""

    def make(folder: Path) -> None:
        content = torch.load(folder / "best.pt", weights_only=True)
        change(content)
        torch.save(content, folder / "bad.pt")

    return make


def field(value: Any, *keys: str) -> Make:
    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return changed(change)


def every_weight(change: Callable[[torch.Tensor], Any], only: str = "") -> Make:
    def edit(content: dict[str, Any]) -> None:
        weights = content["state_dict"]
        content["state_dict"] = {k: change(v) if only in k else v for k, v in weights.items()}

    return changed(edit)


def saved(content: Any) -> Make:
    return lambda folder: torch.save(content, folder / "bad.pt")


def pickled(content: Any, protocol: int = 2) -> Make:
    return lambda folder: (folder / "bad.pt").write_bytes(pickle.dumps(content, protocol)) and None


def huge(folder: Path) -> None:
    """A tensor of 4 TB over a storage of four bytes."""
    tensor = torch.zeros(1).expand(1 << 40)
    torch.save({"state_dict": {"backbone.body.conv1.weight": tensor}}, folder / "bad.pt")


def without(key: str) -> Make:
    return changed(lambda content: content.pop(key))


def zip_of(name: str) -> Make:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / "bad.pt", "w") as archive:
            archive.writestr(name, pickle.dumps(Code(), 2))

    return make


ANY = {
    "cut": cut("best.pt", "bad.pt", 0.5),
    "empty": wrote("bad.pt", b""),
    "text": wrote("bad.pt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"),
    "code": pickled(Code()),
    "code in weights": saved({"state_dict": Code(), "format": 1}),
    "NaN": every_weight(lambda t: t * float("nan") if t.is_floating_point() else t, "conv1"),
    "wrong shapes": every_weight(lambda t: t.flatten()),
    "no weights": field({}, "state_dict"),
}
SPOILED = [
    Case("checkpoints", f"{name}: {line.split()[0]}", tuple(line.split()), make)
    for name, make in ANY.items()
    for line in USERS
]
CASES = SPOILED + cases(
    "checkpoints",
    [
        (EXPORT, make)
        for make in (
            zip_of("archive/data.pkl"), zip_of("data.pkl"), zip_of("../data.pkl"), pickled([1] * 10, 5),
            saved([]), saved(None), saved(3), saved({}), saved(torch.zeros(3)), saved({"state_dict": []}),
            saved({1: 2}), saved({"model": {"a": {"b": 1}}}), saved({"a.weight": torch.zeros(2)}), huge,
            wrote("bad.pt", b"PK\x03\x04" + bytes(100)), wrote("bad.pt", b"\x80\x02" + bytes(20)),
            wrote("bad.pt", b"\x80\x02]" + b"(" * 100_000), wrote("bad.pt", b"\x80\x05\x95" + b"\xff" * 8),
            wrote("bad.pt", b"\x10\0\0\0\0\0\0\0{\"a\":1}         "),
            zipped("bad.pt", lambda z, p: z.writestr("a.png", p)),
            lambda folder: encrypted(folder) or ((folder / "enc.zip").rename(folder / "bad.pt") and None),
            lambda folder: os.link(folder / "tiny.onnx", folder / "bad.pt"),
            every_weight(lambda t: t.to("meta")), every_weight(lambda t: t.to(torch.complex64)),
            every_weight(lambda t: t.tolist(), "bias"), every_weight(lambda t: None, "bias"),
            every_weight(lambda t: t.to_sparse(), "fc6.bias"), every_weight(lambda t: t[:0], "cls_score"),
            every_weight(lambda t: t.double() * 1e300, "cls_score.weight"),
            changed(lambda c: c["state_dict"].update({"extra.weight": torch.zeros(3)})),
            changed(lambda c: c["state_dict"].update({3: torch.zeros(3)})),
            *[without(key) for key in ("config", "classes", "state_dict", "family")],
            *[field(value, "classes") for value in (None, [], "abc", [1], [{"id": 1}], [{"id": 1, "name": "a"}] * 500)],
            *[field(value, "config") for value in (None, [], {}, "x", {"num_classes": -1})],
            *[field(value, "config", key) for key, value in {
                "num_classes": 10**9, "backbone": "../x", "min_size_px": float("nan"), "mean": "abc", "nms": -1,
                "anchor_sizes_px": [], "anchor_ratios": [0.0], "task": "dream", "rpn_post_nms_test": -1,
                "fpn_channels": 10**9, "surprise": 1, "std": (0, 0, 0), "mask_convs": (10**9,),
                "box_roi_size": 10**5, "sampling_ratio": 10**6, "rules": "none", "norm": 3}.items()],
            field(99, "format"), field("x", "format"), field(None, "family"), field("unet", "family"),
        )
    ]
    + [
        (EXPORT, make, EITHER)
        for make in (
            every_weight(lambda t: t.half() if t.is_floating_point() else t),
            every_weight(lambda t: t.double() if t.is_floating_point() else t),
            every_weight(lambda t: t * 0), field("x", "metrics"), field([], "provenance"),
            field([{"id": 1, "name": "\u202e\x1b[2J\n名"}], "classes"), flipped("best.pt", "bad.pt", 0.5, 5000),
            field([{"id": -(2**70), "name": "a"}], "classes"), field([{"id": 1, "name": "x" * 10**6}], "classes"),
            field(100_000, "config", "max_detections"),
        )
    ],
)  # fmt: skip
