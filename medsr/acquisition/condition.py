"""An acquisition as numbers that a network can be told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from medsr.operators.pointspread import PointSpread, sampling_matrix

FREQUENCIES = (0.25, 0.5, 0.75, 1.0)
"""Of the scan's Nyquist frequency, where the transfer function is given."""


def condition_vector(
    measured: Sequence[float], fine: Sequence[float], psf: Sequence[PointSpread | None], noise: float
) -> Tensor:
    """(22,) float32: for each axis log2 of the ratio, whether it is refined, and the transfer at four
    frequencies; log2 of the three fine spacings (mm); 25 times the noise.

    Parameters
    ----------
    measured, fine : spacings in mm.
    noise : standard deviation over the scan's 99.5th percentile.
    """
    parts: list[float] = []
    for d, h, spread in zip(measured, fine, psf, strict=True):
        if spread is None:
            parts += [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
            continue
        parts += [float(np.log2(d / h)), 1.0, *_transfer(spread, d, h)]
    return torch.tensor([*parts, *np.log2(np.asarray(fine)), 25 * noise], dtype=torch.float32)


def phase_maps(
    shape: Sequence[int],
    fine: Sequence[float],
    measured: Sequence[float],
    samples: Sequence[int],
    psf: Sequence[PointSpread | None],
    offset: Sequence[float] = (0.0, 0.0, 0.0),
) -> Tensor:
    """(6, x/2, y/2, z/2) cosine and sine of where each pair of voxels lies between the scan's samples.

    `shape` is the fine grid's, even. Zero along axes that keep their samples.
    """
    maps = torch.zeros(6, *[n // 2 for n in shape])
    for axis, (n, h, d, m, o) in enumerate(zip(shape, fine, measured, samples, offset, strict=True)):
        if psf[axis] is None:
            continue
        centre = (np.arange(n // 2) * 2 + 0.5 - (n - 1) / 2) * h
        phase = 2 * np.pi * ((centre - o) / d + (m - 1) / 2)
        along = [1, 1, 1]
        along[axis] = -1
        maps[2 * axis] = torch.as_tensor(np.cos(phase), dtype=torch.float32).view(along)
        maps[2 * axis + 1] = torch.as_tensor(np.sin(phase), dtype=torch.float32).view(along)
    return maps


def _transfer(psf: PointSpread, d: float, h: float) -> list[float]:
    """Size of the transfer function of one sample, amid a row of voxels wide enough to hold it."""
    n = int(np.ceil(8 * max(d, psf.width) / h)) | 1
    row = sampling_matrix(psf, n, h, 9, n * h / 9 if psf.kind == "kspace" else d)[4]
    x = (np.arange(n) - (n - 1) / 2) * h
    return [float(np.abs(np.sum(row * np.exp(-2j * np.pi * f / (2 * d) * x)))) for f in FREQUENCIES]
