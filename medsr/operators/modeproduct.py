"""Products of a volume with one small matrix an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

ROWS = 32
"""Rows of the first axis made at a time: a slab that stays in the cache. Fixed, so that results repeat."""


def mode_product(x: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """``(M_x ⊗ M_y ⊗ M_z) x`` for (..., x, y, z); None leaves an axis as it is.

    The axis that shrinks most goes first, so that the later ones have less to do.
    """
    order = sorted(range(3), key=lambda a: _growth(matrices[a]))
    for axis in order:
        matrix = matrices[axis]
        if matrix is not None:
            x = _one(x, matrix, axis)
    return x


def mode_product_by_rows(
    terms: Sequence[tuple[Tensor, Sequence[Tensor | None]]], progress: Callable[[float, str], None]
) -> Tensor:
    """Sum of the mode products of `terms`, made a few rows of the first axis at a time.

    For results larger than their sources: beside them it needs memory for one slab only. All terms give
    (x, y, z) of one shape.
    """
    first, matrices = terms[0]
    shape = [n if m is None else m.shape[0] for n, m in zip(first.shape, matrices, strict=True)]
    out = torch.empty(shape, dtype=first.dtype, device=first.device)
    for start in range(0, shape[0], ROWS):
        rows = slice(start, min(start + ROWS, shape[0]))
        for i, (x, (mx, my, mz)) in enumerate(terms):
            slab = mode_product(x[rows] if mx is None else x, (None if mx is None else mx[rows], my, mz))
            if i == 0:
                out[rows] = slab
            else:
                out[rows] += slab
        progress(rows.stop / shape[0], "reconstructing")
    return out


def _growth(matrix: Tensor | None) -> float:
    return 1.0 if matrix is None else matrix.shape[0] / matrix.shape[1]


def _one(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    if axis == 2:
        return x @ matrix.mT
    if axis == 1:
        return matrix @ x
    *batch, nx, ny, nz = x.shape
    return (matrix @ x.reshape(*batch, nx, ny * nz)).reshape(*batch, matrix.shape[0], ny, nz)
