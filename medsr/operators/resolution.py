"""What a scanner does to an image: a point spread and a sampling along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.operators.base import LinearOperator
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import PointSpread, sampling_matrix


class Resolution(LinearOperator):
    """``A = A_x ⊗ A_y ⊗ A_z`` from a fine grid to a measured one that shares its centre and axes.

    Each factor is a small real matrix (`sampling_matrix`), so any real ratio, a slice thickness apart from
    the spacing between slices (gaps, overlap) and a sub-voxel offset are all the same to it. Complex input
    is acted on part by part.

    Parameters
    ----------
    fine, measured : shapes (x, y, z).
    fine_spacing, measured_spacing : in mm.
    psf : one point spread an axis; None leaves the axis as it is (its two lengths must agree).
    offset : shift of the measured samples along each axis, in mm.

    The singular value decomposition of the factors gives that of `A`: see `modes`.
    """

    def __init__(
        self,
        fine: Sequence[int],
        fine_spacing: Sequence[float],
        measured: Sequence[int],
        measured_spacing: Sequence[float],
        psf: Sequence[PointSpread | None],
        offset: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> None:
        self.matrices: tuple[NDArray[np.float64] | None, ...] = tuple(
            None if p is None else sampling_matrix(p, n, h, m, d, o)
            for p, n, h, m, d, o in zip(psf, fine, fine_spacing, measured, measured_spacing, offset, strict=True)
        )
        self.in_shape, self.out_shape = tuple(fine), tuple(measured)
        self._tensors: dict[tuple[torch.dtype, torch.device], list[Tensor | None]] = {}

    def factors(self, like: Tensor) -> list[Tensor | None]:
        """The factors as tensors of the dtype (its real part) and device of `like`."""
        dtype = torch.empty(0, dtype=like.dtype).real.dtype if like.is_complex() else like.dtype
        key = dtype, like.device
        if key not in self._tensors:
            self._tensors[key] = [
                None if m is None else torch.as_tensor(m, dtype=dtype, device=like.device) for m in self.matrices
            ]
        return self._tensors[key]

    def _forward(self, x: Tensor) -> Tensor:
        return _real_map(x, self.factors(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return _real_map(y, [None if m is None else m.mT for m in self.factors(y)])

    @cached_property
    def modes(self) -> Modes:
        """The singular value decomposition of the factors, made once."""
        return Modes(self)


class Modes:
    """``A_a = U_a S_a V_aᵀ`` of each axis; the singular values of `A` are the products of theirs.

    u, v : (m, k) and (n, k) orthonormal columns an axis; None where the axis is left as it is.
    s : (k,) singular values an axis, descending; ones where the axis is left as it is.
    """

    def __init__(self, operator: Resolution) -> None:
        self.u: list[NDArray[np.float64] | None] = []
        self.v: list[NDArray[np.float64] | None] = []
        self.s: list[NDArray[np.float64]] = []
        for matrix, m in zip(operator.matrices, operator.out_shape, strict=True):
            if matrix is None:
                self.u.append(None)
                self.v.append(None)
                self.s.append(np.ones(m))
                continue
            u, s, vt = np.linalg.svd(matrix, full_matrices=False)
            self.u.append(u)
            self.v.append(vt.T)
            self.s.append(s)


def _real_map(x: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    if x.is_complex():
        return torch.complex(mode_product(x.real, matrices), mode_product(x.imag, matrices))
    return mode_product(x, matrices)
