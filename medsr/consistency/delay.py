"""How late the gradients come: the trajectory delay that explains raw data best."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.acquisition.compress import compression_matrix
from medsr.acquisition.phase import frame_phases, without_phase
from medsr.acquisition.spiral import readouts_to_fill
from medsr.acquisition.trajectory import delayed
from medsr.consistency.krylov import Stop, pcg
from medsr.consistency.precondition import CirculantPreconditioner
from medsr.errors import InputError
from medsr.measurement import KSpace
from medsr.operators.sense import Sense
from medsr.operators.sensegram import ToeplitzSenseGram

COILS, ROUNDS, FRAMES = 6, 5, 40
"""Virtual coils that are looked at, steps of the search, and frames of a run without a calibration scan."""
EPS, DAMPING, SOLVE = 1e-4, 1e-2, Stop(30, 1e-3)
CLOSE = 2e-8
"""Seconds: a step that is no larger ends the search."""


def estimated_delay(scan: KSpace) -> tuple[float, float]:
    """Delays of the x and y gradients in s, estimated from the data themselves.

        min over δ and m_c of Σ_c ‖F(δ) m_c - y_c‖²,   F(δ) of the trajectory k_a(t - δ_a),

    on the calibration scan (else on the first frames), in the slice with most signal, by Gauss-Newton steps in δ
    with the images m_c of a few virtual coils projected out (variable projection): what images could explain is no
    evidence of a delay. The dense centre of k-space, which all interleaves pass, is what tells the two apart.
    Sensitivities are left out on purpose: estimated under a wrong trajectory, they explain the delay away.

    After Ianni and Grissom (TrACR), Magn Reson Med 76:1535 (2016), doi:10.1002/mrm.26049; the projection in
    place of alternation, and images in place of sensitivities, are ours.

    Raises
    ------
    InputError
        if the data do not fill k-space, or the search runs away.
    """
    source = scan if scan.calibration is None else scan.calibration
    if scan.dims != 2:
        raise InputError("a delay is estimated from slices, not from a slab", hint="give it: --delay 2.5")
    some = replace(source, noise=scan.noise, calibration=None).select(frames=slice(0, FRAMES)).prewhitened()
    best = int(np.argmax([np.abs(some.data[s]).sum() for s in range(some.slices)]))
    data, designed = some.data[best], some.trajectory_of(best).astype(np.float64)
    length = data.shape[-1] // some.readouts
    copies = readouts_to_fill(designed[0, :length])
    total = some.frames * some.readouts
    if total < copies:
        raise InputError(
            "there are too few readouts to estimate a delay from",
            got=total,
            rule=f"{copies} or more",
            hint="give the delay: --delay 2.5",
        )
    phase = frame_phases(data, designed) if some.frames > 1 else None
    if phase is not None:
        data = without_phase(data, phase, some.times)
    apart = designed.reshape(some.frames, some.readouts, length, 2)
    matrix = compression_matrix(torch.from_numpy(data), coils=min(COILS, some.coils), axis=1).to(torch.complex64)
    data = np.einsum("vc,tcm->tvm", matrix.numpy(), data, optimize=True)
    found = np.zeros(2)
    for _ in range(ROUNDS):
        played = delayed(apart, some.times[:length], found.tolist())
        speed = np.gradient(played, some.times[:length], axis=-2).reshape(designed.shape)
        step = _step(data, played.reshape(designed.shape), speed, some.image_shape)
        found += step
        if not np.isfinite(found).all() or np.abs(found).max() > (some.times[length - 1] - some.times[0]) / 20:
            raise InputError("no delay explains the data", got=f"{found * 1e6} µs", hint="give it: --delay 2.5")
        if np.abs(step).max() < CLOSE:
            break
    return float(found[0]), float(found[1])


def _step(
    data: NDArray[np.complex64],
    trajectory: NDArray[np.float64],
    speed: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """One Gauss-Newton step in s, per axis."""
    points = torch.from_numpy(trajectory.reshape(-1, 2))
    whole = torch.ones(1, *shape, dtype=torch.complex64)
    operator, gram = Sense(points, whole, eps=EPS), ToeplitzSenseGram(points, whole, eps=EPS)
    circulant = CirculantPreconditioner(whole)
    damping = DAMPING * len(points) / math.prod(shape)
    spectrum = circulant.spectrum(points, damping).square()

    def unexplained(v: Tensor) -> tuple[Tensor, Tensor]:
        b = operator.adjoint(v)
        x, _, _ = pcg(gram._forward, b, damping, SOLVE, precondition=lambda r: circulant.apply(r, spectrum))
        return v - operator.forward(x), x

    place = torch.meshgrid(*((torch.arange(n) - n // 2) / n for n in shape), indexing="ij")
    along = torch.from_numpy(-speed.reshape(-1, 2).astype(np.float32))
    normal, right = np.zeros((2, 2)), np.zeros(2)
    for coil in np.moveaxis(data, 1, 0):
        left, image = unexplained(torch.from_numpy(np.ascontiguousarray(coil).reshape(1, -1)))
        slopes = [operator.forward(-2j * math.pi * place[a] * image) * along[:, a] for a in range(2)]
        j = torch.stack([unexplained(s)[0].flatten() for s in slopes]).to(torch.complex128)
        normal += (j.conj() @ j.T).real.numpy()
        right += (j.conj() @ left.flatten().to(torch.complex128)).real.numpy()
    return np.asarray(np.linalg.solve(normal, right), dtype=np.float64)
