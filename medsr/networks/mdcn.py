"""MDCN: mixed-dense connection networks, scale-recurrent, for an image and its neighbours.

K. Purohit, S. Mandal, A. N. Rajagopalan, "Mixed-dense connection networks for image and video super-resolution",
Neurocomputing 398 (2020), arXiv:2201.11996. Mixed links: W. Wang et al., "Mixed link networks", arXiv:1802.01808.

The paper's: blocks with residual and dense links together, the filters of x2 used again for x4, versions by loss,
a video version. Recalled from the mixed link networks: the state's last channels are incremented by one output and
new channels are appended by another. Ours: the sizes, the details of the dual link unit below, and neighbouring
slices in the place of video frames, fused by a 1 x 1 convolution after a shared head.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from medsr.networks.base import SliceNetwork
from medsr.networks.layers import Pointwise, Scale, conv3, depth_to_space, steps
from medsr.networks.receptive import Conv, Layer, Shuffle


class DualLinkUnit(nn.Module):
    """1 x 1 to 4g, ReLU, 3 x 3 to 2g: g channels are added to the last g of the state, g are appended."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.growth = growth
        self.body = nn.Sequential(
            Pointwise(channels, 4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, 2 * growth, 3, padding=1)
        )

    def forward(self, state: Tensor) -> Tensor:
        added, appended = self.body(state).split(self.growth, 1)
        return torch.cat([state[:, : -self.growth], state[:, -self.growth :] + added, appended], 1)


class MixedDenseBlock(nn.Module):
    """Dual link units, a 1 x 1 fusion, a skip."""

    def __init__(self, channels: int, growth: int, units: int) -> None:
        super().__init__()
        self.units = nn.Sequential(*(DualLinkUnit(channels + i * growth, growth) for i in range(units)))
        self.fuse = Pointwise(channels + units * growth, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fuse(self.units(x))


class MDCN(SliceNetwork):
    """A trunk with one upscaling step, run once for x2 and again, with the same weights, for x4 and x8.

    Parameters
    ----------
    channels, blocks, units, growth : width, mixed-dense blocks, units a block, channels appended by a unit.
    """

    def __init__(
        self, scale: Scale, slices: int = 3, *, channels: int, blocks: int, units: int, growth: int
    ) -> None:
        super().__init__(scale, slices, skip=True)
        self.recurrences = len(steps(scale))
        self.factor = steps(scale)[0]
        self._depth = blocks * units
        self.head = conv3(1, channels)
        self.frames = Pointwise(slices * channels, channels) if slices > 1 else None
        self.trunk = nn.Sequential(
            *(MixedDenseBlock(channels, growth, units) for _ in range(blocks)), conv3(channels, channels)
        )
        self.up = conv3(channels, channels * math.prod(self.factor))
        self.tail = conv3(channels, 1)
        self.start_at_skip()

    @classmethod
    def supports(cls, scale: Scale) -> bool:
        """Scales whose prime steps are all alike, so that one set of filters serves them all."""
        return super().supports(scale) and len(set(steps(scale))) == 1

    @classmethod
    def paper(cls, scale: Scale, slices: int = 3) -> Self:
        """64 channels, six blocks of eight units, growth 32 (the paper's sizes are not public)."""
        return cls(scale, slices, channels=64, blocks=6, units=8, growth=32)

    @classmethod
    def compact(cls, scale: Scale, slices: int = 3) -> Self:
        """32 channels, four blocks of five units, growth 8 (ours)."""
        return cls(scale, slices, channels=32, blocks=4, units=5, growth=8)

    def residual(self, x: Tensor) -> Tensor:
        batch, slices, rows, columns = x.shape
        features = self.head(x.reshape(batch * slices, 1, rows, columns))
        if self.frames is not None:
            features = self.frames(features.reshape(batch, -1, rows, columns))
        for _ in range(self.recurrences):
            features = depth_to_space(self.up(features + self.trunk(features)), self.factor)
        return self.tail(features)

    def chain(self, axis: int) -> list[Layer]:
        once: list[Layer] = [*([Conv(3)] * (self._depth + 2)), Shuffle(self.factor[axis])]
        return [Conv(3), *(once * self.recurrences), Conv(3)]
