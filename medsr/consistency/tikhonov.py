"""Tikhonov-regularised SENSE of many frames: the fast road."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from medsr.consistency.cg import Solution
from medsr.consistency.krylov import Stop, Watch, dot, nested_cg, pcg
from medsr.consistency.precondition import WORTHWHILE, CirculantPreconditioner, principal_maps
from medsr.errors import InputError, UsageError
from medsr.operators.kspace import REAL, checked_trajectory
from medsr.operators.offresonance import TimeSegments
from medsr.operators.sense import Sense
from medsr.operators.sensegram import DirectSenseGram, SharedMaps, ToeplitzSenseGram
from medsr.operators.toeplitz import direct_is_cheaper

LEAST_DAMPING = 0.01
"""λ over the largest diagonal entry of ``AᴴA`` in Fourier space, below which what the principal coils leave out
is no longer small beside λ, and the circulant alone is the better preconditioner."""

CHAIN = 32
"""Frames in a row that start from one another when warm: fixed, so that the number of threads changes nothing."""


Preconditioner = Literal["auto", "none", "circulant", "coils"]


@dataclass(frozen=True)
class Tikhonov:
    """How each frame is solved.

    damping : λ > 0 of ``min_x ‖A x - y‖² + λ ‖x‖²``, with the orthonormal A of `medsr.operators.sense.Sense`.
    iterations : at most so many.
    tolerance : a frame stops at ``‖Aᴴy - (AᴴA + λ) x‖ <= tolerance ‖Aᴴy‖``.
    eps : relative accuracy of the Fourier transforms; the default leaves about 1e-3 in ``AᴴA``, as the peers'
        single-precision transforms do.
    preconditioner : `none`; `circulant` (`CirculantPreconditioner`); `coils`, a short solve of the same frame
        with the few principal coils that see nearly all of it, itself preconditioned by the circulant. The
        equations solved are those of all coils in each case. `auto` is `coils` where few coils will do and λ is
        not tiny, else `circulant`.
    warm : start each frame from the one before, in runs of 32 frames; else from zero.
    """

    damping: float
    iterations: int = 100
    tolerance: float = 1e-3
    eps: float = 2e-3
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
        seen = None if watch is None else lambda i, z: watch(t, i, z)
        x[t], residual[t], taken[t] = system.solve(k[t], kspace[t], start, seen)

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
        self.maps, self.samples, self.how, self.segments = maps, samples, how, segments
        count = 1 if segments is None else len(segments)
        self.direct = direct_is_cheaper(samples, maps.shape[1:], eps=how.eps, segments=count)
        self.shared = self._share(maps)
        self.circulant = None if how.preconditioner == "none" else CirculantPreconditioner(maps)
        self.few = self.rest = None
        if how.preconditioner in ("auto", "coils"):
            few, rest = principal_maps(maps)
            if len(rest) and (how.preconditioner == "coils" or len(few) <= WORTHWHILE * len(maps)):
                self.few, self.rest = (few, self._share(few)), (rest, self._share(rest))

    def _share(self, maps: Tensor) -> SharedMaps | None:
        how = self.how
        return SharedMaps(maps, self.samples, eps=how.eps, segments=self.segments) if self.direct else None

    def solve(self, k: Tensor, y: Tensor, start: Tensor | None, watch: Watch | None) -> tuple[Tensor, float, int]:
        """One frame: the image, its relative residual, the steps taken."""
        gram: DirectSenseGram | ToeplitzSenseGram
        damping, stop = self.how.damping, Stop(self.how.iterations, self.how.tolerance)
        if self.shared is not None:
            gram = DirectSenseGram(k, self.shared)
            b = gram.backproject(y)
        else:
            gram = ToeplitzSenseGram(k, self.maps, eps=self.how.eps, segments=self.segments)
            b = Sense(k, self.maps, segments=self.segments, eps=self.how.eps)._adjoint(y)
        if self.circulant is None:
            x, r, steps = pcg(gram._forward, b, damping, stop, start=start, watch=watch)
        else:
            circulant, spectrum = self.circulant, self.circulant.spectrum(k, damping)

            def flat(r: Tensor) -> Tensor:
                return circulant.apply(r, spectrum)

            damped = damping >= LEAST_DAMPING * (float(spectrum.min()) ** -2 - damping)
            if self.few is None or self.rest is None or not (damped or self.how.preconditioner == "coils"):
                x, r, steps = pcg(gram._forward, b, damping, stop, precondition=flat, start=start, watch=watch)
            else:
                few, rest = (_with_maps(gram, *maps)._forward for maps in (self.few, self.rest))
                x, r, steps = nested_cg(few, rest, b, damping, stop, precondition=flat, start=start, watch=watch)
        norm = dot(b, b)
        return x, (dot(r, r) / norm) ** 0.5 if norm != 0 else 0.0, steps


def _with_maps(
    gram: DirectSenseGram | ToeplitzSenseGram, maps: Tensor, shared: SharedMaps | None
) -> DirectSenseGram | ToeplitzSenseGram:
    if isinstance(gram, ToeplitzSenseGram):
        return gram.with_maps(maps)
    assert shared is not None
    return gram.with_maps(shared)


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
