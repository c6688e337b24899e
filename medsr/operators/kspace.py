"""What the k-space operators agree on: units of trajectories, the checks that they share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medsr.errors import InputError, UsageError

REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}


def checked_trajectory(trajectory: Tensor, shape: Sequence[int]) -> Tensor:
    """`trajectory` as a detached float64 tensor (..., samples, dims).

    Unit: cycles per field of view, so that ``k = 1`` is one cycle over the `shape[a]` voxels of axis ``a``
    and a fully sampled axis of `n` voxels spans ``-n/2 <= k <= n/2``.

    Raises
    ------
    UsageError : the number of axes differs from that of `shape`, or is not 1 to 3.
    InputError : not finite, or more than 1 % outside ``|k| <= n/2``, where the image's own grid no longer tells
        one spatial frequency from another.
    """
    dims = len(shape)
    if not 1 <= dims <= 3:
        raise UsageError("a non-uniform Fourier transform is 1D, 2D or 3D", got=f"shape {tuple(shape)}")
    if trajectory.ndim < 2 or trajectory.shape[-1] != dims or trajectory.is_complex():
        raise UsageError(
            "the trajectory does not fit the image",
            got=f"{tuple(trajectory.shape)}, {trajectory.dtype}",
            rule=f"real, (..., samples, {dims}) for an image of {tuple(shape)}",
        )
    k = trajectory.detach().to(torch.float64)
    if not bool(torch.isfinite(k).all()):
        raise InputError("the trajectory holds values that are not finite")
    for axis, n in enumerate(shape):
        farthest = float(k[..., axis].abs().max()) if k.numel() else 0.0
        if farthest > 1.01 * n / 2:
            raise InputError(
                f"the trajectory leaves the k-space of the image along axis {axis}",
                got=f"|k| up to {farthest:.4g}",
                rule=f"|k| <= n/2 = {n / 2:g} cycles per field of view",
                hint="check the trajectory's unit, or reconstruct on a finer grid",
            )
    return k


def checked_complex(name: str, x: Tensor) -> None:
    """Refuse anything but complex64 and complex128."""
    if x.dtype not in REAL:
        raise UsageError(f"{name} works on complex tensors", got=str(x.dtype), rule="complex64 or complex128")
