"""Thick slices from thin ones, as a scanner would have measured them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform
from monai.utils import TraceKeys

from medsr.errors import UsageError
from medsr.simulation.lowres import crop_to, plan_lowres, simulate_lowres
from medsr.transforms.between import Between
from medsr.transforms.images import image_of, volume_of
from medsr.volume import Volume


class SimulateThickSlices(InvertibleTransform):
    """A scan with slices of `thickness`, `between` mm apart, of an image (C, x, y, z).

    ``y = |A x + n|`` with the slice profile across the slices (`medsr.operators.resolution`), Rician noise. The
    image is cut, as evenly as can be, to a whole number of slices. The meta data say how the scan was made, so
    that `SuperResolveSlices` and `ProjectOntoDatad` need not be told. The inverse is the method `spline`, on the
    grid that the image had.

    Parameters
    ----------
    between : spacing between slices, mm.
    thickness : full width at half maximum of the slice profile, mm. Default: `between`.
    slice_axis : the axis of the array (without the channel) across the slices.
    psf : "gaussian", "boxcar" or "rf".
    noise : its standard deviation in percent of the 99.5th percentile. seed : of it.

    Raises
    ------
    UsageError
        where the options do not fit the image.
    """

    def __init__(
        self,
        between: float,
        thickness: float | None = None,
        slice_axis: int = 2,
        psf: str = "gaussian",
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        if slice_axis not in (0, 1, 2):
            raise UsageError("there is no such slice axis", got=slice_axis, rule="0, 1 or 2: an axis of the array")
        self.between, self.thickness, self.slice_axis = between, thickness, slice_axis
        self.psf, self.noise, self.seed = psf, noise, seed

    def _how(self, volume: Volume) -> dict[str, Any]:
        spacing = [self.between if a == self.slice_axis else h for a, h in enumerate(volume.grid.spacing)]
        return {
            "spacing": spacing,
            "slice_thickness": self.thickness,
            "slice_axis": self.slice_axis,
            "psf": {"xyz"[self.slice_axis]: self.psf},
        }

    def __call__(self, img: MetaTensor) -> MetaTensor:
        """(C, x, y, z) to the scan."""
        volume = volume_of(img)
        scan = simulate_lowres(volume, noise=self.noise, seed=self.seed, **self._how(volume))
        acquisition, _ = plan_lowres(volume, **self._how(volume))
        made = image_of(scan, img)
        between = Between(volume.grid, scan.grid, acquisition.psf)
        self.push_transform(made, orig_size=volume.grid.shape, extra_info=between.as_dict())
        return made

    def truth(self, img: MetaTensor) -> MetaTensor:
        """The part of the image that the scan covers: what a reconstruction of it is to be compared with."""
        volume = volume_of(img)
        acquisition, _ = plan_lowres(volume, **self._how(volume))
        return image_of(crop_to(volume, acquisition.fine), img)

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """The scan on the grid that the image had, by `spline`."""
        return undo(data, self.pop_transform(data)[TraceKeys.EXTRA_INFO])


def undo(scan: MetaTensor, between: Mapping[str, Any]) -> MetaTensor:
    """The scan on the fine grid of `between`."""
    known = Between.from_dict(between)
    volume = volume_of(scan)
    image = known.spline(torch.from_numpy(volume.data)).numpy()
    return image_of(Volume(image, known.fine), scan)


class _Keyed(MapTransform, InvertibleTransform):
    """Images under keys, and the transform that made them."""

    simulate: SimulateThickSlices | RandSimulateThickSlices

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.simulate.inverse(d[key])
        return d


class SimulateThickSlicesd(_Keyed):
    """`SimulateThickSlices` of the images under `keys`.

    Parameters
    ----------
    truth_suffix : where given, the part of the image that the scan covers is kept under the key with it.
    """

    def __init__(
        self,
        keys: KeysCollection,
        between: float,
        thickness: float | None = None,
        slice_axis: int = 2,
        psf: str = "gaussian",
        noise: float = 0.0,
        seed: int = 0,
        truth_suffix: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.simulate = SimulateThickSlices(between, thickness, slice_axis, psf, noise, seed)
        self.truth_suffix = truth_suffix

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            if self.truth_suffix is not None:
                d[f"{key}{self.truth_suffix}"] = self.simulate.truth(d[key])
            d[key] = self.simulate(d[key])
        return d


class RandSimulateThickSlices(RandomizableTransform, InvertibleTransform):
    """`SimulateThickSlices` with a random acquisition, of a part `prob` of the images.

    Parameters
    ----------
    between : least and greatest spacing between slices, mm.
    thickness : least and greatest slice thickness, over the spacing between slices.
    slice_axes : the axes that may be the one across the slices.
    psf : the kinds of profile. noise : least and greatest noise, percent.
    """

    def __init__(
        self,
        prob: float = 1.0,
        between: tuple[float, float] = (2.0, 6.0),
        thickness: tuple[float, float] = (0.7, 1.2),
        slice_axes: Sequence[int] = (0, 1, 2),
        psf: Sequence[str] = ("gaussian", "boxcar", "rf"),
        noise: tuple[float, float] = (0.0, 2.0),
    ) -> None:
        RandomizableTransform.__init__(self, prob)
        self.between, self.thickness, self.noise = between, thickness, noise
        self.slice_axes, self.psf = tuple(slice_axes), tuple(psf)
        self.drawn: SimulateThickSlices | None = None

    def randomize(self, data: Any = None) -> None:
        """Draws whether, and what acquisition."""
        super().randomize(None)
        between = float(self.R.uniform(*self.between))
        self.drawn = SimulateThickSlices(
            between,
            between * float(self.R.uniform(*self.thickness)),
            int(self.R.choice(self.slice_axes)),
            str(self.R.choice(self.psf)),
            float(self.R.uniform(*self.noise)),
            int(self.R.randint(2**31 - 1)),
        )

    def __call__(self, img: MetaTensor, randomize: bool = True) -> MetaTensor:
        """(C, x, y, z) to the scan, or the image as it is."""
        if randomize:
            self.randomize()
        extra: dict[str, Any] = {}
        if self._do_transform and self.drawn is not None:
            img = self.drawn(img)
            extra = self.drawn.pop_transform(img)[TraceKeys.EXTRA_INFO]
        self.push_transform(img, extra_info=extra)
        return img

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """The scan on the grid that the image had, by `spline`; an image that was left alone as it is."""
        done = self.pop_transform(data)
        return undo(data, done[TraceKeys.EXTRA_INFO]) if done[TraceKeys.DO_TRANSFORM] else data


class RandSimulateThickSlicesd(RandomizableTransform, _Keyed):
    """`RandSimulateThickSlices` of the images under `keys`, which share one draw."""

    simulate: RandSimulateThickSlices

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 1.0,
        between: tuple[float, float] = (2.0, 6.0),
        thickness: tuple[float, float] = (0.7, 1.2),
        slice_axes: Sequence[int] = (0, 1, 2),
        psf: Sequence[str] = ("gaussian", "boxcar", "rf"),
        noise: tuple[float, float] = (0.0, 2.0),
        truth_suffix: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, 1.0)
        self.simulate = RandSimulateThickSlices(prob, between, thickness, slice_axes, psf, noise)
        self.truth_suffix = truth_suffix

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandSimulateThickSlicesd:
        """Seeds the draws."""
        super().set_random_state(seed, state)
        self.simulate.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.simulate.randomize()
        for key in self.key_iterator(d):
            if self.truth_suffix is not None:
                drawn = self.simulate.drawn if self.simulate._do_transform else None
                d[f"{key}{self.truth_suffix}"] = d[key] if drawn is None else drawn.truth(d[key])
            d[key] = self.simulate(d[key], randomize=False)
        return d
