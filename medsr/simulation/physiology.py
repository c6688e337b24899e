"""What changes in a head from frame to frame besides the task: heart, breath, drift, movement.

Magnitudes are those told of in reviews of fMRI noise (e.g. Liu, NeuroImage 143:141, 2016,
doi 10.1016/j.neuroimage.2016.09.008); the courses and maps are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STEP = 0.05


@dataclass(frozen=True)
class Levels:
    """How strong each is; root mean square over tissue and time, as a share of the signal.

    cardiac, respiratory, drift : shares of the signal.
    motion : of the head, standard deviation in mm along each axis; rotations about half of it in degrees.
    breathing_hz, drift_hz : change of the static field with breath and over the run, in Hz.
    """

    cardiac: float = 0.008
    respiratory: float = 0.006
    drift: float = 0.008
    motion: float = 0.1
    breathing_hz: float = 0.7
    drift_hz: float = 1.0


class Physiology:
    """Courses over a run of `duration` s, drawn from `rng`, defined between frames as well."""

    def __init__(self, levels: Levels, duration: float, rng: np.random.Generator) -> None:
        self.levels, self.duration = levels, max(duration, 1.0)
        self._grid = np.arange(0, self.duration + 2, _STEP)
        self._heart = self._phase(rng.uniform(0.9, 1.2), rng)
        self._breath = self._phase(rng.uniform(0.22, 0.32), rng)
        slow = [self._slow(rng) for _ in range(9)]
        self._drifts, self._field, self._moves = np.stack(slow[:2]), slow[2], np.stack(slow[3:])
        self._waves = [_Waves(rng, scale) for scale in (60.0, 60.0, 120.0, 120.0, 80.0, 80.0)]

    def courses(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """(6, times): two each of heart, breath and drift, every one of unit root mean square."""
        heart, breath = self._at(self._heart, times), self._at(self._breath, times)
        root2 = math.sqrt(2)
        # a pulse wave is not a sine: some second harmonic
        pulse = (np.cos(heart) + 0.4 * np.cos(2 * heart + 0.8)) / math.sqrt((1 + 0.16) / 2)
        return np.stack(
            [
                pulse,
                root2 * np.sin(heart),
                root2 * np.cos(breath),
                root2 * np.sin(breath),
                *(self._at(d, times) for d in self._drifts),
            ]
        )

    def maps(
        self, points: NDArray[np.float64], tissue: NDArray[np.float32], fluid: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(6, ...) share of the signal by which each course changes it at world points (..., 3)."""
        levels = (self.levels.cardiac,) * 2 + (self.levels.respiratory,) * 2 + (self.levels.drift,) * 2
        result = []
        for i, (wave, level) in enumerate(zip(self._waves, levels, strict=True)):
            shape = wave(points)
            if i < 2:  # pulsation is strongest in and around fluid and vessels
                shape = shape * (0.4 + 3.0 * fluid)
            inside = tissue > 0.5
            rms = math.sqrt(float((shape[inside] ** 2).mean())) if inside.any() else 1.0
            result.append(level / math.sqrt(2) * shape / max(rms, 1e-9))
        return np.stack(result).astype(np.float32)

    def field_shift(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Change of the static field in Hz, the same everywhere."""
        return self.levels.breathing_hz * np.cos(self._at(self._breath, times)) + self.levels.drift_hz * self._at(
            self._field, times
        )

    def motion(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """(6, times) shifts along read, phase and slice in mm, turns about them in rad, from the first frame."""
        moves = np.stack([self._at(m, times) - m[0] for m in self._moves]) * self.levels.motion
        moves[1] += 0.3 * self.levels.motion * (np.cos(self._at(self._breath, times)) - 1)
        moves[3:] *= math.radians(0.5)
        return moves

    def _at(self, course: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(times, self._grid, course)

    def _phase(self, frequency: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Phase of a rhythm whose rate wanders by a twentieth."""
        wander = np.convolve(rng.standard_normal(len(self._grid) + 400), np.ones(401) / math.sqrt(401), "valid")
        return rng.uniform(0, 2 * math.pi) + 2 * math.pi * frequency * _STEP * np.cumsum(1 + 0.05 * wander)

    def _slow(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """A trend and a few waves slower than two minutes, of unit root mean square, mean 0."""
        t = self._grid / self.duration
        course = rng.normal() * (t - 0.5)
        for cycles in range(1, max(2, int(self.duration / 120) + 1)):
            course = course + rng.normal() / cycles * np.cos(2 * math.pi * (0.5 * cycles * t + rng.uniform()))
        course = course - course.mean()
        return course / max(float(np.sqrt((course**2).mean())), 1e-9)


class _Waves:
    """A smooth random field over world points: a few waves no shorter than `scale` mm, about unit variance."""

    def __init__(self, rng: np.random.Generator, scale: float, count: int = 6) -> None:
        self.k = rng.standard_normal((count, 3)) / scale
        self.phase = rng.uniform(0, 2 * math.pi, count)
        self.weight = rng.standard_normal(count)
        self.weight *= math.sqrt(2) / np.linalg.norm(self.weight)

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.cos(points @ self.k.T * math.pi + self.phase) @ self.weight


def off_resonance(points: NDArray[np.float64], centre: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """A static field over world points (..., 3), about -1 to 1: smooth shim residue and a source above the nose.

    The source is a dipole along the head-foot axis some 70 mm in front of the centre and 35 mm below it, where
    the air of the sinuses is.
    """
    rng = np.random.default_rng(seed)
    waves = _Waves(rng, 220.0, 5)(points)
    away = points - (centre + np.array([0.0, 70.0, -35.0]) + rng.normal(0, 8, 3))
    distance = np.sqrt((away**2).sum(axis=-1) + 18.0**2)
    dipole = (3 * (away[..., 2] / distance) ** 2 - 1) * (30.0 / distance) ** 3
    return 0.5 * waves + 1.5 * dipole
