"""How far to trust each frequency of a noisy measurement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

POOL = 8
"""Power is averaged over 1/8 of the frequencies of each axis; 1/4 to 1/16 do alike on selection heads."""


@dataclass(frozen=True)
class NoiseModel:
    """Noise of a magnitude image.

    sigma : standard deviation in the two channels, in the image's units (that of the magnitude where the
        signal is well above it).
    foreground : fraction of the voxels that hold signal.
    power : mean square of the noise over all voxels; in the air, magnitude noise is narrower (Rayleigh:
        0.43 sigma²) or has been set to zero.
    """

    sigma: float
    foreground: float
    power: float


def noise_model(y: Tensor, sigma: float) -> NoiseModel:
    """The noise of the measurement `y` (x, y, z), given its `sigma`; ours."""
    peak = float(np.percentile(y.numpy(force=True), 99.5))
    signal = y > max(0.05 * peak, 3 * sigma)
    foreground = float(signal.double().mean())
    air = y[~signal].double()
    air_power = min(float(air.var()), sigma**2) if air.numel() > 1 else sigma**2
    return NoiseModel(sigma, foreground, foreground * sigma**2 + (1 - foreground) * air_power)


def wiener(y: Tensor, noise: NoiseModel) -> Tensor:
    """The part of the measurement `y` (x, y, z) that rises above the noise: its cosine modes times their `gain`.

    `y` itself without noise. Not differentiable.
    """
    if noise.sigma == 0:
        return y
    modes = _modes(y)
    return _image(modes * _gain(modes, noise), y)


def gain(y: Tensor, noise: NoiseModel) -> NDArray[np.floating]:
    """How far to trust each cosine mode of the measurement `y` (x, y, z): from 0, all noise, to 1, none.

    With ``P`` the power of the modes of `y` averaged over neighbouring frequencies,

        g = C / (C + ρ σ²),        C = max(P - N, 0),

    where ``N`` is the mean noise power and ``ρ`` the foreground fraction: an object that fills a part ρ of
    the field of view has its power concentrated there, and noise counts only there. The empirical Wiener
    filter (Wiener 1949) with a correction for the field of view, which is ours.
    """
    return _gain(_modes(y), noise)


def weighted(x: Tensor, weights: NDArray[np.floating]) -> Tensor:
    """`x` (x, y, z) with its cosine modes times `weights` (x, y, z); linear, self-adjoint, not differentiable."""
    return _image(_modes(x) * weights, x)


def _gain(modes: NDArray[np.floating], noise: NoiseModel) -> NDArray[np.floating]:
    from scipy.ndimage import uniform_filter

    width = [max(3, n // POOL) | 1 for n in modes.shape]
    signal = np.maximum(uniform_filter(np.square(modes), width, mode="reflect") - noise.power, 0)
    total = signal + noise.foreground * noise.sigma**2
    gains: NDArray[np.floating] = np.divide(signal, total, out=np.zeros_like(signal), where=signal > 0)
    return gains


def _modes(x: Tensor) -> NDArray[np.floating]:
    from scipy.fft import dctn

    modes: NDArray[np.floating] = dctn(x.numpy(force=True), norm="ortho")
    return modes


def _image(modes: NDArray[np.floating], like: Tensor) -> Tensor:
    from scipy.fft import idctn

    return torch.as_tensor(idctn(modes, norm="ortho"), dtype=like.dtype, device=like.device)
