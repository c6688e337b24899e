"""Sensitivities of loop coils around a head, from the law of Biot and Savart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SEGMENTS = 36
_BORDER = 3
"""Points around a coarse grid that is to be splined."""
_SOFTENING = 10.0
"""Thickness of a conductor in mm: the field stays finite next to it."""


def loops(coils: int, rng: np.random.Generator, radius: float = 150.0) -> NDArray[np.float64]:
    """Wires of `coils` circular loops on a cylinder about the head-foot axis, (coils, segments + 1, 3) in mm.

    They stand in rings of at most eight, facing inwards, each jittered a little in place and tilt, so that no
    two heads are received alike.
    """
    rings = math.ceil(coils / 8)
    heights = (np.arange(rings) - (rings - 1) / 2) * 75.0
    share = [len(part) for part in np.array_split(np.arange(coils), rings)]
    size = min(70.0, 1.25 * math.pi * radius / max(share))
    angle = np.linspace(0, 2 * math.pi, _SEGMENTS + 1)
    wires = []
    for ring, count in enumerate(share):
        for i in range(count):
            around = 2 * math.pi * (i + 0.5 * (ring % 2)) / count + rng.normal(0, 0.06)
            outwards = np.array([math.cos(around), math.sin(around), rng.normal(0, 0.08)])
            outwards /= np.linalg.norm(outwards)
            across = np.cross([0, 0, 1.0], outwards)
            across /= np.linalg.norm(across)
            up = np.cross(outwards, across)
            centre = radius * rng.normal(1, 0.03) * np.array([math.cos(around), math.sin(around), 0])
            centre[2] = heights[ring] + rng.normal(0, 5)
            wires.append(centre + size * (np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * up))
    return np.stack(wires)


def sensitivities(wires: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.complex64]:
    """What each loop receives from `points` (..., 3) in the wires' coordinates (mm): (coils, ...) complex64.

    ``S = Bx - i By`` of a unit current, ``B = Σ dl x (r - r') / |r - r'|³``, z along the static field; up to
    one constant. Quasi-static: no wave effects in tissue.
    """
    flat = points.reshape(-1, 3)
    result = np.empty((len(wires), len(flat)), dtype=np.complex64)
    for c, wire in enumerate(wires):
        step = np.diff(wire, axis=0)
        middle = (wire[1:] + wire[:-1]) / 2
        away = flat[:, None, :] - middle
        inverse = ((away**2).sum(axis=-1) + _SOFTENING**2) ** -1.5
        field_x = ((step[:, 1] * away[..., 2] - step[:, 2] * away[..., 1]) * inverse).sum(axis=1)
        field_y = ((step[:, 2] * away[..., 0] - step[:, 0] * away[..., 2]) * inverse).sum(axis=1)
        result[c] = field_x - 1j * field_y
    return result.reshape(len(wires), *points.shape[:-1])


def noise_covariance(
    wires: NDArray[np.float64], rng: np.random.Generator, coupling: float = 0.3
) -> NDArray[np.complex128]:
    """Covariance of the thermal noise of the loops, mean variance 1, (coils, coils).

    Ours, not a field calculation: neighbours share noise as ``coupling exp(-distance / 80 mm)`` with a phase of
    their own each, on top of noise of their own; gains differ by a tenth.
    """
    centres = wires[:, :-1].mean(axis=1)
    distance = np.linalg.norm(centres[:, None] - centres, axis=-1)
    phase = np.exp(1j * rng.uniform(-math.pi, math.pi, len(wires)))
    gain = rng.normal(1, 0.1, len(wires)).clip(0.6)
    shared = np.exp(-distance / 80.0) * phase[:, None] * phase.conj()
    psi = (1 - coupling) * np.eye(len(wires)) + coupling * shared
    psi = gain[:, None] * psi * gain
    return psi / (np.trace(psi).real / len(wires))


def smooth_maps(
    wires: NDArray[np.float64], points: NDArray[np.float64], shape: Sequence[int], coarse: int = 4
) -> NDArray[np.complex64]:
    """`sensitivities` on an in-plane grid of points (x, y, 3), calculated on every `coarse`-th and splined.

    shape : (x, y) of the result, that of `points`.
    """
    from scipy.ndimage import map_coordinates

    nx, ny = shape
    # some more around it, because a spline bends at its ends
    i, j = (np.arange(-_BORDER, -(-(n - 1) // coarse) + 1 + _BORDER) * coarse for n in (nx, ny))
    # the grid is affine: points beyond it follow from its corner and steps
    corner, dx, dy = points[0, 0], points[1, 0] - points[0, 0], points[0, 1] - points[0, 0]
    sparse = corner + i[:, None, None] * dx + j[None, :, None] * dy
    rough = sensitivities(wires, sparse)
    where = np.stack(
        np.meshgrid(np.arange(nx) / coarse + _BORDER, np.arange(ny) / coarse + _BORDER, indexing="ij")
    )
    result = np.empty((len(wires), nx, ny), dtype=np.complex64)
    for c in range(len(wires)):
        result[c].real = map_coordinates(rough[c].real, where, order=3, mode="nearest")
        result[c].imag = map_coordinates(rough[c].imag, where, order=3, mode="nearest")
    return result
