"""Tikhonov-regularised SENSE of many frames: the fast road."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from medsr.consistency.cg import Solution
from medsr.consistency.precondition import WORTHWHILE, CirculantPreconditioner, principal_maps
from medsr.errors import InputError, UsageError
from medsr.operators.base import LinearOperator
from medsr.operators.kspace import REAL, checked_trajectory
from medsr.operators.offresonance import TimeSegments
from medsr.operators.sense import Sense
from medsr.operators.sensegram import DirectSenseGram, SharedMaps, ToeplitzSenseGram
from medsr.operators.toeplitz import direct_is_cheaper

INNER_TOLERANCE = 0.05
"""Relative residual to which the equations of the principal coils are solved for one preconditioning."""

INNER_ITERATIONS = 40

LEAST_DAMPING = 0.01
"""λ over the largest diagonal entry of ``AᴴA`` in Fourier space, below which what the principal coils leave out
is no longer small beside λ, and the circulant alone is the better preconditioner."""

CHAIN = 32
"""Frames in a row that start from one another when warm: fixed, so that the number of threads changes nothing."""


Gram = Callable[[Tensor], Tensor]
Preconditioning = Callable[[Tensor, float], Tensor]

Preconditioner = Literal["auto", "none", "circulant", "coils"]


@dataclass(frozen=True)
class Tikhonov:
    """How each frame is solved.

    damping : λ > 0 of ``min_x ‖A x - y‖² + λ ‖x‖²``, with the orthonormal A of `medsr.operators.sense.Sense`.
    iterations : at most so many.
    tolerance : a frame stops at ``‖Aᴴy - (AᴴA + λ) x‖ <= tolerance ‖Aᴴy‖``.
    eps : relative accuracy of the Fourier transforms.
    preconditioner : `none`; `circulant` (`CirculantPreconditioner`); `coils`, a short solve of the same frame
        with the few principal coils that see nearly all of it, itself preconditioned by the circulant. The
        equations solved are those of all coils in each case. `auto` is `coils` where few coils will do and λ is
        not tiny, else `circulant`.
    warm : start each frame from the one before, in runs of 32 frames; else from zero.
    """

    damping: float
    iterations: int = 100
    tolerance: float = 1e-3
    eps: float = 1e-3
    preconditioner: Preconditioner = "auto"
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
    system = _System(maps, k.shape[1], how, segments)
    x = torch.empty(frames, *maps.shape[1:], dtype=kspace.dtype, device=kspace.device)
    taken = torch.zeros(frames, dtype=torch.int64)
    residual = torch.zeros(frames, dtype=torch.float64)

    def one(t: int, start: Tensor | None) -> None:
        gram, b, precondition = system.frame(k[t], kspace[t])
        taken[t], residual[t] = _solve(
            gram,
            b,
            x[t],
            how,
            precondition,
            flexible=system.few is not None,
            start=start,
            watch=None if watch is None else lambda i: watch(t, i, x[t]),
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


class _System:
    """The equations of all frames: what they share, made once."""

    def __init__(self, maps: Tensor, samples: int, how: Tikhonov, segments: TimeSegments | None) -> None:
        self.maps, self.how, self.segments = maps, how, segments
        count = 1 if segments is None else len(segments)
        direct = direct_is_cheaper(samples, maps.shape[1:], eps=how.eps, segments=count)
        self.shared = SharedMaps(maps, samples, eps=how.eps, segments=segments) if direct else None
        self.circulant = None if how.preconditioner == "none" else CirculantPreconditioner(maps)
        few = None
        if how.preconditioner in ("auto", "coils"):
            few = principal_maps(maps)
            if how.preconditioner == "auto" and len(few) > WORTHWHILE * len(maps):
                few = None
        self.few = few
        self.shared_few = (
            SharedMaps(few, samples, eps=how.eps, segments=segments) if direct and few is not None else None
        )

    def frame(self, k: Tensor, y: Tensor) -> tuple[Gram, Tensor, Preconditioning | None]:
        """``AᴴA``, ``Aᴴ y`` and the preconditioner of one frame."""
        gram: LinearOperator
        if self.shared is not None:
            gram = DirectSenseGram(k, self.shared)
            b = gram.backproject(y)
        else:
            sense = Sense(k, self.maps, segments=self.segments, eps=self.how.eps, form="toeplitz")
            gram, b = sense.normal, sense._adjoint(y)
        if self.circulant is None:
            return gram._forward, b, None
        circulant, spectrum = self.circulant, self.circulant.spectrum(k, self.how.damping)

        def flat(r: Tensor, _: float) -> Tensor:
            return circulant.apply(r, spectrum)

        damped = self.how.damping >= LEAST_DAMPING * (float(spectrum.min()) ** -2 - self.how.damping)
        if self.few is None or not (damped or self.how.preconditioner == "coils"):
            return gram._forward, b, flat
        if isinstance(gram, ToeplitzSenseGram):
            inner: LinearOperator = gram.with_maps(self.few)
        else:
            assert isinstance(gram, DirectSenseGram) and self.shared_few is not None
            inner = gram.with_maps(self.shared_few)

        def nested(r: Tensor, enough: float) -> Tensor:
            z = torch.empty_like(r)
            # no further than the outer residual has to fall
            tolerance = max(INNER_TOLERANCE, 0.3 * enough)
            how = replace(self.how, iterations=INNER_ITERATIONS, tolerance=tolerance)
            _solve(inner._forward, r, z, how, flat)
            return z

        return gram._forward, b, nested


def _solve(
    gram: Gram,
    b: Tensor,
    x: Tensor,
    how: Tikhonov,
    precondition: Preconditioning | None,
    *,
    flexible: bool = False,
    start: Tensor | None = None,
    watch: Callable[[int], None] | None = None,
) -> tuple[int, float]:
    """Conjugate gradients on one frame, into `x`; the steps taken and the relative residual.

    flexible : the preconditioner changes from step to step, so directions are made conjugate by Polak and
        Ribière's formula: Notay, SIAM J Sci Comput 22:1444 (2000), doi:10.1137/S1064827599362314.
    """
    scale = _dot(b, b)
    target = how.tolerance**2 * scale
    if start is None:
        x.zero_()
        r = b.clone()
    else:
        x.copy_(start)
        r = b - gram(x).add_(x, alpha=how.damping)
    rr, rz, steps = _dot(r, r), 0.0, 0
    p, last = None, None
    while steps < how.iterations and rr > target:
        z = r if precondition is None else precondition(r, (target / rr) ** 0.5)
        old, rz = rz, rr if precondition is None else _dot(r, z)
        if p is None:
            p = z.clone()
        else:
            kept = rz if last is None else rz - _dot(last, z)
            p.mul_(kept / old).add_(z)
        q = gram(p).add_(p, alpha=how.damping)
        # <r, p> = <r, z> where all directions so far are conjugate
        step = (rz if last is None else _dot(r, p)) / _dot(p, q)
        x.add_(p, alpha=step)
        if flexible:
            last, r = r, torch.sub(r, q, alpha=step)
        else:
            r.sub_(q, alpha=step)
        rr = _dot(r, r)
        steps += 1
        if watch is not None:
            watch(steps)
    return steps, (rr / scale) ** 0.5 if scale > 0 else 0.0 * rr


def _dot(u: Tensor, v: Tensor) -> float:
    return torch.dot(torch.view_as_real(u).view(-1), torch.view_as_real(v).view(-1)).item()


def _parallel(run: Callable[[int], None], firsts: range, workers: int) -> None:
    """`run` each item in one of `workers` threads, torch itself on one thread in each: they do not crowd each
    other, and the result is the same for any number of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if workers <= 1:
            for first in firsts:
                run(first)
        else:
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
            got=f"{tuple(kspace.shape)}, {tuple(trajectories.shape)}, {tuple(maps.shape)}",
            rule="(frames, coils, samples), ([frames,] samples, dims), (coils, *shape)",
        )
    known = how.preconditioner in get_args(Preconditioner)
    if not (how.damping > 0 and how.iterations >= 0 and how.tolerance >= 0 and known):
        raise UsageError(
            "no such Tikhonov solve",
            got=how,
            rule="λ > 0, iterations >= 0, tolerance >= 0, a known preconditioner",
        )
    return frames
