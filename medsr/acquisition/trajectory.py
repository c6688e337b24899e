"""Spiral trajectories: designed within gradient limits, rotated from interleaf to interleaf, delayed.

Positions in k-space are in cycles per field of view: ``k = 1`` is one cycle across the field of view, and an
image of ``n`` voxels needs ``|k| <= n / 2``. Times are in seconds, distances in metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from medsr.errors import UsageError

GAMMA = 42.577478518e6
"""Gyromagnetic ratio of the proton over 2π, in Hz/T."""

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
"""2π over the golden ratio squared (137.5 degrees): for interleaves that start at the centre of k-space."""

_MARGIN = 0.995
"""Share of the limits that the design uses, so that rounding to the samples never oversteps them."""


@dataclass(frozen=True)
class GradientLimits:
    """What the gradient system can do, for the length of the gradient vector.

    gradient : in T/m.
    slew : in T/m/s.
    """

    gradient: float = 40e-3
    slew: float = 150.0


@dataclass(frozen=True, eq=False)
class Spiral:
    """One interleaf, from the centre of k-space outwards.

    k : (samples, 2) float64, cycles per field of view.
    times : (samples,) float64, seconds since the first sample.
    matrix : voxels of the image along each side.
    fov : field of view in m.
    interleaves : how many, rotated evenly, sample k-space fully.
    """

    k: NDArray[np.float64]
    times: NDArray[np.float64]
    matrix: int
    fov: float
    interleaves: int

    @property
    def dwell(self) -> float:
        """Time between samples, in seconds."""
        return float(self.times[1] - self.times[0])


def variable_density_spiral(
    matrix: int = 96,
    fov: float = 0.22,
    interleaves: int = 20,
    centre_density: float = 3.5,
    limits: GradientLimits | None = None,
    dwell: float = 4e-6,
) -> Spiral:
    """A spiral whose turns lie close together at the centre of k-space and at the Nyquist distance at its edge.

    The path is ``k(θ) = r(θ) exp(iθ)`` with ``dθ/dr = 2π d(r) / N``, where N is the number of interleaves and
    the density ``d`` falls linearly from `centre_density` at r = 0 to 1 at r = matrix/2; the N interleaves
    together leave no gap wider than 1 / d(r) cycles per field of view. It is run through as fast as the limits
    let it from rest: with ``v = |dk/dt|``, curvature ``κ`` and arc length ``s``,
    ``v <= γG``, ``(v dv/ds)² + (κ v²)² <= (γS)²``.

    The family of densities is that of Lee, Hargreaves, Hu, Nishimura (Magn Reson Med 50:1276, 2003,
    doi 10.1002/mrm.10644); the timing is the forward and backward pass over arc length of Lustig, Kim,
    Pauly (IEEE Trans Med Imaging 27:866, 2008, doi 10.1109/TMI.2008.922699) without its final ramp.

    Parameters
    ----------
    matrix : voxels along each side.
    fov : in m.
    interleaves : how many sample k-space fully.
    centre_density : how many times denser than Nyquist at the centre; 1 gives an Archimedean spiral.
    limits : of the gradient system (40 mT/m and 150 T/m/s unless given).
    dwell : time between samples, in s.

    Raises
    ------
    UsageError
        if a parameter cannot make a spiral.
    """
    limits = limits or GradientLimits()
    _positive(
        matrix=matrix,
        fov=fov,
        interleaves=interleaves,
        dwell=dwell,
        **{"gradient limit": limits.gradient, "slew limit": limits.slew},
    )
    if centre_density < 1:
        raise UsageError("a spiral sparser at its centre than at its edge", got=centre_density, rule="1 or more")
    edge = matrix / 2
    # finer towards the centre, where the spiral starts from rest
    r = edge * np.linspace(0.0, 1.0, max(4096, 32 * matrix)) ** 2
    density = centre_density + (1 - centre_density) * r / edge
    rate = 2 * math.pi * density / interleaves
    theta = 2 * math.pi / interleaves * (centre_density * r + (1 - centre_density) * r**2 / (2 * edge))
    # k' and k'' by r, in closed form, give the arc length and the curvature
    slope = 2 * math.pi / interleaves * (1 - centre_density) / edge
    turn = np.exp(1j * theta)
    first = (1 + 1j * r * rate) * turn
    second = (2j * rate + 1j * r * slope - r * rate**2) * turn
    speed = np.abs(first)
    curvature = np.abs((np.conj(first) * second).imag) / speed**3
    arc = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(r))])
    per_fov = GAMMA * fov * _MARGIN
    when, v = _fastest(arc, curvature, limits.gradient * per_fov, limits.slew * per_fov)
    times = np.arange(int(when[-1] / dwell) + 1, dtype=np.float64) * dwell
    radius = CubicSpline(arc, r)(CubicHermiteSpline(when, arc, v)(times))
    angle = 2 * math.pi / interleaves * (centre_density * radius + (1 - centre_density) * radius**2 / (2 * edge))
    k: NDArray[np.float64] = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return Spiral(k, times, int(matrix), float(fov), int(interleaves))


def cyclic_angles(interleaves: int, shots: int | None = None) -> NDArray[np.float64]:
    """Rotation of each of `shots` (default: one round) readouts, in rad: ``2π i / interleaves``, over and over."""
    shot = np.arange(interleaves if shots is None else shots)
    return 2 * math.pi * (shot % interleaves) / interleaves


def golden_angles(shots: int) -> NDArray[np.float64]:
    """Rotation of each of `shots` readouts, in rad, each a golden angle on from the one before."""
    return np.remainder(np.arange(shots) * GOLDEN_ANGLE, 2 * math.pi)


def rotated(k: NDArray[np.float64], angles: ArrayLike) -> NDArray[np.float64]:
    """The interleaf `k` (samples, 2) turned by each of `angles` (shots,) in rad: (shots, samples, 2)."""
    angle = np.atleast_1d(np.asarray(angles, dtype=np.float64))
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([cos * k[:, 0] - sin * k[:, 1], sin * k[:, 0] + cos * k[:, 1]], axis=-1)


def delayed(
    trajectory: NDArray[np.float64], times: NDArray[np.float64], delay: float | Sequence[float]
) -> NDArray[np.float64]:
    """The trajectory as played out when each gradient axis lags: ``k_a(t) -> k_a(t - delay_a)``.

    Parameters
    ----------
    trajectory : (..., samples, dims) as designed, in any unit, each readout on its own (not concatenated).
    times : (samples,) of the samples, in s, increasing.
    delay : in s, one number or one an axis; a positive delay means that the gradients come late.

    Before the first sample the position holds still, as it does at the start of a spiral; after the last one
    it runs on at its last speed.
    """
    dims = trajectory.shape[-1]
    lag = np.broadcast_to(np.asarray(delay, dtype=np.float64), (dims,))
    if times.shape != trajectory.shape[-2:-1] or len(times) < 4 or (np.diff(times) <= 0).any():
        raise UsageError(
            "the sample times do not fit the trajectory",
            got=f"{times.shape} for {trajectory.shape}",
            rule="one increasing time a sample, four samples or more",
        )
    if not np.isfinite(lag).all() or np.abs(lag).max() > times[-1] - times[0]:
        raise UsageError("the trajectory delay is absurd", got=delay, rule="seconds, shorter than the readout")
    result = np.empty(trajectory.shape, dtype=np.float64)
    for axis in range(dims):
        k = trajectory[..., axis]
        at = times - lag[axis]
        late = np.maximum(at - times[-1], 0.0)
        end = (k[..., -1] - k[..., -2]) / (times[-1] - times[-2])
        inside = CubicSpline(times, k, axis=-1)(np.clip(at, times[0], times[-1]))
        result[..., axis] = inside + end[..., None] * late
    return result


def gradients(k: NDArray[np.float64], dwell: float, fov: float) -> NDArray[np.float64]:
    """Gradient waveform (..., samples - 1, dims) in T/m that plays the trajectory (..., samples, dims)."""
    return np.diff(k, axis=-2) / (GAMMA * fov * dwell)


def slew_rates(k: NDArray[np.float64], dwell: float, fov: float) -> NDArray[np.float64]:
    """Slew rate (..., samples - 2, dims) in T/m/s of the trajectory (..., samples, dims)."""
    return np.diff(gradients(k, dwell, fov), axis=-2) / dwell


def density_weights(spiral: Spiral) -> NDArray[np.float64]:
    """Area of k-space (cycles² per field of view²) that each sample of one interleaf stands for, (samples,).

    The annulus between the radii halfway to its neighbours, shared by the interleaves: exact where they are
    rotated evenly.
    """
    r = np.hypot(spiral.k[:, 0], spiral.k[:, 1])
    middle = np.concatenate([[0.0], (r[1:] + r[:-1]) / 2, [1.5 * r[-1] - 0.5 * r[-2]]])
    return np.diff(math.pi * middle**2) / spiral.interleaves


def _fastest(
    arc: NDArray[np.float64], curvature: NDArray[np.float64], v_max: float, a_max: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Time and speed at each point of a path, from rest, under limits of speed and acceleration.

    arc : (n,) arc length; curvature : (n,) of the path; v_max, a_max : limits in the unit of arc over s, s².
    """
    with np.errstate(divide="ignore"):
        ceiling = np.minimum(v_max, np.sqrt(a_max / curvature))
    ds = np.diff(arc).tolist()
    # w = v²: the tangential acceleration is dw/ds / 2, and κw the centripetal one
    cap = (ceiling**2).tolist()
    bend = curvature.tolist()
    w = [0.0] * len(cap)
    for i, step in enumerate(ds):
        spare = math.sqrt(max(0.0, a_max**2 - (bend[i] * w[i]) ** 2))
        w[i + 1] = min(cap[i + 1], w[i] + 2 * step * spare)
    for i in range(len(ds) - 1, -1, -1):
        spare = math.sqrt(max(0.0, a_max**2 - (bend[i + 1] * w[i + 1]) ** 2))
        w[i] = min(w[i], w[i + 1] + 2 * ds[i] * spare)
    v = np.sqrt(w)
    # over a step of constant tangential acceleration the mean speed is that of its ends
    return np.concatenate([[0.0], np.cumsum(2 * np.diff(arc) / (v[1:] + v[:-1]))]), v


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"the {name} of a trajectory is not positive", got=value)
