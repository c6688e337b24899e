"""Plain interpolation: the controls. They know nothing of point spread or noise."""

from __future__ import annotations

import torch
from torch import Tensor

from medsr.acquisition.slices import SliceAcquisition
from medsr.methods.base import Estimate, Progress
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product_by_rows


def interpolation_factors(acquisition: SliceAcquisition, order: int, like: Tensor) -> list[Tensor | None]:
    """One (fine, measured) matrix an axis, None where it keeps its samples; typed as `like`."""
    fine, measured = acquisition.fine, acquisition.measured
    return [
        None
        if p is None
        else torch.as_tensor(interpolation_matrix(order, n, h, m, d), dtype=like.dtype, device=like.device)
        for p, n, h, m, d in zip(
            acquisition.psf, fine.shape, fine.spacing, measured.shape, measured.spacing, strict=True
        )
    ]


def linear(y: Tensor, acquisition: SliceAcquisition, progress: Progress) -> Estimate:
    """Trilinear interpolation, centre-aligned."""
    return _interpolate(y, acquisition, 1, progress)


def bspline(y: Tensor, acquisition: SliceAcquisition, progress: Progress) -> Estimate:
    """Interpolating cubic B-spline, centre-aligned."""
    return _interpolate(y, acquisition, 3, progress)


def _interpolate(y: Tensor, acquisition: SliceAcquisition, order: int, progress: Progress) -> Estimate:
    return Estimate(mode_product_by_rows([(y, interpolation_factors(acquisition, order, y))], progress))
