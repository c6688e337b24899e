"""The released degradation, against scipy's Gaussian and Pillow's antialiased cubic."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from medsr.simulation.reduction import reduction_matrix


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_it_is_a_gaussian_and_an_antialiased_cubic(ratio: int) -> None:
    n = 24 * ratio
    row = np.random.default_rng(0).random(n).astype("f4")
    made = reduction_matrix(n, ratio) @ row
    blurred = np.repeat(gaussian_filter1d(row, 1.0)[None], 4, axis=0)
    expected = np.asarray(Image.fromarray(blurred).resize((n // ratio, 4), Image.Resampling.BICUBIC))[0]
    # beyond the ends Pillow leaves out what is mirrored here
    np.testing.assert_allclose(made[3:-3], expected[3:-3], atol=2e-5)


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_samples_lie_in_the_middles_of_their_voxels(ratio: int) -> None:
    n = 20 * ratio
    matrix = reduction_matrix(n, ratio)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    middles = (np.arange(20) + 0.5) * ratio - 0.5
    np.testing.assert_allclose((matrix @ np.arange(n))[4:-4], middles[4:-4], atol=1e-6)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


def test_only_whole_numbers_of_samples() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        reduction_matrix(21, 2)
