"""Small runs of raw data, of a head made of ellipsoids, and of an object that the operators themselves sample."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.acquisition.trajectory import golden_angles, rotated, variable_density_spiral
from medsr.measurement import KSpace
from medsr.operators.nufft import NUFFT
from medsr.simulation.physiology import Levels
from medsr.simulation.protocol import Protocol
from medsr.simulation.spiral_fmri import SimulatedRun, simulate_spiral_fmri
from medsr.volume import Grid
from tests.simulation.heads import head

QUIET = Levels(0, 0, 0, 0, 0, 0)
SMALL = Protocol(
    matrix=24, interleaves=4, coils=5, frames=24, tr=2.0, dwell=8e-6, seed=7, snr=60.0, off_resonance=5.0
)


@cache
def small_run(**changes: object) -> SimulatedRun:
    """A run of 24 x 24, a quarter of k-space a frame."""
    return simulate_spiral_fmri(head(4.0, shape=(44, 52, 40)), dataclasses.replace(SMALL, **changes))  # type: ignore[arg-type]


def sampled(
    image: NDArray[np.complex64],
    grid: Grid,
    *,
    interleaves: int = 3,
    frames: int = 6,
    coils: int = 4,
    noise: float = 0.0,
    seed: int = 0,
) -> KSpace:
    """Raw data of a still image (x, y, slices) under smooth coils, exactly as the reconstruction models it."""
    n = image.shape[0]
    rng = np.random.default_rng(seed)
    leaf = variable_density_spiral(n, 0.22, interleaves, dwell=8e-6)
    k = rotated(leaf.k, golden_angles(frames))
    r = (np.arange(n) - n // 2) / n
    x, y = np.meshgrid(r, r, indexing="ij")
    at = 2 * np.pi * np.arange(coils) / coils
    maps = np.exp(-2.0 * ((x - 0.7 * np.cos(at)[:, None, None]) ** 2 + (y - 0.7 * np.sin(at)[:, None, None]) ** 2))
    maps = maps * np.exp(1j * at[:, None, None])
    maps /= np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    data = np.empty((image.shape[2], frames, coils, len(leaf.times)), dtype=np.complex64)
    for t in range(frames):
        nufft = NUFFT(torch.from_numpy(k[t]), (n, n))
        for s in range(image.shape[2]):
            data[s, t] = nufft.forward(torch.from_numpy((maps * image[..., s]).astype(np.complex64))).numpy()
    white = rng.standard_normal((2, *data.shape))
    data += (noise * np.sqrt(0.5) * (white[0] + 1j * white[1])).astype(np.complex64)
    return KSpace(
        data,
        k.astype(np.float32),
        0.03 + leaf.times,
        grid,
        tr=2.0,
        te=0.03,
        slice_thickness=3.0,
        noise=noise**2 * np.eye(coils, dtype=np.complex128) if noise else None,
    )
