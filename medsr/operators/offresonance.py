"""Off-resonance and T2* decay during the readout, by time segments.

Sign: with the field map f in Hz and t in s after excitation (or after the echo that the image is meant at),
the sample at k(t) is ``Σ_r x[r] exp(-2πi k·r) exp(-(2πi f[r] + R2*[r]) t)``. A positive f precesses faster,
and so turns the way that a positive gradient does at a positive r.
"""

from __future__ import annotations

import math
from copy import copy
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.errors import InputError, UsageError
from medsr.operators.base import LinearOperator
from medsr.operators.nufft import NUFFT

BINS = 256
"""Rates that stand for all voxels when the interpolators are fitted."""

MOST_SEGMENTS = 64


class TimeSegments:
    """``exp(-z[r] t[m]) ≈ Σ_l b[l, m] exp(-z[r] τ[l])``, z = 2πi f + R2*, with least-squares b.

    For every t the weights minimise the squared error over the voxels' rates, histogrammed: Sutton, Noll and
    Fessler, IEEE Trans Med Imaging 22:178 (2003), doi:10.1109/TMI.2002.808360. Choosing the number of
    segments from the largest error left is ours.

    Parameters
    ----------
    times : (samples,) in s.
    field : (*shape) in Hz.
    relaxation : (*shape) R2* in 1/s, at least 0; None for no decay.
    segments : how many; None for the fewest that keep the largest error over the histogram under `tolerance`.
    mask : (*shape) bool, the voxels that count; all by default. Elsewhere the rate is taken as zero.

    Attributes
    ----------
    weights : (segments, samples) complex128 tensor, b.
    phases : (segments, *shape) complex128 tensor, ``exp(-z τ)``.
    error : the largest ``|exp(-z t) - Σ b exp(-z τ)|`` over the histogram and the samples.
    """

    def __init__(
        self,
        times: Tensor,
        field: Tensor,
        relaxation: Tensor | None = None,
        *,
        segments: int | None = None,
        tolerance: float = 1e-4,
        mask: Tensor | None = None,
    ) -> None:
        rates = complex_rates(field, relaxation)
        if times.ndim != 1 or not bool(torch.isfinite(times).all()):
            raise InputError("readout times are finite, one a sample", got=tuple(times.shape), rule="in s")
        if mask is not None:
            rates = torch.where(mask.to(rates.device), rates, torch.zeros_like(rates))
        self.shape = tuple(field.shape)
        self.times, self.rates = times.detach().to(torch.float64), rates
        chosen = rates.flatten() if mask is None else rates[mask.to(rates.device)]
        values, counts = _histogram(chosen.cpu().numpy())
        t = self.times.cpu().numpy()
        if segments is None:
            # fewer segments than turns between the extreme voxels cannot follow them
            turns = np.ptp(values.imag) * np.ptp(t) / (2 * math.pi)
            fits = (_fit(t, values, counts, count) for count in range(1 + int(turns), MOST_SEGMENTS + 1))
            fit = next((f for f in fits if f[2] <= tolerance), None)
            if fit is None:
                raise InputError(
                    f"off-resonance needs more than {MOST_SEGMENTS} time segments",
                    got=f"{np.ptp(values.imag) / (2 * math.pi):.4g} Hz over {np.ptp(t) * 1e3:.4g} ms",
                    hint="mask the voxels that hold no signal, or check the unit of the field map (Hz)",
                )
        else:
            if not 1 <= segments <= MOST_SEGMENTS:
                raise UsageError("no such number of time segments", got=segments, rule=f"1 to {MOST_SEGMENTS}")
            fit = _fit(t, values, counts, segments)
        centres, weights, self.error = fit
        self.centres = torch.as_tensor(centres, device=rates.device)
        self.weights = torch.as_tensor(weights, device=rates.device)

    def __len__(self) -> int:
        return len(self.centres)

    def repeated(self, count: int) -> TimeSegments:
        """The same for `count` readouts one after the other."""
        other = copy(self)
        other.times, other.weights = self.times.repeat(count), self.weights.repeat(1, count)
        return other

    @cached_property
    def phases(self) -> Tensor:
        centres = self.centres.reshape(-1, *(1 for _ in self.shape))
        return torch.exp(-self.rates * centres)


class OffResonanceNUFFT(LinearOperator):
    """``Σ_l diag(b_l) F diag(exp(-z τ_l))``: an NUFFT of an object that precesses and decays while it is read.

    (..., *shape) to (..., samples). All segments are one batch of the NUFFT.
    """

    def __init__(self, nufft: NUFFT, segments: TimeSegments) -> None:
        if segments.shape != nufft.in_shape or segments.weights.shape[1:] != nufft.out_shape:
            raise UsageError(
                "the field map and readout times do not fit the NUFFT",
                got=f"field {segments.shape}, {segments.weights.shape[1]} times",
                rule=f"field {nufft.in_shape}, {nufft.out_shape[0]} times",
            )
        self.nufft, self.segments = nufft, segments
        self.in_shape, self.out_shape = nufft.in_shape, nufft.out_shape

    def _forward(self, x: Tensor) -> Tensor:
        phases, weights = self.segments.phases.to(x), self.segments.weights.to(x)
        return (self.nufft._forward(phases * x.unsqueeze(-len(self.in_shape) - 1)) * weights).sum(-2)

    def _adjoint(self, y: Tensor) -> Tensor:
        phases, weights = self.segments.phases.to(y), self.segments.weights.to(y)
        images = self.nufft._adjoint(weights.conj() * y.unsqueeze(-2))
        return (phases.conj() * images).sum(-len(self.in_shape) - 1)


def complex_rates(field: Tensor, relaxation: Tensor | None = None) -> Tensor:
    """``z = 2πi f + R2*`` as complex128, in 1/s, from a field map in Hz and R2* in 1/s."""
    if field.is_complex() or not bool(torch.isfinite(field).all()):
        raise InputError("a field map is real and finite", rule="in Hz")
    if relaxation is None:
        relaxation = torch.zeros_like(field)
    elif relaxation.shape != field.shape or not bool((relaxation >= 0).all()):
        raise InputError(
            "R2* does not fit the field map",
            got=tuple(relaxation.shape),
            rule=f"{tuple(field.shape)}, in 1/s, >= 0",
        )
    return torch.complex(relaxation.detach().to(torch.float64), 2 * math.pi * field.detach().to(torch.float64))


def _histogram(rates: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Rates that stand for all, each the mean of its bin, and how many voxels they stand for.

    The bins run over frequency, and over decay too where something decays. The extreme rates stand for
    themselves as well, so that the largest error is seen.
    """
    if rates.size == 0:
        return np.zeros(1, complex), np.ones(1)
    decays = bool(np.ptp(rates.real) > 0)
    along = (16, BINS // 4) if decays else (1, BINS)
    cell = np.zeros(rates.size, dtype=np.int64)
    for part, bins in zip((rates.real, rates.imag), along, strict=True):
        span = float(np.ptp(part))
        step = np.zeros(rates.size) if span == 0 else (part - part.min()) / span * bins
        cell = cell * bins + np.minimum(step.astype(np.int64), bins - 1)
    _, index, counts = np.unique(cell, return_inverse=True, return_counts=True)
    means = np.bincount(index, rates.real) / counts + 1j * np.bincount(index, rates.imag) / counts
    ends = rates[[rates.imag.argmin(), rates.imag.argmax(), rates.real.argmin(), rates.real.argmax()]]
    return np.concatenate([means, ends]), np.concatenate([counts, np.ones(4)]).astype(float)


def _fit(
    times: NDArray[np.float64], rates: NDArray[np.complex128], counts: NDArray[np.float64], segments: int
) -> tuple[NDArray[np.float64], NDArray[np.complex128], float]:
    """Segment centres, least-squares weights (segments, samples), and the largest error over rates and times."""
    first, last = float(times.min()), float(times.max())
    edges = np.linspace(first, last, segments) if segments > 1 else np.array([(first + last) / 2])
    basis = np.exp(-np.outer(rates, edges))
    target = np.exp(-np.outer(rates, times))
    root = np.sqrt(counts / counts.sum())[:, None]
    weights = np.linalg.lstsq(root * basis, root * target, rcond=1e-12)[0]
    return edges, weights, float(np.abs(basis @ weights - target).max())
