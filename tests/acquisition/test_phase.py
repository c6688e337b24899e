"""Phases of frames, fitted to a still image."""

import numpy as np
import pytest

from medsr.acquisition.phase import phases_against


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_phase_and_rate_are_found(noise):
    rng = np.random.default_rng(0)
    frames, coils, samples = 12, 3, 400
    times = 0.03 + 4e-6 * np.arange(samples)
    seen = rng.standard_normal((frames, coils, samples)) + 1j * rng.standard_normal((frames, coils, samples))
    # strong at first, as at the centre of k-space
    seen *= np.exp(-np.arange(samples) / 150)
    phase = np.cumsum(rng.uniform(-1.2, 1.2, frames))
    rate = rng.uniform(-60, 60, frames)
    turn = np.exp(1j * (phase[:, None] + rate[:, None] * (times - times[0])))
    white = rng.standard_normal((2, frames, coils, samples))
    data = (1.1 * seen * turn[:, None] + noise * (white[0] + 1j * white[1]) / np.sqrt(2)).astype(np.complex64)
    found = phases_against(data, seen.astype(np.complex64), times)
    turns = 2 * np.pi * np.round((found[0, 0] - phase[0]) / (2 * np.pi))
    assert found.shape == (frames, 2)
    assert np.abs(found[:, 0] - turns - phase).max() < (0.08 if noise else 1e-4)
    assert np.abs(found[:, 1] - rate).max() * 1.6e-3 < (0.25 if noise else 1e-3)


def test_frames_without_signal_have_no_phase():
    nothing = np.zeros((3, 2, 50), dtype=np.complex64)
    found = phases_against(nothing, nothing, np.arange(50) * 4e-6)
    assert np.isfinite(found).all() and not found.any()
