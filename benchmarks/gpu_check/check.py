"""`make gpu-check`: build, check and time every recorded model on this machine's GPU and TensorRT.

Needs TensorRT, onnx, scipy and cuda-python, no PyTorch, and a folder that `make gpu-check-record` made. What
is built is built by the commands that a user would run; what fails is a line in the report.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu_check.agreement import Agreement, agree
from benchmarks.gpu_check.bundle import Bundle, Form, Model, load_canvas
from benchmarks.gpu_check.latency import session_latencies
from benchmarks.gpu_check.operators import check_operator
from benchmarks.gpu_check.report import EngineResult, Results, reason
from maskrt.runtime.backends.trt.device import describe_gpu
from maskrt.runtime.backends.trt.engine_file import Shape
from maskrt.runtime.backends.trt.library import import_tensorrt
from maskrt.runtime.backends.trt.plugins import VARIABLE
from maskrt.runtime.backends.trt.session import TrtSession
from maskrt.runtime.commands.cli import say
from maskrt.runtime.errors import EXIT_FAILED_CHECK, MaskrtError

CONTEXTS = 2  # of a session, each run from a thread of its own
LAYERS = re.compile(r"\blayers: ([^;\n]+)")  # as maskrt.export.engine.layers says it


class Said(NamedTuple):
    """What a command printed."""

    out: str
    err: str


def maskrt(*arguments: object) -> Said:
    """Run `maskrt ...` and give what it prints. Raises MaskrtError with its last words.

    What it says on stderr (of a build: layers, plugins, what stayed in FP32) is passed on.
    """
    words = [str(argument) for argument in arguments]
    done = subprocess.run([sys.executable, "-m", "maskrt", *words], capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise MaskrtError(f"`maskrt {' '.join(words)}` ended with {done.returncode}: {last}")
    return Said(done.stdout, done.stderr)


def build_plugins() -> str:
    """Build the plugin library and have every later step use it; else say why there is none.

    TensorRT 10 and later then take the plugins in Python; 8.6 has none, and every engine will say so.
    """
    if named := os.environ.get(VARIABLE):
        return named
    try:
        library = maskrt("build-plugins").out.strip()
    except MaskrtError as error:
        return f"none: {error}"
    os.environ[VARIABLE] = library
    return library


def check_engine(model: Model, form: Form, bundle: Path, output: Path) -> EngineResult:
    """Build one form of a model, hold it to the recording from two threads at a time, and time it."""
    engine = output / Path(model.onnx(form)).with_suffix(".engine")
    result = EngineResult(model.name, form.shape, form.precision)
    profile = _profile(model) if form.shape == "dynamic" else []
    start = time.perf_counter()
    try:
        said = maskrt("build", bundle / model.onnx(form), "-o", engine, *profile)
        build_s = time.perf_counter() - start
        layers = count_layers(engine, form, said.err)
        sessions = {"on": TrtSession(engine, contexts=CONTEXTS), "off": TrtSession(engine, cuda_graph=False)}
        agreement = agree_from_threads(sessions["on"], model, form, bundle)
        canvases = (load_canvas(bundle / model.canvas(i)) for i in range(model.canvases))
        images, image_sizes, _ = next(c for c in canvases if model.takes(form, c[0].shape[:3]))
        latencies = {
            graph: session_latencies(session, images, image_sizes) for graph, session in sessions.items()
        }
    except Exception as error:
        return dataclasses.replace(result, failure=reason(error))
    for session in sessions.values():
        session.close()
    passed = agreement.passes(form.precision, trained=model.trained)
    return dataclasses.replace(
        result, build_s=build_s, layers=layers, agreement=agreement, passed=passed, latencies=latencies
    )


def count_layers(engine: Path, form: Form, said: str) -> str:
    """The engine's layers by type, as `maskrt build` tells them.

    Raises MaskrtError where some were to be in INT8 and none is, or that is not known.
    """
    layers = found[1] if (found := LAYERS.search(said)) else "unknown"
    if form.precision == "int8" and not re.search(r"\bINT8\b", layers):
        raise MaskrtError(f"{engine}: exported in INT8, and its layers are: {layers}")
    return layers


def agree_from_threads(session: TrtSession, model: Model, form: Form, bundle: Path) -> Agreement:
    """What each of two threads finds that run all canvases at the same time: the one that does not pass."""
    with ThreadPoolExecutor(CONTEXTS) as threads:
        runs = [threads.submit(agree, session, model, form, bundle) for _ in range(CONTEXTS)]
        found = [run.result() for run in runs]
    return min(found, key=lambda agreement: agreement.passes(form.precision, trained=model.trained))


def _profile(model: Model) -> list[str]:
    def text(shape: Shape) -> str:
        return "x".join(map(str, shape))

    return ["--min", text(model.smallest), "--opt", text(model.usual), "--max", text(model.largest)]


def main() -> None:
    """Check everything; the exit code says whether all of it passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, help="folder that make gpu-check-record made")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/gpu-results"))
    options = parser.parse_args()
    try:
        results = run(Bundle.load(options.bundle), options.bundle, options.output)
    except MaskrtError as error:
        sys.exit(f"gpu-check: {error}")
    print(results.to_markdown())
    say(f"{'passed' if results.passed else 'FAILED'}; written to {options.output}/results.md and .json")
    sys.exit(0 if results.passed else EXIT_FAILED_CHECK)


def run(bundle: Bundle, folder: Path, output: Path) -> Results:
    """All checks, in order: the plugins, the operators alone, the models.

    The report is written after each engine: builds take minutes, and a run cut off leaves what it found.
    """
    trt, gpu = import_tensorrt(), describe_gpu()
    machine = {
        "GPU": f"{gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory_bytes / 2**30:.0f} GiB",
        "TensorRT": trt.__version__,
        "CUDA": f"driver for {gpu.driver_version}, cuda-python {gpu.cuda_version}",
        "Python": f"{platform.python_version()} on {platform.machine()}",
        "plugin library": build_plugins(),
        "weights": ", ".join(f"{model.name}: {model.weights}" for model in bundle.models),
        "recorded with": ", ".join(f"{name} {version}" for name, version in bundle.made_with.items()),
    }
    output.mkdir(parents=True, exist_ok=True)
    operators = [
        check_operator(operator, by, folder) for operator in bundle.operators for by in ("plugin", "body")
    ]
    forms = [(model, form) for model in bundle.models for form in model.forms]
    results = Results(machine | {"engines": f"0 of {len(forms)}"}, operators, [])
    results.write(output)
    for model, form in forms:
        say(f"{model.name}, {form.shape}, {form.precision} ...")
        engines = [*results.engines, check_engine(model, form, folder, output)]
        results = Results(machine | {"engines": f"{len(engines)} of {len(forms)}"}, operators, engines)
        results.write(output)
    return results


if __name__ == "__main__":
    main()
