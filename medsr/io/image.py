"""What is known of an image before its voxels are read, and the reading of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError, MedsrError, one_line
from medsr.io.voxels import Encoding, check_size, read_voxels
from medsr.volume import Grid, ScanFacts, Volume

FARTHEST = 1e6
"""Millimetres from the origin; beyond, float32 headers cannot tell neighbouring voxels apart."""


class Header(Protocol):
    """What is known of a scan before its voxels are read, whatever its format; see `ImageHeader`.

    stored : the type of its stored voxels.
    """

    @property
    def path(self) -> Path: ...
    @property
    def format(self) -> str: ...
    @property
    def grid(self) -> Grid: ...
    @property
    def frames(self) -> int | None: ...
    @property
    def facts(self) -> ScanFacts: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def stored(self) -> str: ...

    def load(self, max_bytes: int | None = None, *, allow_constant: bool = False) -> Volume: ...


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """The checked header of an image file.

    path : the file that was asked for.
    format : its format in words.
    grid : geometry, RAS+ mm.
    frames : number of time frames; None for a single volume.
    encoding : how the voxels lie in the file.
    facts, notes : as in `Volume`.
    xform_code : what the world coordinates are, as in NIfTI.
    """

    path: Path
    format: str
    grid: Grid
    frames: int | None
    encoding: Encoding
    facts: ScanFacts = field(default_factory=ScanFacts)
    notes: tuple[str, ...] = ()
    xform_code: int = 1

    def __post_init__(self) -> None:
        # notes quote headers and names, which may hold anything
        object.__setattr__(self, "notes", tuple(one_line(note) for note in self.notes))

    @property
    def stored(self) -> str:
        """The type of the stored voxels."""
        return self.encoding.dtype.name

    @property
    def nbytes(self) -> int:
        """Bytes that the voxels take in memory, as float32."""
        return 4 * math.prod(self.grid.shape) * (self.frames or 1)

    def check_size(self) -> ImageHeader:
        """This header, if the file can hold what it claims.

        Raises
        ------
        InputError
            if it cannot.
        """
        check_size(self.encoding, self.grid.shape, self.frames)
        return self

    def load(self, max_bytes: int | None = None, *, allow_constant: bool = False) -> Volume:
        """The image; see `medsr.io.open_volume`.

        Raises
        ------
        InputError
            if the voxels are damaged or not those of an image.
        MemoryLimitError
            if they take more than `max_bytes`, or do not fit in memory.
        """
        data, notes = read_voxels(
            self.encoding, self.grid.shape, self.frames, max_bytes, allow_constant=allow_constant
        )
        return Volume(
            data, self.grid, self.facts, self.notes + notes, source=str(self.path), xform_code=self.xform_code
        )


def sound_grid(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Grid:
    """The grid of an affine that a file may have made up.

    Raises
    ------
    GeometryError
        if it is none, or lies absurdly far away.
    """
    grid = Grid(shape, affine)
    farthest = float(np.abs(grid.corners()).max())
    if not farthest <= FARTHEST:
        raise GeometryError(
            "the affine is absurd",
            got=f"voxels {farthest:.3g} mm from the origin",
            rule=f"at most {FARTHEST:g}",
            hint="mend the header first",
        )
    return grid


def named(error: MedsrError, path: Path, hint: str | None = None) -> MedsrError:
    """The same error with the file's name."""
    return type(error)(f"{path}: {error.what}", got=error.got, rule=error.rule, hint=hint or error.hint)
