"""Tikhonov-regularised SENSE of many frames: the fast road."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from medsr.consistency.cg import Solution
from medsr.consistency.precondition import CirculantPreconditioner
from medsr.errors import InputError, UsageError
from medsr.operators.base import LinearOperator
from medsr.operators.kspace import REAL, checked_trajectory
from medsr.operators.offresonance import TimeSegments
from medsr.operators.sense import Sense
from medsr.operators.sensegram import DirectSenseGram, SharedMaps
from medsr.operators.toeplitz import direct_is_cheaper

CHAIN = 32
"""Frames in a row that start from one another when warm: fixed, so that the number of threads changes nothing."""


@dataclass(frozen=True)
class Tikhonov:
    """How each frame is solved.

    damping : λ > 0 of ``min_x ‖A x - y‖² + λ ‖x‖²``, with the orthonormal A of `medsr.operators.sense.Sense`.
    iterations : at most so many.
    tolerance : a frame stops at ``‖Aᴴy - (AᴴA + λ) x‖ <= tolerance ‖Aᴴy‖``.
    eps : relative accuracy of the Fourier transforms.
    precondition : with `CirculantPreconditioner`.
    warm : start each frame from the one before, in runs of 32 frames; else from zero.
    """

    damping: float
    iterations: int = 100
    tolerance: float = 1e-3
    eps: float = 1e-3
    precondition: bool = True
    warm: bool = False


def tikhonov_sense(
    kspace: Tensor,
    trajectories: Tensor,
    maps: Tensor,
    how: Tikhonov,
    *,
    segments: TimeSegments | None = None,
    workers: int = 1,
    watch: Callable[[int, int, Tensor], None] | None = None,
) -> Solution:
    """Solve ``min_x ‖A_t x - y_t‖² + λ ‖x‖²`` for every frame t by preconditioned conjugate gradients.

    The same equations as `conjugate_gradients` on `Sense`, one frame at a time on a single thread, in place.
    Beyond data and result, memory holds one frame a worker. The result does not depend on `workers`.

    Parameters
    ----------
    kspace : complex (frames, coils, samples); its dtype is the one worked in.
    trajectories : (frames, samples, dims) or (samples, dims) for all frames, cycles per field of view.
    maps : complex (coils, *shape).
    segments : off-resonance and T2* decay over the readout.
    workers : threads.
    watch : called as ``watch(frame, iteration, x)`` after each step.

    Raises
    ------
    UsageError, InputError : shapes or options that do not fit; values that are not finite.
    """
    frames = _checked(kspace, trajectories, maps, how)
    maps = maps.to(kspace.dtype)
    k = checked_trajectory(trajectories, maps.shape[1:])
    k = k.expand(frames, *k.shape[-2:])
    samples = k.shape[1]
    count = 1 if segments is None else len(segments)
    direct = direct_is_cheaper(samples, maps.shape[1:], eps=how.eps, segments=count)
    shared = SharedMaps(maps, samples, eps=how.eps, segments=segments) if direct else None
    circulant = CirculantPreconditioner(maps) if how.precondition else None
    x = torch.empty(frames, *maps.shape[1:], dtype=kspace.dtype, device=kspace.device)
    taken = torch.zeros(frames, dtype=torch.int64)
    residual = torch.zeros(frames, dtype=torch.float64)

    def one(t: int, start: Tensor | None) -> None:
        gram: LinearOperator
        if shared is not None:
            gram = DirectSenseGram(k[t], shared)
            b = gram.backproject(kspace[t])
        else:
            sense = Sense(k[t], maps, segments=segments, eps=how.eps, form="toeplitz")
            gram, b = sense.normal, sense._adjoint(kspace[t])
        spectrum = None if circulant is None else circulant.spectrum(k[t], how.damping)

        def precondition(r: Tensor) -> Tensor:
            assert circulant is not None and spectrum is not None
            return circulant.apply(r, spectrum)

        taken[t], residual[t] = _solve(
            gram._forward,
            b,
            x[t],
            how,
            precondition if circulant is not None else None,
            start,
            None if watch is None else lambda i: watch(t, i, x[t]),
        )

    def run(first: int) -> None:
        last = min(first + CHAIN, frames) if how.warm else first + 1
        for t in range(first, last):
            one(t, x[t - 1] if t > first else None)

    _parallel(run, range(0, frames, CHAIN if how.warm else 1), workers)
    if not bool(torch.isfinite(residual).all()):
        bad = int(torch.nonzero(~torch.isfinite(residual))[0])
        raise InputError("the reconstruction met values that are not finite", got=f"first in frame {bad}")
    return Solution(x, taken, residual)


def _solve(
    gram: Callable[[Tensor], Tensor],
    b: Tensor,
    x: Tensor,
    how: Tikhonov,
    precondition: Callable[[Tensor], Tensor] | None,
    start: Tensor | None,
    watch: Callable[[int], None] | None,
) -> tuple[int, float]:
    """Conjugate gradients on one frame, into `x`; the steps taken and the relative residual."""
    target = how.tolerance**2 * _dot(b, b)
    if start is None:
        x.zero_()
        r = b.clone()
    else:
        x.copy_(start)
        r = b - gram(x).add_(x, alpha=how.damping)
    z = r if precondition is None else precondition(r)
    p, rz, rr = z.clone(), _dot(r, z), _dot(r, r)
    steps = 0
    while steps < how.iterations and rr > target:
        q = gram(p).add_(p, alpha=how.damping)
        step = rz / _dot(p, q)
        x.add_(p, alpha=step)
        r.sub_(q, alpha=step)
        z = r if precondition is None else precondition(r)
        old, rz, rr = rz, _dot(r, z), _dot(r, r)
        p.mul_(rz / old).add_(z)
        steps += 1
        if watch is not None:
            watch(steps)
    scale = _dot(b, b)
    return steps, (rr / scale) ** 0.5 if scale > 0 else 0.0 * rr


def _dot(u: Tensor, v: Tensor) -> float:
    return float(torch.dot(torch.view_as_real(u).flatten(), torch.view_as_real(v).flatten()))


def _parallel(run: Callable[[int], None], firsts: range, workers: int) -> None:
    """`run` each item; with several workers each has one thread of torch's own, so that they do not crowd."""
    if workers <= 1:
        for first in firsts:
            run(first)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(run, firsts))
    finally:
        torch.set_num_threads(threads)


def _checked(kspace: Tensor, trajectories: Tensor, maps: Tensor, how: Tikhonov) -> int:
    if kspace.dtype not in REAL or kspace.ndim != 3:
        raise UsageError(
            "k-space of frames", got=f"{tuple(kspace.shape)}, {kspace.dtype}",
            rule="complex (frames, coils, samples)",
        )  # fmt: skip
    frames, coils, samples = kspace.shape
    if len(maps) != coils or trajectories.shape[-2] != samples or trajectories.shape[:-2] not in ((), (frames,)):
        raise UsageError(
            "k-space, trajectories and coil maps do not fit",
            got=f"k-space {tuple(kspace.shape)}, trajectories {tuple(trajectories.shape)}, maps {tuple(maps.shape)}",
            rule="(frames, coils, samples), ([frames,] samples, dims), (coils, *shape)",
        )
    if not (how.damping > 0 and how.iterations >= 0 and how.tolerance >= 0):
        raise UsageError("no such Tikhonov solve", got=how, rule="λ > 0, iterations >= 0, tolerance >= 0")
    return frames
