"""NRRD (.nrrd, .nhdr): https://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medsr.io.encode import GZIP_LEVEL, write_voxels
from medsr.io.image import ImageHeader
from medsr.io.itk import LPS_TO_RAS, data_file, floats, header_lines, integers, numbers, place, refuse, stored_type
from medsr.io.stream import ByteStream, check_file
from medsr.io.voxels import Encoding, check_shape, stored_bytes
from medsr.volume import ScanFacts, Volume

TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}

SPACES = {
    "right-anterior-superior": np.eye(3),
    "ras": np.eye(3),
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0]),
    "las": np.diag([-1.0, 1.0, 1.0]),
    "left-posterior-superior": LPS_TO_RAS,
    "lps": LPS_TO_RAS,
}

LENGTHS = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "μm": 1e-3}

FRAME_KINDS = ("list", "time")
SPACE_KINDS = ("domain", "space", "???", "none", "")


def decode(path: Path) -> ImageHeader:
    """The checked header at `path`.

    Raises
    ------
    InputError, GeometryError
        as `medsr.io.itk.read`.
    """
    fields, end = _fields(path)
    shape = integers(path, "sizes", fields.get("sizes", ""))
    dimension = integers(path, "dimension", fields.get("dimension", ""))
    if len(dimension) != 1 or len(shape) != dimension[0]:
        got = f"dimension {fields.get('dimension', '')[:20]!r}, sizes {fields.get('sizes', '')[:60]!r}"
        refuse(path, "the header is damaged", got, "as many sizes as dimensions")
    if not 2 <= len(shape) <= 4:
        refuse(path, "the image has too few or too many axes", f"{len(shape)}", "2 to 4 axes")
    notes: list[str] = []
    frame_axis = _frame_axis(path, fields, shape)
    vectors, origin = _vectors(path, fields, len(shape), frame_axis, notes)
    space_axes = [a for a in range(len(shape)) if a != frame_axis]
    grid, frames, step = place(
        path,
        [shape[a] for a in space_axes],
        vectors,
        origin,
        _to_ras(fields, notes),
    )
    first = frame_axis == 0
    if frame_axis is not None:
        frames = shape[frame_axis] if shape[frame_axis] != 1 else None
        check_shape(path, grid.shape, frames)
    if len(space_axes) == 2:
        notes.append("a plane image: a slice of 1 mm at height 0 is assumed")
    encoding = _encoding(path, fields, end, frames_first=first)
    if encoding.skip < 0:
        start = check_file(encoding.path) - stored_bytes(encoding, grid.shape, frames)
        if start < 0:
            refuse(
                encoding.path,
                "the file is cut short",
                f"{check_file(encoding.path)} bytes",
                "it has to hold all voxels its header tells of",
            )
        encoding = Encoding(encoding.path, encoding.dtype, start=start, compressed=False, frames_first=first)
    tr = step if frames is not None and step is not None and step > 0 and step != 1 else None
    return ImageHeader(path, "NRRD", grid, frames, encoding, ScanFacts(tr=tr), tuple(notes))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    with ByteStream(path, compressed=False) as stream:
        mark = bytes(stream.read_up_to(8))
    if not re.fullmatch(rb"NRRD000[1-5]", mark):
        refuse(path, "this is not an NRRD image", f"mark {mark!r}", "the file begins with NRRD0001 to NRRD0005")
    lines, end = header_lines(path, lambda line: line == "", open_ended=True)
    fields: dict[str, str] = {}
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        if not line or line.startswith("#") or value.startswith("="):  # a comment, or somebody's own field
            continue
        if not colon:
            refuse(path, "the header is damaged", f"a line {line[:40]!r}", "lines are 'field: value'")
        fields[key.strip().lower()] = value.strip()
    return fields, end


def _words(path: Path, fields: dict[str, str], name: str, count: int) -> list[str] | None:
    """The words of a field that has one for every axis; None where it is missing."""
    if name not in fields:
        return None
    words = re.findall(r"\([^)]*\)|\"[^\"]*\"|[^\s()\"]+", fields[name])
    if len(words) != count:
        refuse(path, "the header is damaged", f"{name} {fields[name][:60]!r}", f"{count} entries, one an axis")
    return words


def _frame_axis(path: Path, fields: dict[str, str], shape: list[int]) -> int | None:
    """The axis that is not one of space, if there is one."""
    kinds = [k.lower() for k in _words(path, fields, "kinds", len(shape)) or [""] * len(shape)]
    directions = _words(path, fields, "space directions", len(shape)) or [""] * len(shape)
    found = [a for a in range(len(shape)) if directions[a].lower() == "none" or kinds[a] not in SPACE_KINDS]
    if not found:
        return None
    axis = found[0]
    unnamed = kinds[axis] in SPACE_KINDS and (axis == len(shape) - 1 or shape[axis] == 1)
    if len(found) > 1 or not (kinds[axis] in FRAME_KINDS or unnamed):
        got = f"kinds {' '.join(k or '?' for k in kinds)}, sizes {' '.join(map(str, shape))}"
        refuse(
            path,
            "the voxels are vectors or colours",
            got,
            "at most one axis besides those of space, a list or time",
            "extract one channel first",
        )
    return axis


def _vectors(
    path: Path, fields: dict[str, str], dimension: int, frame_axis: int | None, notes: list[str]
) -> tuple[NDArray[np.float64], list[float]]:
    """Steps along the axes of space, in rows, and the place of the first voxel."""
    axes = [a for a in range(dimension) if a != frame_axis]
    count = len(axes)
    directions = _words(path, fields, "space directions", dimension)
    if directions is None:
        notes.append("the header has no orientation; the axes are taken to point left, back and up")
        words = _words(path, fields, "spacings", dimension)
        if words is None:
            notes.append("the header has no spacing; 1 mm is assumed")
            return np.eye(count), [0.0] * count
        return np.diag(floats(path, "spacings", " ".join(words[a] for a in axes))), [0.0] * count
    rows = [_vector(path, "space directions", directions[a], count) for a in axes]
    origin = (
        _vector(path, "space origin", fields["space origin"], count) if "space origin" in fields else [0.0] * count
    )
    scale = _scale(path, fields, count, notes)
    return np.array(rows) * scale, [scale * v for v in origin]


def _vector(path: Path, field: str, text: str, count: int) -> list[float]:
    values = floats(path, field, text.strip().strip("()").replace(",", " "))
    if len(values) != count:
        refuse(path, "the header is damaged", f"{field} {text[:60]!r}", f"vectors of {count} numbers")
    return values


def _scale(path: Path, fields: dict[str, str], count: int, notes: list[str]) -> float:
    """Millimetres in the unit of space."""
    words = _words(path, fields, "space units", count) or []
    units = {w.strip('"').lower() for w in words[:3]}
    if not units:
        return 1.0
    unit = units.pop()
    if units or unit not in LENGTHS:
        notes.append(f"lengths in {fields['space units'][:40]} are taken as mm")
        return 1.0
    if LENGTHS[unit] != 1:
        notes.append(f"lengths are in {unit} and were converted to mm")
    return LENGTHS[unit]


def _to_ras(fields: dict[str, str], notes: list[str]) -> NDArray[np.float64]:
    name = fields.get("space", "").lower()
    name = name.removesuffix("-time") if "-" in name else name[:3] if len(name) == 4 else name
    if name not in SPACES and "space directions" in fields:
        notes.append("the header does not name its space; left-posterior-superior is assumed, as ITK does")
    return SPACES.get(name, LPS_TO_RAS)


def _encoding(path: Path, fields: dict[str, str], end: int, *, frames_first: bool) -> Encoding:
    """The encoding; a skip of -1 stands for voxels at the end of the file."""
    kind = fields.get("type", "").lower()
    code = next((c for c, names in TYPES.items() if kind in names), None)
    if code is None:
        refuse(path, "the voxels are not real numbers", f"type {kind[:40]!r}", "an integer type, float or double")
    endian = fields.get("endian", "little" if code[1] == "1" else "").lower()
    if endian not in ("little", "big"):
        refuse(path, "the header is damaged", f"endian {endian[:20]!r}", "little or big")
    packing = fields.get("encoding", "").lower()
    if packing not in ("raw", "gzip", "gz"):
        refuse(
            path,
            "the encoding of the voxels is not read",
            packing[:20] or "none",
            "raw or gzip",
            "save it again as one of these",
        )
    compressed = packing != "raw"
    (lines,) = _count(path, fields, "line skip", "lineskip")
    (skip,) = _count(path, fields, "byte skip", "byteskip")
    if lines != 0 or skip < -1 or (skip == -1 and compressed):
        refuse(
            path,
            "the voxels begin at an odd place",
            f"line skip {lines}, byte skip {skip}",
            "a byte skip of 0 or more, or -1 where the voxels are raw, and no line skip",
        )
    name = fields.get("data file", fields.get("datafile"))
    where, start = (path, end) if name is None else (data_file(path, name), 0)
    return Encoding(
        where,
        np.dtype(("<" if endian == "little" else ">") + code),
        start,
        skip,
        compressed,
        frames_first=frames_first,
    )


def _count(path: Path, fields: dict[str, str], *names: str) -> list[int]:
    text = next((fields[n] for n in names if n in fields), "0")
    values = integers(path, names[0], text)
    if len(values) != 1:
        refuse(path, "the header is damaged", f"{names[0]} {text[:40]!r}", "one whole number")
    return values


def encode(volume: Volume, path: Path, dtype: DTypeLike, description: str) -> None:
    """Write `volume` to `path`, voxels gzipped; the same volume gives the same bytes.

    Raises
    ------
    UsageError
        if the values do not fit `dtype`.
    """
    stored = stored_type(volume, dtype)
    grid, series = volume.grid, volume.data.ndim == 4
    lps = LPS_TO_RAS @ grid.affine[:3]
    rows, origin = [list(row) for row in lps[:, :3].T], list(lps[:, 3])
    shape = list(grid.shape)
    if series:
        rows = [[*row, 0.0] for row in rows] + [[0.0, 0.0, 0.0, volume.facts.tr or 1.0]]
        origin.append(0.0)
        shape.append(volume.data.shape[0])
    head = (
        "NRRD0005",
        f"# {' '.join(description.split())}",
        f"type: {TYPES[stored.str[1:]][0] if stored.kind == 'f' else stored.name}",
        f"dimension: {len(shape)}",
        f"space: left-posterior-superior{'-time' if series else ''}",
        f"sizes: {' '.join(map(str, shape))}",
        f"space directions: {' '.join(_text(row) for row in rows)}",
        f"kinds: {' '.join(['domain'] * len(shape))}",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_text(origin)}",
    )
    with path.open("wb") as file:
        file.write(("\n".join(head) + "\n\n").encode("latin-1", "replace"))
        with gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
            write_voxels(packed, volume.data, stored)


def _text(vector: list[float]) -> str:
    return f"({','.join(numbers(vector))})"
