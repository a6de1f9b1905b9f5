"""Records the outputs of every verb, to compare a rebuilt maskrt with: `python -m benchmarks.recording OUT`.

Run it before a change that is to keep behaviour and after it, with the same `--checkpoints`, then
`python -m benchmarks.recording --compare BEFORE AFTER`: it prints what differs, and exits with 1 where
anything does. Times and folders are left out of the comparison; everything else counts to the byte: results,
reports, help texts, exported graphs (their metadata apart, which lies beside them as text).
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from benchmarks.matrix.models import MODELS, SMALL, make
from maskrt.models.load import load_checkpoint
from maskrt.training.data import load_dataset

ROWS: dict[str, dict[str, Any]] = {
    "R18-FPN": {"num_classes": 5},
    "R50-C4": {"num_classes": 5},
    "R50-FPN keypoint": {"backbone": "resnet18"},
    "R50-FPN Faster R-CNN": {"backbone": "resnet18", "num_classes": 5},
    "MobileNetV3-FPN": {"num_classes": 5},
}
IMAGES, DATA = 2, "synthetic:6:7"
SPENT = re.compile(r"\d+(\.\d+)?(e-?\d+)? ?(ms|s|seconds|MB|GB|images/s|fps)\b")
TIMED = re.compile(r"_ms$|_s$|_bytes$|per_second$|^(created|date|path|machine|profile)$")
SHOWN = 12  # lines of a difference


@dataclasses.dataclass(frozen=True)
class Recorder:
    """Runs verbs in a folder, and keeps what they say and write."""

    folder: Path

    def run(self, name: str, *arguments: str) -> None:
        """One command; its output, errors and exit code go to NAME.txt."""
        program = Path(sys.executable).with_name("maskrt")
        done = subprocess.run([program, *arguments], cwd=self.folder, capture_output=True, text=True)
        said = f"{done.stdout}\n--- stderr\n{done.stderr}\n--- exit {done.returncode}\n"
        (self.folder / f"{name}.txt").write_text(said, encoding="utf-8")

    def digest_models(self) -> None:
        """A hash of each graph and its metadata as text, in place of the file."""
        for path in sorted(self.folder.rglob("*.onnx")):
            model = onnx.load(path)
            metadata = {entry.key: entry.value for entry in model.metadata_props}
            del model.metadata_props[:]
            text = {
                "sha256": hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest(),
                **metadata,
            }
            path.with_suffix(".onnx.json").write_text(
                json.dumps(text, indent=1, sort_keys=True), encoding="utf-8"
            )
            path.unlink()


def pictures(folder: Path) -> None:
    """Pictures of several sizes and shapes, drawn from a seed."""
    folder.mkdir()
    random = np.random.default_rng(7)
    for index, (height, width) in enumerate(((192, 256), (300, 200), (120, 120))[:IMAGES]):
        image = random.integers(0, 64, (height, width, 3), dtype=np.uint8)
        for _ in range(6):
            centre, axes = random.integers(20, 110, 2), random.integers(8, 40, 2)
            colour = tuple(int(c) for c in random.integers(64, 256, 3))
            cv2.ellipse(image, tuple(map(int, centre)), tuple(map(int, axes)), 30.0, 0, 360, colour, -1)
        cv2.imwrite(str(folder / f"{index}.png"), image)


def record_model(recorder: Recorder, every_verb: bool) -> None:
    """The verbs that a model goes through; all of them for one, the main road for the others."""
    run = recorder.run
    run("export", "export", "model.pt", "-o", "model.onnx", "--dynamic", "--detections", "dynamic")
    run("infer", "infer", "model.onnx", "pictures", "-o", "out", "--min-score", "0.3")
    run("parity", "parity", "model.pt", "model.onnx", "pictures", "-o", "parity.json")
    run("evaluate", "evaluate", "model.onnx", "--data", DATA, "-o", "ap.json")
    if not every_verb:
        return
    run("export_fp16", "export", "model.pt", "-o", "half.onnx", "--precision", "fp16")
    run("export_fixed", "export", "model.pt", "-o", "fixed.onnx", "--height", "192", "--width", "256")
    run(
        "parity_fp16", "parity", "model.pt", "half.onnx", "pictures", "-o", "half.json", "--html", "half.html"
    )
    run("record", "parity", "record", "model.pt", "pictures", "-o", "bundle")
    run("check", "parity", "check", "bundle", "model.onnx", "-o", "check.json")
    for flavour in ("cpu", "tensorrt"):
        places = ("--data", DATA, "--val", "synthetic:4:9", "--max-ap-drop", "100", "-o", f"{flavour}.onnx")
        run(f"calibrate_{flavour}", "calibrate", "model.onnx", *places, "--flavour", flavour)
    run("triton", "serve-triton", "model.onnx", "-o", "repository")
    run("inspect", "inspect-data", DATA, "-o", "inspect.html")
    run("infer_checkpoint", "infer", "model.pt", "pictures", "-o", "eager", "--contours", "--splash")
    run("doctor", "doctor", "--json")
    run("no_file", "infer", "missing.onnx", "pictures", "-o", "nothing")
    run("help", "--help")
    for verb in verbs():
        run(f"help_{verb}", verb, "--help")


def verbs() -> list[str]:
    """The verbs of the umbrella command, from its help."""
    program = Path(sys.executable).with_name("maskrt")
    told = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    commands = told[told.index("Commands") :]
    return re.findall(r"^│ ([a-z][a-z-]+) ", commands, re.M)


def record(out: Path, checkpoints: Path) -> None:
    """Fill the folder `out`, from the checkpoints in a folder; those that are not there are made."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    for model, changes in ROWS.items():
        name = model.replace(" ", "-")
        checkpoint = checkpoints / f"{name}.pt"
        if not checkpoint.is_file():
            make(dataclasses.replace(MODELS[model], **changes), SMALL, checkpoint)
            _name_classes(checkpoint)
        recorder = Recorder(out / name)
        recorder.folder.mkdir(parents=True)
        shutil.copy(checkpoint, recorder.folder / "model.pt")
        pictures(recorder.folder / "pictures")
        record_model(recorder, every_verb=model == "R18-FPN")
        recorder.digest_models()
        (recorder.folder / "model.pt").unlink()
        print(f"{model}: recorded", flush=True)


def _name_classes(path: Path) -> None:
    """Give a checkpoint the classes of the synthetic scenes, so that its AP can be measured on them."""
    checkpoint, names = load_checkpoint(path), load_dataset(DATA).classes
    classes = names[: len(checkpoint.classes)]
    dataclasses.replace(checkpoint, classes=classes).save(path)


def comparable(path: Path, root: Path) -> bytes:
    """A file's content without times and the recording's own folder."""
    content = path.read_bytes()
    if path.suffix in (".json", ".jsonl", ".txt", ".html", ".pbtxt"):
        text = content.decode().replace(str(root.resolve()), "").replace(str(root), "")
        if path.suffix == ".json" and (data := _parsed(text)) is not None:
            text = json.dumps(_without_times(data), indent=1, sort_keys=True)
        return SPENT.sub("…", text).encode()
    return content


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_times(v) for key, v in value.items() if not TIMED.search(key)}
    return [_without_times(v) for v in value] if isinstance(value, list) else value


def differences(before: Path, after: Path) -> Iterator[str]:
    """A line, or a difference of a few lines, for each file that is not the same."""
    trees = [{p.relative_to(root) for p in root.rglob("*") if p.is_file()} for root in (before, after)]
    for path in sorted(trees[0] ^ trees[1]):
        yield f"{path}: only in {before if path in trees[0] else after}"
    for path in sorted(trees[0] & trees[1]):
        old, new = comparable(before / path, before), comparable(after / path, after)
        if old != new:
            try:
                lines = difflib.unified_diff(
                    old.decode().splitlines(), new.decode().splitlines(), lineterm="", n=0
                )
                yield f"{path} differs:\n" + "\n".join(
                    f"    {line[:160]}" for line in list(lines)[2 : 2 + SHOWN]
                )
            except UnicodeDecodeError:
                yield f"{path} differs: {len(old)} bytes, {len(new)} bytes"


def main() -> None:
    """Record, or compare two recordings."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--compare", action="store_true", help="two recordings, in place of making one")
    parser.add_argument("--checkpoints", type=Path, default=Path("out/recording-checkpoints"))
    arguments = parser.parse_args()
    if len(arguments.folders) != 1 + arguments.compare:
        parser.error("give one folder to record into, or two with --compare")
    if not arguments.compare:
        return record(arguments.folders[0].resolve(), arguments.checkpoints)
    found = list(differences(*arguments.folders))
    print("\n".join(found) or "nothing differs")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
