"""Pieces that several of the 2D networks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone uses

from medsr.networks.receptive import Conv, Layer, Shuffle

Scale = tuple[int, int]
"""Output pixels an input pixel along the two axes of an image: (4, 1) is through-plane x4 on a reformat."""

Activation = Callable[[], nn.Module]


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution, done as a matrix product.

    oneDNN's 1 x 1 kernels choose how they split the sum over many channels by the number of pixels, so that their
    last bit depends on the size of a tile; a matrix product's does not, and it is faster.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight[:, :, 0, 0].expand(len(x), -1, -1)
        bias = self.get_parameter("bias")[:, None]
        return torch.baddbmm(bias, weight, x.flatten(2)).unflatten(2, x.shape[2:])


def depth_to_space(x: Tensor, factor: Scale) -> Tensor:
    """(B, C a b, H, W) to (B, C, H a, W b): the pixel shuffle, with a factor an axis."""
    (a, b), (batch, depth, height, width) = factor, x.shape
    x = x.reshape(batch, depth // (a * b), a, b, height, width).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, depth // (a * b), height * a, width * b)


def space_to_depth(x: Tensor, factor: Scale) -> Tensor:
    """(B, C, H a, W b) to (B, C a b, H, W): the inverse of `depth_to_space`."""
    (a, b), (batch, depth, height, width) = factor, x.shape
    x = x.reshape(batch, depth, height // a, a, width // b, b).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(batch, depth * a * b, height // a, width // b)


def steps(scale: Scale) -> list[Scale]:
    """The prime steps of a scale, the two axes side by side: (4, 2) is (2, 2) then (2, 1)."""
    first, second = _primes(scale[0]), _primes(scale[1])
    length = max(len(first), len(second))
    pad = [1] * length
    return [(a, b) for a, b in zip((first + pad)[:length], (second + pad)[:length], strict=True)]


def _primes(n: int) -> list[int]:
    factors = []
    for p in range(2, n + 1):
        while n % p == 0:
            factors.append(p)
            n //= p
    return factors


def keys(distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel (a = -1/2), which reproduces ramps and parabolas.

    R. G. Keys, IEEE Trans Acoust 29:1153 (1981), doi 10.1109/TASSP.1981.1163711.
    """
    d = distance.abs()
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def damp(conv: nn.Module, factor: float) -> None:
    """Scales the initial weights of the last convolution of a branch, so that sums of branches stay small."""
    with torch.no_grad():
        conv.get_parameter("weight").mul_(factor)


def keep_variance(module: nn.Module, slope: float) -> None:
    """Initial weights with which a long chain of convolutions, with no skips inside, neither fades nor blows up.

    He et al., arXiv:1502.01852, for (leaky or parametric) ReLUs of `slope`; an output of a transposed convolution
    of stride s is the sum of ``kernel / s`` taps along an axis, not of all.
    """
    for conv in module.modules():
        if isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)):
            taps = conv.in_channels * math.prod(conv.kernel_size)
            if isinstance(conv, nn.ConvTranspose2d):
                taps //= math.prod(conv.stride)
            nn.init.normal_(conv.weight, std=math.sqrt(2 / ((1 + slope**2) * taps)))
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)


class Interpolate(nn.Module):
    """Cubic interpolation of an image (B, 1, H, W) to `scale` times as many pixels, outer edges shared.

    Output pixel j lies at ``(j + 1/2) / s - 1/2`` of the input (the `align_corners=False` convention), and the
    border is repeated outwards. One small fixed filter for each phase, so that what a pixel becomes does not
    depend on where a tile begins, not even in the last bit.
    """

    kernel: Tensor

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.scale = scale
        rows, columns = _phases(scale[0]), _phases(scale[1])
        self.reach = rows.shape[1] // 2, columns.shape[1] // 2
        kernel = torch.einsum("pk,ql->pqkl", rows, columns).flatten(0, 1)[:, None]
        self.register_buffer("kernel", kernel.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        (a, b) = self.reach
        return depth_to_space(F.conv2d(F.pad(x, (b, b, a, a), mode="replicate"), self.kernel), self.scale)


def _phases(factor: int) -> Tensor:
    """(factor, taps) weights of the input pixels around each output phase."""
    offset = (torch.arange(factor, dtype=torch.float64) - (factor - 1) / 2) / factor
    reach = 0 if factor == 1 else 2
    weights = keys(offset[:, None] - torch.arange(-reach, reach + 1, dtype=torch.float64))
    return weights / weights.sum(1, keepdim=True)


class Shrink(nn.Module):
    """Antialiased cubic reduction of an image (B, 1, H, W) by whole factors, outer edges shared."""

    kernel: Tensor

    def __init__(self, factor: Scale) -> None:
        super().__init__()
        self.factor = factor
        rows, columns = _reducer(factor[0]), _reducer(factor[1])
        self.pad = (len(rows) - factor[0]) // 2, (len(columns) - factor[1]) // 2
        kernel = torch.outer(rows, columns)[None, None]
        self.register_buffer("kernel", kernel.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        (a, b) = self.pad
        return F.conv2d(F.pad(x, (b, b, a, a), mode="replicate"), self.kernel, stride=self.factor)


def _reducer(factor: int) -> Tensor:
    if factor == 1:
        return torch.ones(1, dtype=torch.float64)
    # 4 factor taps, one more where the middle of a coarse pixel is the middle of a fine one
    taps = 4 * factor + factor % 2
    weights = keys((torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / factor)
    return weights / weights.sum()


class ResidualBlock(nn.Module):
    """``x + conv(act(conv(x)))``."""

    def __init__(self, channels: int, kernel: int = 3, activation: Activation = nn.ReLU) -> None:
        super().__init__()
        pad = kernel // 2
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, padding=pad),
            activation(),
            nn.Conv2d(channels, channels, kernel, padding=pad),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResidualTrunk(nn.Module):
    """Residual blocks, a convolution, and a skip over them all."""

    def __init__(self, channels: int, blocks: int, activation: Activation = nn.ReLU) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(ResidualBlock(channels, activation=activation) for _ in range(blocks)), conv3(channels, channels)
        )
        self.chain: list[Layer] = [Conv(3)] * (2 * blocks + 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ShuffleUp(nn.Module):
    """A 3 x 3 convolution, depth to space and an activation for each prime step of a scale."""

    def __init__(self, channels: int, scale: Scale, activation: Activation) -> None:
        super().__init__()
        self.factors = steps(scale)
        self.convs = nn.ModuleList(conv3(channels, channels * math.prod(f)) for f in self.factors)
        self.activations = nn.ModuleList(activation() for _ in self.factors)

    def forward(self, x: Tensor) -> Tensor:
        for conv, activation, factor in zip(self.convs, self.activations, self.factors, strict=True):
            x = activation(depth_to_space(conv(x), factor))
        return x


def shuffle_chain(factors: Sequence[Scale], axis: int) -> list[Layer]:
    """What `ShuffleUp` does along an axis."""
    return [layer for f in factors for layer in (Conv(3), Shuffle(f[axis]))]
