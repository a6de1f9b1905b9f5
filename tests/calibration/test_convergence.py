"""How many images are enough is seen on the ranges: they settle, or the model's contract says that they have not."""

from __future__ import annotations

import numpy as np

from maskrt.calibration.measure.convergence import SETTLED, Convergence, Step, doubt
from maskrt.calibration.measure.observers import Observer


def looked(images: int, grows: float) -> tuple[Convergence, list[Step]]:
    """Ten tensors over so many images, each of which may have larger values than the ones before."""
    random, observers = np.random.default_rng(0), {f"t{i}": Observer() for i in range(10)}
    convergence, told = Convergence(), []
    for image in range(images):
        for seen in observers.values():
            seen.observe(random.uniform(0.5, 1, 1000).astype(np.float32) * np.float32(1 + grows * image))
        if step := convergence.look(image + 1, observers):
            told.append(step)
    return convergence, told


def test_a_step_is_told_each_time_the_images_double() -> None:
    convergence, told = looked(70, 0.0)

    assert [step.images for step in told] == [8, 16, 32, 64]
    assert convergence.steps == told
    assert str(told[0]).startswith("ranges after 8 images: 95% of the tensors moved by at most 0.")
    assert str(told[0]).endswith("since 4")


def test_ranges_that_have_settled_are_enough() -> None:
    convergence, told = looked(16, 0.0)

    assert told[-1].moved < SETTLED
    assert doubt(16, convergence.steps) == ""


def test_ranges_that_still_grow_are_not() -> None:
    convergence, told = looked(20, 0.1)

    assert 0.3 < told[-1].moved < 0.5, "from 1.7 times to 2.5 times"
    assert doubt(20, convergence.steps).startswith(
        "calibrated on 20 images, and the ranges have not settled: 95% of the tensors moved by up to "
    )
    assert "from 8 images to 16, at most 25% is advised" in doubt(20, convergence.steps)


def test_few_images_show_nothing() -> None:
    convergence, told = looked(7, 0.0)

    assert told == []
    assert doubt(7, convergence.steps) == (
        "calibrated on 7 images: too few to see whether the ranges have settled"
    )


def test_an_interrupted_run_goes_on_with_what_it_knew() -> None:
    convergence, _ = looked(9, 0.1)

    assert Convergence.of_dict(convergence.to_dict()) == convergence
