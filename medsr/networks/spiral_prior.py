"""What a voxel's signal may do over time: a learned covariance of relative changes in spiral fMRI."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

FREQUENCIES = (0.0, 0.01, 0.02, 0.035, 0.06, 0.1, 0.16, 0.25, 0.4, 0.7)
"""Nodes of temporal frequency in Hz."""
WAVENUMBERS = (0.0, 0.006, 0.012, 0.025, 0.05, 0.1, 0.16, 0.24)
"""Nodes of spatial frequency in cycles per mm."""
BANDS = (0.02, 0.07, 0.2)
"""Middles of the temporal bands in Hz, after the trend's, that each have a map of the variance."""
TREND = 2.5
"""Cosines up to about this many half waves in a run belong to its trend."""
MOST = 6.0
"""Greatest change of a log variance that the data may bring about."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Where the modes of a series lie: cosines over time, plane waves over space.

    orders : (frames,) half waves in the run. frequencies : (frames,) in Hz. wavenumbers : (*shape) in cycles per
    mm, in the order of an FFT. cell : TR times the volume of a voxel, s mm².
    """

    orders: Tensor
    frequencies: Tensor
    wavenumbers: Tensor
    cell: float

    @classmethod
    def of(cls, frames: int, tr: float, shape: tuple[int, ...], spacing: tuple[float, ...]) -> Axes:
        """Of a series of `frames` images of `shape`; TR in s, spacing in mm."""
        m = torch.arange(frames, dtype=torch.float32)
        square = torch.zeros(shape)
        cell = tr
        for axis, (n, d) in enumerate(zip(shape, spacing, strict=True)):
            k = torch.fft.fftfreq(n, d).reshape([-1 if a == axis else 1 for a in range(len(shape))])
            square = square + k.float() ** 2
            cell *= d if axis < 2 else 1.0
        return cls(m, m / (2 * frames * tr), square.sqrt(), cell)

    def to(self, device: str) -> Axes:
        """The same on another device."""
        return Axes(self.orders.to(device), self.frequencies.to(device), self.wavenumbers.to(device), self.cell)


@dataclass(frozen=True, eq=False)
class Variances:
    """Prior of relative changes ``u = Cᵀ w F⁻¹ diag(√P) v`` (see `medsr.consistency.relative`).

    real, imaginary : standard deviations ``√P`` of the modes, (frames, *shape).
    weights : w, (frames, *shape), mode by mode in time.
    """

    real: Tensor
    imaginary: Tensor
    weights: Tensor


class SpiralPrior(nn.Module):
    """The covariance of what changes in a run, as a share of the anatomy: learned, then adapted to the run.

    A table of spectral densities over temporal and spatial frequency (real and imaginary part), a trend that
    grows with the length of the run, and a small network that looks at the mean image and weights the variance
    from voxel to voxel make the first prior. After a first solve the variances are taken anew from what was
    found, over rings of spatial frequency and along temporal frequency (a rhythm stands out from its
    neighbours): a step of expectation maximisation, ``P ← P max(1, 2 |v|² + 1 / (1 + snr))``, that one network
    corrects; another looks at maps of what was found (tissue that responds, pulsates or moves varies more). They
    never touch the changes themselves: the solve is linear, and a response is not scaled down because a network
    has not seen its like.

    Ours. The units are physical (Hz, cycles per mm), so that one set of weights serves any matrix and TR.

    Parameters
    ----------
    width : channels of the hidden layers.
    shared : whether frames share; without, every temporal frequency has the same variance (an ablation).
    """

    def __init__(self, width: int = 24, shared: bool = True) -> None:
        super().__init__()
        self.shared = shared
        f, k = torch.tensor(FREQUENCIES), torch.tensor(WAVENUMBERS)
        # start: changes smooth over 20 mm, rarer beyond 0.05 Hz; the phase changes less than the magnitude
        table = -torch.log1p((20 * k) ** 4) - torch.log1p((f / 0.05) ** 2)[:, None]
        self.table = nn.Parameter(torch.stack([table, table - 3.0]).clamp(min=-14.0))
        slope = torch.linspace(-3.5, -7.5, len(k))
        self.trend = nn.Parameter(torch.stack([slope, slope - 2.0]))
        bands, nodes = 1 + len(BANDS), len(k)
        self.anatomy = _stack2d(2, bands, width)
        self.spectrum = nn.Sequential(
            nn.Conv1d(3 * nodes + 2, 2 * width, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(2 * width, 2 * width, 5, padding=2),
            nn.ReLU(),
            _zeroed(nn.Conv1d(2 * width, 2 * nodes, 5, padding=2)),
        )
        self.image = _stack2d(2 + 2 * bands, bands, width)

    def first(self, axes: Axes, mean: Tensor) -> Variances:
        """The prior before the run is known; `mean` (*shape) complex."""
        real, imaginary = self._log_variances(axes)
        return self._variances(axes, real, imaginary, _volume(self.anatomy(self._anatomy(mean)), mean.ndim))

    def second(self, axes: Axes, mean: Tensor, v: Tensor, u: Tensor, snr: Tensor) -> Variances:
        """The prior adapted to the run.

        v : the first solution in its whitened modes, (frames, *shape) complex.
        u : the same over cosines and voxels, ``w F⁻¹ diag(√P) v``.
        snr : variance of a mode's real part under the first prior over that of its noise, (frames, *shape).
        """
        rings = hats(axes.wavenumbers.flatten(), WAVENUMBERS)
        share = rings / rings.sum(1, keepdim=True).clamp(min=1e-6)

        def over_rings(x: Tensor) -> Tensor:
            return x.flatten(1) @ share.T

        mirrored = mirror(v)
        strength = over_rings(snr)
        unknown = 1 / (1 + strength)
        # white modes have half a unit in the real and in the imaginary part of the image
        # never less than before: a response may hide where the first solve found nothing
        told = [
            torch.log(_smooth(2 * over_rings(((v + sign * mirrored) / 2).abs().square())) + unknown).clamp(min=0)
            for sign in (1, -1)
        ]
        features = [*told, torch.log(strength + 0.01) / 3]
        f = torch.stack([log_frequency(axes.frequencies) + 2, 1 / (1 + axes.orders)], 1)
        gains = self.spectrum(torch.cat([*features, f], 1).T[None])[0].T
        gains = gains + torch.cat(told, 1)
        if not self.shared:
            gains = gains.mean(0, keepdim=True).expand_as(gains)
        gains = MOST * torch.tanh(gains / MOST)
        real, imaginary = self._log_variances(axes)
        half = len(WAVENUMBERS)
        extra = [(g @ rings).reshape(real.shape) for g in (gains[:, :half], gains[:, half:])]
        bands = self._bands(axes)
        power = torch.einsum("mb,m...->b...", bands, u.real.square())
        signal = mean.abs().square()
        level = ((power * signal).flatten(1).sum(1) / signal.sum()).reshape(-1, *(1 for _ in mean.shape)) + 1e-12
        maps = torch.log(power / level + 0.03)
        both = torch.cat([self._anatomy(mean), _planes(maps), _planes(torch.log(level * 1e4).expand_as(maps))], 1)
        weights = _volume(self.image(both), mean.ndim)
        return self._variances(axes, real + extra[0], imaginary + extra[1], weights)

    def _log_variances(self, axes: Axes) -> tuple[Tensor, Tensor]:
        """Log variance of the modes' real and imaginary parts."""
        over_time = hats(log_frequency(axes.frequencies), log_frequency(FREQUENCIES).tolist()).T
        rings = hats(axes.wavenumbers.flatten(), WAVENUMBERS)
        low = 1 / (1 + (axes.orders / TREND) ** 4)
        result = []
        for table, trend in zip(self.table, self.trend, strict=True):
            if not self.shared:
                table = table.mean(0, keepdim=True).expand_as(table)  # noqa: PLW2901
            steady = over_time @ table @ rings
            growing = trend @ rings + torch.log(low * len(low) * float(self.shared) + 1e-12)[:, None]
            log = torch.logaddexp(steady, growing)
            result.append((log - math.log(axes.cell)).reshape(-1, *axes.wavenumbers.shape))
        return result[0], result[1]

    def _variances(self, axes: Axes, real: Tensor, imaginary: Tensor, maps: Tensor) -> Variances:
        maps = 2 * torch.tanh(maps / 2)
        weights = torch.exp(torch.einsum("mb,b...->m...", self._bands(axes), maps))
        return Variances(torch.exp(real / 2), torch.exp(imaginary / 2), weights)

    def _bands(self, axes: Axes) -> Tensor:
        """Membership (frames, bands) of each cosine, adding up to 1."""
        over = hats(log_frequency(axes.frequencies), log_frequency(BANDS).tolist()).T
        trend = (1 / (1 + (axes.orders / TREND) ** 4))[:, None]
        return torch.cat([trend, (1 - trend) * over], 1)

    def _anatomy(self, mean: Tensor) -> Tensor:
        """The mean image and its edges as channels, (planes, 2, x, y)."""
        size = mean.abs()
        size = size / torch.quantile(size.flatten(), 0.99).clamp(min=1e-12)
        edges = torch.zeros_like(size)
        for axis in (0, 1):
            step = (size.roll(-1, axis) - size.roll(1, axis)) / 2
            edges = edges + step.square()
        return torch.cat([_planes(size[None]), _planes(edges.sqrt()[None])], 1)


def scaled(network: SpiralPrior, factor: float) -> SpiralPrior:
    """A copy with all variances times `factor`: more, and less is taken for noise."""
    other = deepcopy(network)
    with torch.no_grad():
        other.table.add_(math.log(factor))
        other.trend.add_(math.log(factor))
    return other


def mirror(v: Tensor) -> Tensor:
    """``conj(v(-k))``: what a real image's modes equal; over all axes but the first."""
    dims = tuple(range(1, v.ndim))
    return torch.roll(torch.flip(v, dims), [1] * len(dims), dims).conj().resolve_conj()


def _smooth(x: Tensor) -> Tensor:
    """Averaged over three neighbours along the first axis, weights 1, 2, 1."""
    padded = torch.cat([x[:1], x, x[-1:]])
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def _planes(x: Tensor) -> Tensor:
    """(channels, x, y[, z]) to (planes, channels, x, y)."""
    return x[None] if x.ndim == 3 else x.permute(3, 0, 1, 2)


def _volume(x: Tensor, dims: int) -> Tensor:
    """(planes, channels, x, y) back to (channels, x, y[, z])."""
    return x[0] if dims == 2 else x.permute(1, 2, 3, 0)


def log_frequency(f: Tensor | tuple[float, ...]) -> Tensor:
    """The scale on which temporal frequencies in Hz are interpolated: logarithmic from 0.01 Hz on."""
    return torch.log(torch.as_tensor(f) + 0.01)


def hats(x: Tensor, nodes: tuple[float, ...] | list[float]) -> Tensor:
    """Weights (nodes, points) of piecewise linear interpolation; beyond the ends the last node's value."""
    at = torch.tensor(nodes, dtype=x.dtype, device=x.device)
    x = x.clamp(float(at[0]), float(at[-1]))
    right = torch.searchsorted(at, x, right=True).clamp(1, len(at) - 1)
    share = (x - at[right - 1]) / (at[right] - at[right - 1])
    weights = torch.zeros(len(at), len(x), dtype=x.dtype, device=x.device)
    weights.scatter_(0, (right - 1)[None], (1 - share)[None])
    return weights.scatter_(0, right[None], share[None])


def _zeroed(conv: nn.Module) -> nn.Module:
    nn.init.zeros_(conv.get_parameter("weight"))
    nn.init.zeros_(conv.get_parameter("bias"))
    return conv


def _stack2d(inputs: int, outputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=2, dilation=2),
        nn.ReLU(),
        _zeroed(nn.Conv2d(width, outputs, 3, padding=1)),
    )
