"""The project's own 3D network: residual, on the target grid, told how the scan was made."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CONDITIONS = 22
"""Length of the vector that describes an acquisition (`medsr.acquisition.condition`)."""
PHASES = 6
"""Where the samples lie between the voxels: a cosine and a sine an axis."""
IMAGES = 2
"""The spline estimate, and the plain interpolation with its noise left in."""

LOCAL = 5
"""Folded voxels over which the local mean is taken; the network sees what rises above it."""
DETAIL, NOISE, OUTPUT = 10.0, 20.0, 0.1
"""Bring detail, noise and correction to about one: without them training crawls."""


class ResidualNet3D(nn.Module):
    """A residual network over a space-to-depth of the target grid.

    Two images on the target grid (float32, over the scan's 99.5th percentile) are folded by 2 along each
    axis, so that every convolution works on an eighth of the voxels; `blocks` residual blocks of two
    3 x 3 x 3 convolutions follow, each modulated by the acquisition (FiLM: Perez et al., AAAI 2018,
    arXiv:1709.07871); the output is what is added to the first image. One set of weights serves any ratio
    and point spread, because the grid is the target's and the acquisition is an input. No normalisation
    layers, so that a tile with its halo gives what the whole gives. The arrangement is ours.

    Parameters
    ----------
    width : channels of the trunk.
    blocks : residual blocks.
    """

    def __init__(self, width: int = 48, blocks: int = 6) -> None:
        super().__init__()
        self.width, self.blocks = width, blocks
        self.head = nn.Conv3d(8 * IMAGES + PHASES, width, 3, padding=1)
        self.first = nn.ModuleList(nn.Conv3d(width, width, 3, padding=1) for _ in range(blocks))
        self.second = nn.ModuleList(nn.Conv3d(width, width, 3, padding=1) for _ in range(blocks))
        self.tail = nn.Conv3d(width, 8, 3, padding=1)
        self.film = nn.Sequential(nn.Linear(CONDITIONS, 64), nn.SiLU(), nn.Linear(64, 2 * width * blocks))
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type] # has a bias
        nn.init.zeros_(self.film[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.film[2].bias)  # type: ignore[arg-type]
        for conv in self.second:
            conv.weight.data.mul_(0.3)  # type: ignore[operator]

    @property
    def halo(self) -> int:
        """Voxels of the target grid that an output voxel sees on each side."""
        return 2 * (2 + 2 * self.blocks + LOCAL // 2) + 1

    def forward(self, images: Tensor, phases: Tensor, condition: Tensor) -> Tensor:
        """The correction to the first image.

        Parameters
        ----------
        images : (batch, 2, x, y, z), even sizes.
        phases : (batch, 6, x/2, y/2, z/2).
        condition : (batch, 22).

        Returns
        -------
        (batch, x, y, z), float32.
        """
        first, second = fold(images[:, :1]), fold(images[:, 1:])
        low = functional.avg_pool3d(first.mean(dim=1, keepdim=True), LOCAL, 1, LOCAL // 2, count_include_pad=False)
        seen = [DETAIL * (first - low), NOISE * (second - first), phases]
        x = torch.cat(seen, dim=1).contiguous(memory_format=torch.channels_last_3d)
        film = self.film(condition).view(len(condition), self.blocks, 2, self.width, 1, 1, 1)
        x = self.head(x)
        for i, (one, two) in enumerate(zip(self.first, self.second, strict=True)):
            scale, shift = film[:, i, 0].to(x.dtype), film[:, i, 1].to(x.dtype)
            x = x + two(functional.relu(one(x) * (1 + scale) + shift))
        return OUTPUT * unfold(self.tail(x).float())


def fold(x: Tensor) -> Tensor:
    """Space to depth by 2: (b, c, x, y, z) to (b, 8 c, x/2, y/2, z/2)."""
    b, c, nx, ny, nz = x.shape
    x = x.reshape(b, c, nx // 2, 2, ny // 2, 2, nz // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, 8 * c, nx // 2, ny // 2, nz // 2)


def unfold(x: Tensor) -> Tensor:
    """Depth to space by 2: (b, 8, x, y, z) to (b, 2 x, 2 y, 2 z)."""
    b, _, nx, ny, nz = x.shape
    x = x.reshape(b, 2, 2, 2, nx, ny, nz).permute(0, 4, 1, 5, 2, 6, 3)
    return x.reshape(b, 2 * nx, 2 * ny, 2 * nz)
