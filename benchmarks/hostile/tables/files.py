"""The file system, the streams and the run's file: what cannot be written, is not there, or is an input."""

from __future__ import annotations

import os

from benchmarks.hostile.case import EITHER, RIGHT, Case, Make, cases, wrote

WRITERS = {
    "export best.pt --height 64 --width 96 -o {}": ".onnx",
    "infer tiny.onnx photo.png -o {}": "",
    "evaluate tiny.onnx --data ann.json -o {}": ".json",
    "evaluate tiny.onnx --data ann.json --html {}": ".html",
    "inspect-data ann.json -o {}": ".html",
    "parity best.pt real.onnx photo.png -o {}": ".json",
    "parity best.pt real.onnx photo.png --html {}": ".html",
    "parity record best.pt photo.png -o {}": ".npz",
    "bench tiny.onnx --image photo.png --rounds 3 --no-memory --plot {}": ".png",
    "calibrate real.onnx --data ann.json --max-images 1 -o {}": ".onnx",
    "engine unpack an.engine -o {}": "",
    "serve-triton tiny.onnx -o {}": "",
    "train --data ann.json --epochs 1 -o {}": "",
    "demo --epochs 1 -o {}": "",
    "build-plugins -o {}": ".so",
    "build real.onnx -o {}": ".engine",
    "export best.pt --height 64 --width 96 -o o.onnx --card {}": ".md",
    "calibrate real.onnx --data ann.json --max-images 1 -o q.onnx --sensitivity {}": ".json",
    "calibrate real.onnx --data ann.json --max-images 1 -o q.onnx --to-cache {}": ".cache",
}


def folder_named(name: str) -> Make:
    return lambda folder: (folder / name).mkdir()


def fifo(name: str) -> Make:
    return lambda folder: os.mkfifo(folder / name)


def link(name: str, to: str) -> Make:
    return lambda folder: (folder / name).symlink_to(to)


def hard(name: str, to: str) -> Make:
    return lambda folder: os.link(folder / to, folder / name)


PLACES = [
    Case("outputs", f"{place} {line}", tuple(line.format(name).split()), make,
         EITHER if place == "loop" else "refused")
    for line, suffix in WRITERS.items()
    for place, name, make in (
        ("in a file", f"photo.png/x{suffix}", None),
        ("too long", f"{'n' * 300}{suffix}", None),
        ("in /dev/full", f"/dev/full/x{suffix}", None),
        ("in /proc", f"/proc/x{suffix}", None),
        ("loop", f"loop{suffix}", link(f"loop{suffix}", f"loop{suffix}")),
        *([("folder", f"there{suffix}", folder_named(f"there{suffix}")), ("pipe", f"p{suffix}", fifo(f"p{suffix}"))]
          if suffix else [("hard link", "h", hard("h", "photo.png"))]),
    )
]  # fmt: skip
TRAIN = "train -o out --epochs 1 --config run.yaml --data ann.json"
ALIASES = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
RUNS = cases(
    "run.yaml",
    [
        (TRAIN, wrote("run.yaml", text))
        for text in (
            "a: [",
            "\t- x",
            "- a\n- b\n",
            "3",
            "data: [1]\n",
            "surprise: 1\n",
            "model: 3\n",
            "run: []\n",
            "model: {nms: .nan}\n",
            "model: {nms: yes}\n",
            "run: {epochs: -1}\n",
            "run: {epochs: 1e9999}\n",
            "run: {lr: [1]}\n",
            "preset: huge\n",
            "model: {backbone: null}\n",
            "!!python/object/apply:os.mkdir [x]\n",
            "a: &a [*a]\n",
            "? [a]\n: b\n",
            ALIASES,
            "run: {batch: nan}\n",
            "val: 3\n",
            "skip_bad: maybe\n",
            b"\xff\xfe\x00",
            b"\x00",
            "model: {num_classes: 5}\n",
            "1: 2\n",
            "null: 1\n",
            "data: a\ndata: b\n",
            "[" * 20_000,
            "model: {mean: [1, 2]}\n",
            "model: {anchor_sizes_px: 3}\n",
            "from: nothing.pt\n",
        )
    ]
    + [
        (TRAIN.replace("run.yaml", name), None)
        for name in ("nothing.yaml", "photo.png", "best.pt", "tiny.onnx", "/dev/null")
    ],
)
INFER = ("infer", "tiny.onnx", "photo.png", "-o", "out")
NAMES = ("infer", "tiny.onnx", "-", "-o", "out")
VERBS = {
    "infer": (*INFER, "--json"), "doctor": ("doctor", "--json"), "engine": ("engine", "inspect", "an.engine", "--json"),
    "evaluate": ("evaluate", "tiny.onnx", "--data", "ann.json", "--json"), "inspect": ("inspect-data", "ann.json", "--json"),
    "bench": ("bench", "tiny.onnx", "--image", "photo.png", "--rounds", "3", "--no-memory", "--json"),
    "parity": ("parity", "best.pt", "real.onnx", "photo.png", "--json"),
    "parity check": ("parity", "check", "bundle.npz", "real.onnx", "--json"), "help": ("infer", "--help"),
}  # fmt: skip
STREAMS = [
    Case("streams", f"stdout {stdout}: {name}", line, None, EITHER if stdout == "closed" else "refused", stdout=stdout)
    for name, line in VERBS.items()
    for stdout in ("full", "broken", "closed")
    if (name, stdout) != ("help", "broken")  # ends without a word, as every program in a pipe does
] + [
    Case("streams", "names, stdin closed", NAMES, None, stdin="closed"),
    Case("streams", "names, stdin empty", NAMES, None, stdin="null"),
    Case("streams", "stdin closed", INFER, None, RIGHT, stdin="closed"),
]  # fmt: skip
OWN = cases(
    "overwriting",
    [
        ("export best.pt -o ./best.pt", None),
        ("export best.pt -o h.onnx", hard("h.onnx", "best.pt")),
        ("export best.pt -o l.onnx", link("l.onnx", "best.pt")),
        ("export best.pt -o o.onnx --height 64 --width 96 --card best.pt", None),
        ("calibrate real.onnx --data ann.json -o real.onnx", None),
        ("calibrate real.onnx --data ann.json -o q.onnx --scales ann.json", None),
        ("calibrate real.onnx --data ann.json -o q.onnx --to-cache l", link("l", "ann.json")),
        ("engine unpack an.engine -o x/../an.engine", folder_named("x")),
        ("engine unpack an.engine -o tiny.onnx", None),
        ("evaluate tiny.onnx --data ann.json -o l.json", link("l.json", "ann.json")),
        ("evaluate tiny.onnx --data ann.json --html h.html", hard("h.html", "tiny.onnx")),
        ("parity record best.pt photo.png -o h.npz", hard("h.npz", "photo.png")),
        ("parity best.pt real.onnx photo.png -o a --html a", None),
        ("serve-triton tiny.onnx -o .", None, EITHER),
        ("serve-triton tiny.onnx -o repo --name m", wrote("repo/m", "a file")),
        ("serve-triton tiny.onnx -o repo --name m", wrote("repo/m/1", "a file")),
        ("serve-triton tiny.onnx -o repo --name m", wrote("repo/m/config.pbtxt/x", "a folder")),
        ("serve-triton tiny.onnx -o repo --name m", wrote("repo/m/config.pbtxt", b"\x89PNG\r\n\x1a\n")),
        ("bench tiny.onnx --image photo.png --plot photo.png", None),
        ("inspect-data ann.json -o photo.png", None),
        ("infer tiny.onnx photo.png -o out", wrote("out/predictions.json", b"\x89PNG\r\n\x1a\n")),
        ("infer tiny.onnx photo.png -o out", wrote("out/overlays", "a file")),
        ("infer tiny.onnx photo.png -o out", wrote("out/results.jsonl/x", "")),
        ("train --data ann.json --epochs 1 -o out", wrote("out/best.pt", "mine")),
        ("train --data ann.json --resume -o out", wrote("out/last.ckpt", "mine")),
        ("build-plugins -o photo.png", None),
        ("build real.onnx -o real.onnx", None),
        ("demo -o photo.png", None),
    ],
)
CASES = PLACES + RUNS + STREAMS + OWN
