"""The formats of ITK and Slicer: NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd).

Both are a header of text and Fortran-ordered voxels, so they are decoded here like NIfTI, by the same checked and
bounded stream, rather than by a library that accepts voxels cut in half and trusts the sizes it is told.
Their world is LPS+ (to the left, to the back, up); ours is RAS+.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medsr.errors import GeometryError, InputError, OutputError, UsageError
from medsr.io.encode import scaling, storable
from medsr.io.image import ImageHeader, named, sound_grid
from medsr.io.names import image_suffix, is_file
from medsr.io.stream import ByteStream
from medsr.io.voxels import check_shape
from medsr.volume import Grid, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

MAX_HEADER = 1 << 20
"""Bytes; a header of text is a few hundred, a few thousand with gradient tables."""

MAX_LINE = 1 << 16

FORM_TOLERANCE = 1e-3


def read(path: str | Path, max_bytes: int | None = None) -> Volume:
    """The image at `path` as float32, ``(x, y, z)`` or ``(t, x, y, z)``, world coordinates turned to RAS+.

    Parameters
    ----------
    path : .nrrd, .nhdr, .mha or .mhd; the voxels plain or deflated, in the same file or beside it.
    max_bytes : refuse an image that takes more memory than this.

    Raises
    ------
    InputError
        if the file is no such image, has colours, vectors or more than one axis besides those of space, or is
        damaged, cut short or empty of content.
    GeometryError
        if its axes are not finite, singular or sheared.
    MemoryLimitError
        if it takes more than `max_bytes`.
    """
    return read_header(path).load(max_bytes)


def read_header(path: str | Path) -> ImageHeader:
    """The checked header of the image at `path`; the file is known to be large enough for what it claims.

    Raises
    ------
    InputError, GeometryError
        as `read`.
    """
    from medsr.io import metaimage, nrrd

    path = Path(path)
    decode = nrrd.decode if image_suffix(path) in (".nrrd", ".nhdr") else metaimage.decode
    with np.errstate(all="ignore"):  # absurd numbers overflow before they are refused
        return decode(path).check_size()


def write(volume: Volume, path: str | Path, *, dtype: DTypeLike = "float32", description: str = "medsr") -> None:
    """Write a volume as NRRD (.nrrd, gzipped voxels) or MetaImage (.mha, plain voxels) by the suffix of `path`.

    Parameters
    ----------
    volume : data (x, y, z) or (t, x, y, z).
    path : the file, which is overwritten.
    dtype : of the stored voxels. These formats have no scale, so an integer type takes whole numbers only.
    description : put into the header where the format has room for it.

    Raises
    ------
    UsageError
        if the values do not fit `dtype` as they are.
    OutputError
        if the suffix is not .nrrd or .mha.
    """
    from medsr.io import metaimage, nrrd

    path = Path(path)
    writers: dict[str, Callable[[Volume, Path, DTypeLike, str], None]] = {
        ".nrrd": nrrd.encode,
        ".mha": metaimage.encode,
    }
    if image_suffix(path) not in writers:
        raise OutputError(f"{path}: no image is written under this name", rule="the suffix is .nrrd or .mha")
    writers[image_suffix(path)](volume, path, dtype, description)


def header_lines(path: Path, last: Callable[[str], bool], *, open_ended: bool = False) -> tuple[list[str], int]:
    """The lines of a text header up to the one that `last` knows, and the offset of the byte after it.

    open_ended : whether the end of the file ends the header, too.

    Raises
    ------
    InputError
        if the header does not end within `MAX_HEADER` bytes.
    """
    with ByteStream(path, compressed=False) as stream:
        head = bytes(stream.read_up_to(MAX_HEADER))
    lines: list[str] = []
    position = 0
    while (end := head.find(b"\n", position)) >= 0 and end - position <= MAX_LINE:
        line = head[position:end].rstrip(b"\r").decode("latin-1")
        position = end + 1
        lines.append(line)
        if last(line):
            return lines, position
    if len(head) < MAX_HEADER:  # the header alone, without a newline at its end
        line = head[position:].rstrip(b"\r").decode("latin-1")
        lines.append(line)
        if last(line) or open_ended:
            return lines, len(head)
    raise InputError(
        f"{path}: the header has no end",
        rule=f"it is text of at most {MAX_HEADER} bytes",
        hint="the file is damaged or something else; export it again",
    )


def data_file(path: Path, name: str) -> Path:
    """The file of voxels that a detached header names: a plain path within the header's folder.

    Raises
    ------
    InputError
        if it is missing or lies elsewhere, or there are several.
    """
    inner = Path(name)
    if not name or name.upper().startswith("LIST") or "%" in name or (len(name.split()) > 1 and _is_pattern(name)):
        refuse(path, "the voxels are spread over several files", name[:80], "one file holds them")
    if inner.is_absolute() or ".." in inner.parts or ":" in name or "\\" in name or "\0" in name:
        refuse(
            path,
            "the voxels lie outside the header's folder",
            name[:80],
            "a detached header names a file beside it",
        )
    found = path.parent / inner
    if not is_file(found):
        refuse(path, "the voxels are missing", name[:80], "the file that the header names lies beside it")
    return found


def _is_pattern(name: str) -> bool:
    return all(part.lstrip("-").isdigit() for part in name.split()[1:])


def refuse(path: Path, what: str, got: object, rule: str, hint: str | None = None) -> NoReturn:
    """Raise an InputError that names the file."""
    raise InputError(f"{path}: {what}", got=got, rule=rule, hint=hint)


def integers(path: Path, field: str, text: str) -> list[int]:
    """The whole numbers of a header's field."""
    try:
        return [int(word) for word in text.split()]
    except ValueError:
        refuse(path, "the header is damaged", f"{field} {text[:60]!r}", "whole numbers")


def floats(path: Path, field: str, text: str) -> list[float]:
    """The numbers of a header's field; they may be NaN, which the grid refuses."""
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        refuse(path, "the header is damaged", f"{field} {text[:60]!r}", "numbers")


def place(
    path: Path,
    shape: Sequence[int],
    vectors: NDArray[np.float64],
    origin: Sequence[float],
    to_ras: NDArray[np.float64] = LPS_TO_RAS,
) -> tuple[Grid, int | None, float | None]:
    """Grid, number of frames and their distance, of an image of 2 to 4 axes all of which have a direction.

    Parameters
    ----------
    shape : voxels along the axes, the fastest first.
    vectors : (n, n) steps along the axes, in rows.
    origin : (n,) of the first voxel's centre.
    to_ras : (3, 3) from the file's world to RAS+.
    """
    count = len(shape)
    frames = shape[3] if count == 4 else None
    step = None
    if count == 4:
        cross = np.abs(np.concatenate([vectors[3, :3], vectors[:3, 3]]))
        if not np.isfinite(vectors).all() or cross.max() > FORM_TOLERANCE * np.abs(vectors[:3, :3]).max():
            refuse(path, "the fourth axis is mixed with those of space", "a skew direction", "it is time alone")
        step = float(vectors[3, 3])
    space = np.eye(3)
    width = min(3, count)
    space[:width, :width] = vectors[:width, :width]
    corner = np.zeros(3)
    corner[:width] = origin[:width]
    affine = np.eye(4)
    affine[:3, :3] = to_ras @ space.T
    affine[:3, 3] = to_ras @ corner
    padded = [*shape[:3], 1, 1][:3]
    check_shape(path, (padded[0], padded[1], padded[2]), frames)
    if frames == 1:
        frames = None
    try:
        return sound_grid((padded[0], padded[1], padded[2]), affine), frames, step
    except GeometryError as error:
        raise named(error, path) from None


def stored_type(volume: Volume, dtype: DTypeLike) -> np.dtype[np.generic]:
    """The little-endian type to store, for formats that have no scale.

    Raises
    ------
    UsageError
        if the values do not fit as they are.
    """
    stored = storable(dtype)
    if scaling(volume.data, stored) != (1.0, 0.0):
        raise UsageError(
            f"the values do not fit {stored.name} without a scale",
            rule="NRRD and MetaImage keep none",
            hint="write float32, or NIfTI",
        )
    return stored


def numbers(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    """Numbers as the shortest text that gives the same float64."""
    return [repr(float(v) + 0.0) for v in values]
