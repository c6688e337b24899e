"""SCRSR: split-concatenate-residual super-resolution with two levels of recursion.

Lin et al., "SCRSR: an efficient recursive convolutional neural network for fast and accurate
image super-resolution", Neurocomputing 398 (2020).

The paper's: the split-concatenate-residual block, a downsampling and an upsampling block that cut cost and widen
the view, recursion at two levels. Ours, nothing more being public: what each of these is made of here, the sizes,
and the interpolation skip.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medsr.networks.base import SliceNetwork
from medsr.networks.layers import Pointwise, Scale, ShuffleUp, conv3, shuffle_chain
from medsr.networks.receptive import Conv, Deconv, Layer

STRIDE = 2


class SplitConcatBlock(nn.Module):
    """Split the channels, convolve one half, concatenate, mix by 1 x 1, add."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.worked = half
        self.body = nn.Sequential(conv3(half, half), nn.PReLU(), conv3(half, half), nn.PReLU())
        self.mix = Pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        kept, worked = x.split(self.worked, 1)
        return x + self.mix(torch.cat([kept, self.body(worked)], 1))


class SCRSR(SliceNetwork):
    """Strided down, an outer recursion over an inner recursion of one block, up, pixel shuffles.

    Parameters
    ----------
    channels, width : on the input's grid and on the strided one.
    outer, inner : how often each recursion runs.
    """

    period = (STRIDE, STRIDE)

    def __init__(
        self, scale: Scale, slices: int = 1, *, channels: int, width: int, outer: int, inner: int
    ) -> None:
        super().__init__(scale, slices, skip=True)
        self.outer, self.inner = outer, inner
        self.head = nn.Sequential(conv3(slices, channels), nn.PReLU())
        self.down = nn.Sequential(nn.Conv2d(channels, width, 4, STRIDE, 1), nn.PReLU())
        self.block = SplitConcatBlock(width)
        self.mix = nn.Sequential(Pointwise(width, width), nn.PReLU())
        self.lift = nn.Sequential(nn.ConvTranspose2d(width, channels, 4, STRIDE, 1), nn.PReLU())
        self.up = ShuffleUp(channels, scale, nn.PReLU)
        self.tail = conv3(channels, 1)
        self.start_at_skip()

    @classmethod
    def paper(cls, scale: Scale, slices: int = 1) -> Self:
        """64 channels, 256 on the strided grid, 4 x 4 recursions (the paper's sizes are not public)."""
        return cls(scale, slices, channels=64, width=256, outer=4, inner=4)

    @classmethod
    def compact(cls, scale: Scale, slices: int = 1) -> Self:
        """32 channels, 96 on the strided grid, 3 x 4 recursions (ours)."""
        return cls(scale, slices, channels=32, width=96, outer=3, inner=4)

    @classmethod
    def once(cls, scale: Scale, slices: int = 1) -> Self:
        """`compact` without recursions: as many parameters, the control of what recurring is worth (ours)."""
        return cls(scale, slices, channels=32, width=96, outer=1, inner=1)

    def residual(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        first = self.head(x)
        # the last row or column is repeated to make the size even, and cut off again
        even = F.pad(first, (0, columns % STRIDE, 0, rows % STRIDE), mode="replicate")
        start = self.down(even)
        state = start
        for _ in range(self.outer):
            for _ in range(self.inner):
                state = self.block(state)
            state = self.mix(state) + start
        return self.tail(self.up(first + self.lift(state)[..., :rows, :columns]))

    def chain(self, axis: int) -> list[Layer]:
        recursion: list[Layer] = [Conv(3)] * (2 * self.outer * self.inner)
        up = shuffle_chain(self.up.factors, axis)
        return [Conv(3), Conv(4, STRIDE, 1), *recursion, Deconv(4, STRIDE, 1), *up, Conv(3)]
