"""How far around a pixel a network looks: the halo that makes tiles seamless.

A chain of layers is followed from the output back to the input, along one axis, with whole indices, so that the
answer is exact for the chain (strides and phases included). A network gives the longest of its chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Layer(Protocol):
    """One layer along one axis."""

    def inputs(self, first: int, last: int) -> tuple[int, int]:
        """The first and last input index that outputs `first` to `last` depend on."""
        ...


@dataclass(frozen=True)
class Conv:
    """A convolution; without a padding given, the one that keeps the length."""

    kernel: int
    stride: int = 1
    padding: int | None = None

    def inputs(self, first: int, last: int) -> tuple[int, int]:
        padding = (self.kernel - 1) // 2 if self.padding is None else self.padding
        return first * self.stride - padding, last * self.stride - padding + self.kernel - 1


@dataclass(frozen=True)
class Deconv:
    """A transposed convolution."""

    kernel: int
    stride: int
    padding: int

    def inputs(self, first: int, last: int) -> tuple[int, int]:
        return -((self.kernel - 1 - self.padding - first) // self.stride), (last + self.padding) // self.stride


@dataclass(frozen=True)
class Shuffle:
    """Depth to space."""

    factor: int

    def inputs(self, first: int, last: int) -> tuple[int, int]:
        return first // self.factor, last // self.factor


@dataclass(frozen=True)
class Pack:
    """Space to depth."""

    factor: int

    def inputs(self, first: int, last: int) -> tuple[int, int]:
        return first * self.factor, last * self.factor + self.factor - 1


def halo(chain: Sequence[Layer], scale: int, period: int = 1) -> int:
    """Input pixels beyond a tile that its outputs depend on, on the worse side.

    Parameters
    ----------
    chain : layers from the input to the output.
    scale : output pixels an input pixel.
    period : tiles start at multiples of this many input pixels; each phase is followed.
    """
    worst = 0
    for pixel in range(period):
        first, last = pixel * scale, (pixel + 1) * scale - 1
        for layer in reversed(chain):
            first, last = layer.inputs(first, last)
        worst = max(worst, pixel - first, last - pixel)
    return worst
