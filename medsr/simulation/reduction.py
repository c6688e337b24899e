"""The degradation that the shifting paper's code was released with: no scanner's, but what its figures are of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIGMA = 1.0
"""Of the Gaussian, in fine voxels, whatever the ratio."""


@lru_cache(maxsize=64)
def reduction_matrix(n: int, ratio: int) -> NDArray[np.float64]:
    """(n / ratio, n) matrix along one axis: a Gaussian of σ = 1 voxel, then every `ratio` voxels become one.

    The reduction is cubic (Keys, a = -1/2), its kernel stretched by the ratio so that nothing folds, its samples
    in the middles of the voxels that they stand for; the image is mirrored beyond its ends. K. Thurnhofer-Hemsi
    et al., Neurocomputing 398:314 (2020), doi 10.1016/j.neucom.2019.05.107, released code.
    """
    from scipy.ndimage import gaussian_filter1d

    if n % ratio:
        raise ValueError(f"{n} voxels are no multiple of {ratio}")
    blur = gaussian_filter1d(np.eye(n), SIGMA, axis=0)
    reduced = np.zeros((n // ratio, n))
    reach = np.arange(-2 * ratio, 2 * ratio + 1)
    for row in range(n // ratio):
        middle = (row + 0.5) * ratio - 0.5
        voxels = int(np.floor(middle)) + reach
        weights = _keys((voxels - middle) / ratio)
        mirrored = np.where(voxels < 0, -1 - voxels, np.where(voxels >= n, 2 * n - 1 - voxels, voxels))
        np.add.at(reduced[row], np.clip(mirrored, 0, n - 1), weights / weights.sum())
    return np.asarray(reduced @ blur)


def _keys(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic convolution: R. Keys, IEEE Trans Acoust 29:1153 (1981), doi 10.1109/TASSP.1981.1163711."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
