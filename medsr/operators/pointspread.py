"""Point spreads: how wide, and of what shape, a sample of a scan is along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medsr.errors import UsageError

Kind = Literal["identity", "gaussian", "boxcar", "rf", "kspace"]
KINDS: tuple[Kind, ...] = get_args(Kind)

RF_TIME_BANDWIDTH = 4.0
"""Time-bandwidth product of the Hann-windowed sinc pulse behind `rf`."""


@dataclass(frozen=True)
class PointSpread:
    """The point spread along one axis.

    kind : `gaussian`, `boxcar` or `rf` (the small-tip profile of a Hann-windowed sinc pulse) for a slice
        profile; `kspace` (truncated Fourier space: a Dirichlet kernel) for an axis that was encoded;
        `identity` for an axis that keeps its samples.
    width : in mm. Full width at half maximum of a slice profile; for `kspace` the nominal resolution, so that
        spatial frequencies up to ``1 / (2 width)`` are kept.
    """

    kind: Kind
    width: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError("unknown point spread", got=repr(self.kind), hint=f"choose from {', '.join(KINDS)}")
        if not (np.isfinite(self.width) and self.width > 0):
            raise UsageError("a point spread needs a width", got=f"{self.width} mm", rule="above 0 mm")


def sampling_matrix(
    psf: PointSpread, n: int, h: float, m: int, d: float, offset: float = 0.0
) -> NDArray[np.float64]:
    """(m, n) matrix from `n` voxels of `h` mm to `m` samples `d` mm apart, centres of both rows shared.

    Row i holds the weights of the voxels in the sample at ``(i - (m - 1) / 2) d + offset`` mm. A slice
    profile is integrated over each voxel (a Gaussian is narrowed by the voxel's own width instead); `kspace`
    sums the harmonics of the field of view ``m d``, so it wraps around, as a Fourier-encoded axis does. The
    weights of a row sum to one, at the borders too.

    Parameters
    ----------
    offset : shift of the samples against the voxels, in mm.
    """
    voxels = (np.arange(n) - (n - 1) / 2) * h
    samples = (np.arange(m) - (m - 1) / 2) * d + offset
    distance = voxels[None, :] - samples[:, None]
    if psf.kind == "identity":
        weights = np.clip(1 - np.abs(distance) / h, 0, None)
    elif psf.kind == "kspace":
        weights = _dirichlet(distance, m * d, psf.width)
    elif psf.kind == "gaussian":
        weights = np.exp(-4 * np.log(2) * (distance / _relative_width(psf.width, h)) ** 2)
    else:
        cumulative = {"boxcar": _boxcar_cdf, "rf": _rf_cdf}[psf.kind]
        weights = cumulative((distance + h / 2) / psf.width) - cumulative((distance - h / 2) / psf.width)
    return weights / weights.sum(axis=1, keepdims=True)


def _relative_width(width: float, h: float) -> float:
    """Width of the blur between a voxel of `h` mm and a slice of `width` mm, both Gaussian.

    Widths of Gaussians add in quadrature. The floor stands in for interpolation where they are alike.
    """
    return float(max(np.sqrt(max(width**2 - h**2, 0.0)), 0.6 * h))


def _boxcar_cdf(u: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(u + 0.5, 0, 1)


def _rf_cdf(u: NDArray[np.float64]) -> NDArray[np.float64]:
    position, cumulative = _rf_table()
    return np.interp(u, position, cumulative)


@lru_cache(maxsize=1)
def _rf_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (in widths) and the cumulative profile, by the Fourier transform of the pulse.

    Small-tip excitation: the profile is the Fourier transform of the pulse
    ``sinc(TBW t) (1 + cos 2πt) / 2``, t in [-1/2, 1/2]; see Pauly et al., J Magn Reson 81:43 (1989).
    """
    t = np.linspace(-0.5, 0.5, 2049)
    pulse = np.sinc(RF_TIME_BANDWIDTH * t) * 0.5 * (1 + np.cos(2 * np.pi * t))
    frequency = np.linspace(-3 * RF_TIME_BANDWIDTH, 3 * RF_TIME_BANDWIDTH, 4801)
    profile = np.cos(2 * np.pi * frequency[:, None] * t[None, :]) @ pulse
    half = np.abs(frequency[profile >= profile.max() / 2]).max()
    cumulative = np.concatenate([[0.0], np.cumsum((profile[1:] + profile[:-1]) / 2)])
    return frequency / (2 * half), cumulative / cumulative[-1]


def _dirichlet(distance: NDArray[np.float64], period: float, width: float) -> NDArray[np.float64]:
    """Sum of the harmonics of `period` up to ``1 / (2 width)``; the one on the edge counts half."""
    edge = period / (2 * width)
    whole = int(np.floor(edge + 1e-9))
    phase = 2 * np.pi * distance / period
    total = np.ones_like(distance)
    for k in range(1, whole + 1):
        weight = 1.0 if abs(k - edge) < 1e-9 else 2.0
        total += weight * np.cos(k * phase)
    return total
