"""Receive coil sensitivities."""

from __future__ import annotations

import torch
from torch import Tensor

from medsr.errors import InputError, UsageError
from medsr.operators.base import LinearOperator


class CoilSensitivities(LinearOperator):
    """``(S x)[c, r] = S_c[r] x[r]``: (..., *shape) to (..., coils, *shape).

    Parameters
    ----------
    maps : complex (coils, *shape).
    """

    def __init__(self, maps: Tensor) -> None:
        if not maps.is_complex() or maps.ndim < 2:
            raise UsageError(
                "coil maps are complex, a coil an entry of the first axis",
                got=f"{tuple(maps.shape)}, {maps.dtype}",
                rule="complex (coils, *shape)",
            )
        if not bool(torch.isfinite(torch.view_as_real(maps.detach().resolve_conj())).all()):
            raise InputError("the coil maps hold values that are not finite")
        self.maps = maps.detach()
        self.in_shape, self.out_shape = tuple(maps.shape[1:]), tuple(maps.shape)

    def _forward(self, x: Tensor) -> Tensor:
        return self.maps.to(x) * x.unsqueeze(-len(self.out_shape))

    def _adjoint(self, y: Tensor) -> Tensor:
        return (self.maps.to(y).conj() * y).sum(-len(self.out_shape))

    def gram(self, x: Tensor) -> Tensor:
        """``Σ_c |S_c|² x``."""
        return self.maps.to(x).abs().square().sum(0) * x
