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
    measured: Sequence[float],
    fine: Sequence[float],
    psf: Sequence[PointSpread | None],
    noise: float,
    offset: Sequence[float] = (0.0, 0.0, 0.0),
) -> Tensor:
    """(25,) float32: for each axis log2 of the ratio, whether it is refined, and the transfer at four
    frequencies; log2 of the three fine spacings (mm); 25 times the noise; the offset in voxels of each axis.

    Parameters
    ----------
    measured, fine : spacings in mm.
    noise : standard deviation over the scan's 99.5th percentile.
    offset : of the samples from the middles of their cells, mm.
    """
    parts: list[float] = []
    for d, h, spread in zip(measured, fine, psf, strict=True):
        if spread is None:
            parts += [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
            continue
        parts += [float(np.log2(d / h)), 1.0, *_transfer(spread, d, h)]
    places = [o / h for o, h in zip(offset, fine, strict=True)]
    return torch.tensor([*parts, *np.log2(np.asarray(fine)), 25 * noise, *places], dtype=torch.float32)


def _transfer(psf: PointSpread, d: float, h: float) -> list[float]:
    """Size of the transfer function of one sample, amid a row of voxels wide enough to hold it."""
    n = int(np.ceil(8 * max(d, psf.width) / h)) | 1
    row = sampling_matrix(psf, n, h, 9, n * h / 9 if psf.kind == "kspace" else d)[4]
    x = (np.arange(n) - (n - 1) / 2) * h
    return [float(np.abs(np.sum(row * np.exp(-2j * np.pi * f / (2 * d) * x)))) for f in FREQUENCIES]
