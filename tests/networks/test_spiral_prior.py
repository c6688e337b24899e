"""The learned covariance of spiral fMRI, and the residual network."""

import pytest
import torch

from medsr.networks.spiral_prior import WAVENUMBERS, Axes, SpiralPrior, hats, mirror
from medsr.networks.spiral_resnet import SpiralResNet
from medsr.operators.base import ShapeError

FRAMES, SHAPE = 12, (16, 12)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SpiralPrior(width=8).requires_grad_(False)


@pytest.fixture
def axes():
    return Axes.of(FRAMES, 1.2, SHAPE, (3.0, 4.0))


def mean():
    return torch.polar(torch.rand(SHAPE) + 0.5, torch.rand(SHAPE))


def test_axes_are_in_hertz_and_cycles_per_mm(axes):
    assert axes.frequencies[1] == pytest.approx(1 / (2 * FRAMES * 1.2))
    assert axes.wavenumbers[1, 0] == pytest.approx(1 / (16 * 3.0))
    assert axes.wavenumbers[0, 1] == pytest.approx(1 / (12 * 4.0))
    assert axes.cell == pytest.approx(1.2 * 3 * 4)


def test_hats_interpolate():
    x = torch.tensor([-1.0, 0.0, 0.5, 1.5, 3.0, 9.0])
    nodes = (0.0, 1.0, 3.0)
    assert torch.allclose(torch.tensor([0.0, 1.0, 3.0]) @ hats(x, nodes), torch.tensor([0.0, 0, 0.5, 1.5, 3, 3]))
    assert torch.allclose(hats(x, nodes).sum(0), torch.ones(6))


def test_the_first_prior_is_even_and_positive(network, axes):
    prior = network.first(axes, mean())
    for part in (prior.real, prior.imaginary):
        assert part.shape == (FRAMES, *SHAPE) and float(part.min()) > 0
        assert torch.allclose(part, mirror(part.to(torch.complex64)).real)
    assert torch.allclose(prior.weights, torch.ones(FRAMES, *SHAPE))  # before training


def test_the_same_density_on_another_grid(network):
    """Half the voxel, twice the matrix: a mode of the same frequencies carries four times the variance."""
    coarse = network.first(Axes.of(FRAMES, 1.0, (16, 16), (4.0, 4.0)), torch.ones(16, 16) + 0j)
    fine = network.first(Axes.of(FRAMES, 1.0, (32, 32), (2.0, 2.0)), torch.ones(32, 32) + 0j)
    assert torch.allclose(fine.real[:, :8, :8] ** 2, 4 * coarse.real[:, :8, :8] ** 2, rtol=1e-4)


def test_what_is_found_as_expected_leaves_the_prior_as_it_is(network, axes):
    """White modes under a strong signal, and modes of which nothing can be known."""
    generator = torch.Generator().manual_seed(1)
    first = network.first(axes, mean())
    total = torch.zeros(FRAMES, *SHAPE)
    for _ in range(40):
        v = torch.randn(FRAMES, *SHAPE, dtype=torch.complex64, generator=generator)
        second = network.second(axes, mean(), v, v, torch.full((FRAMES, *SHAPE), 1e6))
        total += torch.log(second.real**2 / first.real**2) / 40
    assert 0 <= float(total.mean()) < 0.2
    nothing = torch.zeros(FRAMES, *SHAPE, dtype=torch.complex64)
    second = network.second(axes, mean(), nothing, nothing, torch.full((FRAMES, *SHAPE), 1e-6))
    assert torch.allclose(second.real, first.real, rtol=1e-4)


def test_a_rhythm_that_stands_out_is_given_room(network, axes):
    v = torch.full((FRAMES, *SHAPE), 0.1, dtype=torch.complex64)
    v[6] = 4.0
    snr = torch.full((FRAMES, *SHAPE), 1e6)
    first, second = network.first(axes, mean()), network.second(axes, mean(), v, v, snr)
    gain = (second.real / first.real).flatten(1).mean(1)
    assert int(gain.argmax()) == 6 and gain[6] > 3 * gain[2]


def test_without_sharing_every_frequency_has_the_same_variance(axes):
    prior = SpiralPrior(width=8, shared=False).requires_grad_(False).first(axes, mean())
    assert torch.allclose(prior.real, prior.real[:1].expand_as(prior.real), rtol=1e-4)


def test_a_slab_is_weighted_plane_by_plane(network):
    shape = (8, 8, 4)
    axes = Axes.of(FRAMES, 1.0, shape, (3.0, 3.0, 3.0))
    image = torch.rand(shape) + 0j
    v = torch.randn(FRAMES, *shape, dtype=torch.complex64)
    for prior in (network.first(axes, image), network.second(axes, image, v, v, torch.ones(FRAMES, *shape))):
        assert prior.weights.shape == (FRAMES, *shape) and bool(torch.isfinite(prior.real).all())
    assert len(WAVENUMBERS) == network.table.shape[2]


def test_the_residual_network_starts_at_the_widest_span():
    network = SpiralResNet(spans=3, width=8, blocks=2)
    network.requires_grad_(False)
    x = torch.randn(2, 6, 10, 12)
    assert torch.equal(network(x), x[:, -2:])
    with pytest.raises(ShapeError):
        network(x[:, :4])
