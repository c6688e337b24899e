"""The project's own fast 2D network: plain convolutions on packed pixels, trained as many branches and folded.

Ours. After re-parameterised networks for fast super-resolution: X. Ding et al., "RepVGG", arXiv:2101.03697;
C. Wan et al., "Swift parameter-free attention network" (SPAN), arXiv:2311.12770.
"""

from __future__ import annotations

import copy
import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medsr.networks.base import SliceNetwork
from medsr.networks.layers import Pointwise, Scale, conv3, depth_to_space, space_to_depth
from medsr.networks.receptive import Conv, Layer, Pack, Shuffle


class RepConv(nn.Module):
    """A 3 x 3 convolution with its weights spread over branches.

    ``K = K₃ + K₁ δ + K_c * (K_b * K_a) + I δ``: a 3 x 3 branch, a 1 x 1 branch, a sequence 1 x 1, 3 x 3, 1 x 1
    with a wider middle, and the identity where the channels agree; a single bias. All are linear and see the
    same zero padding, so their sum is one 3 x 3 kernel; training runs that kernel too, built anew at each step,
    so branches cost next to nothing.

    Parameters
    ----------
    expansion : width of the sequence's middle, in outputs.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int = 2) -> None:
        super().__init__()
        middle = expansion * outputs
        self.plain = conv3(inputs, outputs)
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.first = nn.Conv2d(inputs, middle, 1, bias=False)
        self.second = nn.Conv2d(middle, middle, 3, padding=1, bias=False)
        self.third = nn.Conv2d(middle, outputs, 1, bias=False)
        self.same = inputs == outputs
        # three branches share what one convolution would have, so that the sum has its variance
        with torch.no_grad():
            for conv in (self.plain, self.point, self.third):
                conv.weight.mul_(3**-0.5)

    def kernel(self) -> Tensor:
        """(outputs, inputs, 3, 3): the sum of the branches."""
        narrow, wide = self.first.weight[:, :, 0, 0], self.third.weight[:, :, 0, 0]
        sequence = torch.einsum("om,mnij,nk->okij", wide, self.second.weight, narrow)
        centre = self.point.weight[:, :, 0, 0]
        if self.same:
            centre = centre + torch.eye(centre.shape[0], dtype=centre.dtype, device=centre.device)
        return self.plain.weight + sequence + F.pad(centre[:, :, None, None], (1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), self.plain.bias, padding=1)

    def branches(self, x: Tensor) -> Tensor:
        """The branches one by one, summed: what `forward` folds."""
        y = self.plain(x) + self.point(x) + self.third(self.second(self.first(x)))
        return y + x if self.same else y

    def fold(self) -> nn.Conv2d:
        """The plain convolution that does the same."""
        conv = conv3(self.plain.in_channels, self.plain.out_channels).to(self.plain.weight)
        with torch.no_grad():
            conv.weight.copy_(self.kernel())
            if conv.bias is not None and self.plain.bias is not None:
                conv.bias.copy_(self.plain.bias)
        return conv


class FastBlock(nn.Module):
    """Three convolutions and a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            RepConv(channels, channels),
            nn.SiLU(),
            RepConv(channels, channels),
            nn.SiLU(),
            RepConv(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Fast2D(SliceNetwork):
    """Everything on a coarse grid, one pixel shuffle at the end, interpolation skip.

    Parameters
    ----------
    channels, blocks : width and number of blocks of three convolutions.
    fine : output pixels along the sides of a pixel inside. Neighbouring rows and columns of the input are packed
        into its channels until it has as many (at x4 by x1, four columns), so that the grid inside is square, and
        small.
    """

    def __init__(self, scale: Scale, slices: int = 1, *, channels: int, blocks: int, fine: int = 1) -> None:
        super().__init__(scale, slices, skip=True)
        self.period = pack = max(1, fine // scale[0]), max(1, fine // scale[1])
        self.head = conv3(slices * math.prod(pack), channels)
        self.blocks = nn.Sequential(*(FastBlock(channels) for _ in range(blocks)))
        self.fuse = Pointwise(2 * channels, channels)
        self.tail = conv3(channels, math.prod(scale) * math.prod(pack))
        self._depth = 3 * blocks
        self.start_at_skip()

    @classmethod
    def compact(cls, scale: Scale, slices: int = 1) -> Self:
        """Along one axis: 46 channels, three blocks, on pixels of 4 x 4 fine ones. Along both: 32 channels, four
        blocks, unpacked, because there packing lost more than it saved."""
        if 1 in scale:
            return cls(scale, slices, channels=46, blocks=3, fine=4)
        return cls(scale, slices, channels=32, blocks=4)

    @property
    def entering(self) -> int:
        return self.slices * math.prod(self.period)

    def residual(self, x: Tensor) -> Tensor:
        (rows, columns), (ph, pw), (sh, sw) = x.shape[2:], self.period, self.scale
        # the last row and column are repeated to fill the last pixel, and cut off again
        filled = F.pad(x, (0, -columns % pw, 0, -rows % ph), mode="replicate")
        first = self.head(space_to_depth(filled, self.period))
        features = F.silu(self.fuse(torch.cat([first, self.blocks(first)], 1)))
        fine = depth_to_space(self.tail(features), (sh * ph, sw * pw))
        return fine[..., : rows * sh, : columns * sw]

    def chain(self, axis: int) -> list[Layer]:
        pack = self.period[axis]
        return [Pack(pack), *([Conv(3)] * (self._depth + 2)), Shuffle(self.scale[axis] * pack)]

    def fold(self) -> Self:
        """A copy with every `RepConv` as one plain convolution."""
        folded = copy.deepcopy(self)
        for parent in list(folded.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, RepConv):
                    setattr(parent, name, child.fold())
        return folded

    def for_inference(self) -> Self:
        return self.fold()
