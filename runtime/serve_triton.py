"""`maskrt serve-triton`: write a model repository for NVIDIA's Triton Inference Server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.backends.open import open_session
from maskrt.runtime.backends.ort_session import check_device
from maskrt.runtime.backends.trt.engine_file import EngineHeader, read_header, read_plan
from maskrt.runtime.backends.trt.engine_fit import rebuild_command
from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.options import BatchWait, MaxMegapixels, MinScore
from maskrt.runtime.commands.program import Program
from maskrt.runtime.commands.terminal import printable
from maskrt.runtime.errors import MaskrtError, ModelError
from maskrt.runtime.files.atomic import temporary_folder
from maskrt.runtime.files.guard import Writes, overwrites
from maskrt.runtime.serving.triton_config import LABELS_FILE, PLATFORMS, Serving, pbtxt
from maskrt.runtime.tasks.keep import DEFAULT_SCORE

MODEL_PY = '''"""Written by maskrt serve-triton; needs maskrt in the server's Python."""

from maskrt.runtime.serving.triton_models import {name} as TritonPythonModel  # noqa: F401
'''
BEFORE = ".before"  # put to the name of a model that is replaced
MOST_WORKERS = 256  # each is a process with Python in it
UNFIT = r"[^A-Za-z0-9_.-]"  # for the name of a model, which is a folder's and a part of a URL
EMBEDDED = " --backend-config=tensorrt,version-compatible=true"  # Triton then runs the plugins in the plan


def command(
    model: Annotated[Path, typer.Argument(help="Model file: .onnx, or .engine")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The repository, new or with other models"), Writes(None)
    ],
    name: Annotated[str | None, typer.Option(help="What clients ask for; default: the file's name")] = None,
    device: Annotated[str, typer.Option(help="Of an ONNX file: cpu or cuda")] = "cpu",
    max_batch: Annotated[int, typer.Option(min=1, help="Images a call, if the model takes any number")] = 8,
    batch_wait_ms: BatchWait = 2.0,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="Processes that decode, and that paste masks")
    ] = 2,
    min_score: MinScore = DEFAULT_SCORE,
    max_megapixels: MaxMegapixels = 100.0,
) -> None:
    """Write a model repository for Triton: image files go in, detections with masks as RLE come out.

    What it finds is what `maskrt infer` finds. The server's Python needs maskrt: docs/serving.md.

    Example: maskrt serve-triton model.onnx -o repository --name droplets
    """
    header = read_header(model) if model.suffix == ".engine" else None
    if header is not None:
        check_plugins(model, header)
    elif model.suffix != ".onnx":
        raise ModelError(f"{model}: Triton takes .onnx or .engine. Make one: maskrt export {model}")
    check_device(device, str(model))
    most = max((profile.max[0] for profile in header.profiles), default=max_batch) if header else max_batch
    serving = Serving(
        name=name or re.sub(UNFIT, "_", model.stem),
        contract=header.contract if header else open_session(model).contract,
        platform=PLATFORMS[model.suffix],
        on_gpu=header is not None or device == "cuda",
        max_batch=min(max_batch, most),
        batch_wait_ms=batch_wait_ms,
        workers=workers,
        min_score=min_score,
        max_pixels=int(max_megapixels * 1e6),
        profiles=len(header.profiles) if header else 0,
    )
    write_repository(serving, model, output)
    flags = EMBEDDED if header and header.plugin_embedded else ""
    say(f"{output}: models {', '.join(serving.configurations())}. Serve them, where maskrt is installed too:")
    print(printable(f"tritonserver --model-repository={output.resolve()}{flags}"))


def check_plugins(path: Path, header: EngineHeader) -> None:
    """Raise ModelError for an engine whose plugins lie outside its plan.

    Triton only opens a library (`plugins=`, LD_PRELOAD), which then has to register itself; ours waits until
    TensorRT asks it for its plugins (read in Triton's tensorrt_backend, `tensorrt.cc`).
    """
    if header.operators == "plugin" and not header.plugin_embedded:
        body = rebuild_command(path, header) + " --operators body"
        raise ModelError(
            f"{path}: its plugins are not in the plan, and Triton cannot load them beside it. Build it with "
            f"TensorRT 10 or later, which puts them in, or without plugins: {body}"
        )


def write_repository(serving: Serving, model: Path, repository: Path) -> None:
    """Write the four models into a repository, which may hold others; all of them, or none.

    Raises MaskrtError for a name that is taken or unfit, and where the folder cannot be written.
    """
    if re.search(UNFIT, serving.name) or not serving.name.strip("."):
        raise MaskrtError(
            f"--name {serving.name!r}: letters, digits, '_', '.' and '-' alone, as in a URL; no dots alone."
        )
    configurations = serving.configurations()
    taken = [name for name in configurations if (repository / name).exists()]
    if taken and not overwrites():
        raise MaskrtError(
            f"{repository / taken[0]}: is there already. Remove the models {', '.join(taken)}, give "
            "another --name, or have them replaced: --overwrite"
        )
    with _all_or_none(repository, list(configurations)) as folder:
        for name, fields in configurations.items():
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "config.pbtxt").write_text(pbtxt(fields), encoding="utf-8")
        for name, python in ((serving.preprocess, "Preprocess"), (serving.postprocess, "Postprocess")):
            (folder / name / "1" / "model.py").write_text(MODEL_PY.format(name=python), encoding="utf-8")
        network = folder / serving.network
        labels = "".join(f"{name}\n" for name in serving.contract.class_names)
        (network / LABELS_FILE).write_text(labels, encoding="utf-8")
        if model.suffix == ".engine":
            with (network / "1" / "model.plan").open("wb") as file:
                file.write(read_plan(model))
        else:
            shutil.copyfile(model, network / "1" / "model.onnx")


@contextmanager
def _all_or_none(repository: Path, names: list[str]) -> Iterator[Path]:
    """A folder beside them to write the models into; they move to their places in the order given.

    What stands there already has been allowed to go, and comes back where something fails.
    """
    moved: list[Path] = []
    try:
        with temporary_folder(repository) as folder:
            try:
                yield folder
                for name in names:
                    if (repository / name).exists():
                        (repository / name).rename(folder / (name + BEFORE))
                    (folder / name).rename(repository / name)
                    moved.append(repository / name)
            except BaseException:
                for path in moved:
                    shutil.rmtree(path, ignore_errors=True)
                for before in folder.glob("*" + BEFORE):
                    before.rename(repository / before.name.removesuffix(BEFORE))
                raise
    except OSError as error:
        raise MaskrtError(
            f"{repository}: cannot be written ({error.strerror}). Choose another output, or free some space."
        ) from error


main = Program("maskrt serve-triton", command)

if __name__ == "__main__":
    main()
