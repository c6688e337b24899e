"""4PP-EUSR: the enhanced upscaling network and its multi-pass upscaling.

J.-H. Choi, J.-H. Kim, M. Cheon, J.-S. Lee, "Deep learning-based image super-resolution considering quantitative
and perceptual quality", Neurocomputing 398 (2020), doi 10.1016/j.neucom.2019.06.103, arXiv:1809.04789; the
network: J.-H. Kim, J.-S. Lee, "Deep residual network with enhanced upscaling module for super-resolution", CVPR
Workshops 2018. The discriminator and the score predictors are in `eusr_critics`.

The paper's: the network, its x2, x4 and x8 branches around a shared trunk, and the three passes of x4 (x2 twice;
x4; x8 and down by 2). Ours: scales along one axis (the number of residual modules of an upscaling step is its
number of sub-pixels), passes for x2 and x8, single branches for other scales, one image channel; `compact`
shares the upscaling step among all branches and adds an interpolation skip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from medsr.errors import UsageError
from medsr.networks.base import SliceNetwork
from medsr.networks.layers import (
    Interpolate,
    ResidualBlock,
    ResidualTrunk,
    Scale,
    Shrink,
    conv3,
    depth_to_space,
    steps,
)
from medsr.networks.receptive import Conv, Layer, Shuffle

DEPTH = 3
"""Branches of a ladder: x2, x4, x8."""


class Pass(NamedTuple):
    """One way to a scale: branches one after the other, then a reduction."""

    branches: tuple[Scale, ...]
    reduction: Scale


class ResidualModule(nn.Module):
    """A residual block and a convolution, with a skip over both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ResidualBlock(channels), conv3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class UpscalingStep(nn.Module):
    """Residual modules in cascade, one for each sub-pixel; all their outputs, depth to space."""

    def __init__(self, channels: int, factor: Scale) -> None:
        super().__init__()
        self.factor = factor
        self.modules_in_cascade = nn.ModuleList(ResidualModule(channels) for _ in range(math.prod(factor)))

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for module in self.modules_in_cascade:
            x = module(x)
            outputs.append(x)
        return depth_to_space(torch.cat(outputs, 1), self.factor)


class EUSR(SliceNetwork):
    """EUSR with a ladder of scales; `forward` goes straight to the network's own scale.

    Parameters
    ----------
    ladder : scales that have a branch, the network's own among them.
    channels, blocks : width, and residual blocks of the shared trunk.
    head_blocks : residual blocks with 5 x 5 convolutions at the head of each branch.
    shared_steps : whether all branches use the same upscaling step (then the ladder has one prime factor).
    """

    def __init__(
        self,
        scale: Scale,
        slices: int = 1,
        *,
        ladder: Sequence[Scale],
        channels: int,
        blocks: int,
        head_blocks: int,
        shared_steps: bool,
        skip: bool,
    ) -> None:
        super().__init__(scale, slices, skip)
        if slices != 1:
            raise UsageError("EUSR takes one slice", got=f"{slices}", rule="its passes feed images back to it")
        self._size = {"channels": channels, "blocks": blocks, "head_blocks": head_blocks}
        self.shared_steps = shared_steps
        self.ladder = tuple(ladder)
        self.head = conv3(slices, channels)
        self.heads = nn.ModuleDict()
        self.trunk = ResidualTrunk(channels, blocks)
        self.up = nn.ModuleDict()
        self.tails = nn.ModuleDict()
        self.skips = nn.ModuleDict()
        shared = UpscalingStep(channels, steps(scale)[0]) if shared_steps else None
        for branch in self.ladder:
            self.heads[_key(branch)] = nn.Sequential(*(ResidualBlock(channels, 5) for _ in range(head_blocks)))
            self.up[_key(branch)] = nn.Sequential(*(shared or UpscalingStep(channels, f) for f in steps(branch)))
            self.tails[_key(branch)] = conv3(channels, 1)
            if skip:
                self.skips[_key(branch)] = Interpolate(branch)
        if skip:
            self.start_at_skip()

    @classmethod
    def paper(cls, scale: Scale, slices: int = 1) -> Self:
        """64 channels, 32 shared blocks, two 5 x 5 blocks a head, no sharing: about 6.3 M."""
        return cls(
            scale,
            slices,
            ladder=ladder_of(scale),
            channels=64,
            blocks=32,
            head_blocks=2,
            shared_steps=False,
            skip=False,
        )

    @classmethod
    def compact(cls, scale: Scale, slices: int = 1) -> Self:
        """24 channels, 12 shared blocks, one 5 x 5 block a head, one step for all; interpolation skip (ours)."""
        same = len(set(steps(scale))) == 1
        return cls(
            scale,
            slices,
            ladder=ladder_of(scale),
            channels=24,
            blocks=12,
            head_blocks=1,
            shared_steps=same,
            skip=True,
        )

    def start_at_skip(self) -> None:
        for parameter in self.tails.parameters():
            nn.init.zeros_(parameter)

    def upscale(self, x: Tensor, branch: Scale) -> Tensor:
        """(B, 1, H, W) through one branch of the ladder."""
        y, key = self._branch(x, branch), _key(branch)
        return y + self.skips[key](x) if key in self.skips else y

    def residual(self, x: Tensor) -> Tensor:
        return self._branch(x, self.scale)

    def _branch(self, x: Tensor, branch: Scale) -> Tensor:
        key = _key(branch)
        return self.tails[key](self.up[key](self.trunk(self.heads[key](self.head(x)))))

    def passes(self) -> list[Pass]:
        """The ways from the input to the network's scale that its ladder allows."""
        if len(self.ladder) == 1:
            return [Pass((self.scale,), (1, 1))]
        goal = self.ladder.index(self.scale) + 1
        found = []
        for level in range(1, len(self.ladder) + 1):
            whole, rest = divmod(goal, level)
            if level <= goal:
                branches = (self.ladder[level - 1],) * whole + ((self.ladder[rest - 1],) if rest else ())
                found.append(Pass(branches, (1, 1)))
            else:
                beyond = self.ladder[level - 1]
                reduction = beyond[0] // self.scale[0], beyond[1] // self.scale[1]
                found.append(Pass((beyond,), reduction))
        return found

    def forward_passes(self, x: Tensor) -> list[Tensor]:
        """The fine image by each of `passes`, for training: the losses are means over them."""
        self.check(x)
        images = []
        for way in self.passes():
            image = x
            for branch in way.branches:
                image = self.upscale(image, branch)
            images.append(image if way.reduction == (1, 1) else Shrink(way.reduction).to(image)(image))
        return images

    def chain(self, axis: int) -> list[Layer]:
        layers: list[Layer] = [Conv(3)]
        layers += [Conv(5)] * (2 * self._size["head_blocks"]) + self.trunk.chain
        for factor in steps(self.scale):
            layers += [Conv(3)] * (3 * math.prod(factor)) + [Shuffle(factor[axis])]
        return [*layers, Conv(3)]

    def for_inference(self) -> Self:
        """The network with the branch of its own scale alone; shares nothing with this one."""
        bare = type(self)(
            self.scale,
            self.slices,
            ladder=[self.scale],
            **self._size,
            shared_steps=self.shared_steps,
            skip=self.skip is not None,
        ).to(self.head.weight)
        wanted = bare.state_dict()
        bare.load_state_dict({k: v for k, v in self.state_dict().items() if k in wanted})
        return bare.train(self.training)


def ladder_of(scale: Scale) -> list[Scale]:
    """x2, x4 and x8 along the axes of a scale that is one of them; any other scale stands alone."""
    unit = 1 if scale[0] == 1 else 2, 1 if scale[1] == 1 else 2
    ladder = [(unit[0] ** n, unit[1] ** n) for n in range(1, DEPTH + 1)]
    return ladder if scale in ladder else [scale]


def _key(scale: Scale) -> str:
    return f"x{scale[0]}_{scale[1]}"
