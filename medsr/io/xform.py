"""Where the voxels of a NIfTI image lie: sform, qform, and what to do where they are missing or disagree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError
from medsr.io.image import named, sound_grid
from medsr.volume import Grid

FORM_TOLERANCE = 0.1
"""Forms that put every voxel within this (mm) agree: a quaternion in float32 is not truer than that."""

ASSUMED = 2
"""The code of coordinates that were assumed (NIfTI's "aligned"): they are not the scanner's."""


@dataclass(frozen=True, eq=False)
class NiftiFields:
    """A decoded header with plain Python numbers at hand."""

    path: Path
    version: int
    paired: bool
    header: Any
    notes: tuple[str, ...]

    def number(self, name: str) -> float:
        return float(self.header[name])

    def integer(self, name: str) -> int:
        return int(self.header[name])

    def numbers(self, name: str) -> list[float]:
        return [float(v) for v in self.header[name]]


def world(fields: NiftiFields, shape: tuple[int, int, int]) -> tuple[Grid, int, tuple[str, ...]]:
    """The grid, the code of its world coordinates, and what the user should know of how they were found.

    As in nibabel the sform is used where it has a code, else the qform, else voxel sizes alone.

    Raises
    ------
    GeometryError
        if the form to be used is not finite, singular or sheared.
    """
    notes: list[str] = []
    scale = _millimetres(fields, notes)
    codes = {name: fields.integer(f"{name}_code") for name in ("sform", "qform")}
    notes += [
        f"the {name} has the code {code}, which NIfTI does not know"
        for name, code in codes.items()
        if not 0 <= code <= 5
    ]
    sform = _try_grid(shape, np.array(fields.header.get_sform()), scale) if codes["sform"] > 0 else None
    qform = _try_grid(shape, _qform(fields, notes), scale) if codes["qform"] > 0 else None
    if sform is not None:
        chosen, code = sform, codes["sform"]
    elif qform is not None:
        chosen, code = qform, codes["qform"]
    else:
        notes.append(
            "the header has no orientation (sform and qform have no code): the first axis is taken to point "
            "left, the middle of the image to be the origin"
        )
        chosen, code = _try_grid(shape, _without_form(fields, shape), scale), ASSUMED
    if not isinstance(chosen, Grid):
        hint = "its qform is sound: set the sform's code to 0 to use that" if isinstance(qform, Grid) else None
        raise named(chosen, fields.path, hint)
    if sform is not None:
        notes += _disagreement(chosen, qform, codes) if qform else _other_sizes(chosen, fields, scale)
    return chosen, code if 1 <= code <= 5 else ASSUMED, tuple(notes)


def _qform(fields: NiftiFields, notes: list[str]) -> NDArray[np.float64]:
    """The affine of the qform; NaN where its quaternion is none."""
    from nibabel.spatialimages import HeaderDataError

    header = fields.header
    pixdim = fields.numbers("pixdim")
    if any(v < 0 for v in pixdim[1:4]):
        notes.append("negative voxel sizes in the header were taken as positive")
    # nibabel refuses these: the sign of the third axis is to be +1 or -1, voxel sizes to be positive
    header["pixdim"][0] = -1 if pixdim[0] < 0 else 1
    header["pixdim"][1:4] = np.abs(header["pixdim"][1:4])
    names = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    if np.isfinite([*(fields.number(n) for n in names), *pixdim[1:4]]).all():
        try:
            return np.array(header.get_qform(), dtype=np.float64)
        except (HeaderDataError, ValueError):
            notes.append("the quaternion of the qform is longer than 1, so it is no rotation")
    return np.full((4, 4), np.nan)


def _without_form(fields: NiftiFields, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """nibabel's affine for a header without orientation: x to the left, the middle at the origin."""
    sizes = np.array(fields.numbers("pixdim")[1:4])
    affine = np.diag([*(np.abs(sizes) * (-1, 1, 1)), 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * np.diag(affine)[:3]
    return affine


def _try_grid(shape: tuple[int, int, int], affine: NDArray[np.float64], scale: float) -> Grid | GeometryError:
    try:
        return sound_grid(shape, affine * np.array([[scale], [scale], [scale], [1.0]]))
    except GeometryError as error:
        return error


def _millimetres(fields: NiftiFields, notes: list[str]) -> float:
    """Millimetres in the header's unit of length."""
    unit = fields.integer("xyzt_units") & 7
    if unit == 2:
        return 1.0
    if unit in (1, 3):
        notes.append(f"lengths are in {'metres' if unit == 1 else 'micrometres'} and were converted to mm")
        return 1e3 if unit == 1 else 1e-3
    notes.append("the header has no unit of length; mm are assumed")
    return 1.0


def _disagreement(sform: Grid, qform: Grid | GeometryError, codes: dict[str, int]) -> list[str]:
    if isinstance(qform, GeometryError):
        return [f"the qform is no sound geometry ({qform.what}); the sform is used"]
    apart = float(np.linalg.norm(sform.corners() - qform.corners(), axis=1).max())
    if apart <= FORM_TOLERANCE:
        return []
    return [
        f"sform (code {codes['sform']}) and qform (code {codes['qform']}) put a voxel up to {apart:.3g} mm apart; "
        "the sform is used"
    ]


def _other_sizes(grid: Grid, fields: NiftiFields, scale: float) -> list[str]:
    sizes = np.abs(fields.numbers("pixdim")[1:4]) * scale
    if np.allclose(sizes, grid.spacing, rtol=0.01, atol=0):
        return []
    told, true = (" x ".join(f"{v:.4g}" for v in values) for values in (sizes, grid.spacing))
    return [f"voxel sizes are {true} mm by the sform, {told} by pixdim; the sform is used"]
