"""The shared pieces against analytic truth."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from medsr.networks.layers import Interpolate, Pointwise, Shrink, depth_to_space, keys, steps
from medsr.networks.receptive import Conv, Deconv, Shuffle, halo


def test_depth_to_space_is_the_pixel_shuffle_where_that_exists():
    x = torch.rand(2, 18, 3, 4)
    assert torch.equal(depth_to_space(x, (3, 3)), F.pixel_shuffle(x, 3))


def test_depth_to_space_along_one_axis():
    x = torch.arange(4.0)[None, :, None, None].expand(1, 4, 2, 3)
    y = depth_to_space(x, (4, 1))
    assert y.shape == (1, 1, 8, 3)
    assert torch.equal(y[0, 0, :, 1], torch.tensor([0.0, 1, 2, 3] * 2))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ((4, 1), [(2, 1), (2, 1)]),
        ((2, 2), [(2, 2)]),
        ((1, 3), [(1, 3)]),
        ((6, 2), [(2, 2), (3, 1)]),
        ((8, 4), [(2, 2), (2, 2), (2, 1)]),
    ],
)
def test_steps(scale, expected):
    assert steps(scale) == expected
    assert (math.prod(a for a, _ in expected), math.prod(b for _, b in expected)) == scale


def test_keys_is_a_partition_of_unity_that_keeps_ramps_and_parabolas():
    shift = torch.linspace(-0.5, 0.5, 11, dtype=torch.float64)
    taps = torch.arange(-3, 4, dtype=torch.float64)
    weights = keys(shift[:, None] - taps)
    for power in range(3):
        torch.testing.assert_close((weights * taps**power).sum(1), shift**power, rtol=0, atol=1e-14)


@pytest.mark.parametrize("scale", [(2, 1), (4, 1), (1, 3), (2, 2), (3, 5), (8, 8)])
def test_interpolation_shares_the_edges(scale):
    """A parabola on voxel centres becomes the same parabola on the finer centres of the same field of view."""
    rows, columns = torch.arange(9.0).double(), torch.arange(11.0).double()
    low = (rows**2)[:, None] - 3 * columns + 0.5 * columns**2
    r, c = ((torch.arange(n * s).double() + 0.5) / s - 0.5 for n, s in zip((9, 11), scale, strict=True))
    expected = (r**2)[:, None] - 3 * c + 0.5 * c**2
    out = Interpolate(scale).double()(low[None, None])[0, 0]
    inner = tuple(slice(2 * s, -2 * s) for s in scale)
    torch.testing.assert_close(out[inner], expected[inner], rtol=0, atol=1e-5)  # the filter is stored in float32
    assert out.shape == expected.shape


def test_interpolation_keeps_a_constant_at_the_border():
    torch.testing.assert_close(Interpolate((4, 3))(torch.full((1, 1, 2, 2), 7.0)), torch.full((1, 1, 8, 6), 7.0))


@pytest.mark.parametrize("factor", [(2, 1), (2, 2), (4, 4), (1, 3)])
def test_shrinking_shares_the_edges(factor):
    n = (12 * factor[0], 12 * factor[1])
    r, c = (torch.arange(m).double() for m in n)
    high = 0.2 * r[:, None] - 0.1 * c
    low = Shrink(factor).double()(high[None, None])[0, 0]
    at = [torch.arange(12.0).double() * f + (f - 1) / 2 for f in factor]
    expected = 0.2 * at[0][:, None] - 0.1 * at[1]
    assert low.shape == (12, 12)
    torch.testing.assert_close(low[3:-3, 3:-3], expected[3:-3, 3:-3], rtol=0, atol=1e-5)


def test_shrinking_undoes_interpolation_of_a_smooth_image():
    x = torch.arange(24.0)
    smooth = (torch.sin(x / 5)[:, None] + torch.cos(x / 4))[None, None]
    back = Shrink((2, 2))(Interpolate((2, 2))(smooth))
    torch.testing.assert_close(back[..., 3:-3, 3:-3], smooth[..., 3:-3, 3:-3], rtol=0, atol=5e-3)


def test_pointwise_is_a_convolution():
    layer = Pointwise(7, 5)
    x = torch.rand(2, 7, 4, 6)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias))


@pytest.mark.parametrize("layer", [Conv(3), Conv(5), Conv(6, 2, 2), Conv(4, 2, 1), Conv(9, 5, 2)])
def test_what_a_convolution_looks_at(layer):
    padding = (layer.kernel - 1) // 2 if layer.padding is None else layer.padding
    x = torch.zeros(1, 1, 60, requires_grad=True)
    F.conv1d(x, torch.ones(1, 1, layer.kernel), stride=layer.stride, padding=padding)[0, 0, 4:6].sum().backward()
    touched = x.grad[0, 0].nonzero().flatten()
    assert layer.inputs(4, 5) == (int(touched.min()), int(touched.max()))


@pytest.mark.parametrize(
    "layer", [Deconv(6, 2, 2), Deconv(7, 3, 2), Deconv(8, 4, 2), Deconv(5, 1, 2), Deconv(4, 2, 1)]
)
@pytest.mark.parametrize("first", range(20, 26))
def test_what_a_transposed_convolution_looks_at(layer, first):
    x = torch.zeros(1, 1, 40, requires_grad=True)
    y = F.conv_transpose1d(x, torch.ones(1, 1, layer.kernel), stride=layer.stride, padding=layer.padding)
    y[0, 0, first : first + 2].sum().backward()
    touched = x.grad[0, 0].nonzero().flatten()
    assert layer.inputs(first, first + 1) == (int(touched.min()), int(touched.max()))


def test_halo_of_a_chain():
    assert halo([Conv(3)] * 4, 1) == 4
    assert halo([Conv(3), Shuffle(4), Conv(3)], 4) == 2
    assert halo([], 1) == 0
    assert halo([Conv(4, 2, 1), Deconv(4, 2, 1)], 1, 2) == 3
