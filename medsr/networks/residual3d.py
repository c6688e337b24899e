"""The project's own 3D network: residual, over cells, its kernels mixed for the acquisition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

CONDITIONS = 25
"""Length of the vector that describes an acquisition (`medsr.acquisition.condition`)."""
IMAGES = 2
"""The spline estimate, and the plain interpolation with its noise left in."""

LOCAL = 5
"""Cells over which the local mean is taken; the network sees what rises above it."""
DETAIL, NOISE, OUTPUT = 10.0, 20.0, 0.1
"""Bring detail, noise and correction to about one: without them training crawls."""
ERROR = 0.02
"""Half width of the interval, over the 99.5th percentile, of an untrained network."""


class MixedConv3d(nn.Module):
    """The kernel of a 3 x 3 x 3 convolution, mixed from a few for one acquisition at a time.

    ``W = W₀ + Σ_k a_k W_k`` with mixing weights `a` from the acquisition: more capacity at the cost of one
    convolution (B. Yang et al., CondConv, NeurIPS 2019, arXiv:1904.04971; there an input mixes its own kernels).
    """

    def __init__(self, inputs: int, outputs: int, kernels: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(27 * inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3, 3).uniform_(-bound, bound))
        self.others = nn.Parameter(torch.empty(kernels, outputs, inputs, 3, 3, 3).uniform_(-bound, bound) * 0.3)
        self.bias = nn.Parameter(torch.zeros(1 + kernels, outputs))

    def mixed(self, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Kernel (outputs, inputs, 3, 3, 3) and bias (outputs,); `mix` is (kernels,)."""
        return self.weight + torch.tensordot(mix, self.others, 1), self.bias[0] + mix @ self.bias[1:]

    def forward(self, x: Tensor, mix: Tensor) -> Tensor:
        """(batch, inputs, x, y, z) to (batch, outputs, x, y, z)."""
        weight, bias = self.mixed(mix)
        return functional.conv3d(x, weight, bias, padding=1)


class ResidualNet3D(nn.Module):
    """A residual network over the cells of a grid.

    Two images (float32, over the scan's 99.5th percentile) are folded cell by cell (a space-to-depth of any
    size), so that every convolution works on one site a cell; `blocks` residual blocks of two mixed
    convolutions follow; one output is added to the first image, the other is the half width of its interval. A
    cell is one sample of the scan along a refined axis, so that the network meets every sample alike. The
    first and last kernels are held in cosines of the place within the cell, by which cells of all sizes share
    them: one set of weights serves many ratios, and the acquisition mixes the kernels. No normalisation
    layers, so that a tile with its halo gives what the whole gives. The arrangement is ours.

    Parameters
    ----------
    orders : cosines known within a cell, an axis; of a larger cell the higher ones are left out.
    width : channels of the trunk.
    blocks : residual blocks.
    kernels : how many kernels are mixed beside the first; with none the acquisition is not told to the network.
    """

    def __init__(self, orders: Sequence[int], width: int = 32, blocks: int = 4, kernels: int = 4) -> None:
        super().__init__()
        self.orders, self.width, self.blocks, self.kernels = tuple(orders), width, blocks, kernels
        cosines = math.prod(orders)
        self.head = MixedConv3d(cosines * IMAGES, width, kernels)
        self.first = nn.ModuleList(MixedConv3d(width, width, kernels) for _ in range(blocks))
        self.second = nn.ModuleList(MixedConv3d(width, width, kernels) for _ in range(blocks))
        self.tail = MixedConv3d(width, cosines, kernels)
        self.error = MixedConv3d(width, cosines, kernels)
        layers = 2 * blocks + 3
        self.mixer = nn.Sequential(nn.Linear(CONDITIONS, 64), nn.SiLU(), nn.Linear(64, layers * kernels))
        for conv in self.second:
            conv.weight.data.mul_(0.5)  # type: ignore[operator]
        for last in (self.tail, self.error):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.others)

    @property
    def halo(self) -> int:
        """Cells that an output voxel sees on each side of its own."""
        return 2 + 2 * self.blocks + LOCAL // 2

    def forward(self, images: Tensor, condition: Tensor, cell: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The correction to the first image, and the half width of the interval that holds 90 % of the errors.

        Parameters
        ----------
        images : (batch, 2, x, y, z), sizes that are multiples of the cell's.
        condition : (25,), of one acquisition.
        cell : voxels a cell, an axis.

        Returns
        -------
        Two of (batch, x, y, z), float32. Gradients of the second stop at the trunk: telling the error must not
        cost accuracy.
        """
        mixes = iter(self.mixer(condition).view(2 * self.blocks + 3, self.kernels))
        kept, basis = cosines(tuple(cell), self.orders)
        basis = basis.to(images.device)
        first, second = fold(images[:, :1], cell), fold(images[:, 1:], cell)
        low = local_mean(first.mean(dim=1, keepdim=True))
        x = torch.cat([DETAIL * (first - low), NOISE * (second - first)], dim=1)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        weight, bias = self.head.mixed(next(mixes))
        weight = weight.unflatten(1, (IMAGES, -1))[:, :, kept]
        weight = torch.einsum("oipxyz,pc->oicxyz", weight, basis).flatten(1, 2)
        x = functional.conv3d(x, weight, bias, padding=1)
        for one, two in zip(self.first, self.second, strict=True):
            x = x + two(functional.relu(one(x, next(mixes)), inplace=True), next(mixes))

        def out(conv: MixedConv3d, x: Tensor) -> Tensor:
            weight, bias = conv.mixed(next(mixes))
            weight = torch.einsum("pixyz,pc->cixyz", weight[kept], basis)
            return unfold(functional.conv3d(x, weight, bias[kept] @ basis, padding=1).float(), cell)

        correction = OUTPUT * out(self.tail, x)
        return correction, ERROR * torch.exp(out(self.error, x.detach()).clamp(-5, 5))


def local_mean(x: Tensor) -> Tensor:
    """(b, 1, x, y, z): the mean over LOCAL³ cells, over those that there are at the border."""
    total, count = (
        functional.avg_pool3d(functional.pad(v, [LOCAL // 2] * 6), LOCAL, 1) for v in (x, torch.ones_like(x[:1]))
    )
    return total / count


@lru_cache(maxsize=64)
def cosines(cell: tuple[int, ...], orders: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The orders that a cell can hold (their places among all), and (orders, voxels) their orthonormal cosines."""
    axes = []
    for size, most in zip(cell, orders, strict=True):
        k = torch.arange(min(size, most), dtype=torch.float64)[:, None]
        place = (torch.arange(size, dtype=torch.float64) + 0.5) / size
        scale = torch.where(k == 0, 1.0, math.sqrt(2.0)) / math.sqrt(size)
        axes.append(scale * torch.cos(math.pi * k * place))
    x, y, z = axes
    basis = torch.einsum("ai,bj,ck->abcijk", x, y, z).reshape(len(x) * len(y) * len(z), -1).float()
    places = torch.arange(math.prod(orders)).view(*orders)[: len(x), : len(y), : len(z)].flatten()
    return places, basis


def fold(x: Tensor, cell: Sequence[int]) -> Tensor:
    """Space to depth: (b, c, x, y, z) to (b, c cells, x/cx, y/cy, z/cz)."""
    (b, c, *size), (i, j, k) = x.shape, cell
    nx, ny, nz = (n // s for n, s in zip(size, cell, strict=True))
    x = x.reshape(b, c, nx, i, ny, j, nz, k).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, c * i * j * k, nx, ny, nz)


def unfold(x: Tensor, cell: Sequence[int]) -> Tensor:
    """Depth to space: (b, cell, x, y, z) to (b, cx x, cy y, cz z)."""
    (b, _, nx, ny, nz), (i, j, k) = x.shape, cell
    x = x.reshape(b, i, j, k, nx, ny, nz).permute(0, 4, 1, 5, 2, 6, 3)
    return x.reshape(b, i * nx, j * ny, k * nz)
