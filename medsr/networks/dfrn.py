"""DFRN: deep fractal residual network.

Zhou et al., "Deep fractal residual network for fast and accurate single image super resolution", Neurocomputing
398 (2020). Fractals: G. Larsson, M. Maire, G. Shakhnarovich,
"FractalNet: ultra-deep neural networks without residuals", arXiv:1605.07648.

The paper's: fractal blocks that learn and combine hierarchical features. Recalled from FractalNet: the expansion
rule, joining by the mean, and drop-path, of single joins or of all but one column. Ours: the block's input is
added (residual), a leaky ReLU after each convolution, the trunk on the coarse grid, pixel shuffle, interpolation
skip, and the sizes.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from medsr.networks.base import SliceNetwork
from medsr.networks.layers import Scale, ShuffleUp, conv3, shuffle_chain
from medsr.networks.receptive import Conv, Layer


class Fractal(nn.Module):
    """``f_1(z) = conv(z)``; ``f_{C+1}(z)`` joins ``f_C(f_C(z))`` and ``conv(z)`` by their mean.

    A join is flat: where the deep part ends in a join itself, its columns and the new one are averaged alike.

    Parameters
    ----------
    columns : C; the longest path has ``2^(C - 1)`` convolutions.
    """

    def __init__(self, channels: int, columns: int) -> None:
        super().__init__()
        self.columns = columns
        self.conv = nn.Sequential(conv3(channels, channels), nn.LeakyReLU(0.2))
        self.first = Fractal(channels, columns - 1) if columns > 1 else None
        self.second = Fractal(channels, columns - 1) if columns > 1 else None

    def forward(self, z: Tensor, drop: float = 0.0, column: int | None = None) -> Tensor:
        """
        Parameters
        ----------
        drop : probability that an input of a join is left out; one input is always kept.
        column : where given, only this column runs (1 is the deepest).
        """
        branches = self.branches(z, drop, column)
        return torch.stack(_kept(branches, drop)).mean(0)

    def branches(self, z: Tensor, drop: float, column: int | None) -> list[Tensor]:
        """The outputs of the columns that reach the last join."""
        if self.first is None or self.second is None:
            return [self.conv(z)]
        shallow = column == self.columns
        deep: list[Tensor] = []
        if not shallow:
            deep = self.second.branches(self.first(z, drop, column), drop, column)
        return deep if column is not None and not shallow else [*deep, self.conv(z)]


def _kept(branches: list[Tensor], drop: float) -> list[Tensor]:
    if drop == 0 or len(branches) == 1:
        return branches
    keep = (torch.rand(len(branches)) >= drop).tolist()
    if not any(keep):
        keep[int(torch.randint(len(branches), ()))] = True
    return [b for b, k in zip(branches, keep, strict=True) if k]


class FractalBlock(nn.Module):
    """A fractal and its input, with drop-path while training.

    Half of the steps drop single inputs of joins (local), half keep one column alone (global), as in FractalNet;
    the draws come from torch's generator.
    """

    def __init__(self, channels: int, columns: int, drop_path: float) -> None:
        super().__init__()
        self.fractal = Fractal(channels, columns)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return x + self.fractal(x)
        if torch.rand(()) < 0.5:
            return x + self.fractal(x, self.drop_path)
        return x + self.fractal(x, column=1 + int(torch.randint(self.fractal.columns, ())))


class DFRN(SliceNetwork):
    """Head, fractal blocks, skip over them, pixel shuffles, tail.

    Parameters
    ----------
    channels, blocks, columns : width, fractal blocks and columns of each.
    drop_path : probability of local drop-path while training; 0 switches both kinds off.
    """

    def __init__(
        self,
        scale: Scale,
        slices: int = 1,
        *,
        channels: int,
        blocks: int,
        columns: int,
        drop_path: float = 0.15,
    ) -> None:
        super().__init__(scale, slices, skip=True)
        self._depth = blocks * 2 ** (columns - 1)
        self.head = conv3(slices, channels)
        self.blocks = nn.Sequential(*(FractalBlock(channels, columns, drop_path) for _ in range(blocks)))
        self.fuse = conv3(channels, channels)
        self.up = ShuffleUp(channels, scale, lambda: nn.LeakyReLU(0.2))
        self.tail = conv3(channels, 1)
        self.start_at_skip()

    @classmethod
    def paper(cls, scale: Scale, slices: int = 1) -> Self:
        """64 channels, four blocks of four columns (the paper's sizes are not public)."""
        return cls(scale, slices, channels=64, blocks=4, columns=4)

    @classmethod
    def compact(cls, scale: Scale, slices: int = 1) -> Self:
        """32 channels, three blocks of three columns (ours)."""
        return cls(scale, slices, channels=32, blocks=3, columns=3)

    def residual(self, x: Tensor) -> Tensor:
        first = self.head(x)
        return self.tail(self.up(first + self.fuse(self.blocks(first))))

    def chain(self, axis: int) -> list[Layer]:
        trunk: list[Layer] = [Conv(3)] * (self._depth + 2)
        return [*trunk, *shuffle_chain(self.up.factors, axis), Conv(3)]
