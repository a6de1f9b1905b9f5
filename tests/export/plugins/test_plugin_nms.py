"""GroupedNms' kernel programs on a CPU keep what torchvision keeps, in its order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrt.export.plugins.python_operators import NmsOperator
from maskrt.runtime.errors import ModelError

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

ANY_SCORE = float("-inf")


def expected_rows(
    operator: NmsOperator, boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """torchvision.ops.nms in each group; then by descending score, equal scores by index."""
    kept = []
    for group in range(operator.num_groups):
        rows = np.flatnonzero((groups == group) & (scores > np.float32(operator.score_threshold)))
        threshold = float(np.float32(operator.iou_threshold))  # an ONNX attribute is a float32
        keep = torchvision.ops.nms(torch.from_numpy(boxes[rows]), torch.from_numpy(scores[rows]), threshold)
        kept.append(rows[keep.numpy()])
    rows = np.concatenate(kept)
    return rows[np.lexsort((rows, -scores[rows]))][: operator.max_output]


def check(host, operator: NmsOperator, boxes, scores, groups) -> np.ndarray:
    """One image, forwards and backwards; returns the rows kept."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    scores, groups = np.asarray(scores, np.float32), np.asarray(groups, np.int32)
    expected = expected_rows(operator, boxes, scores, groups)
    for backwards in (False, True):
        indices, counts = host.grouped_nms(operator, boxes[None], scores[None], groups[None], backwards)
        assert counts[0] == len(expected)
        np.testing.assert_array_equal(indices[0, : len(expected)], expected)
        np.testing.assert_array_equal(indices[0, len(expected) :], 0)
    return expected


def crowd(rows: int, seed: int = 0, spread: float = 300.0) -> np.ndarray:
    """Boxes around a few centres, most of which overlap others."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, spread, (max(rows // 12, 1), 4))
    boxes = centres[rng.integers(0, len(centres), rows)] + rng.normal(0, 6, (rows, 4))
    boxes[:, 2:] = boxes[:, :2] + 20 + np.abs(boxes[:, 2:]) / 4
    return boxes.astype(np.float32)


@pytest.mark.parametrize("groups", [1, 5, 80])
@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 129, 1000, 2047, 2048, 2049])
def test_crowds(host, rows, groups):
    rng = np.random.default_rng(rows)
    operator = NmsOperator(0.5, ANY_SCORE, max_output=rows, num_groups=groups)
    kept = check(host, operator, crowd(rows), rng.random(rows), rng.integers(0, groups, rows))
    assert rows < 1000 or groups > 1 or len(kept) < rows / 2  # the crowd is one


def test_five_levels_of_a_thousand(host):
    rng = np.random.default_rng(0)
    scores, levels = rng.random(5000), np.repeat(np.arange(5), 1000)
    check(host, NmsOperator(0.7, ANY_SCORE, 1000, 5), crowd(5000, spread=800.0), scores, levels)


@pytest.mark.parametrize("scores", ["all equal", "two values", "zeros of both signs", "infinite"])
@pytest.mark.parametrize("groups", [1, 3])
def test_ties_go_to_the_lower_index(host, scores, groups):
    rng = np.random.default_rng(7)
    values = {
        "all equal": np.full(500, 0.5),
        "two values": rng.integers(0, 2, 500) / 2,
        "zeros of both signs": rng.choice([0.0, -0.0], 500),
        "infinite": rng.choice([np.inf, 1.0], 500),
    }[scores]
    operator = NmsOperator(0.4, ANY_SCORE, 500, groups)
    kept = check(host, operator, crowd(500), values, rng.integers(0, groups, 500))
    if scores in ("all equal", "zeros of both signs"):
        np.testing.assert_array_equal(kept, np.sort(kept))


def test_batched_nms_of_torchvision(host):
    rng = np.random.default_rng(3)
    boxes = np.round(crowd(900))  # whole numbers, for which shifting groups apart is exact
    scores, groups = rng.permutation(900).astype(np.float32), rng.integers(0, 6, 900)
    kept = check(host, NmsOperator(0.5, ANY_SCORE, 900, 6), boxes, scores, groups)
    expected = torchvision.ops.batched_nms(
        torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(groups), 0.5
    )
    np.testing.assert_array_equal(kept, expected.numpy())


NASTY_BOXES = {
    "empty": [(5, 5, 5, 5), (5, 5, 5, 5), (5, 5, 5, 9), (5, 5, 9, 5)],
    "empty inside another": [(0, 0, 10, 10), (5, 5, 5, 5), (5, 5, 5, 5)],
    "inverted": [(10, 10, 0, 0), (10, 10, 0, 0), (0, 0, 10, 10), (10, 0, 0, 10)],
    "identical": [(1, 2, 3, 4)] * 70,
    "NaN": [(np.nan, 0, 10, 10), (0, 0, 10, 10), (0, 0, 10, np.nan), (0, 0, 10, 10), (np.nan,) * 4],
    "infinite": [(-np.inf, -np.inf, np.inf, np.inf), (0, 0, 10, 10), (-np.inf, 0, np.inf, 10)],
    "huge": [(-3e38, -3e38, 3e38, 3e38), (-1e38, -1e38, 1e38, 1e38), (0, 0, 1e30, 1e30), (0, 0, 1e30, 1e30)],
    "tiny": [(0, 0, 1e-30, 1e-30), (0, 0, 1e-30, 1e-30), (0, 0, 1e-20, 1e-20)],
    "touching": [(0, 0, 10, 10), (10, 0, 20, 10), (0, 10, 10, 20)],
}


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0, -0.5])
@pytest.mark.parametrize("name", NASTY_BOXES)
def test_nasty_boxes(host, name, threshold):
    boxes = np.array(NASTY_BOXES[name], np.float32)
    for scores in (np.linspace(1, 0.5, len(boxes)), np.linspace(0.5, 1, len(boxes))):
        check(host, NmsOperator(threshold, ANY_SCORE, 100, 1), boxes, scores, np.zeros(len(boxes)))


def test_an_overlap_equal_to_the_threshold_is_kept(host):
    boxes = [(0, 0, 10, 10), (0, 0, 10, 5), (0, 0, 10, 4.9)]
    assert check(host, NmsOperator(0.5, ANY_SCORE, 9, 1), boxes, [3, 2, 1], [0, 0, 0]).tolist() == [0, 1]


@pytest.mark.parametrize("length", [64, 200])
def test_a_chain_in_which_each_box_overlaps_only_its_neighbours(host, length):
    """Whether a box goes depends on all before it: as many turns of the sweep as there are boxes."""
    left = 6.0 * np.arange(length)
    boxes = np.stack([left, np.zeros(length), left + 10, np.full(length, 10.0)], axis=1)
    kept = check(
        host, NmsOperator(0.2, ANY_SCORE, length, 1), boxes, np.linspace(1, 0, length), np.zeros(length)
    )
    np.testing.assert_array_equal(kept, np.arange(0, length, 2))


small = st.integers(0, 6).map(float)


@settings(max_examples=200, database=None)
@given(
    st.lists(
        st.tuples(small, small, small, small, st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=90
    ),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.integers(1, 100),
)
def test_any_boxes(host, rows, threshold, max_output):
    table = np.array(rows, np.float32)
    operator = NmsOperator(threshold, 0.5, max_output, num_groups=3)
    check(host, operator, table[:, :4], table[:, 4], table[:, 5])


def test_scores_at_or_below_the_threshold_and_nan_neither_stay_nor_suppress(host):
    boxes = [(0, 0, 10, 10)] * 4 + [(50, 50, 60, 60)]
    scores = [0.5, np.nan, 0.7, 0.05, np.nan]
    assert check(host, NmsOperator(0.5, 0.05, 5, 1), boxes, scores, [0] * 5).tolist() == [2]
    assert check(host, NmsOperator(0.5, 0.7, 5, 1), boxes, scores, [0] * 5).tolist() == []
    assert check(host, NmsOperator(0.5, np.nan, 5, 1), boxes, scores, [0] * 5).tolist() == []


def test_groups_that_do_not_exist_are_never_kept(host):
    boxes = [(0, 0, 10, 10)] * 4
    indices, counts = host.grouped_nms(
        NmsOperator(0.5, ANY_SCORE, 4, 2), boxes, [[1.0, 0.9, 0.8, 0.7]], np.array([[-1, 2, 1, 2**31 - 1]])
    )
    assert counts.tolist() == [1]
    assert indices.tolist() == [[2, 0, 0, 0]]


@pytest.mark.parametrize("max_output", [1, 10, 63, 64, 65, 400])
def test_the_best_are_kept_when_there_is_room_for_few(host, max_output):
    rng = np.random.default_rng(5)
    operator = NmsOperator(0.5, 0.3, max_output, 4)
    check(host, operator, crowd(600), rng.random(600), rng.integers(0, 4, 600))


def test_images_of_a_batch_do_not_see_each_other(host):
    rng = np.random.default_rng(9)
    operator = NmsOperator(0.5, 0.2, 50, 3)
    boxes, scores, groups = (
        crowd(4 * 150).reshape(4, 150, 4),
        rng.random((4, 150)),
        rng.integers(0, 3, (4, 150)),
    )
    scores[2] = 0  # an image without candidates
    indices, counts = host.grouped_nms(operator, boxes, scores, groups)
    for i in range(4):
        alone = check(host, operator, boxes[i], scores[i], groups[i])
        np.testing.assert_array_equal(indices[i, : counts[i]], alone)
    assert counts[2] == 0
    assert counts[[0, 1, 3]].min() > 0


def test_no_rows(host):
    indices, counts = host.grouped_nms(
        NmsOperator(0.5, 0.0, 3, 2), np.zeros((2, 0, 4)), np.zeros((2, 0)), np.zeros((2, 0))
    )
    assert counts.tolist() == [0, 0]
    assert indices.tolist() == [[0] * 3] * 2


def test_more_rows_than_the_kernels_take_are_refused():
    shapes = [(1, 32769, 4), (1, 32769), (1, 32769)]
    with pytest.raises(ModelError, match=r"GroupedNms.*32769.*at most 32768 rows"):
        NmsOperator(0.5, 0.0, 100, 1).check(shapes)
