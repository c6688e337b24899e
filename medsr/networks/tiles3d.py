"""The 3D network through a volume of any size, in slabs where it would not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from medsr.networks.residual3d import ResidualNet3D
from medsr.networks.slices import windows

SITES = 3_000_000
"""Cells at a time: the features of so many take about 400 MB a layer at 32 channels."""


@torch.no_grad()
def run_tiled(
    network: ResidualNet3D,
    images: Tensor,
    condition: Tensor,
    cell: Sequence[int],
    sites: int = SITES,
    progress: Callable[[float], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """What the network makes of (2, x, y, z): two of (x, y, z), the correction and the expected error.

    Sizes need not be multiples of the cell's: the border is repeated to the next one. Slabs along the longest
    axis are read with the network's halo and cropped, so that `sites` changes nothing but the memory.
    """
    shape = images.shape[1:]
    short = [-n % c for n, c in zip(shape, cell, strict=True)]
    if any(short):
        pad = [p for s in reversed(short) for p in (0, s)]
        images = functional.pad(images[None], pad, mode="replicate")[0]
    cells = [n // c for n, c in zip(images.shape[1:], cell, strict=True)]
    axis = cells.index(max(cells))
    across = max(1, cells[0] * cells[1] * cells[2] // cells[axis])
    thickness = max(network.halo, sites // across - 2 * network.halo)
    correction, error = (torch.empty(images.shape[1:], device=images.device) for _ in range(2))
    for window in windows(cells[axis], thickness, network.halo):
        size = cell[axis]
        read = images.narrow(axis + 1, window.start * size, (window.stop - window.start) * size)
        for whole, part in zip((correction, error), network(read[None], condition, cell), strict=True):
            kept = part[0].narrow(axis, (window.first - window.start) * size, (window.last - window.first) * size)
            whole.narrow(axis, window.first * size, (window.last - window.first) * size).copy_(kept)
        if progress is not None:
            progress(window.last / cells[axis])
    inner = tuple(slice(0, n) for n in shape)
    return correction[inner], error[inner]
