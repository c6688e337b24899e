import math

import pytest
import torch

from medsr.acquisition.density import pipe_menon, spiral_density
from medsr.errors import InputError, UsageError
from medsr.operators.nufft import NUFFT


def spiral(n, samples=1500, interleaves=16, power=1.0):
    t = torch.linspace(0, 1, samples, dtype=torch.float64)
    turn = 2 * math.pi * (n / 2 / interleaves * t + torch.arange(interleaves)[:, None] / interleaves)
    radius = n / 2 * t**power
    return torch.stack([radius * torch.cos(turn), radius * torch.sin(turn)], -1)


def test_cartesian_grid_has_weights_of_one():
    axis = torch.arange(24, dtype=torch.float64) - 12
    weights = pipe_menon(torch.cartesian_prod(axis, axis), (24, 24), iterations=30).reshape(24, 24)
    assert (weights[4:-4, 4:-4] - 1).abs().max() < 0.02


def test_spiral_rings_add_up_to_the_disc():
    k = spiral(32, power=1.3)
    weights = spiral_density(k, len(k))
    assert weights.shape == k.shape[:-1]
    assert abs(float(weights.sum()) / (math.pi * 16**2) - 1) < 0.01


def test_both_agree_on_a_dense_spiral():
    k = spiral(32)
    analytic, numeric = spiral_density(k, len(k)).flatten(), pipe_menon(k.flatten(0, 1), (32, 32), iterations=40)
    middle = k.flatten(0, 1).norm(dim=1) < 13
    assert abs(float(numeric[middle].sum() / analytic[middle].sum()) - 1) < 0.03


@pytest.mark.parametrize("analytic", [True, False])
def test_gridded_image_has_the_right_scale(analytic):
    n, s = 32, 3.0
    r = torch.arange(n, dtype=torch.float64) - n // 2
    truth = torch.exp(-(r[:, None] ** 2 + r**2) / (2 * s**2)).to(torch.complex128)
    k = spiral(n)
    weights = (
        spiral_density(k, len(k)).flatten() if analytic else pipe_menon(k.flatten(0, 1), (n, n), iterations=40)
    )
    nufft = NUFFT(k.flatten(0, 1), (n, n))
    image = nufft.adjoint(weights * nufft(truth))
    assert (image - truth).norm() < 0.05 * truth.norm()


def test_refusals():
    with pytest.raises(UsageError):
        pipe_menon(torch.zeros(4, 2), (8, 8), iterations=0)
    with pytest.raises(UsageError):
        spiral_density(torch.zeros(4, 3), 2)
    with pytest.raises(InputError):
        spiral_density(torch.full((4, 2), float("nan")), 2)
