"""One slice of a moving, breathing, thinking head: its image at any instant, and what encodes it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from medsr.acquisition.trajectory import Spiral
from medsr.simulation import coils as coil
from medsr.simulation.encoding import Encoder, low_pass
from medsr.simulation.head import SUBPLANES, THROUGH_PLANE, Plan, Plane
from medsr.simulation.physiology import Physiology, off_resonance
from medsr.simulation.protocol import Protocol

MOST_HZ = 400.0
"""Off-resonance is cut off here, as a shim would be hopeless beyond."""


class Surroundings:
    """What the slices of a head share: coils and their noise, the static field, the activated places.

    psi : covariance of the coils' noise, mean variance 1.
    """

    def __init__(self, p: Protocol, where: Plan, planes: list[Plane]) -> None:
        self.where, self.planes = where, planes
        rng = p.stream("coils")
        n = p.matrix // 2
        self.centre = where.grid.to_world([n, n, (p.slices - 1) / 2])
        self.wires = coil.loops(p.coils, rng) + self.centre
        self.psi = coil.noise_covariance(self.wires, rng)
        self.spheres = self._regions(p, p.stream("activation"))
        self._field_seed = int(p.stream("field").integers(2**31))
        values = np.concatenate(
            [self._shape(where.points(s)[plane.tissue > 0.5]) for s, plane in enumerate(planes)]
        )
        self._shim = float(np.median(values))
        self._scale = p.off_resonance / max(0.05, float(np.percentile(np.abs(values - self._shim), 98)))

    def field(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Off-resonance in Hz at world points (..., 3)."""
        return np.clip((self._shape(points) - self._shim) * self._scale, -MOST_HZ, MOST_HZ)

    def _shape(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return off_resonance(points, self.centre, self._field_seed)

    def _regions(self, p: Protocol, rng: np.random.Generator) -> list[tuple[NDArray[np.float64], float]]:
        """Centres (world) and radii (mm) of spheres in tissue that is not fluid, apart from one another."""
        spheres: list[tuple[NDArray[np.float64], float]] = []
        for _ in range(50 * p.regions):
            if len(spheres) == p.regions:
                break
            s = int(rng.integers(p.slices))
            plane = self.planes[s]
            radius = float(rng.uniform(7, 12))
            candidates = np.argwhere((plane.tissue > 0.9) & (plane.fluid < 0.1))
            if not len(candidates):
                continue
            i, j = candidates[rng.integers(len(candidates))]
            at = self.where.points(s)[i, j]
            if np.linalg.norm(at - self.centre) > 75:  # scalp and skull
                continue
            if all(np.linalg.norm(at - other) > radius + r + 4 for other, r in spheres):
                spheres.append((at, radius))
        return spheres


class Scene:
    """One slice: everything that a frame's image is made from.

    encoder : turns an image into samples.
    """

    def __init__(self, p: Protocol, around: Surroundings, index: int, body: Physiology, leaf: Spiral) -> None:
        self.p, self.where, self.plane = p, around.where, around.planes[index]
        points = self.where.points(index)
        normal = self.where.grid.direction[:, 2]
        size = self.where.size
        maps = coil.smooth_maps(around.wires, points, (size, size))
        shading = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
        maps /= shading
        inside = self.plane.tissue > 0.5
        shading /= shading[inside].mean() if inside.any() else shading.mean()
        self.signal = self.plane.signal * shading
        self.field = around.field(points)
        tilt = p.stream("phase", index).normal(0, 1.0, 2) / 100
        background = (points - around.centre) @ (self.where.grid.direction[:, :2] @ tilt)
        self.phase = np.exp(1j * (background - 2 * math.pi * self.field * p.te)).astype(np.complex64)
        self.encoder = Encoder(maps, self.field, self.plane.decay, leaf.times, p.matrix)
        self.maps = body.maps(points, self.plane.tissue, self.plane.fluid)
        self.active = np.zeros((size, size), dtype=np.float32)
        for at, radius in around.spheres:
            for sub in SUBPLANES:
                away = points + normal * (sub * p.slice_thickness) - at
                self.active += ((away**2).sum(axis=-1) < radius**2) / len(SUBPLANES)
        self.active *= self.plane.tissue
        # offsets from the centre of the slice in mm along read and phase, for movement
        step = (np.arange(size) - size // 2) * (p.fov / size)
        self.along = step[:, None], step[None, :]

    def image(
        self, task: float, modulation: NDArray[np.float64], move: NDArray[np.float64]
    ) -> NDArray[np.complex64]:
        """The object (size, size) at one instant, at the echo time."""
        below, here, above = self.signal
        signal = here
        if move.any():
            # a head that moves up shows what lay below
            w = -(move[2] + move[3] * self.along[1] - move[4] * self.along[0]) / THROUGH_PLANE
            signal = here + w * (above - below) / 2 + w**2 * (above - 2 * here + below) / 2
        change = np.tensordot(modulation.astype(np.float32), self.maps, axes=1)
        change += np.float32(self.p.bold / 100 * task) * self.active
        signal = signal * (1 + change)
        if move.any():
            signal = self._moved(signal, move)
        return (signal * self.phase).astype(np.complex64)

    def _moved(self, image: NDArray[np.floating], move: NDArray[np.float64]) -> NDArray[np.floating]:
        """Turned about the centre of the slice and shifted, within the plane, by cubic splines."""
        size = self.where.size
        cos, sin = math.cos(move[5]), math.sin(move[5])
        back = np.array([[cos, sin], [-sin, cos]])
        centre = np.full(2, size // 2)
        offset = centre - back @ (centre + move[:2] * (size / self.p.fov))
        return affine_transform(image, back, offset, order=3, mode="constant")

    def activation(self) -> NDArray[np.float32]:
        """Percent signal change (n, n) of the truth's voxels at the peak of the response, to first order."""
        base = low_pass((self.signal[1] * self.phase).astype(np.complex64), self.p.matrix)
        more = low_pass((self.signal[1] * self.active * self.phase).astype(np.complex64), self.p.matrix)
        power = np.abs(base) ** 2
        floor = 1e-3 * float(power.max()) or 1.0
        change = (np.conj(base) * more).real / np.maximum(power, floor)
        return (self.p.bold * change * (power > floor)).astype(np.float32)

    def static_field(self) -> NDArray[np.float32]:
        """The field (n, n) in Hz on the reconstruction's voxels."""
        size, n = self.where.size, self.p.matrix
        at = (np.arange(n) - n // 2) * size / n + size // 2
        low = np.clip(np.floor(at).astype(int), 0, size - 2)
        part = at - low
        rows = self.field[low] * (1 - part)[:, None] + self.field[low + 1] * part[:, None]
        return (rows[:, low] * (1 - part) + rows[:, low + 1] * part).astype(np.float32)
