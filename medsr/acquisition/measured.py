"""Trajectories that were measured with field probes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from medsr.acquisition.trajectory import Spiral
from medsr.errors import InputError, UsageError

_LIMIT = 64 << 20
"""Largest .mat file read."""


def matmri_spiral(
    path: str | Path, matrix: int, fov: float, interleaves: int, dwell: float | None = None
) -> Spiral:
    """An interleaf from a field-camera file of the matmri toolbox.

    Its variable ``phs_spha`` (samples, 16) holds the phase of real spherical harmonics in rad and rad/m every
    `tdwelltraj` µs: column 0 is the field's own phase, columns 1 to 3 are the linear terms, of which the first
    two make the spiral; ``datatime`` (µs) tells when the samples of the scan were taken. Field terms other than
    the linear ones are left out. The spiral is cut where it first leaves ``|k| = matrix / 2``.

    Parameters
    ----------
    path : a .mat file (version 5 or 7; nothing in it is executed).
    matrix, fov : of the image to encode; fov in m.
    interleaves : copies, rotated evenly, that sample k-space fully at this field of view: that of the design.
    dwell : time between samples in s; that of the file unless given.

    Raises
    ------
    InputError
        if it is no such file, or the spiral does not reach three quarters of the edge of k-space.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size > _LIMIT:
        raise InputError(f"{path}: too large for a trajectory", got=f"{path.stat().st_size} bytes")
    if matrix < 2 or not fov > 0 or interleaves < 1:
        raise UsageError("no image is encoded so", got=f"matrix {matrix}, {fov} m, {interleaves} interleaves")
    try:
        content = loadmat(path, variable_names=["phs_spha", "datatime", "tdwelltraj"], struct_as_record=True)
        phase = np.asarray(content["phs_spha"], dtype=np.float64)
        when = np.asarray(content["datatime"], dtype=np.float64).ravel() * 1e-6
        step = float(np.asarray(content["tdwelltraj"], dtype=np.float64).ravel()[0]) * 1e-6
    except (MatReadError, KeyError, ValueError, TypeError, IndexError, NotImplementedError, OSError) as e:
        raise InputError(f"{path}: not a matmri trajectory", got=str(e)[:120]) from None
    if phase.ndim != 2 or phase.shape[1] < 4 or len(phase) < 16 or not np.isfinite(phase).all() or not step > 0:
        raise InputError(f"{path}: not a matmri trajectory", got=f"phase {phase.shape}, {step} s apart")
    if len(when) < 2 or not np.isfinite(when).all() or (np.diff(when) <= 0).any():
        raise InputError(f"{path}: not a matmri trajectory", got="sample times that do not increase")
    if dwell is not None:
        if not dwell > 0:
            raise UsageError("the time between samples is not positive", got=dwell)
        when = np.arange(int((when[-1] - when[0]) / dwell) + 1) * dwell + when[0]
    k: NDArray[np.float64] = CubicSpline(np.arange(len(phase)) * step, phase[:, 1:3] * (fov / (2 * math.pi)))(
        np.minimum(when, (len(phase) - 1) * step)
    )
    radius = np.hypot(k[:, 0], k[:, 1])
    beyond = np.flatnonzero(radius > matrix / 2)
    end = int(beyond[0]) if beyond.size else int(np.argmax(radius)) + 1
    if radius[:end].max(initial=0.0) < 0.75 * matrix / 2:
        raise InputError(
            f"{path}: the trajectory is too short for this matrix",
            got=f"{radius.max():.1f} cycles per field of view",
            rule=f"{matrix / 2:.0f} for {matrix} voxels",
            hint="choose a smaller matrix, or a larger field of view",
        )
    return Spiral(k[:end], when[:end] - when[0], matrix, fov, interleaves)
