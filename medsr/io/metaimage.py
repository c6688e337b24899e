"""MetaImage (.mha, .mhd): https://itk.org/Wiki/ITK/MetaIO/Documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from medsr.io.encode import write_voxels
from medsr.io.image import ImageHeader
from medsr.io.itk import data_file, floats, header_lines, integers, numbers, place, refuse, stored_type
from medsr.io.stream import check_file
from medsr.io.voxels import Encoding, stored_bytes
from medsr.volume import ScanFacts, Volume

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


def decode(path: Path) -> ImageHeader:
    """The checked header at `path`.

    Raises
    ------
    InputError, GeometryError
        as `medsr.io.itk.read`.
    """
    fields, end = _fields(path)
    count = _one(path, fields, "NDims", 0)
    if not 2 <= count <= 4:
        refuse(path, "the image has too few or too many axes", f"NDims {count}", "2 to 4 axes")
    if _one(path, fields, "ElementNumberOfChannels", 1) != 1:
        channels = fields["ElementNumberOfChannels"][:20]
        refuse(
            path,
            "the voxels are vectors or colours",
            f"{channels} channels",
            "one number a voxel",
            "extract one channel first",
        )
    shape = integers(path, "DimSize", fields.get("DimSize", ""))
    if len(shape) != count:
        refuse(path, "the header is damaged", f"DimSize {fields.get('DimSize', '')[:60]!r}", f"{count} numbers")
    spacing = _several(path, fields, ("ElementSpacing", "ElementSize"), [1.0] * count, count)
    origin = _several(path, fields, ("Offset", "Position", "Origin"), [0.0] * count, count)
    names = ("TransformMatrix", "Rotation", "Orientation")
    matrix = _several(path, fields, names, list(np.eye(count).ravel()), count * count)
    vectors = np.array(matrix).reshape(count, count) * np.array(spacing)[:, None]
    grid, frames, step = place(path, shape, vectors, origin)
    notes = []
    if not any(name in fields for name in names):
        notes.append("the header has no orientation; the axes are taken to point left, back and up")
    if count == 2:
        notes.append("a plane image: a slice of 1 mm at height 0 is assumed")
    encoding = _encoding(path, fields, end)
    if encoding.skip < 0:  # the voxels are the last bytes of the file
        encoding = Encoding(
            encoding.path,
            encoding.dtype,
            compressed=False,
            start=check_file(encoding.path) - stored_bytes(encoding, grid.shape, frames),
        )
        if encoding.start < 0:
            refuse(
                encoding.path,
                "the file is cut short",
                f"{check_file(encoding.path)} bytes",
                "it has to hold all voxels its header tells of",
            )
    tr = step if frames is not None and step is not None and step > 0 and step != 1 else None
    return ImageHeader(path, "MetaImage", grid, frames, encoding, ScanFacts(tr=tr), tuple(notes))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    lines, end = header_lines(path, lambda line: line.partition("=")[0].strip() == "ElementDataFile")
    fields: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if line.strip() and not equals:
            refuse(path, "this is not a MetaImage", f"a line {line[:40]!r}", "lines are 'Key = value'")
        fields[key.strip()] = value.strip()
    if fields.get("ObjectType", "Image").lower() != "image":
        refuse(path, "this is not an image", f"ObjectType {fields['ObjectType'][:40]}", "ObjectType = Image")
    return fields, end


def _one(path: Path, fields: dict[str, str], key: str, default: int) -> int:
    values = integers(path, key, fields.get(key, str(default)))
    if len(values) != 1:
        refuse(path, "the header is damaged", f"{key} {fields[key][:60]!r}", "one whole number")
    return values[0]


def _several(
    path: Path, fields: dict[str, str], keys: tuple[str, ...], default: list[float], count: int
) -> list[float]:
    key = next((k for k in keys if k in fields), None)
    if key is None:
        return default
    values = floats(path, key, fields[key])
    if len(values) != count:
        refuse(path, "the header is damaged", f"{key} {fields[key][:60]!r}", f"{count} numbers")
    return values


def _encoding(path: Path, fields: dict[str, str], end: int) -> Encoding:
    """The encoding; a skip of -1 stands for voxels at the end of the file."""
    kind = fields.get("ElementType", "")
    if kind not in TYPES:
        refuse(path, "the voxels are not real numbers", f"ElementType {kind[:40]!r}", f"one of {', '.join(TYPES)}")
    if not _true(fields.get("BinaryData", "True")):
        refuse(
            path,
            "the voxels are written as text",
            "BinaryData = False",
            "binary voxels",
            "save it again as binary",
        )
    big = _true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")))
    dtype = np.dtype((">" if big else "<") + TYPES[kind])
    skip = _one(path, fields, "HeaderSize", 0)
    compressed = _true(fields.get("CompressedData", "False"))
    if skip < -1 or (skip == -1 and compressed):
        refuse(path, "the header is damaged", f"HeaderSize {skip}", "bytes before the voxels, or -1 where plain")
    name = fields["ElementDataFile"]
    local = name.upper() == "LOCAL"
    where = path if local else data_file(path, name)
    # HeaderSize is of the file with the voxels: it cannot be skipped within a compressed stream
    start = end if local else max(0, skip)
    return Encoding(where, dtype, start=start, skip=-1 if skip == -1 and not local else 0, compressed=compressed)


def _true(text: str) -> bool:
    return text[:1].lower() in ("t", "1")


def encode(volume: Volume, path: Path, dtype: DTypeLike, description: str) -> None:
    """Write `volume` to `path`; the same volume gives the same bytes.

    Raises
    ------
    UsageError
        if the values do not fit `dtype`.
    """
    stored = stored_type(volume, dtype)
    grid, series = volume.grid, volume.data.ndim == 4
    flip = np.array([-1.0, -1.0, 1.0])
    count = 4 if series else 3
    matrix = np.eye(count)
    matrix[:3, :3] = (flip[:, None] * grid.direction).T
    spacing = [*grid.spacing, *([volume.facts.tr or 1.0] if series else [])]
    origin = [*(flip * grid.affine[:3, 3]), *([0.0] if series else [])]
    shape = [*grid.shape, *(volume.data.shape[:1] if series else ())]
    lines = {
        "ObjectType": "Image",
        "NDims": str(count),
        "Comment": " ".join(description.split()) or "medsr",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": " ".join(numbers(matrix.ravel())),
        "Offset": " ".join(numbers(origin)),
        "CenterOfRotation": " ".join(["0"] * count),
        "ElementSpacing": " ".join(numbers(spacing)),
        "DimSize": " ".join(map(str, shape)),
        "ElementType": {v: k for k, v in reversed(TYPES.items())}[stored.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    with path.open("wb") as file:
        file.write("".join(f"{key} = {value}\n" for key, value in lines.items()).encode("latin-1", "replace"))
        write_voxels(file, volume.data, stored)
