"""The command `maskrt build-plugins`: compiles the plugins for this machine's TensorRT and GPU."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from maskrt.export.plugins.toolchain import BuildError, find_nvcc, find_tensorrt, gpu_arch, parse_arch
from maskrt.runtime.commands.program import Program
from maskrt.runtime.files import kinds
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.guard import Writes

FOLDER = Path(__file__).resolve().parent
LIBRARY = "libmaskrt_plugins.so"
SOURCES = (
    "deform_conv.cu",
    "deform_conv_operator.cpp",
    "nms.cu",
    "nms_operator.cpp",
    "plugin_blob.cpp",
    "plugin_fields.cpp",
    "plugin_log.cpp",
    "plugin_registry.cpp",
    "roi_align.cu",
    "roi_align_operator.cpp",
)
EXPORTS = FOLDER / "plugin_exports.map"
FLAGS = (
    "-shared",
    "-std=c++17",
    "-O3",
    "-cudart=static",
    "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra",
)


def source_hash() -> str:
    """SHA-256 of all sources of the library."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted([*FOLDER.glob("*.h"), *(FOLDER / name for name in SOURCES), EXPORTS]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def library_path(tensorrt_version: str, archs: tuple[int, ...]) -> Path:
    """The path of the library in the user's cache, named by everything it depends on."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = f"{source_hash()[:16]}-trt{tensorrt_version}-sm{'_'.join(map(str, archs))}-{platform.machine()}"
    return cache / "maskrt" / "plugins" / key / LIBRARY


def build_plugins(
    tensorrt_root: Path | None = None, arch: str | None = None, output: Path | None = None
) -> Path:
    """Build the plugin library, unless the cache has it, and return its path (`output` if given).

    arch: compute capabilities such as "87" or "89,90"; by default that of the first GPU of this machine.
    """
    tensorrt = find_tensorrt(tensorrt_root)
    archs = parse_arch(arch) if arch else (gpu_arch(),)
    library = library_path(tensorrt.version_text, archs)
    if not library.is_file():
        with atomic_path(library, kinds.OWN_NAME) as building:
            _compile(find_nvcc(), tensorrt.include, archs, building)
    if output is None:
        return library
    with atomic_path(output, kinds.LIBRARY) as copy:
        shutil.copyfile(library, copy)
    return output


def compile_command(nvcc: Path, include: Path, archs: tuple[int, ...], output: Path) -> list[str]:
    """The command line of nvcc. The newest architecture also goes in as PTX, for GPUs newer still."""
    codes = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    codes[-1] = f"-gencode=arch=compute_{archs[-1]},code=[sm_{archs[-1]},compute_{archs[-1]}]"
    sources = [str(FOLDER / name) for name in SOURCES]
    # The compiler knows the system's folders; naming one again would change the order it looks them through.
    headers = [] if include.is_relative_to("/usr/include") else ["-isystem", str(include)]
    exports = f"-Xlinker=--version-script={EXPORTS}"
    return [str(nvcc), *FLAGS, *codes, *headers, exports, "-o", str(output), *sources]


def _compile(nvcc: Path, include: Path, archs: tuple[int, ...], output: Path) -> None:
    command = compile_command(nvcc, include, archs, output)
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        tail = "\n".join(result.stdout.strip().splitlines()[-15:])
        raise BuildError(
            f"nvcc ({nvcc}) could not build the plugins for {', '.join(f'sm_{a}' for a in archs)} against "
            f"TensorRT's headers in {include} (exit code {result.returncode}). The end of its output:\n{tail}"
        )


def command(
    tensorrt_root: Annotated[
        Path | None, typer.Option(help="Folder with TensorRT's include/; found by itself for apt, JetPack.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="Compute capability, e.g. 87 or 89,90; this machine's GPU by default.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to put the library; the cache by default."),
        Writes(kinds.LIBRARY),
    ] = None,
) -> None:
    """Build the TensorRT plugins (RoIAlign over a pyramid, NMS within groups, DeformConv) for this machine.

    Prints the library's path. Needs nvcc and TensorRT's headers, no GPU.

    Example: maskrt build-plugins --arch 87
    """
    print(build_plugins(tensorrt_root, arch, output))


main = Program("maskrt build-plugins", command)

if __name__ == "__main__":
    main()
