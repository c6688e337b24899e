"""Noise pre-whitening: receive channels of equal, uncorrelated noise."""

from __future__ import annotations

import torch
from torch import Tensor

from medsr.errors import InputError


def noise_covariance(noise: Tensor, *, dwell_ratio: float = 1.0) -> Tensor:
    """``E[n nᴴ]`` of the channels, (coils, coils) complex128.

    Parameters
    ----------
    noise : complex (..., coils, samples), from noise scans; leading axes are pooled.
    dwell_ratio : dwell time of the noise scan over that of the imaging scan. Noise power goes with the bandwidth,
        so the covariance of the imaging scan is that of the noise scan times this.

    Raises
    ------
    InputError : fewer samples than channels squared would fill, or values that are not finite.
    """
    if not noise.is_complex() or noise.ndim < 2 or not bool(torch.isfinite(torch.view_as_real(noise)).all()):
        raise InputError(
            "noise samples cannot be used", got=f"{tuple(noise.shape)}, {noise.dtype}",
            rule="complex and finite, (..., coils, samples)",
        )  # fmt: skip
    n = noise.movedim(-2, 0).flatten(1).to(torch.complex128)
    coils, samples = n.shape
    if samples < 2 * coils:
        raise InputError(
            "too little noise to know how the channels correlate",
            got=f"{samples} samples of {coils} channels",
            rule="at least two samples a channel",
        )
    return n @ n.mH / samples * dwell_ratio


def whitening_matrix(covariance: Tensor) -> Tensor:
    """``W = L⁻¹`` of the Cholesky factor ``C = L Lᴴ``, (coils, coils) complex128: ``W n`` has unit covariance.

    Unit: each complex sample of a whitened channel has ``E|n|² = 1``, real and imaginary part 1/2 each.
    Pruessmann et al., Magn Reson Med 46:638 (2001), doi:10.1002/mrm.1241, appendix B.

    Raises
    ------
    InputError : a channel without noise, or channels that are copies of each other.
    """
    covariance = covariance.to(torch.complex128)
    power = covariance.diagonal().real
    dead = torch.nonzero(power <= 1e-12 * power.max()).flatten().tolist()
    if dead:
        raise InputError("channels without any noise", got=f"channel {dead}", hint="leave dead channels out")
    factor, failed = torch.linalg.cholesky_ex(covariance)
    ratio = factor.diagonal().real / power.sqrt()
    if int(failed) or float(ratio.min()) < 1e-6:
        raise InputError("the noise of the channels is linearly dependent", hint="leave copied channels out")
    identity = torch.eye(len(covariance), dtype=torch.complex128, device=covariance.device)
    return torch.linalg.solve_triangular(factor, identity, upper=False)


def mix_coils(matrix: Tensor, data: Tensor, axis: int = -2) -> Tensor:
    """``matrix @ data`` along the coil `axis`, in the dtype of the data."""
    if not data.is_complex() or data.shape[axis] != matrix.shape[1]:
        raise InputError(
            "the coil axis does not fit the matrix", got=f"{tuple(data.shape)}, axis {axis}",
            rule=f"complex, {matrix.shape[1]} coils",
        )  # fmt: skip
    return torch.tensordot(matrix.to(data), data, dims=([1], [axis])).movedim(0, axis)
