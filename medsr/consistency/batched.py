"""`medsr.consistency.series` for an accelerator: all frames of a series in a few large transforms."""

from __future__ import annotations

import torch
from torch import Tensor

from medsr.operators.toeplitz import convolve, toeplitz_spectrum

COILS = 4
"""In one transform of all frames: enough to fill a GPU, few enough for its memory."""


class BatchedSeriesGram:
    """``G = diag(A_1ᴴA_1, ..., A_TᴴA_T)`` on series (frames, *shape), every frame by Toeplitz embedding at once.

    What `SeriesGram` computes, on the device of `maps`; without off-resonance. It takes twice the memory of a
    doubled frame for each frame, and pays where many small transforms would leave a device idle: in training.

    Parameters
    ----------
    trajectories : (frames, samples, dims), cycles per field of view.
    maps : complex (coils, *shape); its dtype and device are those worked in.
    eps : relative accuracy of the kernels.
    """

    def __init__(self, trajectories: Tensor, maps: Tensor, *, eps: float = 1e-3) -> None:
        self.trajectories, self.maps, self.shape = trajectories, maps, tuple(maps.shape[1:])
        different, self._twin = torch.unique(trajectories.to(maps.device), dim=0, return_inverse=True)
        ones = torch.ones(trajectories.shape[1], dtype=torch.complex128, device=maps.device)
        spectra = [toeplitz_spectrum(k, self.shape, ones, eps=eps).real.to(maps.real.dtype) for k in different]
        self._spectra = torch.stack(spectra)

    def __len__(self) -> int:
        return len(self._twin)

    def gram(self, x: Tensor) -> Tensor:
        """``G x``, (frames, *shape)."""
        return self.of(slice(None), x)

    def of(self, frames: slice, x: Tensor) -> Tensor:
        """``A_tᴴA_t x_t`` of some frames."""
        spectra = self._spectra[self._twin[frames]].unsqueeze(1)
        out = torch.zeros_like(x)
        for maps in self.maps.split(COILS):
            out += (maps.conj() * convolve(maps * x.unsqueeze(1), spectra, self.shape)).sum(1)
        return out
