"""L1-wavelet SENSE: every frame by itself, sparse in wavelets."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.krylov import dot
from medsr.consistency.series import SeriesGram
from medsr.consistency.tikhonov import CHAIN
from medsr.errors import MedsrError
from medsr.methods.base import Estimate, Progress


@dataclass(frozen=True)
class WaveletSettings:
    """damping : λ over the greatest wavelet coefficient of the first frame's ``Aᴴy``.
    iterations : of a frame.
    wavelet : by its name in PyWavelets.
    """

    damping: float = 1e-3
    iterations: int = 40
    wavelet: str = "db4"


TUNED = WaveletSettings()


def l1_wavelet(acquisition: SpiralAcquisition, progress: Progress, settings: WaveletSettings = TUNED) -> Estimate:
    """``x_t = argmin ½ ‖A_t x - y_t‖² + λ ‖Ψ x‖₁`` by FISTA, Ψ an orthogonal wavelet transform by SigPy.

    Each frame starts from the one before it, in runs of 32. Lustig, Donoho and Pauly, Magn Reson Med 58:1182
    (2007), doi:10.1002/mrm.21391; Beck and Teboulle, SIAM J Imaging Sci 2:183 (2009), doi:10.1137/080716542.
    """
    a, s = acquisition, settings
    forward, back = wavelets(a.shape, s.wavelet)
    system = SeriesGram(a.trajectories[:1], a.maps, segments=a.segments)
    b = system.backproject(a.kspace[:1])[0]
    threshold = s.damping * float(np.abs(forward(b.numpy())).max())
    step = 1 / largest_eigenvalue(system.frame(0)._forward, b)
    x = torch.empty(a.frames, *a.shape, dtype=a.maps.dtype)

    def shrunk(image: Tensor, by: float) -> Tensor:
        coefficients = forward(image.numpy())
        size = np.abs(coefficients)
        gain = np.maximum(size - by, 0) / np.maximum(size, 1e-30)
        return torch.from_numpy(back(coefficients * gain.astype(np.float32)))

    def run(first: int) -> None:
        some = slice(first, min(first + CHAIN, a.frames))
        system = SeriesGram(a.trajectories[some], a.maps, segments=a.segments)
        b = system.backproject(a.kspace[some])
        start = torch.zeros_like(b[0])
        for t in range(len(b)):
            gram = system.frame(t)._forward
            now = point = start
            momentum = 1.0
            for _ in range(s.iterations):
                last, now = now, shrunk(point - step * (gram(point) - b[t]), step * threshold)
                following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
                point = now + ((momentum - 1) / following) * (now - last)
                momentum = following
            b[t] = start = now
        x[some] = a.within_reach(b)
        progress(some.stop / a.frames, "wavelets")

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(max(1, a.workers), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(run, range(0, a.frames, CHAIN)))
    finally:
        torch.set_num_threads(threads)
    return Estimate(x)


def wavelets(shape: tuple[int, ...], name: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Ψ and its inverse on numpy arrays of `shape`, by SigPy."""
    try:
        from sigpy.wavelet import fwt, get_wavelet_shape, iwt  # optional, and slow to load
    except ImportError as error:
        raise MedsrError("wavelets need sigpy", hint="pip install medsr[kspace]") from error
    coefficients, slices = get_wavelet_shape(shape, wave_name=name)
    del coefficients

    def forward(x: Any) -> Any:
        return fwt(x, wave_name=name)

    def back(c: Any) -> Any:
        return np.ascontiguousarray(iwt(c, shape, slices, wave_name=name), dtype=np.complex64)

    return forward, back


def largest_eigenvalue(gram: Callable[[Tensor], Tensor], start: Tensor, iterations: int = 20) -> float:
    """Of a hermitian positive operator, by the power method from `start`; 2 % more, to lie above it."""
    v = start / dot(start, start) ** 0.5
    value = 0.0
    for _ in range(iterations):
        w = gram(v)
        value = dot(w, w) ** 0.5
        v = w / value
    return 1.02 * value
