"""python -m benchmarks.parity_trial: plants every fault, checks every control, prints the table."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch

from benchmarks.parity_trial import class_maps, yolact
from benchmarks.parity_trial.controls import all_controls
from benchmarks.parity_trial.faults import CLASSES, Planted, all_faults
from maskrt.export.onnx_model import export_onnx
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.random_weights import randomise
from maskrt.models.reference import open_reference
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.inside.unseen import look_without_images
from maskrt.runtime.parity.sides import open_looking, report_for
from maskrt.runtime.parity.sides import open_reference as open_as_exported
from maskrt.training.data import load_dataset

FLAT = {
    "black": np.zeros((256, 320, 3), np.uint8),
    "white": np.full((256, 320, 3), 255, np.uint8),
    "striped": np.tile(np.array([0, 255], np.uint8)[None, :, None], (256, 160, 3)),
}


def small_checkpoint(folder: Path, picture: np.ndarray) -> Path:
    """A network with confident random weights, narrow enough that a fault takes seconds."""
    config = MaskRcnnConfig(
        backbone="resnet18",
        num_classes=CLASSES,
        fpn_channels=32,
        mask_convs=(32, 32),
        min_size_px=256,
        max_size_px=320,
        rpn_post_nms_test=200,
    )
    torch.manual_seed(0)
    model = randomise(build_mask_rcnn(config), [torch.from_numpy(picture).permute(2, 0, 1) / 255], 0)
    classes = tuple(Category(i, f"class {i}") for i in range(1, CLASSES))
    path = folder / "small.pt"
    Checkpoint(config=config, classes=classes, state_dict=model.state_dict()).save(path)
    return path


def said_of(checkpoint: Path, file: Path, picture: np.ndarray) -> list[str]:
    """All that `maskrt parity` says of a file; empty where it passes."""
    try:
        candidate = open_looking(file, "cpu")
        reference = open_as_exported(checkpoint, "cpu", candidate.contract)
        unseen = look_without_images(reference, file, candidate, device="cpu")
        report = report_for(reference, candidate, unseen)
        compare(reference, candidate, "picture", picture, report)
    except MaskrtError as error:
        return [f"refused: contract: {error}"]
    first = report.stages.first
    return [*report.failures, *(first.culprits if first else ()), *filter(None, [report.undecided])]


def planted(
    faults: Iterable[Planted], checkpoint: Path, model: onnx.ModelProto, picture: np.ndarray, file: Path
) -> list[list[str]]:
    """A row a fault: name, whether it was caught, the stage and the cause were right, and the first line.

    file: where the faulty models are written, one after the other.
    """
    rows = []
    for number, fault in enumerate(faults):
        faulty = onnx.ModelProto()
        faulty.CopyFrom(model)
        fault.plant(faulty)
        onnx.save_model(faulty, file)
        said = said_of(checkpoint, file, picture)
        first, everything = (said or [""])[0], "\n".join(said)
        marks = (bool(said), fault.right_stage(first), fault.right_cause(everything))
        rows.append([fault.name, *("yes" if mark else "no" for mark in marks), first])
        print(number + 1, *rows[-1], sep=" | ", flush=True)
    return rows


def trial(faults: list[Planted], *, controls: bool) -> dict[str, list[list[str]]]:
    """Rows of the table: name, caught, stage, cause, and the first line."""
    picture = load_dataset("synthetic:16:7")[1].image()
    rows: dict[str, list[list[str]]] = {"faults": [], "controls": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = small_checkpoint(folder, picture)
        checkpoint = load_checkpoint(path)
        model = export_onnx(
            checkpoint, checkpoint.contract(height_px=256, width_px=320, detections="dynamic")
        )
        rows["faults"] = planted(faults, path, model, picture, folder / "faulty.onnx")
        for kind, save in all_controls(checkpoint, model) if controls else ():
            file = folder / f"{kind.replace(' ', '-')}.onnx"
            save(file)
            said = said_of(path, file, picture)
            rows["controls"].append([kind, "false alarm" if said else "passed", (said or [""])[0]])
            print("control", *rows["controls"][-1], sep=" | ", flush=True)
        if controls:
            right = folder / "as-exported.onnx"
            for kind, flat in FLAT.items():
                session, reference = OrtSession(right, stages=True), open_reference(path)
                report = report_for(reference, session)
                compare(reference, session, kind, flat, report)
                verdict = "false alarm" if report.failures else "undecided" if report.undecided else "passed"
                rows["controls"].append([f"a {kind} picture", verdict, (report.failures or [""])[0]])
                print("control", *rows["controls"][-1], sep=" | ", flush=True)
    return rows


def class_map_trial(only: str, geometry: str) -> list[list[str]]:
    """The rows of an FCN-8s: the file as it is first, then its faults."""
    picture = load_dataset("synthetic:16:7")[1].image()
    with tempfile.TemporaryDirectory() as name:
        path = class_maps.small_checkpoint(geometry, Path(name), picture)
        checkpoint, (height, width) = load_checkpoint(path), class_maps.SIZES[geometry]
        model = export_onnx(checkpoint, checkpoint.contract(height_px=height, width_px=width, batch=1))
        file = Path(name) / "model.onnx"
        onnx.save_model(model, file)
        if said := said_of(path, file, picture):
            raise AssertionError(f"the file as exported does not pass: {said[0]}")
        faults = [fault for fault in class_maps.all_faults(geometry) if only in fault.name]
        return planted(faults, path, model, picture, file)


def yolact_trial(only: str) -> list[list[str]]:
    """The rows of a YOLACT: the file as it is first, then its faults."""
    picture = load_dataset("synthetic:16:7")[1].image()
    with tempfile.TemporaryDirectory() as name:
        path = yolact.small_checkpoint(Path(name), picture)
        checkpoint, (height, width) = load_checkpoint(path), yolact.SIZE
        model = export_onnx(checkpoint, checkpoint.contract(height_px=height, width_px=width, batch=1))
        file = Path(name) / "model.onnx"
        onnx.save_model(model, file)
        if said := said_of(path, file, picture):
            raise AssertionError(f"the file as exported does not pass: {said[0]}")
        faults = [fault for fault in yolact.all_faults() if only in fault.name]
        return planted(faults, path, model, picture, file)


def main() -> None:
    """Print what was caught; exit code 1 for a fault that passed or a false alarm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="faults whose name holds this text")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin with the Nth fault")
    parser.add_argument("--no-controls", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="rows as JSON")
    parser.add_argument("--class-maps", action="store_true", help="in FCN-8s of both geometries")
    parser.add_argument("--yolact", action="store_true", help="in a YOLACT")
    options = parser.parse_args()
    faults = [fault for fault in all_faults() if options.only in fault.name][options.first - 1 :]
    if options.class_maps:
        maps = [class_map_trial(options.only, geometry) for geometry in class_maps.SIZES]
        rows = {"faults": [row for of_one in maps for row in of_one], "controls": []}
    elif options.yolact:
        rows = {"faults": yolact_trial(options.only), "controls": []}
    else:
        rows = trial(faults, controls=not options.no_controls)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1))
    counts = [sum(row[column] == "yes" for row in rows["faults"]) for column in (1, 2, 3)]
    alarms = sum(row[1] == "false alarm" for row in rows["controls"])
    print(
        f"{len(rows['faults'])} faults: {counts[0]} caught, {counts[1]} at the right stage, {counts[2]} with "
        f"the right cause or it among the possible; {alarms} false alarms in {len(rows['controls'])} controls"
    )
    sys.exit(1 if counts[0] < len(rows["faults"]) or alarms else 0)


if __name__ == "__main__":
    main()
