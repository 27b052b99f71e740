"""Pairs made once and used several times."""

import pytest
import torch

from abpn_cli.training.pairs import Batch
from abpn_cli.training.reuse import Reused


class Counting:
    """Batches of noise, each made anew whenever it is asked for; `asked` says which."""

    identity = "counting"

    def __init__(self):
        self.asked = []

    def batch(self, step):
        self.asked.append(step)
        rng = torch.Generator().manual_seed(step)
        thumbnail = torch.rand(2, 3, 64, 64, generator=rng)
        edited = thumbnail.clone()
        edited[:, :, 20:30, 40:50] *= 0.8
        crops = [image[:, :, 16:48, 24:56].repeat_interleave(2, 2).repeat_interleave(2, 3)
                 for image in (thumbnail, edited)]  # fmt: skip
        corners = torch.tensor([[16, 24], [16, 24]])
        return Batch(thumbnail, edited, *crops, corners, 1)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a[:5], b[:5], strict=True))


def test_a_pair_is_made_once_and_used_several_times():
    source = Counting()
    reused = Reused(source, 4)
    for step in range(800):
        reused.batch(step)
    assert sorted(source.asked) == list(range(200))


def test_a_step_is_the_same_whatever_went_before():
    """So that a resumed run goes on as an undisturbed one."""
    through = Reused(Counting(), 3)
    batches = [through.batch(step) for step in range(90)]
    for step in (0, 41, 89):
        assert same(Reused(Counting(), 3).batch(step), batches[step])


def test_no_two_uses_of_a_pair_are_alike_and_each_stays_a_pair():
    reused = Reused(Counting(), 4)
    seen = [reused.batch(step).thumbnail for step in range(400)]
    assert len({tuple(thumbnail.flatten()[:8].tolist()) for thumbnail in seen}) > 300
    for step in range(300, 340):
        made = reused.batch(step)
        differs = (made.thumbnail != made.thumbnail_target).any(1)
        assert 0 < differs.float().mean() < 0.05  # what was alike in the two photos is so still
        side = made.crop.shape[-1] >> made.levels
        row, column = made.corners[0].tolist()
        part = made.thumbnail[0, :, row : row + side, column : column + side]
        assert torch.allclose(made.crop[0, :, ::2, ::2], part)


def test_once_is_the_source_itself():
    source = Counting()
    assert Reused(source, 1).identity == "counting"
    assert same(Reused(source, 1).batch(5), source.batch(5))
    assert Reused(source, 2).identity != "counting"


@pytest.mark.parametrize("times", [0, 8])
def test_times_out_of_range_are_refused(times):
    with pytest.raises(ValueError, match="1 to 7"):
        Reused(Counting(), times)
