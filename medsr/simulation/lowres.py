"""A thick-slice or coarse scan from a good one, as a scanner would have measured it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.acquisition.slices import AXES, MAX_RATIO, SAME, SliceAcquisition, plan_acquisition, thick_axis
from medsr.errors import UsageError
from medsr.job import parse_psf
from medsr.operators.resolution import Resolution
from medsr.volume import Grid, ScanFacts, Volume

NoiseKind = Literal["rician", "gaussian"]
NoiseUnit = Literal["percent", "absolute"]


def simulate_lowres(
    volume: Volume,
    *,
    spacing: Sequence[float],
    slice_thickness: float | None = None,
    slice_axis: int | None = None,
    psf: Mapping[str, str] | str | None = None,
    noise: float = 0.0,
    noise_unit: NoiseUnit = "percent",
    noise_kind: NoiseKind = "rician",
    offset: Sequence[float] = (0.0, 0.0, 0.0),
    seed: int = 0,
) -> Volume:
    """What a coarser scan of `volume` would have measured: ``y = A x``, or ``|A x + n|`` with noise.

    `A` is the operator that a reconstruction to the volume's spacing assumes of such a scan (`plan_lowres`),
    from the slice profile to the sampling. The scan's grid lies where its samples were taken, and its facts
    (2D or 3D, slice thickness, slice axis) are set, so that a reader needs no option to undo it. Where an axis
    does not hold a whole number of the new voxels, the volume is cut first, as evenly as can be, and a note says
    so; the voxels that a reconstruction makes are then voxels of the volume.

    Parameters
    ----------
    volume : the truth, (x, y, z) or (t, x, y, z).
    spacing : of the scan, mm along the three axes of the file; none finer than the volume's. Across slices, the
        spacing between slices.
    slice_thickness : full width at half maximum of the slice profile, mm; less than the spacing leaves gaps,
        more overlaps. Default: the spacing between slices.
    slice_axis : the axis across the slices of a 2D scan. Default: an axis 1.5 times coarser than the others;
        where there is none, the scan is a 3D one.
    psf : kind of point spread ("gaussian", "boxcar", "rf", "kspace") of "x", "y", "z", or of all the axes that
        change. Default: gaussian across the slices, kspace along every other axis.
    noise : its standard deviation in each channel, in percent of the 99.5th percentile of the noise-free
        `volume`, or "absolute", in its units.
    noise_kind : "rician", the magnitude of a complex signal; "gaussian", added to it.
    offset : shift of the samples along each axis of the file, mm; the grid moves with them.
    seed : of the noise. The same seed gives the same scan.

    Raises
    ------
    UsageError
        if the options do not describe a scan of this volume.

    References
    ----------
    Rician noise: Gudbjartsson and Patz, Magn Reson Med 34:910 (1995), doi 10.1002/mrm.1910340618.
    """
    acquisition, facts = plan_lowres(
        volume, spacing=spacing, slice_thickness=slice_thickness, slice_axis=slice_axis, psf=psf
    )
    fine, measured = acquisition.fine, acquisition.measured
    shift = _offset(offset, acquisition)
    sigma = _sigma(volume, noise, noise_unit)
    truth = crop_to(volume, fine)
    operator = Resolution(
        fine.shape, fine.spacing, measured.shape, measured.spacing, acquisition.psf, offset=shift
    )
    data = operator(torch.from_numpy(np.ascontiguousarray(truth.data, dtype=np.float32))).numpy()
    if sigma > 0:
        data = _noisy(data, sigma, noise_kind, np.random.default_rng(seed))
    moved = np.array(measured.affine)
    moved[:3, 3] += fine.direction @ np.asarray(shift)
    return replace(truth, data=data, grid=Grid(measured.shape, moved), facts=facts, source=None)


def plan_lowres(
    volume: Volume,
    *,
    spacing: Sequence[float],
    slice_thickness: float | None = None,
    slice_axis: int | None = None,
    psf: Mapping[str, str] | str | None = None,
) -> tuple[SliceAcquisition, ScanFacts]:
    """The acquisition of a coarser scan of `volume`, without noise, and what its header would say.

    Its `measured` grid is the scan's. Its `fine` grid is the part of the volume's that the scan covers: what a
    reconstruction of the scan to the volume's spacing is to be compared with (`crop_to`). Parameters and errors
    as in `simulate_lowres`.
    """
    old = volume.grid
    aim = _scan_spacing(old, spacing)
    axis = _slice_axis(aim, slice_axis)
    _check_thickness(old, aim, axis, slice_thickness)
    shape = [math.floor(n * h / d + SAME) for n, h, d in zip(old.shape, old.spacing, aim, strict=True)]
    _check_samples(shape, old, aim)
    # as `Grid.resampled` rounds, so that a reconstruction makes these voxels and no others
    covered = [math.floor(m * d / h + 0.5) for m, d, h in zip(shape, aim, old.spacing, strict=True)]
    fine = old.cut([(n - c) // 2 for n, c in zip(old.shape, covered, strict=True)], covered)
    linear = old.direction * np.asarray(aim)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = fine.centre - linear @ ((np.array(shape) - 1) / 2)
    measured = Grid((shape[0], shape[1], shape[2]), affine)
    facts = _facts(volume, aim, axis, slice_thickness)
    blank = Volume(np.broadcast_to(np.float32(0), measured.shape), measured, facts)
    kinds = parse_psf(psf) if isinstance(psf, str) else psf
    acquisition = plan_acquisition(blank, spacing=old.spacing, psf=kinds, noise=0.0)
    return replace(acquisition, fine=fine, target=fine), facts


def crop_to(volume: Volume, grid: Grid) -> Volume:
    """The part of `volume` on `grid`, whose voxels are voxels of the volume; a note says what was cut off."""
    if volume.grid.is_close(grid):
        return volume
    start = np.rint(np.linalg.solve(volume.grid.affine, grid.affine[:, 3])[:3]).astype(int)
    stop = start + grid.shape
    if (
        not volume.grid.cut(start, grid.shape).is_close(grid)
        or (start < 0).any()
        or (stop > volume.grid.shape).any()
    ):
        raise UsageError(
            "the grid is not a part of the volume's",
            got=f"{grid.describe()} of {volume.grid.describe()}",
            rule="its voxels are voxels of the volume",
        )
    x, y, z = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    cut = ", ".join(
        f"{n - m} of {n} voxels along {AXES[axis]}"
        for axis, (n, m) in enumerate(zip(volume.grid.shape, grid.shape, strict=True))
        if n != m
    )
    note = f"cut to a whole number of voxels of the scan: {cut} left out"
    return replace(volume, data=volume.data[..., x, y, z], grid=grid, notes=(*volume.notes, note))


def _scan_spacing(grid: Grid, asked: Sequence[float]) -> tuple[float, ...]:
    """The scan's spacing; that of an axis within SAME of the volume's is the volume's, to the bit."""
    if len(asked) != 3 or not all(math.isfinite(d) and d > 0 for d in asked):
        raise UsageError("the scan's spacing is not a voxel size", got=tuple(asked), hint="give mm, e.g. 1,1,4")
    aim = tuple(h if abs(d / h - 1) <= SAME else float(d) for d, h in zip(asked, grid.spacing, strict=True))
    for axis, (d, h) in enumerate(zip(aim, grid.spacing, strict=True)):
        if d < h or d > h * MAX_RATIO * (1 + SAME):
            raise UsageError(
                f"the scan's spacing does not suit the volume along {AXES[axis]}",
                got=f"{d:.4g} mm from {h:.4g} mm",
                rule=f"1 to {MAX_RATIO:g} times the volume's",
            )
    if aim == grid.spacing:
        raise UsageError(
            "nothing to simulate",
            got=f"the volume's own spacing, {', '.join(f'{h:.4g}' for h in aim)} mm",
            hint="give a coarser spacing along one axis at least, e.g. 1,1,4",
        )
    return aim


def _slice_axis(aim: Sequence[float], asked: int | None) -> int | None:
    if asked is None:
        return thick_axis(aim)
    if asked not in (0, 1, 2):
        raise UsageError("there is no such slice axis", got=asked, rule="0, 1 or 2: an axis of the file")
    return asked


def _check_thickness(grid: Grid, aim: Sequence[float], axis: int | None, thickness: float | None) -> None:
    if thickness is None:
        return
    if axis is None:
        raise UsageError(
            "there are no slices to have a thickness",
            got="no axis is 1.5 times coarser than the others",
            hint="name the axis across the slices",
        )
    if aim[axis] == grid.spacing[axis]:
        raise UsageError(
            f"the slices along {AXES[axis]} keep their spacing, and so their thickness",
            hint=f"give a coarser spacing along {AXES[axis]}",
        )


def _check_samples(shape: Sequence[int], grid: Grid, aim: Sequence[float]) -> None:
    for axis, (m, extent, d) in enumerate(zip(shape, grid.field_of_view, aim, strict=True)):
        if m < 2 and d != grid.spacing[axis]:
            raise UsageError(
                f"the volume is too small for the scan along {AXES[axis]}",
                got=f"{extent:.4g} mm for voxels of {d:.4g} mm",
                rule="an axis that changes has two samples or more",
            )


def _facts(volume: Volume, aim: Sequence[float], axis: int | None, thickness: float | None) -> ScanFacts:
    """What a header would say of the scan."""
    if axis is None:
        return replace(volume.facts, acquisition_type="3D", slice_axis=None, slice_thickness=None)
    if aim[axis] == volume.grid.spacing[axis]:
        thickness = volume.facts.slice_thickness
    elif thickness is None:
        thickness = aim[axis]
    return replace(volume.facts, acquisition_type="2D", slice_axis=axis, slice_thickness=thickness)


def _offset(asked: Sequence[float], acquisition: SliceAcquisition) -> tuple[float, ...]:
    offset = tuple(float(shift) for shift in asked)
    if len(offset) != 3 or not all(math.isfinite(shift) for shift in offset):
        raise UsageError("the offset is not a shift", got=offset, hint="give mm along x, y and z")
    reach = [0 if p is None else d for p, d in zip(acquisition.psf, acquisition.measured.spacing, strict=True)]
    for axis, (shift, most) in enumerate(zip(offset, reach, strict=True)):
        if abs(shift) > most:
            raise UsageError(
                f"the offset is too large along {AXES[axis]}",
                got=f"{shift:.4g} mm",
                rule="at most one voxel of the scan" if most else "an axis that keeps its spacing is not shifted",
            )
    return offset


def _sigma(volume: Volume, noise: float, unit: str) -> float:
    if not (math.isfinite(noise) and noise >= 0):
        raise UsageError("the noise is not a level", got=noise, rule="0 or more")
    if unit == "absolute" or noise == 0:
        return float(noise)
    if unit != "percent":
        raise UsageError("unknown unit of noise", got=repr(unit), hint="choose percent or absolute")
    return noise / 100 * float(np.percentile(volume.data, 99.5))


def _noisy(
    data: NDArray[np.float32], sigma: float, kind: str, generator: np.random.Generator
) -> NDArray[np.float32]:
    if kind not in ("rician", "gaussian"):
        raise UsageError("unknown kind of noise", got=repr(kind), hint="choose rician or gaussian")
    real = data + sigma * generator.standard_normal(data.shape, dtype=np.float32)
    if kind == "gaussian":
        return real
    return np.hypot(real, sigma * generator.standard_normal(data.shape, dtype=np.float32))
