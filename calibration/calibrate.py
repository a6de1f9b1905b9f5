"""`maskrt calibrate`: an FP32 ONNX file in eight bits, with what that costs measured and bounded."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from maskrt.calibration.flavours import CPU, METHOD, TENSORRT
from maskrt.calibration.measure.images import WANTED
from maskrt.runtime.backends.onnx_weights import check_weights
from maskrt.runtime.cli import say
from maskrt.runtime.contract import LEARNED_SCALES
from maskrt.runtime.errors import CalibrationError
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import (
    CALIBRATION_CACHE,
    ONNX,
    PARTIAL_RANGES,
    PLOT,
    PRECISION_PLAN,
    SCALES,
    SENSITIVITY,
)
from maskrt.runtime.program import Program

BESIDE = {".plan.json": PRECISION_PLAN, ".scales.json": SCALES, ".scales.partial.npz": PARTIAL_RANGES}


def command(
    model: Annotated[Path, typer.Argument(help="FP32 model (.onnx), as maskrt export writes it")],
    data: Annotated[str, typer.Option(help="Images to measure on: folder, glob, annotations, synthetic[:N]")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="INT8 model to write"), Writes(ONNX, BESIDE)
    ] = Path("model.int8.onnx"),
    flavour: Annotated[str, typer.Option(help="cpu (ONNX Runtime) or tensorrt")] = CPU,
    onto: Annotated[
        Path | None, typer.Option(help="tensorrt: the FP16 export, for what is not in INT8")
    ] = None,
    val: Annotated[
        str | None, typer.Option(help="Annotated images to judge by; default: some of DATA")
    ] = None,
    class_name: Annotated[
        str, typer.Option(help="VIA without class attributes: the class's name")
    ] = "object",
    images: Annotated[Path | None, typer.Option(help="Folder of DATA's images, if not beside DATA")] = None,
    val_images: Annotated[Path | None, typer.Option(help="Folder of VAL's images")] = None,
    max_images: Annotated[
        int, typer.Option(metavar="N", help="How many of DATA to take, evenly spread")
    ] = WANTED,
    method: Annotated[
        str | None,
        typer.Option(help="Ranges by: minmax, moving-average, percentile, entropy, mse", show_default=METHOD),
    ] = None,
    max_ap_drop: Annotated[
        float, typer.Option(help="Points of AP that may be lost, of masks where there are any")
    ] = 0.3,
    min_mask_iou: Annotated[float, typer.Option(help="Mean mask IoU with the float model")] = 0.97,
    last_layers: Annotated[
        bool, typer.Option("--last-layers", help="Quantise class, box and RPN outputs too")
    ] = False,
    plan: Annotated[Path | None, typer.Option(help="Precision plan to follow; it is not changed")] = None,
    scales: Annotated[
        Path | None,
        typer.Option(help="Measured ranges, kept; default: beside OUTPUT, .scales.json"),
        Writes(SCALES, {".partial.npz": PARTIAL_RANGES}),
    ] = None,
    sensitivity: Annotated[
        Path | None,
        typer.Option(help="Write the loss of each group of layers (.png, .json)"),
        Writes(None, {".png": PLOT, ".json": SENSITIVITY}),
    ] = None,
    equalise: Annotated[
        bool, typer.Option("--equalise", help="First even out the channels' loudness across layers")
    ] = False,
    to_cache: Annotated[
        Path | None, typer.Option(help="Write the ranges as TensorRT's cache too"), Writes(CALIBRATION_CACHE)
    ] = None,
    from_cache: Annotated[Path | None, typer.Option(help="Take the ranges from TensorRT's cache")] = None,
) -> None:
    """Quantise a model to INT8, and let nothing pass that loses too much.

    Writes OUTPUT, its plan (.plan.json) and the ranges (.scales.json). Where the model loses more than
    allowed, groups of layers go back to float, the most sensitive first. Exit code 1 if that is not enough.

    Example: maskrt calibrate model.onnx --data train/ --val val/ -o model.int8.onnx
    """
    import onnx  # and all that needs it: --help does not

    from maskrt.calibration.decide.candidate import build, read_model, share_in_int8, sign
    from maskrt.calibration.decide.gate import Limits, open_judge
    from maskrt.calibration.decide.layers import Graph
    from maskrt.calibration.decide.report import print_verdict, write_sensitivity
    from maskrt.calibration.decide.search import Search
    from maskrt.calibration.decide.sensitivity import Build, analyse
    from maskrt.calibration.measure.cache import write_cache
    from maskrt.calibration.measure.images import find, readable
    from maskrt.calibration.measure.ranges import KnownRanges, measured
    from maskrt.calibration.measure.scales import Key
    from maskrt.calibration.options import check_equalise, check_options, wanted_plan
    from maskrt.calibration.rewrite.equalise import EQUALISED, EqualiseLayers, ReplaceWeights

    limits = Limits(max_ap_drop, min_mask_iou)
    check_options(flavour, method, onto, from_cache, limits)
    ranges_file = scales or output.with_suffix(".scales.json")
    source, contract = read_model(model, "fp32")
    check_weights(model)  # before ranges of NaN are measured, and kept
    base, base_contract = read_model(onto, "fp16") if onto else (source, contract)
    if base_contract.origin.checkpoint_sha256 != contract.origin.checkpoint_sha256:
        raise CalibrationError(f"{onto}: made from another checkpoint than {model}. Export both from one.")
    learned = (
        contract.precision.details.get(LEARNED_SCALES, {}) if flavour == TENSORRT and not from_cache else {}
    )
    check_equalise(equalise, to_cache or from_cache, learned)
    rescale = EqualiseLayers()
    if equalise:
        rescale(source)
        ReplaceWeights(rescale.weights)(base)
    wanted = wanted_plan(plan, Graph(source.graph), flavour, method, last_layers=last_layers)
    chosen, pixels_sha256 = readable(find(data, max_images, images))
    if from_cache:
        known = KnownRanges.of_cache(from_cache)
    else:
        key = Key.of(model, contract, pixels_sha256, equalised=bool(rescale.weights))
        found = measured(source, key, contract, chosen, ranges_file)
        known = KnownRanges.of_images(found, wanted.method)
    known = known.with_learned(source, learned)
    if to_cache:
        write_cache(to_cache, known.ranges)
    make: Build = partial(build, base, ranges=known.ranges)
    make(wanted)  # ranges or a plan of another graph are refused before anything is run
    if learned and val:  # the float form of such weights is not what was trained
        limits = dataclasses.replace(limits, by_ap_alone=True)
    judge = open_judge(model, chosen, limits, val, images_dir=val_images, class_name=class_name)
    if sensitivity:
        write_sensitivity(sensitivity, analyse(wanted, source, make, judge, contract))
    search = Search(source, contract, known.ranges, judge, make, wanted)
    if not learned:  # training may have found that the loudest are best clipped
        search.check_scales()
    final, verdict = search.settle(fixed=plan is not None)
    print_verdict(verdict, f"{output.name}, {flavour}: {len(judge.images)} images")
    int8 = make(final)
    reached = {"flavour": flavour, EQUALISED: equalise, "float_layers": final.float_layers}
    sign(int8, base_contract, {**known.details, **reached, "loss": verdict.to_dict()})
    with atomic_path(output, ONNX) as temporary:
        onnx.save_model(int8, temporary)
    final.write(output.with_suffix(".plan.json"))
    work = known.multiply_adds
    share = f", {share_in_int8(final, work):.1%} of the multiply-adds in INT8" if work else ""
    say(f"{output}: {output.stat().st_size / 1e6:.0f} MB of {model.stat().st_size / 1e6:.0f} MB{share}")


main = Program("maskrt calibrate", command)

if __name__ == "__main__":
    main()
