"""What is random follows from a draw's number: not from processes, batches or interruptions."""

from __future__ import annotations

import torch
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from maskrt.training.loop.draws import Draws, SampleByDraw


def test_every_image_comes_once_an_epoch_in_another_order() -> None:
    draws = Draws(10, 0, batch=2)
    first = list(draws)
    draws.set_epoch(1)
    second = list(draws)
    assert sorted(first) == list(range(10))
    assert sorted(second) == list(range(10, 20)), "numbers go on, so augmentation differs too"
    assert [d - 10 for d in second] != first
    assert list(Draws(10, 1, batch=2)) != first


def test_processes_share_each_step_of_one_process_with_the_batch_of_all() -> None:
    whole = list(Draws(13, 0, batch=6, epoch=3))
    shares = [list(Draws(13, 0, batch=2, epoch=3, rank=rank, world=3)) for rank in range(3)]
    steps = [whole[i : i + 6] for i in range(0, len(whole), 6)]
    assert [[d for share in shares for d in share[i : i + 2]] for i in range(0, 4, 2)] == steps
    assert len(Draws(13, 0, batch=2, rank=1, world=3)) == len(shares[1]) == 4


def test_a_resumed_epoch_begins_where_it_was_left_and_the_next_at_its_start() -> None:
    whole = Draws(10, 0, batch=2, epoch=4)
    resumed = Draws(10, 0, batch=2, epoch=4, batches_done=3)
    assert list(resumed) == list(whole)[6:]
    assert len(resumed) == len(whole), "Lightning counts batches from the epoch's start"
    resumed.set_epoch(4)
    assert list(resumed) == list(whole)[6:]
    for each in (resumed, whole):
        each.set_epoch(5)
    assert list(resumed) == list(whole)


def test_fewer_images_than_a_batch_are_all_drawn() -> None:
    assert sorted(Draws(3, 0, batch=4)) == [0, 1, 2]


def test_samples_of_an_image_do_not_depend_on_its_batch() -> None:
    matched = [torch.randint(-1, 3, (500,), generator=torch.Generator().manual_seed(i)) for i in range(3)]
    sampler = SampleByDraw(BalancedPositiveNegativeSampler(16, 0.5), seed=5)
    sampler.draws = [7, 8, 9]
    together = sampler(matched)
    sampler.draws = [8]
    alone = sampler(matched[1:2])
    for kind in (0, 1):
        assert torch.equal(together[kind][1], alone[kind][0])
        assert int(together[kind][1].sum()) == 8
    sampler.draws = [11]
    assert not torch.equal(sampler(matched[1:2])[0][0], alone[0][0])
