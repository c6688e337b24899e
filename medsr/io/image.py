"""What is known of an image before its voxels are read, and the reading of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from medsr.errors import GeometryError, MedsrError
from medsr.io.voxels import Encoding, check_shape, check_size, read_voxels
from medsr.volume import Grid, ScanFacts, Volume


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

    def load(self, max_bytes: int | None = None) -> Volume:
        """The image.

        Raises
        ------
        InputError
            if the voxels are damaged or not those of an image.
        MemoryLimitError
            if they take more than `max_bytes`, or do not fit in memory.
        """
        data, notes = read_voxels(self.encoding, self.grid.shape, self.frames, max_bytes)
        return Volume(
            data, self.grid, self.facts, self.notes + notes, source=str(self.path), xform_code=self.xform_code
        )


def named_grid(path: Path, shape: tuple[int, int, int], affine: object, hint: str | None = None) -> Grid:
    """The grid, or a GeometryError that names the file."""
    check_shape(path, shape, None)
    try:
        return Grid(shape, affine)  # type: ignore[arg-type]
    except GeometryError as error:
        raise named(error, path, hint) from None


def named(error: MedsrError, path: Path, hint: str | None = None) -> MedsrError:
    """The same error with the file's name."""
    return type(error)(f"{path}: {error.what}", got=error.got, rule=error.rule, hint=hint or error.hint)
