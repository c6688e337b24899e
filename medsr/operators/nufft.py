"""The non-uniform FFT: FINUFFT on the CPU, Kaiser-Bessel gridding in torch elsewhere."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from medsr.errors import MedsrError, UsageError
from medsr.operators.base import LinearOperator
from medsr.operators.gridding import GriddedTransform
from medsr.operators.kspace import checked_complex, checked_trajectory

Backend = Literal["auto", "finufft", "torch"]

MOST_TRANSFORMS = 64
"""Images in one call of FINUFFT; more are done in turns, so that memory stays bounded."""


class _Transform(Protocol):
    def forward(self, x: Tensor) -> Tensor: ...
    def adjoint(self, y: Tensor) -> Tensor: ...


class NUFFT(LinearOperator):
    """``y[m] = 1/√N Σ_r x[r] exp(-2πi Σ_a k[m, a] (r_a - n_a//2) / n_a)``, to a relative accuracy `eps`.

    - `k` is in cycles per field of view: ``|k| <= n/2`` (see `medsr.operators.kspace`).
    - The centre of the image is voxel ``n//2`` of each axis.
    - Orthonormal: on a full Cartesian grid the transform is unitary.

    Images are (..., *shape), samples (..., samples); complex64 or complex128.

    On the CPU one FINUFFT plan a dtype and batch size runs on a single thread, because a single-precision
    adjoint shared by threads does not repeat bit for bit. It leaves Python's lock while it computes: run
    several operators in threads, a frame each. On other devices, and with ``backend="torch"``, it is
    Kaiser-Bessel gridding as a sparse product and an FFT.

    Parameters
    ----------
    trajectory : (samples, dims), cycles per field of view.
    shape : of the image, 1 to 3 axes; ``N`` is their product.
    eps : relative accuracy. 1e-6 is as far as complex64 goes.
    backend : `auto` takes FINUFFT for tensors on the CPU, torch elsewhere.

    Barnett, Magland and af Klinteberg, SIAM J Sci Comput 41:C479 (2019), doi:10.1137/18M120885X.
    """

    def __init__(
        self, trajectory: Tensor, shape: Sequence[int], *, eps: float = 1e-6, backend: Backend = "auto"
    ) -> None:
        if not 1e-14 <= eps <= 0.1:
            raise UsageError("no such accuracy of a non-uniform FFT", got=f"eps {eps}", rule="1e-14 to 0.1")
        if backend not in ("auto", "finufft", "torch"):
            raise UsageError("unknown NUFFT backend", got=repr(backend), rule="auto, finufft or torch")
        self.trajectory = checked_trajectory(trajectory, shape)
        if self.trajectory.ndim != 2:
            raise UsageError(
                "a NUFFT has one trajectory", got=tuple(trajectory.shape), rule="(samples, dims)",
                hint="use one operator a frame, or medsr.operators.sense.Sense",
            )  # fmt: skip
        self.in_shape, self.out_shape = tuple(shape), (self.trajectory.shape[0],)
        self.eps, self.backend = eps, backend
        self._transforms: dict[str, _Transform] = {}

    def _transform(self, like: Tensor) -> _Transform:
        checked_complex("NUFFT", like)
        on_cpu = like.device.type == "cpu"
        if self.backend == "finufft" and not on_cpu:
            raise UsageError("FINUFFT works on the CPU", got=str(like.device), hint='use backend="auto"')
        name = "torch" if self.backend == "torch" or not on_cpu else "finufft"
        if name not in self._transforms:
            kind = GriddedTransform if name == "torch" else FinufftTransform
            self._transforms[name] = kind(self.trajectory, self.in_shape, self.eps)
        return self._transforms[name]

    def _forward(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.in_shape)]
        return self._transform(x).forward(x.reshape(-1, *self.in_shape)).reshape(*batch, *self.out_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = y.shape[:-1]
        return self._transform(y).adjoint(y.reshape(-1, *self.out_shape)).reshape(*batch, *self.in_shape)


class FinufftTransform:
    """The orthonormal transform of one trajectory by FINUFFT; images (batch, *shape), samples (batch, samples)."""

    def __init__(self, k: Tensor, shape: Sequence[int], eps: float) -> None:
        self.shape, self.eps = tuple(shape), eps
        points = k.cpu().numpy() * (2 * math.pi / np.asarray(shape))
        self.points = [np.ascontiguousarray(points[:, axis]) for axis in range(points.shape[1])]
        self.scale = 1 / math.sqrt(math.prod(shape))
        self._plans: dict[tuple[torch.dtype, int], Any] = {}
        self._lock = threading.Lock()

    def _plan(self, dtype: torch.dtype, count: int) -> Any:
        key = dtype, count
        if key not in self._plans:
            finufft = import_finufft()
            single = dtype == torch.complex64
            plan = finufft.Plan(
                2,
                self.shape,
                count,
                eps=max(self.eps, 1e-6 if single else 1e-14),
                isign=-1,
                dtype="complex64" if single else "complex128",
                nthreads=1,
            )
            plan.setpts(*(p.astype(np.float32 if single else np.float64) for p in self.points))
            self._plans[key] = plan
        return self._plans[key]

    def _run(self, x: Tensor, out_shape: tuple[int, ...], adjoint: bool) -> Tensor:
        out = torch.empty(x.shape[0], *out_shape, dtype=x.dtype)
        source = x.detach().resolve_conj().contiguous()
        with self._lock:  # a plan has scratch memory of its own
            for first in range(0, x.shape[0], MOST_TRANSFORMS):
                some, result = source[first : first + MOST_TRANSFORMS], out[first : first + MOST_TRANSFORMS]
                plan = self._plan(x.dtype, some.shape[0])
                run = plan.execute_adjoint if adjoint else plan.execute
                run(_numpy(some), out=_numpy(result))
        return out.mul_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x, (len(self.points[0]),), False)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._run(y, self.shape, True)


def _numpy(x: Tensor) -> Any:
    # FINUFFT takes a stack of one without its leading axis
    return (x[0] if x.shape[0] == 1 else x).numpy()


def import_finufft() -> Any:
    """The `finufft` module, or an error that says how to get it."""
    try:
        import finufft  # optional, and slow to load
    except ImportError as error:
        raise MedsrError("the non-uniform FFT needs finufft", hint="pip install medsr[kspace]") from error
    if not hasattr(finufft.Plan, "execute_adjoint"):
        raise MedsrError("this finufft is too old", rule="2.5 or later", hint="pip install -U medsr[kspace]")
    return finufft
