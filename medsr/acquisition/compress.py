"""Coil compression: fewer virtual channels that hold nearly all the signal."""

from __future__ import annotations

import torch
from torch import Tensor

from medsr.errors import InputError, UsageError


def compression_matrix(
    data: Tensor, *, coils: int | None = None, tail: float | None = None, axis: int = -2
) -> Tensor:
    """(virtual, coils) matrix with orthonormal rows: the principal mixtures of the channels, strongest first.

    Orthonormal rows keep whitened noise white. Whiten first (`medsr.acquisition.prewhiten`), else the noisiest
    channel is the strongest. Apply it with `medsr.acquisition.prewhiten.mix_coils`, to data and coil maps alike.
    Buehrer et al., Magn Reson Med 57:1131 (2007), doi:10.1002/mrm.21237; Huang et al., Magn Reson Imaging 26:133
    (2008), doi:10.1016/j.mri.2007.04.010.

    Parameters
    ----------
    data : complex k-space or coil maps.
    coils : how many virtual channels; or
    tail : the share of the energy that may be left out, and so the fewest channels that do.
    axis : of the coils.

    Raises
    ------
    UsageError : not exactly one of `coils` and `tail`, or out of range.
    InputError : data without signal.
    """
    flat = data.movedim(axis, 0).flatten(1)
    if (coils is None) == (tail is None):
        raise UsageError("coil compression needs a number of coils or a tail, not both")
    if coils is not None and not 1 <= coils <= len(flat):
        raise UsageError("no such number of virtual coils", got=coils, rule=f"1 to {len(flat)}")
    if tail is not None and not 0 <= tail < 1:
        raise UsageError("no such share of the energy", got=tail, rule="0 <= tail < 1")
    energy, vectors = torch.linalg.eigh((flat @ flat.mH).to(torch.complex128))  # ascending
    total = float(energy.sum())
    if not total > 0:
        raise InputError("coil compression found no signal", got=f"energy {total}")
    if tail is not None:
        coils = max(1, int((torch.cumsum(energy, 0) > tail * total).sum()))
    assert coils is not None
    return vectors[:, len(flat) - coils :].flip(1).mH
