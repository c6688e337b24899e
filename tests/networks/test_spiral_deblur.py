"""The network that deblurs the mean image of a spiral run."""

import pytest
import torch

from medsr.methods.spiral_mean import blurred_away, load_deblur
from medsr.networks.spiral_deblur import SpiralDeblur


def image():
    torch.manual_seed(0)
    return torch.randn(24, 20, dtype=torch.complex64)


def loud():
    torch.manual_seed(1)
    network = SpiralDeblur(width=8).requires_grad_(False)
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    return network


def test_it_starts_as_nothing_and_gradients_reach_every_parameter():
    network = SpiralDeblur(width=8)
    made = network(image()[None], torch.tensor([4e-3]))
    assert made.shape == (1, 24, 20) and not bool(made.any())
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    network(image()[None], torch.tensor([4e-3])).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


def test_what_it_adds_goes_with_the_images_size_and_not_with_its_phase():
    network, m = loud(), image()
    one = blurred_away(m, 4e-3, network)
    assert torch.allclose(blurred_away(3 * m, 4e-3, network), 3 * one, atol=1e-4)
    turn = torch.polar(torch.tensor(1.0), torch.tensor(1.2))
    assert torch.allclose(blurred_away(turn * m, 4e-3, network), turn * one, atol=1e-4)
    # it lies along the image
    assert float((one * m.conj()).imag.abs().max()) < 1e-4


def test_a_slab_is_done_plane_by_plane():
    network, m = loud(), image()
    slab = torch.stack([m, 2 * m], -1)
    assert torch.allclose(blurred_away(slab, 4e-3, network)[..., 1], 2 * blurred_away(m, 4e-3, network), atol=1e-4)


def test_the_shipped_one_is_small_and_repeats():
    network = load_deblur()
    assert sum(p.numel() for p in network.parameters()) < 100_000
    m = image()
    assert torch.equal(blurred_away(m, 4e-3, network), blurred_away(m, 4e-3, network))
    assert bool(torch.isfinite(blurred_away(torch.zeros_like(m), 4e-3, network)).all())


@pytest.mark.parametrize("duration", [1e-3, 6e-3])
def test_it_is_told_the_duration(duration):
    network, m = loud(), image()
    assert not torch.allclose(blurred_away(m, duration, network), blurred_away(m, 4e-3, network))
