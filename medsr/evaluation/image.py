"""How far an image is from its reference, and on what terms that was measured.

A figure without its range, its mask and its border is not a figure: `Comparison` carries both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError, InputError, UsageError
from medsr.volume import Volume

GRID_TOLERANCE = 1e-3
"""Voxels further apart than this (mm) are not the same voxel."""

FOREGROUND = 0.05
"""Of the reference's 99.5th percentile: where the foreground begins."""

SSIM_WINDOW, SSIM_SIGMA, SSIM_K = 11, 1.5, (0.01, 0.03)
PLANES = 32
"""Planes of the similarity map made at a time."""

HFEN_SIGMA = 1.5
BINS = 256
MARGIN = 8
"""Voxels kept around the mask: more than the reach of the windows of SSIM (5) and HFEN (6)."""

FIGURES = ("psnr", "ssim", "nrmse", "mae", "bc", "hfen")

Array = NDArray[np.float32]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Comparison:
    """Figures of merit of an image ``x`` against a reference ``r``, over the voxels of a mask.

    psnr : peak signal to noise ratio, ``10 log10(peak² / mean((x - r)²))``, dB; infinite where they are equal.
    ssim : mean structural similarity (3D Gaussian window of 11 voxels, σ 1.5, K 0.01 and 0.03, range `peak`).
    nrmse : ``‖x - r‖ / ‖r‖``.
    mae : ``mean |x - r|``, in the image's units.
    bc : Bhattacharyya coefficient ``Σ √(p q)`` of the histograms, 256 bins from the least to the greatest value of
        the whole reference. A reference of whole numbers with fewer levels than bins lowers it.
    hfen : high-frequency error norm ``‖LoG x - LoG r‖ / ‖LoG r‖``, Laplacian of a Gaussian of σ 1.5 voxels.

    peak, peak_rule : the range, and what it was taken from.
    mask : the voxels that count, in words. border, central : what was cut off at the edges.
    voxels : how many counted. region : the voxels that both images have, in words.
    """

    psnr: float
    ssim: float
    nrmse: float
    mae: float
    bc: float
    hfen: float
    peak: float
    peak_rule: str
    mask: str
    border: int
    central: int | None
    voxels: int
    region: str

    @property
    def statement(self) -> str:
        """Range, mask and border in one line."""
        parts = [f"range 0 to {self.peak:.6g} ({self.peak_rule})", f"mask {self.mask}", f"border {self.border}"]
        if self.central is not None:
            parts.append(f"central {self.central} voxels of each axis")
        return "; ".join([*parts, f"{self.voxels} of {self.region}"])

    def as_dict(self) -> dict[str, Any]:
        """Figures and statement as plain values; an infinite figure is "inf"."""
        figures = {name: getattr(self, name) for name in FIGURES}
        return {
            **{name: value if math.isfinite(value) else "inf" for name, value in figures.items()},
            "range": {"peak": self.peak, "rule": self.peak_rule},
            "mask": self.mask,
            "border": self.border,
            "central": self.central,
            "voxels": self.voxels,
            "region": self.region,
        }


def evaluate(
    image: Volume,
    reference: Volume,
    *,
    mask: Literal["foreground", "all"] | Volume = "foreground",
    peak: Literal["p99.5", "max"] | float = "p99.5",
    border: int = 0,
    central: int | None = None,
) -> Comparison:
    """`image` against `reference`, voxel by voxel; nothing is resampled or rescaled.

    The two lie on one lattice. Where one covers less of it (a scan that was cut to a whole number of slices),
    the voxels that both have are compared, and `Comparison.region` says so.

    Parameters
    ----------
    image, reference : (x, y, z), in the same units.
    mask : "foreground" (the reference above 5 % of its 99.5th percentile), "all", or a volume on the
        reference's lattice whose non-zero voxels count.
    peak : the range of PSNR and SSIM: the reference's 99.5th percentile ("p99.5"), its greatest value ("max"),
        or a number. Percentiles are those of the whole reference.
    border : voxels left out at both ends of each axis of the region.
    central : only the central box of this many voxels along each axis counts (an axis with fewer counts whole).

    Raises
    ------
    GeometryError
        if the voxels of the two do not coincide.
    InputError
        if one is a series, has values that are not finite, or the reference has no signal.
    UsageError
        if the options leave no voxel, or the range is not above zero.

    References
    ----------
    SSIM: Wang et al., IEEE Trans Image Process 13:600 (2004), doi 10.1109/TIP.2003.819861.
    HFEN: Ravishankar and Bresler, IEEE Trans Med Imaging 30:1028 (2011), doi 10.1109/TMI.2010.2090538, here in
    3D and with its filter untruncated. BC of 256-bin histograms: Thurnhofer-Hemsi et al., Neurocomputing
    398:314 (2020), doi 10.1016/j.neucom.2019.05.107. Mask and range by percentile are ours.
    """
    for name, volume in (("image", image), ("reference", reference)):
        _check(name, volume)
    high = float(np.percentile(reference.data, 99.5))
    if high <= 0:
        raise InputError(
            f"{_name(reference, 'the reference')} has no signal", got=f"a 99.5th percentile of {high:g}"
        )
    top, rule = _peak(peak, high, reference.data)
    here, there = _shared(image, reference)
    x, r = image.data[here], reference.data[there]
    inside, words = _mask(mask, r, high, reference, there)
    inside = inside & _window(inside.shape, border, central)
    voxels = int(np.count_nonzero(inside))
    if voxels == 0:
        raise UsageError("no voxel is left to compare", rule="mask, border and central box leave one at least")

    near = _bounding_box(inside, MARGIN)
    x, r, inside = x[near], r[near], inside[near]
    difference = x[inside].astype(np.float64) - r[inside]
    truth = r[inside].astype(np.float64)
    power = float(np.mean(np.square(difference)))
    shape = " x ".join(map(str, image.data[here].shape))
    cut = image.data[here].shape != reference.grid.shape
    return Comparison(
        psnr=10 * math.log10(top**2 / power) if power > 0 else math.inf,
        ssim=float(np.mean(ssim_map(x / np.float32(top), r / np.float32(top))[inside], dtype=np.float64)),
        nrmse=_ratio(float(np.linalg.norm(difference)), float(np.linalg.norm(truth))),
        mae=float(np.mean(np.abs(difference))),
        bc=_bhattacharyya(x[inside], r[inside], float(reference.data.min()), float(reference.data.max())),
        hfen=_hfen(x, r, inside),
        peak=top,
        peak_rule=rule,
        mask=words,
        border=border,
        central=central,
        voxels=voxels,
        region=f"the {shape} voxels" + (" that both have" if cut else ""),
    )


def _check(name: str, volume: Volume) -> None:
    if volume.data.ndim != 3:
        raise InputError(
            f"{_name(volume, 'the ' + name)} is a series",
            got=f"{volume.frames} frames",
            rule="single volumes are compared",
            hint="take one frame of it first",
        )
    if not np.isfinite(volume.data).all():
        raise InputError(f"{_name(volume, 'the ' + name)} has values that are not finite")


def _name(volume: Volume, otherwise: str) -> str:
    return volume.source or otherwise


def _peak(peak: str | float, high: float, reference: Array) -> tuple[float, str]:
    if peak == "p99.5":
        return high, "the reference's 99.5th percentile"
    if peak == "max":
        return float(reference.max()), "the reference's maximum"
    if isinstance(peak, str):
        raise UsageError("the peak is not one", got=repr(peak), hint="give p99.5, max or a number")
    if not (math.isfinite(peak) and peak > 0):
        raise UsageError("the peak is not a range", got=peak, rule="above 0")
    return float(peak), "as given"


def _shared(image: Volume, reference: Volume, what: str = "image") -> tuple[Box, Box]:
    """The voxels that both have, as boxes of the image (or `what` it is) and of the reference."""
    a, b = image.grid, reference.grid
    shift = np.rint(np.linalg.solve(b.affine, a.affine[:, 3])[:3]).astype(int)
    off = float(np.abs(a.corners() - b.cut(shift, a.shape).corners()).max())
    starts = np.maximum(shift, 0)
    stops = np.minimum(shift + a.shape, b.shape)
    if off > GRID_TOLERANCE or (stops <= starts).any():
        apart = "which do not touch" if off <= GRID_TOLERANCE else f"whose voxels lie up to {off:.3g} mm apart"
        raise GeometryError(
            f"the {what} and the reference are on different grids",
            got=f"{a.describe()} and {b.describe()}, {apart}",
            rule=f"voxels coincide to {GRID_TOLERANCE:g} mm",
            hint=f"reconstruct to the reference's --spacing, or resample the {what} onto its grid first",
        )
    there = tuple(slice(int(s), int(e)) for s, e in zip(starts, stops, strict=True))
    here = tuple(slice(int(s), int(e)) for s, e in zip(starts - shift, stops - shift, strict=True))
    return here, there  # type: ignore[return-value] # three axes


def _mask(
    mask: str | Volume, r: Array, high: float, reference: Volume, there: Box
) -> tuple[NDArray[np.bool_], str]:
    """The voxels of the region that count, and the mask in words."""
    if isinstance(mask, Volume):
        _check("mask", mask)
        ours, theirs = _shared(mask, reference, "mask")
        whole = np.zeros(reference.grid.shape, dtype=bool)
        whole[theirs] = mask.data[ours] != 0
        return whole[there], f"file {mask.source}" if mask.source else "given"
    if mask == "all":
        return np.ones(r.shape, dtype=bool), "all voxels"
    if mask != "foreground":
        raise UsageError("the mask is not one", got=repr(mask), hint="give foreground, all or a mask image")
    return r > FOREGROUND * high, f"foreground (reference above {FOREGROUND:.0%} of its 99.5th percentile)"


def _window(shape: tuple[int, ...], border: int, central: int | None) -> NDArray[np.bool_]:
    """The voxels that neither the border nor the central box leaves out."""
    if border < 0 or (central is not None and central < 1):
        raise UsageError(
            "the border or the central box is not a number of voxels",
            got=f"border {border}, central {central}",
            rule="border 0 or more, central 1 or more",
        )
    keep = np.zeros(shape, dtype=bool)
    box = []
    for n in shape:
        trim = 0 if central is None else max(0, n - central) // 2
        size = n if central is None else min(n, central)
        box.append(slice(max(border, trim), max(0, min(n - border, trim + size))))
    keep[tuple(box)] = True
    return keep


def _bounding_box(inside: NDArray[np.bool_], margin: int) -> Box:
    box = []
    for axis, n in enumerate(inside.shape):
        found = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(0, int(found[0]) - margin), min(n, int(found[-1]) + 1 + margin)))
    return box[0], box[1], box[2]


def ssim_map(x: Array, r: Array) -> Array:
    """Structural similarity at each voxel, of images in a range of 1; the edges are replicated.

    The same as MONAI's `compute_ssim_and_cs` (a test holds them together), whose 11³ window is dense: as three
    passes of 11 it takes a tenth of the time. Variances are differences of large numbers: float64, a few planes
    at a time.
    """
    reach = SSIM_WINDOW // 2
    similarity = np.empty(x.shape, dtype=np.float32)
    for start in range(0, x.shape[0], PLANES):
        first, stop = max(0, start - reach), start + PLANES
        u, v = (a[first : stop + reach].astype(np.float64) for a in (x, r))
        mu, mv = _smooth(u), _smooth(v)
        variances = _smooth(u * u + v * v) - mu * mu - mv * mv
        covariance = _smooth(u * v) - mu * mv
        luminance = (2 * mu * mv + SSIM_K[0] ** 2) / (mu * mu + mv * mv + SSIM_K[0] ** 2)
        slab = luminance * (2 * covariance + SSIM_K[1] ** 2) / (variances + SSIM_K[1] ** 2)
        similarity[start:stop] = slab[start - first : stop - first]
    return similarity


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean over the window of SSIM."""
    from scipy.ndimage import correlate1d

    steps = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-0.5 * (steps / SSIM_SIGMA) ** 2)
    for axis in range(3):
        values = correlate1d(values, weights / weights.sum(), axis=axis, mode="nearest")
    return values


def _bhattacharyya(x: Array, r: Array, low: float, high: float) -> float:
    """``Σ √(p q)`` of histograms from `low` to `high`; what lies beyond is in the outer bins."""
    p, q = (np.histogram(np.clip(v, low, high), bins=BINS, range=(low, high))[0] / v.size for v in (x, r))
    return float(np.sqrt(p * q).sum())


def _hfen(x: Array, r: Array, inside: NDArray[np.bool_]) -> float:
    from scipy.ndimage import gaussian_laplace

    error, edges = (gaussian_laplace(v, HFEN_SIGMA)[inside].astype(np.float64) for v in (x - r, r))
    return _ratio(float(np.linalg.norm(error)), float(np.linalg.norm(edges)))


def _ratio(error: float, truth: float) -> float:
    """``error / truth``; infinite where the truth is nothing and the error is not."""
    if truth > 0:
        return error / truth
    return math.inf if error > 0 else 0.0
