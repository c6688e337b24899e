"""Receive coil sensitivities, estimated from the scan itself."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.errors import InputError, MedsrError

CALIBRATION = 24
"""Width of the calibration region in k-space; an image with fewer voxels gives all of it."""

KERNEL = 6


def espirit(images: Tensor, *, crop: float = 0.0) -> Tensor:
    """Sensitivities (coils, *shape) complex64 from coil images of one object, by SigPy's ESPIRiT.

    Uecker et al., Magn Reson Med 71:990 (2014), doi:10.1002/mrm.24751. Their root sum of squares is 1; where the
    eigenvalue is below `crop` (no signal, or aliased) they are 0. Their phase is that of the first coil's.

    Parameters
    ----------
    images : (coils, *shape) complex, fully sampled.
    crop : 0 leaves nothing out.

    Raises
    ------
    InputError
        if there is no signal.
    """
    try:
        from sigpy.mri.app import EspiritCalib  # optional, and slow to load
    except ImportError as error:
        raise MedsrError("coil sensitivities need sigpy", hint="pip install medsr[kspace]") from error
    if not bool(images.abs().max() > 0):
        raise InputError("the scan holds no signal to estimate coil sensitivities from")
    if len(images) == 1:  # one coil: what it receives is the image
        return torch.ones_like(images, dtype=torch.complex64)
    dims = tuple(range(1, images.ndim))
    kspace = torch.fft.fftshift(
        torch.fft.fftn(torch.fft.ifftshift(images, dim=dims), dim=dims, norm="ortho"), dim=dims
    )
    width = min(CALIBRATION, *images.shape[1:])
    state = np.random.get_state()
    np.random.seed(0)
    try:
        found = EspiritCalib(
            kspace.to(torch.complex64).numpy(),
            calib_width=width,
            kernel_width=min(KERNEL, width // 2),
            crop=crop,
            show_pbar=False,
        ).run()
    finally:
        np.random.set_state(state)
    maps: NDArray[np.complex64] = np.ascontiguousarray(found, dtype=np.complex64)
    if not np.isfinite(maps).all() or not maps.any():
        raise InputError("coil sensitivities could not be estimated", hint="check the scan's trajectory and noise")
    return torch.from_numpy(maps)
