"""Data consistency as a MONAI transform: anybody's image made to explain the scan."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medsr.acquisition.slices import plan_acquisition
from medsr.consistency.projection import Projection
from medsr.consistency.wiener import noise_model, wiener
from medsr.errors import InputError
from medsr.job import parse_psf
from medsr.transforms.between import Between
from medsr.transforms.images import image_of, volume_of
from medsr.volume import Volume


class ProjectOntoDatad(MapTransform):
    """Each image under `keys` projected onto the images that explain the scan under `scan_key`.

    ``P x = x + A⁺ (ŷ - A x)``, `A` from the grid of the image to that of the scan, ``ŷ`` the scan less its noise.
    What made the image does not matter: a network of MONAI, another package, an interpolation. The axes of the two
    are the same; the scan may lie anywhere along them.

    Parameters
    ----------
    scan_key : of the scan (C, x, y, z), with as many channels.
    slice_thickness : mm; default: the scan's meta data, else its spacing between slices.
    psf : kind of point spread, as for `medsr.reconstruct`.
    noise : standard deviation in the scan's units; 0: the scan is explained exactly; None: estimated.

    Raises
    ------
    InputError, GeometryError
        where image and scan do not fit. UsageError : where the options do not.
    """

    def __init__(
        self,
        keys: KeysCollection,
        scan_key: Hashable,
        slice_thickness: float | None = None,
        psf: str | Mapping[str, str] | None = None,
        noise: float | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.scan_key = scan_key
        self.slice_thickness, self.noise = slice_thickness, noise
        self.psf = parse_psf(psf) if isinstance(psf, str) else psf

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        scan = volume_of(d[self.scan_key])
        for key in self.key_iterator(d):
            image = volume_of(d[key])
            if image.frames != scan.frames:
                raise InputError("image and scan have not as many channels", got=f"{image.frames}, {scan.frames}")
            d[key] = image_of(Volume(self._project(image, scan), image.grid), d[key])
        return d

    def _project(self, image: Volume, scan: Volume) -> np.ndarray[Any, np.dtype[np.float32]]:
        plan = plan_acquisition(
            scan,
            spacing=image.grid.spacing,
            slice_thickness=self.slice_thickness,
            psf=self.psf,
            noise=self.noise,
        )
        projection = Projection(Between(image.grid, scan.grid, plan.psf).operator)
        measured = torch.from_numpy(scan.data.reshape(-1, *scan.grid.shape))
        if plan.noise > 0:
            measured = torch.stack([wiener(y, noise_model(y, plan.noise)) for y in measured])
        x = torch.from_numpy(image.data.reshape(-1, *image.grid.shape))
        return projection.project(x, measured).reshape(image.data.shape).numpy()
