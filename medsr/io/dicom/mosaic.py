"""Siemens mosaics: a volume stored as the tiles of one large slice.

Image Position is that of a slice as large as the mosaic, about the same centre as the real one, so the first
tile's is ``position + (row direction) spacing (columns - tile columns) / 2 + (column direction) spacing (rows -
tile rows) / 2``. The header's standard part tells neither the number of tiles nor which way they stack; Siemens'
own part does. Where the protocol lists the slices' positions, the end of the list at which the first tile lies
decides the way (tiles run backwards through the list where the numbering is reversed); else the CSA header's slice
normal does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError, InputError
from medsr.io.dicom.csa import csa_values, protocol_values
from medsr.io.dicom.frames import Frame
from medsr.io.dicom.header import read_header
from medsr.io.dicom.values import private

COUNT = 0x0019100A
BLOCKS = (0x00291010, 0x00291110, 0x00291020, 0x00291120)
_MAX_TILES = 4096
_AXES = ("dSag", "dCor", "dTra")

Vector = NDArray[np.float64]


@dataclass
class _Private:
    """What Siemens' private elements say: tiles, their stacking direction, and the slices' centres (LPS, mm)."""

    count: int | None = None
    normal: Vector | None = None
    centres: Vector | None = None


def tiles(mosaic: Frame) -> list[Frame]:
    """The slices of a mosaic, whose frame is given as if it were one slice.

    Raises
    ------
    InputError
        if the number of tiles is not told or does not fit.
    GeometryError
        if the direction or the spacing of the slices is not told.
    """
    name, told = mosaic.instance.path.name, _read_private(mosaic)
    count = told.count
    if count is None or not 0 < count <= _MAX_TILES:
        raise InputError(f"{name} is a mosaic of an unknown number of slices", hint="keep Siemens' private header")
    side = math.isqrt(count - 1) + 1
    rows, columns = mosaic.shape[0] // side, mosaic.shape[1] // side
    if mosaic.shape[0] % side or mosaic.shape[1] % side:
        raise InputError(
            f"{name} is a mosaic of {count} slices", got=f"{mosaic.shape} voxels, {side} tiles a side"
        )
    row, column = np.array(mosaic.orientation[:3]), np.array(mosaic.orientation[3:])
    first = (
        np.array(mosaic.position)
        + row * mosaic.spacing[1] * (mosaic.shape[1] - columns) / 2
        + column * mosaic.spacing[0] * (mosaic.shape[0] - rows) / 2
    )
    # Siemens counts the centre of a slice at voxel n / 2, not (n - 1) / 2
    centre = first + row * mosaic.spacing[1] * columns / 2 + column * mosaic.spacing[0] * rows / 2
    way = _way(told, np.cross(row, column), centre, mosaic.spacing)
    if way is None:
        raise GeometryError(f"{name} is a mosaic with no slice direction", hint="keep Siemens' private header")
    spacing = mosaic.spacing_between or _spacing(told)
    if spacing is None:
        raise GeometryError(f"{name} is a mosaic with no spacing between slices")
    return [
        replace(
            mosaic,
            corner=(tile // side * rows, tile % side * columns),
            shape=(rows, columns),
            position=tuple(float(v) for v in first + tile * spacing * way),
            spacing_between=spacing,
        )
        for tile in range(count)
    ]


def _way(told: _Private, across: Vector, centre: Vector, spacing: tuple[float, ...]) -> Vector | None:
    """Unit vector from each tile to the next, along `across` or against it."""
    length = float(np.linalg.norm(across))
    if not length > 0.5:
        return None
    across = across / length
    if told.centres is not None and len(told.centres) > 1:
        far = [float(np.linalg.norm(end - centre)) for end in (told.centres[0], told.centres[-1])]
        if min(far) < max(spacing):
            end, start = (told.centres[-1], told.centres[0])[:: 1 if far[0] < far[1] else -1]
            return across * math.copysign(1.0, float((end - start) @ across))
    if told.normal is None:
        return None
    cosine = float(told.normal @ across) / float(np.linalg.norm(told.normal))
    return across * math.copysign(1.0, cosine) if abs(cosine) > 0.99 else None


def _spacing(told: _Private) -> float | None:
    if told.centres is None or len(told.centres) < 2:
        return None
    spacing = float(np.linalg.norm(told.centres[-1] - told.centres[0])) / (len(told.centres) - 1)
    return spacing if 1e-3 < spacing < 1e3 else None


def _read_private(mosaic: Frame) -> _Private:
    data = read_header(mosaic.instance.path, (COUNT, *BLOCKS)).data
    told = _Private(count=_integer(private(data, COUNT)))
    for tag in BLOCKS:
        block = private(data, tag)
        if not isinstance(block, bytes):
            continue
        values = csa_values(block)
        told.count = told.count or _integer(next(iter(values.get("NumberOfImagesInMosaic", [])), None))
        if told.normal is None:
            told.normal = _vector(values.get("SliceNormalVector", []))
        protocol = protocol_values(block)
        listed = _integer(protocol.get("sSliceArray.lSize"))
        told.count = told.count or listed
        if told.count and told.count == listed and told.count <= _MAX_TILES and told.centres is None:
            # a coordinate of 0 has no line of its own
            told.centres = np.array(
                [
                    [protocol.get(f"sSliceArray.asSlice[{n}].sPosition.{axis}", 0.0) for axis in _AXES]
                    for n in range(told.count)
                ]
            )
    return told


def _integer(value: object) -> int | None:
    try:
        return int(float(str(value))) or None
    except (ValueError, OverflowError):
        return None


def _vector(values: list[str]) -> Vector | None:
    try:
        found = np.array([float(v) for v in values])
    except ValueError:
        return None
    return found if found.shape == (3,) and np.isfinite(found).all() and np.linalg.norm(found) > 0.5 else None
