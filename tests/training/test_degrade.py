"""Random acquisitions of training patches: measurable, told to the network in the shapes it takes."""

import numpy as np
import pytest
import torch

from medsr.acquisition.cells import ISOTROPIC, THROUGH
from medsr.networks.residual3d import CONDITIONS
from medsr.training.degrade import Odds, draw
from tests.conftest import smooth_head

MOST = (40, 36, 44)
LAYOUTS = pytest.mark.parametrize("layout", [THROUGH, ISOTROPIC], ids=lambda x: x.name)


def drawn(seed, layout, **odds):
    rng = np.random.default_rng(seed)
    return draw(rng, layout, (1.0, 1.1, 0.9), (0, 1, 2), MOST, 8, Odds(**odds)), rng


@LAYOUTS
@pytest.mark.parametrize("seed", range(12))
def test_a_draw_can_be_measured_and_told(layout, seed):
    one, rng = drawn(seed, layout)
    assert all(n <= m and n % c == 0 for n, m, c in zip(one.shape, MOST, one.cell, strict=True))
    truth = torch.from_numpy(smooth_head(one.shape) / 100)[None]
    y = one.measure(truth, rng)
    assert y.shape[1:] == one.samples
    given = one.inputs(y)
    assert given["images"].shape == (1, 2, *one.shape)
    assert given["condition"].shape == (CONDITIONS,)
    if one.told_noise == 0:
        explained = one.projection.operator(given["images"][:, 0])
        assert (explained - y).norm() < 1e-3 * y.norm()


def test_only_the_axes_that_are_truly_resolved_are_refined():
    for seed in range(20):
        one = draw(np.random.default_rng(seed), ISOTROPIC, (1, 1, 2), (0, 1), MOST, 8, Odds())
        assert one.true[2] is None
        assert one.factor[2] == 1
        assert one.true[0] is not None


def test_one_refined_axis_is_the_last():
    for seed in range(20):
        one, _ = drawn(seed, THROUGH)
        assert [p is not None for p in one.true] == [False, False, True]
        assert one.factor[2] > 1


@LAYOUTS
def test_the_same_seed_draws_the_same(layout):
    assert drawn(3, layout)[0] == drawn(3, layout)[0]


@LAYOUTS
def test_easy_draws_are_clean_centred_and_rightly_told(layout):
    for seed in range(20):
        one, _ = drawn(seed, layout, hardness=0.0)
        assert one.noise == one.told_noise == 0
        assert one.true == one.assumed
        assert one.offset == (0, 0, 0)
