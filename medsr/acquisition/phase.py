"""The phase that a whole frame gains or loses: breathing and drift of the static field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsr.acquisition.groups import groups

CENTRE = 0.5
"""Cycles per field of view: samples no farther from the centre of k-space tell a frame's phase."""


def frame_phases(
    data: NDArray[np.complex64],
    trajectory: NDArray[np.floating],
    mix: NDArray[np.complex64] | None = None,
) -> NDArray[np.float64] | None:
    """Phase of each frame in rad, (frames,) float64, against the whole run; None where no samples tell it.

    The samples at the centre of k-space, which every spiral passes, are the same from frame to frame but for a
    phase and small changes: ``v_t ≈ exp(iφ_t) a_t v`` over coils and samples. φ is the phase of the leading left
    singular vector of their matrix, unwrapped over time. The centre of k-space as a navigator: Pfeuffer et al.,
    Magn Reson Med 47:344 (2002), doi:10.1002/mrm.10065; the singular vector is ours.

    Parameters
    ----------
    data : (frames, coils, samples).
    trajectory : (frames, samples, dims), cycles per field of view.
    mix : (virtual, coils) that `data` is to be seen through; None for none.
    """
    here = np.ones(trajectory.shape[1], dtype=bool)
    for some in groups(len(trajectory), trajectory.shape[1]):
        here &= (np.linalg.norm(trajectory[some], axis=-1) < CENTRE).all(axis=0)
    central = np.flatnonzero(here)
    if not central.size:
        return None
    found = data[:, :, central]
    values = (found if mix is None else mix @ found).reshape(len(data), -1).astype(np.complex128)
    if len(values) <= values.shape[1]:
        _, vectors = np.linalg.eigh(values @ values.conj().T)
        leading = vectors[:, -1]
    else:  # through the smaller of the two matrices, which does not grow with the frames
        _, vectors = np.linalg.eigh(values.conj().T @ values)
        leading = values @ vectors[:, -1]
    phase: NDArray[np.float64] = np.unwrap(np.angle(leading))
    return phase - np.median(phase)


def without_phase(
    data: NDArray[np.complex64], phase: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.complex64]:
    """`data` (frames, coils, samples) with the phase of each frame taken back, as a field offset has made it.

    A field offset turns the phase in proportion to the time since the excitation, so a sample at `times` (s) is
    turned back by ``φ_t times / times[0]``; where the times start at zero, by ``φ_t``.
    """
    return turned_back(data, phase[:, None], growth_of(times)[None])


def growth_of(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a field offset makes of a frame's phase at the first sample, sample by sample; 1 from time zero on."""
    return times / times[0] if times[0] > 0 else np.ones_like(times)


def turned_back(
    data: NDArray[np.complex64], phases: NDArray[np.float64], courses: NDArray[np.float64]
) -> NDArray[np.complex64]:
    """``exp(-i Σ_j φ_tj c_jm) y_tcm``: data (frames, coils, samples), phases (frames, j), courses (j, samples)."""
    turn = np.exp(-1j * (phases @ courses)).astype(np.complex64)
    return data * turn[:, None]


def phases_against(
    data: NDArray[np.complex64], seen: NDArray[np.complex64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Phase φ in rad and its rate ω in rad/s of each frame against a still image, (frames, 2) float64.

    ``min |Σ_cm (y_tcm - exp(i(φ_t + ω_t τ_m)) ŷ_tcm)|²`` by three Gauss-Newton steps, τ from the first sample:
    every sample votes with its strength, and an interleaf that turns from frame to frame is accounted for, as
    the centre of k-space alone is not.

    Parameters
    ----------
    data : y, (frames, coils, samples). seen : ŷ, what the image would have given, the same shape.
    times : (samples,) in s.
    """
    tau = times - times.min()
    z = np.einsum("tcm,tcm->tm", seen.conj(), data).astype(np.complex128)
    fitted = np.stack([np.angle(z.sum(1)), np.zeros(len(z))], axis=1)
    for _ in range(3):
        left = z * np.exp(-1j * (fitted[:, :1] + fitted[:, 1:] * tau))
        weights = left.real.clip(0)
        normal = np.stack([(weights * tau**p).sum(1) for p in range(3)])
        right = np.stack([(left.imag * tau**p).sum(1) for p in range(2)])
        det = np.maximum(normal[0] * normal[2] - normal[1] ** 2, 1e-12 * normal[0] * normal[2] + 1e-300)
        fitted[:, 0] += (normal[2] * right[0] - normal[1] * right[1]) / det
        fitted[:, 1] += (normal[0] * right[1] - normal[1] * right[0]) / det
    fitted[:, 0] = np.unwrap(fitted[:, 0])
    return fitted
