"""Files that maskrt writes and reads back: engines, bundles, plans, scales and caches, all edited."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hostile.case import EITHER, Case, Make, cases, cut, wrote
from maskrt.runtime.backends.trt.engine_file import PREFIX

INSPECT, UNPACK = "engine inspect bad.engine", "engine unpack bad.engine -o plan"
CHECK = "parity check bad.npz real.onnx"
CALIBRATE = "calibrate real.onnx --data ann.json --max-images 1 -o q.onnx "


def engine(change: Callable[[dict[str, Any]], object] | bytes, text: int = 0, plan: int = 0) -> Make:
    """The shared engine with its header's JSON changed, or these bytes for it; and lengths that lie by so much."""

    def make(folder: Path) -> None:
        data = (folder / "an.engine").read_bytes()
        magic, version, length, plan_bytes = PREFIX.unpack_from(data)
        header = change if isinstance(change, bytes) else b""
        if not isinstance(change, bytes):
            fields = json.loads(data[PREFIX.size : PREFIX.size + length])
            change(fields)
            header = json.dumps(fields).encode()
        prefix = PREFIX.pack(magic, version, (len(header) + text) % 2**32, (plan_bytes + plan) % 2**64)
        (folder / "bad.engine").write_bytes(prefix + header + data[PREFIX.size + length :])

    return make


def set_to(value: Any, *keys: str) -> Callable[[dict[str, Any]], object]:
    def change(fields: dict[str, Any]) -> None:
        for key in keys[:-1]:
            fields = fields[key]
        fields[keys[-1]] = value

    return change


def bundle(change: Callable[[dict[str, Any]], object]) -> Make:
    """The shared bundle with its arrays changed."""

    def make(folder: Path) -> None:
        with np.load(folder / "bundle.npz") as arrays:
            content = dict(arrays)
        change(content)
        np.savez(folder / "bad.npz", **content)

    return make


def all_arrays(change: Callable[[Any], Any], dims: int = 1) -> Make:
    return bundle(lambda c: c.update({k: change(v) for k, v in c.items() if v.ndim >= dims}))


def objects(folder: Path) -> None:
    np.savez(folder / "bad.npz", a=np.array([{"a": 1}], dtype=object))


ENGINES = [
    Case("engines", f"{number}: {line.split()[1]}", tuple(line.split()), make)
    for line in (INSPECT, UNPACK)
    for number, make in enumerate((
        *[cut("an.engine", "bad.engine", end) for end in (0, 7, 12, 24, 100, 0.5, -1)],
        *[engine(b"{}"), engine(b"null"), engine(b"\xff\xfe"), engine(b'{"contract":' * 50_000), engine(b"")],
        *[engine(lambda f: None, text, plan) for text, plan in ((-9, 0), (2**31, 0), (2**32 - 1, 0), (0, 1),
                                                                (0, 2**63), (64, 0))],
        *[engine(set_to(value, key)) for key, value in {
            "profiles": "abc", "contract": [], "platform": 3, "gpu_name": [], "precision": None,
            "plugin_embedded": "no", "tensorrt_version": 10, "surprise": 1}.items()],
        engine(set_to([{"name": "a", "min": [1, 2], "opt": [1, 2, 3], "max": [1, 2, 3]}], "profiles")),
        engine(set_to([{"name": 3, "min": [1, 9, 9], "opt": [1, 2, 3], "max": [1, 1, 1]}], "profiles")),
        engine(set_to(float("nan"), "contract", "canvas", "stride")),
        wrote("bad.engine", b"ftrt" + bytes(100)), wrote("bad.engine", struct.pack("<8sIIQ", b"MASKRTEN", 7, 0, 0)),
    ))
]  # fmt: skip
BUNDLES = cases(
    "bundles",
    [
        *[(CHECK, cut("bundle.npz", "bad.npz", end)) for end in (0, 100, 0.3, -30)],
        (CHECK, wrote("bad.npz", "text")),
        (CHECK, objects),
        (CHECK, bundle(lambda c: c.clear())),
        (CHECK, all_arrays(lambda a: a[:0])),
        (CHECK, all_arrays(lambda a: a[..., None])),
        (CHECK, all_arrays(lambda a: a.astype("U8"))),
        (CHECK, all_arrays(lambda a: a.astype(np.complex64), 2)),
        (CHECK, all_arrays(lambda a: a * np.nan if a.dtype.kind == "f" else a)),
        (CHECK, all_arrays(lambda a: np.zeros(1, a.dtype))),
        (CHECK, bundle(lambda c: c.pop(sorted(c)[0]))),
        (CHECK, bundle(lambda c: c.pop(sorted(c)[-1]))),
        (CHECK, bundle(lambda c: c.update(surprise=np.zeros(3))), EITHER),
        ("parity check photo.png real.onnx", None),
        ("parity check bundle.npz bundle.npz", None),
        ("parity check bundle.npz tiny.onnx", None),
        ("parity check bundle.npz real.onnx -o bundle.npz", None),
        ("parity check bundle.npz real.onnx --html real.onnx", None),
        ("parity check bundle.npz real.onnx -o r.json", None, EITHER),
        ("parity best.pt best.pt photo.png", None, EITHER),
        ("parity real.onnx best.pt photo.png", None),
    ],
)
PLAN = {"format": 1, "flavour": "cpu", "method": "minmax", "layers": {}}
RANGES = cases(
    "plans",
    [
        (f"{CALIBRATE} --plan bad.json", wrote("bad.json", content))
        for content in (
            "", "null", "[]", "{", "[" * 100_000, {}, {"format": 99}, {**PLAN, "layers": []}, {**PLAN, "method": 3},
            {**PLAN, "layers": {"g": {"nothing": "int8"}}}, {**PLAN, "layers": {"g": {"nothing": "int4"}}},
            {**PLAN, "layers": {"g": "int8"}}, {**PLAN, "flavour": "x"}, {**PLAN, "surprise": 1}, b"\xff\xfe{\0}\0",
            {**PLAN, "method": ["minmax"]}, {**PLAN, "format": [1]},
        )
    ]
    + [
        (f"{CALIBRATE} --scales bad.json", wrote("bad.json", content))
        for content in ("", "null", "[]", "{", {"format": 2}, {"format": 2, "key": {}, "tensors": {}}, "[" * 100_000)
    ]
    + [
        (f"{CALIBRATE} --flavour tensorrt --from-cache bad.cache", wrote("bad.cache", content))
        for content in ("", "TRT-10300-EntropyCalibration2\n", "TRT-1-X\nimages: zz\n", b"\xff" * 100,
                        "TRT-10300-EntropyCalibration2\nimages: 7fc00000\n", "TRT-10300-E\n: \n")
    ]
    + [
        (f"{CALIBRATE} --scales photo.png", None),
        (f"{CALIBRATE} --sensitivity ann.json", None),
        (f"{CALIBRATE} --onto photo.png --flavour tensorrt", None),
        (f"{CALIBRATE} --val nothing.json", None),
        ("calibrate best.pt --data ann.json -o q.onnx", None),
        ("calibrate tiny.onnx --data ann.json -o q.onnx", None),
    ],
)  # fmt: skip
CASES = ENGINES + BUNDLES + RANGES
