"""From a scan's header to its acquisition: which grid to aim for, and what the scanner did on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from medsr.acquisition.noise import estimate_noise
from medsr.errors import UsageError
from medsr.operators.pointspread import PointSpread
from medsr.volume import Grid, Volume

if TYPE_CHECKING:
    from medsr.operators.resolution import Resolution

AXES = "xyz"
MAX_RATIO = 12.0
ANISOTROPIC = 1.5
"""An axis whose spacing is this many times the next one's is taken for the axis across the slices."""
SAME = 1e-3
"""Relative difference of spacings below which an axis keeps its samples."""


@dataclass(frozen=True, eq=False)
class SliceAcquisition:
    """``y = A x + n`` of an image-domain scan.

    measured : the scan's grid.
    fine : the grid that is reconstructed on; never coarser than the scan's along any axis.
    target : the grid that was asked for; coarser than `fine` where a coarser in-plane spacing was asked.
    psf : one point spread an axis, None where the axis keeps its samples.
    noise : standard deviation, in the image's units; 0 for none.
    assumptions : what was read, and what was assumed, in words.
    """

    measured: Grid
    fine: Grid
    target: Grid
    psf: tuple[PointSpread | None, PointSpread | None, PointSpread | None]
    noise: float = 0.0
    assumptions: tuple[str, ...] = ()

    @cached_property
    def operator(self) -> Resolution:
        """`A`, from the fine grid to the measured one."""
        from medsr.operators.resolution import Resolution  # torch: a plan does without

        return Resolution(self.fine.shape, self.fine.spacing, self.measured.shape, self.measured.spacing, self.psf)

    @cached_property
    def reduction(self) -> Resolution | None:
        """From the fine grid to a coarser target: truncated Fourier space; None where they are the same."""
        if self.target is self.fine:
            return None
        from medsr.operators.resolution import Resolution

        psf = [
            PointSpread("kspace", t) if t > f * (1 + SAME) else None
            for f, t in zip(self.fine.spacing, self.target.spacing, strict=True)
        ]
        return Resolution(self.fine.shape, self.fine.spacing, self.target.shape, self.target.spacing, psf)

    @property
    def ratios(self) -> list[float]:
        """Spacing of the scan over that of the fine grid, an axis."""
        return [m / f for m, f in zip(self.measured.spacing, self.fine.spacing, strict=True)]

    def describe_psf(self) -> dict[str, str]:
        """The point spread of each axis in words."""
        return {
            axis: "kept" if p is None else f"{p.kind} {p.width:.4g} mm"
            for axis, p in zip(AXES, self.psf, strict=True)
        }


def plan_acquisition(
    volume: Volume,
    *,
    spacing: Sequence[float] | None = None,
    slice_thickness: float | None = None,
    psf: Mapping[str, str] | None = None,
    noise: float | None = None,
) -> SliceAcquisition:
    """The acquisition of `volume`, from its header where that speaks, else from its spacing.

    Parameters
    ----------
    spacing : target spacing (mm) of the three axes of the file. Default: thick slices go to the in-plane
        spacing, a near-isotropic scan to half its spacing.
    slice_thickness : full width at half maximum of the slice profile, mm. Default: the header's, else the
        spacing between slices.
    psf : kind of point spread for "x", "y", "z" (axes of the file), or for "*" all that change. Default:
        `gaussian` across the slices of a 2D scan, `kspace` on every other axis.
    noise : standard deviation in the image's units; None to estimate it.

    Raises
    ------
    UsageError
        where the options do not fit the scan, or no sensible default exists.
    """
    said: list[str] = []
    slice_axis = _slice_axis(volume, said)
    measured = volume.grid
    aim = _target_spacing(measured, slice_axis, spacing, said)
    thickness = _thickness(volume, slice_axis, slice_thickness, said)
    fine_spacing = [min(a, s) for a, s in zip(aim, measured.spacing, strict=True)]
    psfs = _point_spreads(measured.spacing, fine_spacing, slice_axis, thickness, psf or {}, said)
    fine = _grid(measured, fine_spacing)
    target = fine if all(a <= s * (1 + SAME) for a, s in zip(aim, fine_spacing, strict=True)) else _grid(fine, aim)
    if target is not fine:
        said.append("the target is coarser than the scan along some axes: reconstructed finer, then reduced")
    if noise is None:
        noise, source = estimate_noise(volume.data if volume.data.ndim == 3 else volume.data[volume.frames // 2])
        said.append(
            f"noise {noise:.4g} estimated from the {source}"
            if source in ("tissue", "air")
            else f"noise taken for {noise:g}: {source}"
        )
    else:
        said.append(f"noise {noise:.4g} as given")
    return SliceAcquisition(measured, fine, target, psfs, float(noise), tuple(said))


def _grid(grid: Grid, spacing: Sequence[float]) -> Grid:
    """`grid` at another spacing; an axis within SAME of its spacing keeps it to the bit."""
    close = [abs(n / o - 1) <= SAME for n, o in zip(spacing, grid.spacing, strict=True)]
    if all(close):
        return grid
    return grid.resampled([o if c else n for n, o, c in zip(spacing, grid.spacing, close, strict=True)])


def thick_axis(spacing: Sequence[float]) -> int | None:
    """The axis that is taken for the one across the slices where nothing is said; None where none stands out."""
    order = sorted(range(3), key=lambda a: spacing[a])
    return order[2] if spacing[order[2]] >= ANISOTROPIC * spacing[order[1]] else None


def _slice_axis(volume: Volume, said: list[str]) -> int | None:
    """The axis across the slices of a 2D scan; None for a 3D one."""
    facts, spacing = volume.facts, volume.grid.spacing
    thick = thick_axis(spacing)
    if facts.acquisition_type == "3D":
        said.append("a 3D scan by its header: every axis was encoded")
        return None
    if facts.acquisition_type == "2D":
        axis = facts.slice_axis if facts.slice_axis is not None else thick
        if axis is None:
            axis = 2
            said.append("a 2D scan by its header; the slices are assumed to be stacked along z")
        else:
            said.append(f"a 2D scan by its header, slices along {AXES[axis]}")
        return axis
    if thick is None:
        said.append("near-isotropic spacing: taken for a 3D scan, every axis encoded")
    else:
        said.append(
            f"spacing is {spacing[thick]:.4g} mm along {AXES[thick]}: taken for a 2D scan with slices there"
        )
    return thick


def _target_spacing(
    grid: Grid, slice_axis: int | None, asked: Sequence[float] | None, said: list[str]
) -> tuple[float, ...]:
    spacing = grid.spacing
    if asked is not None:
        aim = tuple(float(a) for a in asked)
    else:
        low, middle, high = sorted(spacing)
        if middle >= ANISOTROPIC * low:
            raise UsageError(
                "no default target for this scan",
                got=f"spacing {_mm(spacing)} mm",
                rule="only one axis may be coarse for a default",
                hint="say what you want with --spacing, e.g. --spacing 1",
            )
        coarse = spacing.index(high)
        if high >= ANISOTROPIC * middle:
            aim = tuple(middle if a == coarse else s for a, s in enumerate(spacing))
            said.append(f"target: the in-plane spacing, {middle:.4g} mm, along {AXES[coarse]}")
        elif slice_axis is not None and spacing[slice_axis] > middle * (1 + SAME):
            aim = tuple(low if a == slice_axis else s for a, s in enumerate(spacing))
            said.append(f"target: the in-plane spacing, {low:.4g} mm, along {AXES[slice_axis]}")
        else:
            aim = tuple(s / 2 for s in spacing)
            said.append("target: half the spacing of a near-isotropic scan")
    for axis, (a, s, n) in enumerate(zip(aim, spacing, grid.shape, strict=True)):
        if not np.isfinite(a) or a <= 0:
            raise UsageError("the target spacing is not a length", got=f"{a} mm along {AXES[axis]}")
        if s / a > MAX_RATIO * (1 + SAME):
            raise UsageError(
                f"the target spacing is too fine along {AXES[axis]}",
                got=f"{s:.4g} mm to {a:.4g} mm, a ratio of {s / a:.3g}",
                rule=f"at most {MAX_RATIO:g}",
                hint=f"choose a --spacing of {s / MAX_RATIO:.3g} mm or more along {AXES[axis]}",
            )
        if n == 1 and s / a > 1 + SAME:
            raise UsageError(
                f"there is one slice only along {AXES[axis]}",
                rule="an axis needs two samples to be refined",
                hint=f"keep its spacing of {s:.4g} mm and refine the others, e.g. --spacing "
                + ",".join(f"{v if i == axis else v / 2:.4g}" for i, v in enumerate(spacing)),
            )
    if all(a >= s * (1 - SAME) for a, s in zip(aim, spacing, strict=True)):
        raise UsageError(
            "nothing to do",
            got=f"a target of {_mm(aim)} mm for a scan of {_mm(spacing)} mm",
            rule="the target is finer than the scan along one axis at least",
            hint="choose a finer --spacing",
        )
    return aim


def _thickness(volume: Volume, slice_axis: int | None, asked: float | None, said: list[str]) -> float | None:
    if slice_axis is None:
        if asked is not None:
            raise UsageError(
                "--slice-thickness has no slices to speak of",
                rule="the scan was taken for a 3D one",
                hint="name the axis with --psf, e.g. --psf z=gaussian",
            )
        return None
    between = volume.grid.spacing[slice_axis]
    if asked is not None:
        thickness, source = asked, "as given"
    elif volume.facts.slice_thickness is not None:
        thickness, source = volume.facts.slice_thickness, "by the header"
    else:
        thickness, source = between, "assumed equal to the spacing between slices"
    if not np.isfinite(thickness) or not between / 10 <= thickness <= between * 10:
        raise UsageError(
            "the slice thickness does not fit the scan",
            got=f"{thickness:.4g} mm, slices {between:.4g} mm apart",
            rule="between a tenth and ten times the spacing between slices",
            hint="give the right one with --slice-thickness",
        )
    gap = between - thickness
    extra = f", a gap of {gap:.4g} mm" if gap > 0.01 * between else f", an overlap of {-gap:.4g} mm"
    said.append(f"slice thickness {thickness:.4g} mm, {source}" + (extra if abs(gap) > 0.01 * between else ""))
    return thickness


def _point_spreads(
    measured: Sequence[float],
    fine: Sequence[float],
    slice_axis: int | None,
    thickness: float | None,
    asked: Mapping[str, str],
    said: list[str],
) -> tuple[PointSpread | None, PointSpread | None, PointSpread | None]:
    kinds: list[PointSpread | None] = []
    for axis, (d, h) in enumerate(zip(measured, fine, strict=True)):
        if h >= d * (1 - SAME):
            if AXES[axis] in asked:
                said.append(f"{AXES[axis]} keeps its spacing: its point spread is left alone")
            kinds.append(None)
            continue
        default = "gaussian" if axis == slice_axis else "kspace"
        kind = asked.get(AXES[axis], asked.get("*", default))
        width = thickness if axis == slice_axis and thickness is not None else d
        spread = PointSpread(kind, width)  # type: ignore[arg-type] # PointSpread checks the name
        source = "as asked" if AXES[axis] in asked or "*" in asked else "assumed"
        said.append(f"point spread along {AXES[axis]}: {spread.kind}, {width:.4g} mm, {source}")
        kinds.append(spread)
    return kinds[0], kinds[1], kinds[2]


def _mm(values: Sequence[float]) -> str:
    return " x ".join(f"{v:.4g}" for v in values)
