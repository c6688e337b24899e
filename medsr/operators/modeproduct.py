"""Products of a volume with one small matrix an axis."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


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


def _growth(matrix: Tensor | None) -> float:
    return 1.0 if matrix is None else matrix.shape[0] / matrix.shape[1]


def _one(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    if axis == 2:
        return x @ matrix.mT
    if axis == 1:
        return matrix @ x
    *batch, nx, ny, nz = x.shape
    return (matrix @ x.reshape(*batch, nx, ny * nz)).reshape(*batch, matrix.shape[0], ny, nz)
