"""udGAN: a generator of ultra-dense residual blocks, trained against a discriminator.

Z. Wang, K. Jiang, P. Yi, Z. Han, Z. He, "Ultra-dense GAN for satellite imagery super-resolution",
Neurocomputing 398:328-337 (2020).

The paper's: the inside of the residual block is a two-dimensional matrix of units with diagonal connections.
From the same authors' sibling networks: the unit, the 3 x 3 matrix, six blocks, the ends, the bicubic skip, and
the losses (`medsr.training.objectives`). Ours: the reading of "row" below, scales along one axis, a single image
channel, the initial weights, the patch discriminator, and the `compact` size.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from medsr.networks.base import SliceNetwork
from medsr.networks.layers import Pointwise, Scale, ShuffleUp, conv3, damp, keep_variance, shuffle_chain
from medsr.networks.receptive import Conv, Layer


class MatrixBlock(nn.Module):
    """A matrix of units with `rows` x `columns` convolutions, and a skip over it.

    All rows start as the block's input. In each column every row is convolved (3 x 3); the concatenation of all
    convolved rows, with the row as it was before the column, becomes the new row (1 x 1), so that every unit
    reaches every row of the next column. A 3 x 3 convolution fuses the rows after the last column.
    """

    def __init__(self, channels: int, rows: int = 3, columns: int = 3) -> None:
        super().__init__()
        grid = [[conv3(channels, channels) for _ in range(rows)] for _ in range(columns)]
        mix = [[Pointwise((rows + 1) * channels, channels) for _ in range(rows)] for _ in range(columns)]
        self.units = nn.ModuleList(nn.ModuleList(column) for column in grid)
        self.mixers = nn.ModuleList(nn.ModuleList(column) for column in mix)
        self.fuse = conv3(rows * channels, channels)
        self.activation = nn.LeakyReLU(0.2)
        self.rows, self.columns = rows, columns

    def forward(self, x: Tensor) -> Tensor:
        rows = [x] * self.rows
        for c in range(self.columns):
            units, mixers = self._column(c)
            every = torch.cat([self.activation(unit(row)) for unit, row in zip(units, rows, strict=True)], 1)
            rows = [
                self.activation(mix(torch.cat([every, row], 1))) for mix, row in zip(mixers, rows, strict=True)
            ]
        return x + self.fuse(torch.cat(rows, 1))

    def _column(self, c: int) -> tuple[list[nn.Module], list[nn.Module]]:
        return list(self.units[c].children()), list(self.mixers[c].children())


class UDGAN(SliceNetwork):
    """The generator: head, matrix blocks on the coarse grid, pixel shuffles, bicubic skip.

    Parameters
    ----------
    channels, blocks : width and number of matrix blocks.
    """

    def __init__(self, scale: Scale, slices: int = 1, *, channels: int, blocks: int) -> None:
        super().__init__(scale, slices, skip=True)
        self.head = nn.Sequential(
            conv3(slices, 2 * channels), nn.LeakyReLU(0.2), conv3(2 * channels, channels), nn.LeakyReLU(0.2)
        )
        self.blocks = nn.Sequential(*(MatrixBlock(channels) for _ in range(blocks)))
        self.up = ShuffleUp(channels, scale, lambda: nn.LeakyReLU(0.2))
        self.tail = conv3(channels, 1)
        keep_variance(self, slope=0.2)
        for block in self.blocks:
            damp(block.get_submodule("fuse"), 0.1)
        self.start_at_skip()

    @classmethod
    def paper(cls, scale: Scale, slices: int = 1) -> Self:
        """64 channels, six blocks of 3 x 3 units."""
        return cls(scale, slices, channels=64, blocks=6)

    @classmethod
    def compact(cls, scale: Scale, slices: int = 1) -> Self:
        """24 channels, three blocks (ours)."""
        return cls(scale, slices, channels=24, blocks=3)

    def residual(self, x: Tensor) -> Tensor:
        return self.tail(self.up(self.blocks(self.head(x))))

    def chain(self, axis: int) -> list[Layer]:
        convolutions = 2 + sum(block.columns + 1 for block in self.blocks if isinstance(block, MatrixBlock))
        trunk: list[Layer] = [Conv(3)] * convolutions
        return [*trunk, *shuffle_chain(self.up.factors, axis), Conv(3)]
