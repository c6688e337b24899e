"""``A_tᴴA_t`` of all frames of a series: what solves that run over space and time share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from medsr.consistency.krylov import Stop, pcg
from medsr.consistency.precondition import CirculantPreconditioner
from medsr.errors import UsageError
from medsr.operators.offresonance import TimeSegments
from medsr.operators.sense import Sense
from medsr.operators.sensegram import DirectSenseGram, SharedMaps, ToeplitzSenseGram
from medsr.operators.toeplitz import direct_is_cheaper

KEPT = 256 * 2**20
"""Bytes of prepared frames that are kept from one product to the next; further ones are prepared each time."""

STATIC = Stop(50, 1e-4)
"""When the image of all frames is good enough."""

Gram = DirectSenseGram | ToeplitzSenseGram


class SeriesGram:
    """``G = diag(A_1ᴴA_1, ..., A_TᴴA_T)`` on series (frames, *shape), each frame by one thread.

    Frames with equal trajectories (a cyclic order of interleaves) are prepared once. The result does not depend
    on `workers`.

    Parameters
    ----------
    trajectories : (frames, samples, dims), cycles per field of view.
    maps : complex (coils, *shape); its dtype is the one worked in.
    segments : off-resonance and T2* decay over the readout.
    eps : relative accuracy of the Fourier transforms.
    workers : threads.
    """

    def __init__(
        self,
        trajectories: Tensor,
        maps: Tensor,
        *,
        segments: TimeSegments | None = None,
        eps: float = 1e-3,
        workers: int = 1,
    ) -> None:
        if trajectories.ndim != 3:
            raise UsageError(
                "trajectories of frames", got=tuple(trajectories.shape), rule="(frames, samples, dims)"
            )
        self.trajectories, self.maps, self.segments = trajectories, maps, segments
        self.eps, self.workers, self.shape = eps, workers, tuple(maps.shape[1:])
        samples, count = trajectories.shape[1], 1 if segments is None else len(segments)
        direct = direct_is_cheaper(samples, self.shape, eps=eps, segments=count)
        self._shared = SharedMaps(maps, samples, eps=eps, segments=segments) if direct else None
        # (frame) -> the first frame with its trajectory
        _, self._twin = torch.unique(trajectories, dim=0, return_inverse=True)
        self._grams: dict[int, Gram] = {}
        self._room = max(1, KEPT // self._bytes(samples))

    def __len__(self) -> int:
        return len(self.trajectories)

    def gram(self, x: Tensor) -> Tensor:
        """``G x``, (frames, *shape)."""
        return self.of(slice(None), x)

    def of(self, frames: slice, x: Tensor) -> Tensor:
        """``A_tᴴA_t x_t`` of some frames."""
        some = range(len(self))[frames]
        return self._each(lambda i: self.frame(some[i])._forward(x[i]), len(some), x.device)

    def backproject(self, y: Tensor) -> Tensor:
        """``A_tᴴ y_t`` of all frames; y (frames, coils, samples) to (frames, *shape)."""

        def one(t: int) -> Tensor:
            frame = self.frame(t)
            if isinstance(frame, DirectSenseGram):
                return frame.backproject(y[t])
            operator = Sense(self.trajectories[t], self.maps, segments=self.segments, eps=self.eps)
            return operator._adjoint(y[t])

        return self._each(one, len(self), y.device)

    def frame(self, t: int) -> Gram:
        """``A_tᴴA_t``."""
        twin = int(self._twin[t])
        found = self._grams.get(twin)
        if found is None:
            k = self.trajectories[t]
            if self._shared is not None:
                found = DirectSenseGram(k, self._shared)
            else:
                found = ToeplitzSenseGram(k, self.maps, eps=self.eps, segments=self.segments)
            if len(self._grams) < self._room:
                self._grams[twin] = found
        return found

    def _each(self, one: Callable[[int], Tensor], count: int, device: torch.device) -> Tensor:
        out = torch.empty(count, *self.shape, dtype=self.maps.dtype, device=device)

        def run(t: int) -> None:
            out[t] = one(t)

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            if self.workers <= 1:
                for t in range(count):
                    run(t)
            else:
                with ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                    list(pool.map(run, range(count)))
        finally:
            torch.set_num_threads(threads)
        return out

    def _bytes(self, samples: int) -> int:
        """Of one prepared frame."""
        if self._shared is None:
            return 2 ** len(self.shape) * self.maps[0].numel() * self.maps.element_size()
        taps = 1
        for kernel in self._shared.grid.kernels:
            taps *= kernel.width
        return 2 * samples * taps * (4 + self.maps.real.element_size())


def static_image(
    backprojected: Tensor,
    trajectories: Tensor,
    maps: Tensor,
    *,
    damping: float,
    segments: TimeSegments | None = None,
    eps: float = 1e-3,
    stop: Stop = STATIC,
) -> Tensor:
    """``argmin_m Σ_t ‖A_t m - y_t‖² + λ ‖m‖²``: one image, (*shape), for all frames.

    The sum of the frames' grams is a single convolution, so that an iteration costs what it costs for one frame.

    Parameters
    ----------
    backprojected : ``Σ_t A_tᴴ y_t``, (*shape).
    trajectories : (frames, samples, dims). maps, segments, eps : as in `SeriesGram`.
    damping : λ > 0.
    """
    gram = ToeplitzSenseGram(trajectories, maps, eps=eps, segments=segments)
    circulant = CirculantPreconditioner(maps)
    # no gaps among all samples: the inverse itself
    spectrum = circulant.spectrum(trajectories.flatten(0, 1), damping).square()
    x, _, _ = pcg(gram._forward, backprojected, damping, stop, precondition=lambda r: circulant.apply(r, spectrum))
    return x
