"""What to say of a package that is not installed here, and what to type: maskrt is on no registry."""

from __future__ import annotations

import shlex
from pathlib import Path

from maskrt.runtime.errors import MissingDependencyError

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("runtime", "training", "export", "calibration")
#: What each command needs (pyproject.toml); those that are not named need what a model file runs on.
EXTRAS = {
    "demo": "train,export,cpu",
    "inspect-data": "train",
    "train": "train",
    "export": "export",
    "calibrate": "calibrate",
    "parity bisect": "calibrate",
    "build": "gpu",
    "build-plugins": "gpu",
}
OPENCV = (
    "needs OpenCV's Python package (cv2). On a Jetson it comes with JetPack: make the environment with "
    "python3 -m venv --system-site-packages, after sudo apt install libopencv-python (docs/jetson.md). "
    "Elsewhere: pip install opencv-python-headless"
)


def install(extra: str) -> str:
    """The command that installs an extra: in the checkout that runs, or in the one that this is from."""
    if not (ROOT / "pyproject.toml").is_file():
        return f"pip install '.[{extra}]' in maskrt's checkout"
    place = "." if Path.cwd() == ROOT else str(ROOT)
    return f"pip install -e {shlex.quote(f'{place}[{extra}]')}"


def missing(error: ImportError, purpose: str, extra: str) -> MissingDependencyError:
    """What to raise for a package that is not here. Raises the error itself for a module of a stage of our
    own that is; where the runtime is installed alone, the whole stage is not."""
    package = (error.name or "").split(".")[0]
    if package in STAGES and error.name != package:
        raise error
    if not isinstance(error, ModuleNotFoundError):
        return MissingDependencyError(
            f"{purpose} needs a package that is installed here and broken ({error}). Install it again: "
            f"{install(extra)}"
        )
    if package == "cv2":
        return MissingDependencyError(f"{purpose} {OPENCV}")
    return MissingDependencyError(
        f"{purpose} needs the package {package!r}, which is not installed here. Install it: {install(extra)}"
    )


def missing_for(error: ImportError, program: str) -> MissingDependencyError:
    """The same for a command, such as "maskrt train": its extra is known."""
    return missing(error, "this", EXTRAS.get(program.removeprefix("maskrt "), "cpu"))
