"""Random acquisitions of training patches: measurable, told to the network in the shapes it takes."""

import numpy as np
import pytest
import torch

from medsr.networks.residual3d import CONDITIONS, PHASES, ResidualNet3D
from medsr.training.degrade import draw
from tests.conftest import smooth_head

SHAPE = (32, 28, 24)


@pytest.mark.parametrize("seed", range(12))
def test_a_draw_can_be_measured_and_told(seed):
    rng = np.random.default_rng(seed)
    one = draw(rng, SHAPE, (1.0, 1.1, 0.9), (0, 1, 2))
    truth = torch.from_numpy(smooth_head(SHAPE) / 100)
    y = one.measure(truth, rng)
    assert y.shape == one.operator.out_shape
    given = one.inputs(y)
    assert given["images"].shape == (2, *SHAPE)
    assert given["phases"].shape == (PHASES, *[n // 2 for n in SHAPE])
    assert given["condition"].shape == (CONDITIONS,)
    if one.told_noise == 0:
        assert (one.operator(given["images"][0]) - y).norm() < 1e-3 * y.norm()


def test_only_the_axes_that_are_truly_resolved_are_refined():
    for seed in range(20):
        one = draw(np.random.default_rng(seed), SHAPE, (1, 1, 2), (0, 1))
        assert one.true[2] is None
        assert any(p is not None for p in one.true)


def test_the_same_seed_draws_the_same():
    assert draw(np.random.default_rng(3), SHAPE, (1, 1, 1), (0, 1, 2)) == draw(
        np.random.default_rng(3), SHAPE, (1, 1, 1), (0, 1, 2)
    )


def test_easy_draws_are_clean_and_rightly_told():
    for seed in range(20):
        one = draw(np.random.default_rng(seed), SHAPE, (1, 1, 1), (0, 1, 2), hardness=0.0)
        assert one.noise == 0
        assert one.true == one.assumed


def test_an_untrained_network_changes_nothing_and_sees_no_further_than_its_halo():
    network = ResidualNet3D(width=8, blocks=1)
    images, phases, condition = (
        torch.rand(1, 2, 40, 40, 40),
        torch.zeros(1, PHASES, 20, 20, 20),
        torch.zeros(1, CONDITIONS),
    )
    assert (network(images, phases, condition) == 0).all()
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    moved = images.clone()
    moved[0, 0, 20, 20, 20] += 1
    with torch.no_grad():
        changed = (network(moved, phases, condition) - network(images, phases, condition))[0].abs() > 0
    reach = int((changed.nonzero() - 20).abs().max())
    assert network.halo - 4 <= reach <= network.halo
