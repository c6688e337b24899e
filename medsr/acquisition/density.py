"""Density compensation: the area of k-space that each sample stands for.

Unit: cells of the Cartesian grid, so that a full Cartesian grid has weights of one, and ``Fᴴ W y`` with the
orthonormal F is an image of the right scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from medsr.errors import InputError, UsageError
from medsr.operators.gridding import Grid
from medsr.operators.kspace import checked_trajectory


def pipe_menon(trajectory: Tensor, shape: Sequence[int], *, iterations: int = 20) -> Tensor:
    """Weights of any trajectory, (samples,) float64, by the fixed point ``w <- w / (K * w)``.

    K is what gridding and back does to a sample: a kernel three cells wide, spread and interpolated. A sample
    farther than that from all others stands for the kernel's own area and no more, so gaps between interleaves
    are not blamed on their edges.

    Pipe and Menon, Magn Reson Med 41:179 (1999), pages 179-186.

    Parameters
    ----------
    trajectory : (samples, dims), cycles per field of view.
    shape : of the image.
    """
    if iterations < 1:
        raise UsageError("density compensation needs an iteration", got=iterations, rule="at least 1")
    k = checked_trajectory(trajectory, shape)
    grid = Grid(shape, 1e-5, 2.0)  # narrower kernels do not add up evenly over a regular grid
    there = grid.matrices(k, torch.float64)
    weights = torch.ones(len(k), 1, dtype=torch.float64, device=k.device)
    for _ in range(iterations):
        weights = weights / (there.forward @ (there.adjoint @ weights))
    zero = torch.zeros((), dtype=torch.float64)
    area = math.prod(
        float(kernel.transform(zero)) ** 2 * n / g
        for kernel, n, g in zip(grid.kernels, grid.shape, grid.size, strict=True)
    )
    return weights.flatten() * area


def spiral_density(trajectory: Tensor, interleaves: int) -> Tensor:
    """Weights of a spiral whose radius grows, (..., samples) float64: rings shared by equally turned interleaves.

    Sample m stands for ``π (r²[m+1/2] - r²[m-1/2]) / interleaves``, radii between samples halfway: the exact area
    of the ring, the centre included. Where the radius stands still or shrinks for a moment the weight is zero.
    Compare Hoge, Kwan and Pike, Magn Reson Med 38:117 (1997), doi:10.1002/mrm.1910380117.

    Parameters
    ----------
    trajectory : (..., samples, 2), cycles per field of view, in the order they were sampled.
    interleaves : how many turned copies share k-space.
    """
    if trajectory.shape[-1:] != (2,) or interleaves < 1:
        raise UsageError(
            "no spiral",
            got=f"{tuple(trajectory.shape)}, {interleaves} interleaves",
            rule="(..., samples, 2), >= 1",
        )
    radius = trajectory.to(torch.float64).norm(dim=-1)
    if not bool(torch.isfinite(radius).all()):
        raise InputError("the trajectory holds values that are not finite")
    between = (radius[..., 1:] + radius[..., :-1]) / 2
    last = radius[..., -1:] + (radius[..., -1:] - between[..., -1:])
    first = torch.zeros_like(last)
    edges = torch.cummax(torch.cat([first, between, last], -1), -1).values
    return math.pi * edges.square().diff(dim=-1) / interleaves
