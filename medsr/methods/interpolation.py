"""Plain interpolation: the controls. They know nothing of point spread or noise."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.acquisition.slices import SliceAcquisition
from medsr.methods.base import Estimate, Progress
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product_by_rows


def interpolation_factors(acquisition: SliceAcquisition, order: int, dtype: torch.dtype) -> list[Tensor | None]:
    """One (fine, measured) interpolation matrix an axis, None where the axis keeps its samples."""
    fine, measured = acquisition.fine, acquisition.measured
    return [
        None if p is None else torch.as_tensor(interpolation_matrix(order, n, h, m, d), dtype=dtype)
        for p, n, h, m, d in zip(
            acquisition.psf, fine.shape, fine.spacing, measured.shape, measured.spacing, strict=True
        )
    ]


def linear(y: NDArray[np.float32], acquisition: SliceAcquisition, progress: Progress) -> Estimate:
    """Trilinear interpolation, centre-aligned."""
    return _interpolate(y, acquisition, 1, progress)


def bspline(y: NDArray[np.float32], acquisition: SliceAcquisition, progress: Progress) -> Estimate:
    """Interpolating cubic B-spline, centre-aligned."""
    return _interpolate(y, acquisition, 3, progress)


def _interpolate(
    y: NDArray[np.float32], acquisition: SliceAcquisition, order: int, progress: Progress
) -> Estimate:
    measured = torch.from_numpy(y)
    factors = interpolation_factors(acquisition, order, measured.dtype)
    return Estimate(mode_product_by_rows([(measured, factors)], progress).numpy())
