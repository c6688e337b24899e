"""DRUDN: deep recursive up-down sampling.

Z. Li, Q. Li, W. Wu et al., "Deep recursive up-down sampling networks for single image super-resolution",
Neurocomputing 398 (2020).

The paper's: everything in `paper`. Ours: scales along one axis, for which kernels follow the same rule
(kernel = scale + 4, padding 2, so 5 along an axis that keeps its pixels), scales beyond x4 by that rule, one image
channel, the initial weights; `compact` is narrower, recurs less and adds an interpolation skip.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from medsr.networks.base import SliceNetwork
from medsr.networks.layers import Scale, conv3, damp, keep_variance
from medsr.networks.receptive import Conv, Deconv, Layer

PAIRS = 3
"""Up-down pairs in one recursion."""


class DRUDN(SliceNetwork):
    """``out ← (up, down, up, down, up, down)(out) + r``, again and again with the same weights.

    `up` are transposed convolutions to the fine grid and `down` strided ones back, each with a PReLU.

    Parameters
    ----------
    channels : width.
    recursions : how often the recursion runs.
    """

    def __init__(self, scale: Scale, slices: int = 1, *, channels: int, recursions: int, skip: bool) -> None:
        super().__init__(scale, slices, skip)
        self.recursions = recursions
        self.head = nn.Sequential(conv3(slices, channels), nn.PReLU())
        layers: list[nn.Module] = []
        for _ in range(PAIRS):
            layers += [_up(channels, scale), nn.PReLU(), _down(channels, scale), nn.PReLU()]
        self.recursion = nn.Sequential(*layers)
        self.fuse = nn.Sequential(conv3(channels, channels), nn.PReLU())
        self.up = nn.Sequential(_up(channels, scale), nn.PReLU())
        self.tail = conv3(channels, 1)
        keep_variance(self, slope=0.25)
        damp(layers[-2], 0.5)
        if skip:
            self.start_at_skip()

    @classmethod
    def paper(cls, scale: Scale, slices: int = 1) -> Self:
        """64 channels, twelve recursions: about 1.07, 1.45 and 1.88 M parameters for x2, x3 and x4."""
        return cls(scale, slices, channels=64, recursions=12, skip=False)

    @classmethod
    def compact(cls, scale: Scale, slices: int = 1) -> Self:
        """24 channels (16 where the kernels are large), six recursions, interpolation skip (ours)."""
        large = (scale[0] + 4) * (scale[1] + 4) > 64
        return cls(scale, slices, channels=16 if large else 24, recursions=6, skip=True)

    @classmethod
    def once(cls, scale: Scale, slices: int = 1) -> Self:
        """`compact` with a single recursion: as many parameters, the control of what recurring is worth (ours)."""
        network = cls.compact(scale, slices)
        network.recursions = 1
        return network

    def residual(self, x: Tensor) -> Tensor:
        first = self.head(x)
        features = first
        for _ in range(self.recursions):
            features = self.recursion(features) + first
        return self.tail(self.up(self.fuse(features) + first))

    def chain(self, axis: int) -> list[Layer]:
        scale = self.scale[axis]
        up = Deconv(scale + 4, scale, 2)
        pairs: list[Layer] = [up, Conv(scale + 4, scale, 2)] * (PAIRS * self.recursions)
        return [Conv(3), *pairs, Conv(3), up, Conv(3)]


def _up(channels: int, scale: Scale) -> nn.Module:
    return nn.ConvTranspose2d(channels, channels, (scale[0] + 4, scale[1] + 4), scale, 2)


def _down(channels: int, scale: Scale) -> nn.Module:
    return nn.Conv2d(channels, channels, (scale[0] + 4, scale[1] + 4), scale, 2)
