"""``A_t = F_t S B``: what receive coils sample of one frame, and all frames as one operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from medsr.errors import UsageError
from medsr.operators.base import LinearOperator
from medsr.operators.coils import CoilSensitivities
from medsr.operators.nufft import NUFFT, Backend
from medsr.operators.offresonance import OffResonanceNUFFT, TimeSegments
from medsr.operators.sensegram import DirectSenseGram, SharedMaps, ToeplitzSenseGram
from medsr.operators.toeplitz import direct_is_cheaper

GramForm = Literal["auto", "direct", "toeplitz"]


class Sense(LinearOperator):
    """``y_c = F B S_c x``: coil maps, off-resonance over the readout, non-uniform Fourier transform.

    (..., *shape) to (..., coils, samples). F is orthonormal (see `medsr.operators.nufft.NUFFT`), so with maps
    of unit root sum of squares and a full Cartesian grid ``AᴴA`` is the identity.

    Parameters
    ----------
    trajectory : (samples, dims), cycles per field of view.
    maps : complex (coils, *shape).
    segments : off-resonance and T2* decay; None for neither.
    eps : relative accuracy of the Fourier transforms.
    form : of the gram; `auto` counts operations.
    shared : what the grams of several frames with these maps share.
    """

    def __init__(
        self,
        trajectory: Tensor,
        maps: Tensor,
        *,
        segments: TimeSegments | None = None,
        eps: float = 1e-6,
        backend: Backend = "auto",
        form: GramForm = "auto",
        shared: SharedMaps | None = None,
    ) -> None:
        if form not in get_args(GramForm):
            raise UsageError("unknown form of the gram", got=repr(form), rule="auto, direct or toeplitz")
        self.coils = CoilSensitivities(maps)
        self.nufft = NUFFT(trajectory, maps.shape[1:], eps=eps, backend=backend)
        self.encoding = self.nufft if segments is None else OffResonanceNUFFT(self.nufft, segments)
        self.segments = segments
        self.in_shape, self.out_shape = self.coils.in_shape, (len(maps), *self.nufft.out_shape)
        count = 1 if segments is None else len(segments)
        direct = direct_is_cheaper(self.out_shape[1], self.in_shape, eps=eps, segments=count)
        self.form = ("direct" if direct else "toeplitz") if form == "auto" else form
        self._shared = shared

    def _forward(self, x: Tensor) -> Tensor:
        return self.encoding._forward(self.coils._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.coils._adjoint(self.encoding._adjoint(y))

    @cached_property
    def normal(self) -> LinearOperator:
        """``AᴴA`` as an operator of its own, in the cheaper form, in the dtype and on the device of the maps."""
        maps, eps = self.coils.maps, self.nufft.eps
        if self.form == "toeplitz":
            return ToeplitzSenseGram(
                self.nufft.trajectory, maps, eps=eps, segments=self.segments, backend=self.nufft.backend
            )
        if self._shared is None:
            self._shared = SharedMaps(maps, self.out_shape[1], eps=eps, segments=self.segments)
        return DirectSenseGram(self.nufft.trajectory, self._shared)

    def gram(self, x: Tensor) -> Tensor:
        return self.normal.forward(x)


class Frames(LinearOperator):
    """The block diagonal of one operator a frame: (..., frames, *in) to (..., frames, *out).

    workers : threads; each frame is computed by one of them, so the result does not depend on how many.
    """

    def __init__(self, operators: Sequence[LinearOperator], workers: int = 1) -> None:
        if not operators:
            raise UsageError("no frames")
        shapes = {(op.in_shape, op.out_shape) for op in operators}
        if len(shapes) > 1:
            raise UsageError("frames of unequal shape", got=sorted(shapes), rule="one shape in, one shape out")
        self.operators, self.workers = tuple(operators), workers
        self.in_shape = (len(operators), *operators[0].in_shape)
        self.out_shape = (len(operators), *operators[0].out_shape)

    def _each(self, act: Callable[[LinearOperator, Tensor], Tensor], x: Tensor, dims: int) -> Tensor:
        frames = x.unbind(x.ndim - dims)
        if self.workers > 1:
            with ThreadPoolExecutor(self.workers) as pool:
                results = list(pool.map(act, self.operators, frames))
        else:
            results = [act(op, frame) for op, frame in zip(self.operators, frames, strict=True)]
        return torch.stack(results, x.ndim - dims)

    def _forward(self, x: Tensor) -> Tensor:
        return self._each(lambda op, frame: op._forward(frame), x, len(self.in_shape))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._each(lambda op, frame: op._adjoint(frame), y, len(self.out_shape))

    @cached_property
    def normal(self) -> LinearOperator:
        """``AᴴA`` as an operator of its own."""
        return Frames([op.normal if isinstance(op, Sense) else op.H @ op for op in self.operators], self.workers)

    def gram(self, x: Tensor) -> Tensor:
        return self.normal.forward(x)


def sense_frames(
    trajectories: Tensor,
    maps: Tensor,
    *,
    segments: TimeSegments | None = None,
    eps: float = 1e-6,
    backend: Backend = "auto",
    form: GramForm = "auto",
    workers: int = 1,
) -> Frames:
    """One `Sense` a frame, maps and scratch memory shared.

    trajectories : (frames, samples, dims). The rest as in `Sense` and `Frames`.
    """
    if trajectories.ndim != 3:
        raise UsageError("trajectories of frames", got=tuple(trajectories.shape), rule="(frames, samples, dims)")
    shared = SharedMaps(maps, trajectories.shape[1], eps=eps, segments=segments)
    return Frames(
        [
            Sense(k, maps, segments=segments, eps=eps, backend=backend, form=form, shared=shared)
            for k in trajectories
        ],
        workers,
    )
