"""Interpolation matrices: centre-aligned, exact on polynomials of their order."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from medsr.operators.interpolation import interpolation_matrix


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize(
    ("n", "h", "m", "d", "offset"), [(64, 1, 32, 2, 0), (64, 1, 16, 4, 0.7), (50, 0.7, 11, 3.2, -0.4)]
)
def test_a_line_is_kept_where_it_is(order, n, h, m, d, offset):
    matrix = interpolation_matrix(order, n, h, m, d, offset)
    samples = (np.arange(m) - (m - 1) / 2) * d + offset
    voxels = (np.arange(n) - (n - 1) / 2) * h
    inner = (voxels > samples[3]) & (voxels < samples[-4])
    tolerance = 1e-12 if order == 1 else 0.02 * d  # the spline feels the mirrored border a little
    np.testing.assert_allclose((matrix @ samples)[inner], voxels[inner], atol=tolerance)


@pytest.mark.parametrize("order", [1, 3])
def test_samples_are_kept(order):
    y = np.random.default_rng(0).standard_normal(9)
    np.testing.assert_allclose(interpolation_matrix(order, 9, 2.0, 9, 2.0) @ y, y, atol=1e-12)


def test_against_scipy():
    y = np.random.default_rng(1).standard_normal(12)
    position = ((np.arange(48) - 23.5) * 0.5) / 2 + 5.5
    want = map_coordinates(y, position[None], order=3, mode="mirror")
    np.testing.assert_allclose(interpolation_matrix(3, 48, 0.5, 12, 2.0) @ y, want, atol=1e-10)


def test_one_sample_is_spread():
    np.testing.assert_array_equal(interpolation_matrix(3, 4, 1.0, 1, 4.0), np.ones((4, 1)))
