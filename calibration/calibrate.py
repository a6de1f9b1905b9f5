"""The command `maskrt calibrate`: quantises an FP32 ONNX file, and measures and limits the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskrt.calibration.options import Asked, Images, Judging, RangeFiles
from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.program import Program
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import ONNX, PARTIAL_RANGES, PLOT, PRECISION_PLAN, SCALES, SENSITIVITY
from maskrt.runtime.parity.judgement import end_with

BESIDE = {".plan.json": PRECISION_PLAN, ".scales.json": SCALES, ".scales.partial.npz": PARTIAL_RANGES}


def command(
    model: Annotated[Path, typer.Argument(help="FP32 model (.onnx), as maskrt export writes it")],
    *,
    images: Images,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="INT8 model to write"), Writes(ONNX, BESIDE)
    ] = Path("model.int8.onnx"),
    asked: Asked,
    judging: Judging,
    files: RangeFiles,
    sensitivity: Annotated[
        Path | None,
        typer.Option(help="Write the loss of each group of layers (.png, .json)"),
        Writes(None, {".png": PLOT, ".json": SENSITIVITY}),
    ] = None,
) -> None:
    """Quantise a model to INT8, and let nothing pass that loses too much.

    Writes OUTPUT, its plan (.plan.json) and ranges (.scales.json). Where the model loses too much,
    layers go back to float, the most harmed first. Exit code 1 if that is not enough; 4 where a
    figure is beyond its limit by what may be chance, and OUTPUT is written.

    Example: maskrt calibrate model.onnx --data train/ --val val/ -o model.int8.onnx
    """
    # Imported here, since --help needs no onnx.
    from maskrt.calibration import quantise
    from maskrt.calibration.measure.cache import write_cache
    from maskrt.calibration.measure.images import find, readable

    floats = quantise.read_floats(model, asked)
    quantise.check_limits(floats, judging)
    asked.check_equalise(files.to_cache, floats.learned)
    equalised = quantise.equalise(floats) if asked.equalise else False
    plan = quantise.first_plan(floats, asked)
    chosen, pixels_sha256 = readable(find(images.data, images.max_images, images.images))
    known = quantise.known_ranges(
        floats,
        asked,
        plan.method,
        chosen,
        pixels_sha256=pixels_sha256,
        scales=files.scales or output.with_suffix(".scales.json"),
        equalised=equalised,
    )
    if files.to_cache:
        write_cache(files.to_cache, known.ranges)
    search = quantise.open_search(floats, known, plan, judging, chosen)
    if sensitivity:
        quantise.write_losses(search, sensitivity)
    final, verdict = quantise.find_plan(floats, search, judging, fixed=asked.plan is not None)
    quantise.write_model(floats, asked, known, search, final, verdict, output)
    if not judging.anyway:
        end_with(verdict.report)
    elif verdict.failures:
        say(f"written all the same (--anyway): loses too much: {'; '.join(verdict.failures)}")


main = Program("maskrt calibrate", command)

if __name__ == "__main__":
    main()
