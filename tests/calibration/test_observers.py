"""Each calibrator on distributions whose best answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.calibration.measure.observers import (
    BINS,
    LEVELS,
    METHODS,
    MSE_CANDIDATES,
    SAMPLES,
    Observer,
    _divergences,
    entropy,
    mean_squared_error,
    minmax,
    moving_average,
    percentile,
)

RNG = np.random.default_rng(0)
# A threshold read from the histogram is off by a bin, of which at least 2048 lie below the peak.
BIN = 1 / 2048


def observed(*batches: np.ndarray) -> Observer:
    seen = Observer()
    for batch in batches:
        seen.observe(np.asarray(batch, np.float32))
    return seen


def test_minmax_is_the_largest_magnitude_of_all_batches() -> None:
    seen = observed([0.5, -3.0], [2.0], [0.0])
    assert minmax(seen) == 3.0
    assert seen.range(minmax(seen)) == (-3.0, 2.0)


def test_moving_average_of_a_constant_is_the_constant_and_of_a_step_approaches_it() -> None:
    assert moving_average(observed(*[[-1.0, 2.0]] * 5)) == pytest.approx(2.0)
    batches = [[0.0, 1.0]] + [[0.0, 3.0]] * 4  # nine tenths are kept: 1.0, 1.2, 1.38, 1.542, 1.6878
    assert moving_average(observed(*batches)) == pytest.approx(1.6878)
    assert moving_average(observed([-1.0, 0.5], [-3.0, 0.5])) == pytest.approx(1.2)


def test_percentile_of_a_uniform_distribution_and_past_an_outlier() -> None:
    uniform = RNG.uniform(-1, 1, SAMPLES)
    assert percentile(observed(uniform)) == pytest.approx(0.9999, abs=2 * BIN)
    with_outlier = uniform.copy()
    with_outlier[0] = 50.0  # one in 131 072 is rarer than one in 10 000
    assert percentile(observed(with_outlier)) == pytest.approx(1, abs=50 * 2 * BIN)


def test_entropy_keeps_all_of_a_uniform_distribution() -> None:
    """Clipping it would pile up mass where there was none, and gain nothing."""
    assert entropy(observed(RNG.uniform(0, 1, SAMPLES))) == pytest.approx(1.0, abs=0.02)


def test_entropy_gives_up_a_far_outlier() -> None:
    values = RNG.normal(0, 1, SAMPLES)
    values[0] = 100.0
    threshold = entropy(observed(values))
    assert 2.5 < threshold < 10, "minmax would spend 95% of the levels on one value"


def best_threshold(noise: object, candidates: np.ndarray) -> float:
    return float(min(candidates, key=noise))  # type: ignore[arg-type]


def test_mean_squared_error_finds_the_optimum_of_a_laplace_distribution() -> None:
    """Clipping noise 2 b² e^(−T/b) plus rounding noise (T/127)²/12 (arXiv:1810.05723, section 3)."""
    values = RNG.laplace(0, 1, 1 << 20)
    seen = observed(*np.split(values, 8))

    def noise(t: float) -> float:
        return 2 * np.exp(-t) + (t / (LEVELS - 1)) ** 2 / 12

    best = best_threshold(noise, np.linspace(1, 20, 4000))
    found = mean_squared_error(seen)
    assert noise(found) < 1.02 * noise(best)
    assert found == pytest.approx(best, abs=0.5)
    assert seen.peak > 1.2 * best, "minmax would be another answer"


def test_mean_squared_error_keeps_all_of_a_uniform_distribution() -> None:
    assert mean_squared_error(observed(RNG.uniform(-1, 1, SAMPLES))) == pytest.approx(
        1, abs=1 / MSE_CANDIDATES
    )


@pytest.mark.parametrize("name", [n for n in METHODS if n not in ("minmax", "moving-average")])
def test_no_clipping_method_silently_returns_minmax(name: str) -> None:
    """ONNX Runtime's entropy calibrator does at its default of 128 bins."""
    values = RNG.laplace(0, 1, SAMPLES)
    values[0] = 60.0
    seen = observed(values)
    # The squared error grows by (60 − T)² for the clipped value and falls by N (T/127)²/12 for all others:
    # least at 0.6 of the outlier. The two others ignore a single value altogether.
    assert METHODS[name](seen) < 0.65 * minmax(seen)


@pytest.mark.parametrize("name", METHODS)
def test_the_scale_of_the_values_is_the_scale_of_the_answer(name: str) -> None:
    values = RNG.laplace(0, 1, SAMPLES)
    one, other = (METHODS[name](observed(values * factor)) for factor in (1.0, 1024.0))
    assert other == pytest.approx(1024 * one, rel=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_exact_zeros_change_nothing_but_an_average(name: str) -> None:
    """After a ReLU half of all values are 0; every scale holds them."""
    values = np.abs(RNG.normal(0, 1, SAMPLES // 2))
    thresholds = [METHODS[name](observed(v)) for v in (values, np.column_stack([values, 0 * values]).ravel())]
    assert thresholds[0] == pytest.approx(thresholds[1], rel=0.02)


def test_a_growing_histogram_is_the_histogram_of_all() -> None:
    """Bins merge in pairs as larger values come: nothing is lost, and at least 2048 stay in use."""
    batches = [RNG.uniform(0, 2.0**k, 1000) for k in range(-3, 5)]
    grown, at_once = observed(*batches), observed(np.concatenate(batches))
    np.testing.assert_array_equal(grown.counts, at_once.counts)
    assert (grown.edge, grown.counts.sum()) == (16.0, 8000)
    assert np.flatnonzero(grown.counts)[-1] >= BINS // 2


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("batches", [[], [[]], [[], [0.0, 0.0]]], ids=["none", "empty", "zeros"])
def test_tensors_that_were_empty_or_zero_have_the_range_zero(name: str, batches: list[list[float]]) -> None:
    """The mask head of an image without detections."""
    seen = observed(*batches)
    assert seen.range(METHODS[name](seen)) == (0.0, 0.0)


def test_an_empty_batch_between_others_tells_nothing() -> None:
    with_empty, without = observed([1.0, -2.0], [], [0.5]), observed([1.0, -2.0], [0.5])
    assert {n: m(with_empty) for n, m in METHODS.items()} == {n: m(without) for n, m in METHODS.items()}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("empty", [0, 200], ids=["from zero on", "with nothing below"])
@pytest.mark.parametrize("seed", range(5))
def test_divergences_are_those_of_the_distributions_written_out(seed: int, empty: int) -> None:
    """p: the clipped counts, with what lies beyond in the last bin. q: the mean of each level's occupied bins."""
    random = np.random.default_rng(seed)
    counts = np.floor(random.exponential(3, 700)) * (random.random(700) < 0.8)
    counts[:empty] = 0
    clips = np.array([128, 144, 333, 512, 699, 700])

    for clip, found in zip(clips, _divergences(counts, clips), strict=True):
        p, q = counts[:clip].copy(), np.zeros(clip)
        for level in range(LEVELS):
            held = np.flatnonzero(p[level * clip // LEVELS : (level + 1) * clip // LEVELS])
            held += level * clip // LEVELS
            q[held] = p[held].sum() / max(len(held), 1)
        p[-1] += counts[clip:].sum()
        p, q = p / p.sum(), q / max(q.sum(), 1)
        here = p > 0
        if (q[here] == 0).any():
            assert found == np.inf
        else:
            assert found == pytest.approx(np.sum(p[here] * np.log(p[here] / q[here])), abs=1e-9)
