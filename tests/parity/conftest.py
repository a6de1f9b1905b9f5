"""Your checkpoint, your model file, your images: see docs/parity.md, "In your own CI"."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrt.runtime.backends.open import Session
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.inside.unseen import look_without_images
from maskrt.runtime.parity.judge import judge
from maskrt.runtime.parity.recorded.bundle import Bundle, open_bundle
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import open_looking, open_reference, report_for

REFERENCE, CANDIDATE, IMAGES, DEVICE = (
    f"--maskrt-{name}" for name in ("reference", "candidate", "images", "device")
)


@pytest.fixture(scope="session")
def candidate(pytestconfig: pytest.Config) -> Session:
    """The model that is deployed."""
    path = pytestconfig.getoption(CANDIDATE)
    if path is None:
        pytest.skip(f"give {REFERENCE} and {CANDIDATE}: docs/parity.md")
    return open_looking(Path(path), pytestconfig.getoption(DEVICE))


@pytest.fixture(scope="session")
def reference(candidate: Session, pytestconfig: pytest.Config) -> Session | Bundle:
    """The model that was trained, or what was recorded of it."""
    path = pytestconfig.getoption(REFERENCE)
    if path is None:
        pytest.fail(f"{CANDIDATE} without {REFERENCE}: give the checkpoint (.pt) or a recorded bundle (.npz)")
    if path.endswith(".npz"):
        return open_bundle(path)
    return open_reference(Path(path), pytestconfig.getoption(DEVICE), candidate.contract)


@pytest.fixture(scope="session")
def report(reference: Session | Bundle, candidate: Session, pytestconfig: pytest.Config) -> Report:
    """Both models over all images, compared once."""
    unseen = look_without_images(
        reference, Path(candidate.name), candidate, device=pytestconfig.getoption(DEVICE)
    )
    found = report_for(reference, candidate, unseen)
    if isinstance(reference, Bundle):
        for name, batch, expected in reference:
            judge(name, batch, expected, candidate, found)
        return found
    images = pytestconfig.getoption(IMAGES)
    if not images:
        pytest.fail(f"give {IMAGES}: files, folders or globs; only a bundle (.npz) brings its own")
    for path in find_images(images):
        compare(reference, candidate, str(path), read_image(path), found)
    return found
