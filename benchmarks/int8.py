"""`make bench`: R50-FPN at 800×1088 on this CPU: PyTorch eager, and each backend in FP32, INT8 and bf16.

The network alone on one canvas, interleaved in this process. The weights are random but confident, calibrated
on the synthetic pictures they were made with. Only speed is measured; accuracy is measured in tests/full.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from importlib import metadata

from benchmarks.mask_rcnn import (
    CHECKPOINT,
    FOLDER,
    HEIGHT_PX,
    MODEL,
    WIDTH_PX,
    canvas,
    make_models,
    processor,
)

INT8_MODEL = FOLDER / "resnet50.int8.onnx"
CALIBRATION = "synthetic:4:7"


def make_int8() -> float:
    """The INT8 file beside the FP32 one, plain min-max. Returns the share of multiply-adds in INT8."""
    import onnx

    from maskrt.calibration.decide.candidate import build, read_model, share_in_int8, sign
    from maskrt.calibration.decide.layers import Graph
    from maskrt.calibration.decide.plan import Plan
    from maskrt.calibration.flavours import CPU
    from maskrt.calibration.measure.images import find, readable
    from maskrt.calibration.measure.ranges import measured
    from maskrt.calibration.measure.scales import Key, Scales

    model, contract = read_model(MODEL, "fp32")
    plan = Plan.default(Graph.of(model), CPU, "minmax")
    kept = FOLDER / "resnet50.scales.json"
    kept.unlink(missing_ok=True)
    images, pixels_sha256 = readable(find(CALIBRATION, 4))
    key = Key.of(MODEL, contract, pixels_sha256)
    scales: Scales = measured(model, key, contract, images, kept)
    int8 = build(model, plan, scales.ranges("minmax"))
    sign(int8, contract, {"images": scales.images, "method": "minmax"})
    onnx.save_model(int8, INT8_MODEL)
    return share_in_int8(plan, scales.multiply_adds)


def capabilities() -> list[str]:
    """What OpenVINO finds this CPU to have; empty where it is not installed."""
    try:
        import openvino
    except ImportError:
        return []
    return list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def main() -> None:
    """Measure, print the table, write out/bench/int8.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    from maskrt.runtime.backends.open import open_session
    from maskrt.runtime.backends.open_onnx import BF16, installed
    from maskrt.runtime.bench import infer_call, interleave, print_timings
    from maskrt.runtime.commands.cli import say
    from maskrt.runtime.files.atomic import write_text
    from maskrt.runtime.files.kinds import OWN_NAME

    make_models()
    share = make_int8()
    backends = installed()
    sessions = {"eager": open_session(CHECKPOINT)}
    for precision, path in (("FP32", MODEL), ("INT8", INT8_MODEL)):
        sessions |= {f"{precision}, {name}": open_session(path, backend=name) for name in backends}
    if "BF16" in capabilities():
        sessions["bf16, openvino"] = open_session(MODEL, backend=BF16)
    timings = interleave([(name, infer_call(s, *canvas())) for name, s in sessions.items()], rounds)
    detections = [int(s.infer(*canvas())["num_detections"][0]) for s in sessions.values()]
    print_timings(timings, f"R50-FPN, 1x{HEIGHT_PX}x{WIDTH_PX}, {rounds} rounds, {detections} detections")
    size = INT8_MODEL.stat().st_size / MODEL.stat().st_size
    median_ms = {t.model: t.median_ms for t in timings}
    for name in backends:
        faster = median_ms[f"FP32, {name}"] / median_ms[f"INT8, {name}"]
        print(f"INT8 is {faster:.2f} times as fast as FP32 on {name}")
    for name in [name for name in median_ms if name.startswith("bf16")]:
        print(
            f"bf16 is {median_ms['FP32, openvino'] / median_ms[name]:.2f} times as fast as FP32 on openvino"
        )
    print(f"INT8's file: {size:.1%} of FP32's size; {share:.1%} of the multiply-adds in INT8")
    facts = {
        "machine": processor(),
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision", *backends)},
        "rounds": rounds,
        "timings": [asdict(t) for t in timings],
        "detections": detections,
        "file_size_share": size,
        "multiply_adds_in_int8": share,
    }
    write_text(FOLDER / "int8.json", json.dumps(facts, indent=1), OWN_NAME)
    say(f"written to {FOLDER / 'int8.json'}")


if __name__ == "__main__":
    main()
