"""The 2D models on volumes, as a MONAI transform."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys

from medsr.acquisition.slices import plan_acquisition
from medsr.errors import UsageError
from medsr.job import parse_psf
from medsr.reconstruction import reconstruct
from medsr.transforms.between import Between
from medsr.transforms.images import image_of, volume_of
from medsr.volume import Volume


class SuperResolveSlices(InvertibleTransform):
    """A scan (C, x, y, z) on a finer grid: the method `slicewise`, or another one.

    Thick slices go through the model on the two orthogonal reformats, a coarse plane slice by slice; the result
    is projected onto the images that explain the scan. The affine is that of the fine grid, which shares the field
    of view. The inverse is what a scan of the image would measure, on the grid that the scan had.

    Parameters
    ----------
    model : of `slicewise`; `medsr models slicewise` lists them.
    spacing, slice_thickness, psf, noise, device : as for `medsr.reconstruct`. What is not given is read from the
        meta data (`slice_thickness`, `slice_axis`, `acquisition_type`), else assumed as there.
    method : "slicewise", or another method with a card, without a model.

    Raises
    ------
    UsageError, InputError, GeometryError, WeightsError
        as `medsr.reconstruct` does.
    """

    def __init__(
        self,
        model: str | None = None,
        spacing: float | Sequence[float] | None = None,
        slice_thickness: float | None = None,
        psf: str | Mapping[str, str] | None = None,
        noise: float | None = None,
        device: str = "auto",
        method: str = "slicewise",
    ) -> None:
        self.options: dict[str, Any] = {
            "spacing": spacing,
            "slice_thickness": slice_thickness,
            "psf": psf,
            "noise": noise,
            "device": device,
            "method": method,
            "model": model,
        }

    def __call__(self, img: MetaTensor) -> MetaTensor:
        """The scan to the image."""
        scan = volume_of(img)
        result = reconstruct(scan, **self.options)
        made = image_of(Volume(result.volume.data, result.volume.grid), img)
        psf = _point_spreads(scan, self.options)
        between = Between(result.volume.grid, scan.grid, psf)
        self.push_transform(made, orig_size=scan.grid.shape, extra_info=between.as_dict())
        return made

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """What a scan of the image would measure."""
        known = Between.from_dict(self.pop_transform(data)[TraceKeys.EXTRA_INFO])
        image = volume_of(data)
        return image_of(Volume(known.measure(torch.from_numpy(image.data)).numpy(), known.measured), data)


def _point_spreads(scan: Volume, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """The point spreads that the reconstruction assumed.

    Raises
    ------
    UsageError
        where the target is coarser than the scan along an axis: that cannot be undone.
    """
    spacing, psf = options["spacing"], options["psf"]
    plan = plan_acquisition(
        scan,
        spacing=None
        if spacing is None
        else ([float(spacing)] * 3 if isinstance(spacing, int | float) else spacing),
        slice_thickness=options["slice_thickness"],
        psf=parse_psf(psf) if isinstance(psf, str) else psf,
        noise=0.0,
    )
    if plan.reduction is not None:
        raise UsageError(
            "the target spacing is coarser than the scan along an axis",
            got=plan.target.describe(),
            hint="resample with MONAI's Spacingd first or afterwards",
        )
    return plan.psf


class SuperResolveSlicesd(MapTransform, InvertibleTransform):
    """`SuperResolveSlices` of the scans under `keys`."""

    def __init__(
        self,
        keys: KeysCollection,
        model: str | None = None,
        spacing: float | Sequence[float] | None = None,
        slice_thickness: float | None = None,
        psf: str | Mapping[str, str] | None = None,
        noise: float | None = None,
        device: str = "auto",
        method: str = "slicewise",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.resolve = SuperResolveSlices(model, spacing, slice_thickness, psf, noise, device, method)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.resolve(d[key])
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.resolve.inverse(d[key])
        return d
