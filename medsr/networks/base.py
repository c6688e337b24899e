"""What every 2D network of medsr shares."""

from __future__ import annotations

import abc
from typing import Self

from torch import Tensor, nn

from medsr.errors import UsageError
from medsr.networks.layers import Interpolate, Scale
from medsr.networks.receptive import Conv, Layer, halo
from medsr.operators.base import ShapeError

LARGEST_FACTOR = 8
"""The largest scale along one axis that the networks are built for."""


class SliceNetwork(nn.Module, abc.ABC):
    """A network from a coarse image, with neighbouring slices as channels, to a fine one.

    Input (B, slices, H, W), the slice itself in the middle; output (B, 1, H sh, W sw) of the same field of view,
    outer edges shared. Values come scaled by the caller; nothing is normalised inside, and nothing looks at the
    whole image, so that a tile with a `halo` around it gives what the image gives.

    Parameters
    ----------
    scale : output pixels an input pixel, along each axis.
    slices : odd number of input slices.
    skip : whether cubic interpolation of the slice is added to the output of `residual`. The last convolution of
        a network with this skip starts at zero, so that training starts from the interpolation.

    Raises
    ------
    UsageError
        if the network is not made for the scale, or the number of slices is even.
    """

    period: Scale = (1, 1)
    """Tiles start at multiples of this many input pixels."""

    tail: nn.Conv2d
    """The last convolution."""

    def __init__(self, scale: Scale, slices: int, skip: bool) -> None:
        super().__init__()
        if not self.supports(scale):
            raise UsageError(
                f"{type(self).__name__} is not made for this scale",
                got=f"x{scale[0]} by x{scale[1]}",
                rule=f"whole factors of 1 to {LARGEST_FACTOR} an axis, not both 1, that the network's steps allow",
            )
        if slices < 1 or slices % 2 == 0:
            raise UsageError(
                "the slice itself has to be in the middle", got=f"{slices} slices", rule="an odd number"
            )
        self.scale = scale
        self.slices = slices
        self.skip = Interpolate(scale) if skip else None

    @property
    def entering(self) -> int:
        """Channels that the first convolution reads."""
        return self.slices

    @classmethod
    def supports(cls, scale: Scale) -> bool:
        """Whether the network can be built for a scale."""
        return all(1 <= s <= LARGEST_FACTOR for s in scale) and scale != (1, 1)

    @abc.abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """What the network itself makes of (B, slices, H, W), without the skip."""

    @abc.abstractmethod
    def chain(self, axis: int) -> list[Layer]:
        """The chain of layers along `axis` (0 rows, 1 columns) that looks furthest."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, slices, H, W) to (B, 1, H sh, W sw)."""
        self.check(x)
        y = self.residual(x)
        return y if self.skip is None else y + self.skip(self.middle(x))

    def check(self, x: Tensor) -> None:
        """Raises ShapeError where `x` is not (B, slices, H, W)."""
        if x.ndim != 4 or x.shape[1] != self.slices:
            raise ShapeError(
                f"{type(self).__name__}: the input has the wrong shape",
                got=tuple(x.shape),
                rule=f"(batch, {self.slices}, rows, columns)",
            )

    def middle(self, x: Tensor) -> Tensor:
        """The slice itself, (B, 1, H, W)."""
        return x[:, self.slices // 2 : self.slices // 2 + 1]

    @property
    def halo(self) -> Scale:
        """Input pixels around a tile that its output depends on, along each axis."""
        return self._halo(0), self._halo(1)

    def _halo(self, axis: int) -> int:
        interpolation: list[Layer] = [Conv(5)] if self.skip is not None and self.scale[axis] > 1 else []
        return max(halo(self.chain(axis), self.scale[axis], self.period[axis]), halo(interpolation, 1))

    def start_at_skip(self) -> None:
        """Sets the last convolution to zero: the network is then its interpolation (or zero, without one)."""
        nn.init.zeros_(self.tail.weight)
        if self.tail.bias is not None:
            nn.init.zeros_(self.tail.bias)

    def for_inference(self) -> Self:
        """The network without what only training needs; the same output to rounding."""
        return self
