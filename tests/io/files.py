"""Images written byte by byte or by other libraries, never by medsr's own writers."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Rotation by angles in degrees about x, then y, then z."""
    out = np.eye(3)
    for axis, angle in enumerate(np.radians([x, y, z])):
        turn = np.eye(3)
        a, b = (i for i in range(3) if i != axis)
        turn[[a, b], [a, b]] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out


def affine(columns: NDArray[np.float64], origin: tuple[float, float, float]) -> NDArray[np.float64]:
    out = np.eye(4)
    out[:3, :3] = columns
    out[:3, 3] = origin
    return out


GEOMETRIES: dict[str, tuple[tuple[int, int, int], NDArray[np.float64]]] = {
    "plain": ((7, 6, 5), affine(np.diag([1.0, 1.0, 1.0]), (-3, -2, 10))),
    "anisotropic": ((9, 8, 4), affine(np.diag([0.7, 0.9, 5.0]), (-40.5, 12.25, -7))),
    "oblique": ((7, 6, 5), affine(rotation(20, -35, 50) * [0.9, 1.1, 4.0], (-80, 33.3, 12))),
    "flipped": ((7, 6, 5), affine(np.diag([-1.0, -1.2, 3.0]), (90, 120, -70))),
    "left-handed": ((7, 6, 5), affine(np.diag([-1.0, 1.2, 3.0]), (90, -120, -70))),
    "left-handed oblique": ((5, 6, 7), affine(rotation(-70, 10, 5) @ np.diag([1.0, 1.0, -2.5]), (1, 2, 3))),
    "sagittal": ((6, 7, 5), affine(np.array([[0, 0, 4.0], [0.8, 0, 0], [0, -0.8, 0]]), (-30, -90, 110))),
    "single slice": ((8, 7, 1), affine(rotation(5, 5, 5) * [1, 1, 8.0], (0, 0, 55))),
    "one row": ((8, 1, 6), affine(np.diag([2.0, 2.0, 2.0]), (0, 0, 0))),
    "far": ((5, 5, 5), affine(rotation(1, 2, 3) * [0.5, 0.5, 0.5], (1500.25, -900.5, 2000.125))),
}


def values(shape: tuple[int, ...], seed: int = 0, dtype: str = "f4") -> NDArray[Any]:
    """Every voxel a value of its own, so that a swapped axis shows."""
    order = np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape)
    return (order + 1).astype(dtype)


def nifti_bytes(
    data: NDArray[Any],
    *,
    version: int = 1,
    endian: str = "<",
    paired: bool = False,
    matrix: NDArray[np.float64] | None = None,
    raw: dict[str, Any] | None = None,
) -> tuple[bytes, bytes]:
    """Header (with its four extension bytes) and voxels of a NIfTI image; `raw` overwrites header fields."""
    kind = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    header = kind(endianness=endian, check=False)
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    matrix = np.diag([1.0, 1.0, 1.0, 1.0]) if matrix is None else matrix
    header.set_qform(matrix, 1)
    header.set_sform(matrix, 1)
    header.set_xyzt_units("mm", "sec")
    size = 348 if version == 1 else 540
    header["vox_offset"] = 0 if paired else size + 4
    if version == 1:
        header["magic"] = b"ni1" if paired else b"n+1"
    else:
        header["magic"] = b"ni2\0\r\n\x1a\n" if paired else b"n+2\0\r\n\x1a\n"
    for name, value in (raw or {}).items():
        field, _, index = name.partition(".")
        if index:
            header._structarr[field][int(index)] = value
        else:
            header._structarr[field] = value
    return bytes(header.binaryblock) + bytes(4), data.astype(data.dtype.newbyteorder(endian)).tobytes("F")


def nifti_file(path: Path, data: NDArray[Any] | None = None, **options: Any) -> Path:
    """A NIfTI file; gzipped where its name ends so."""
    blob = b"".join(nifti_bytes(values((6, 5, 4)) if data is None else data, **options))
    path.write_bytes(gzip.compress(blob, 1, mtime=0) if path.name.endswith(".gz") else blob)
    return path


NRRD = {
    "type": "float",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "6 5 4",
    "space directions": "(1,0,0) (0,1,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-3,4,5)",
}


def nrrd_file(
    path: Path,
    data: NDArray[Any] | None = None,
    change: dict[str, str | None] | None = None,
    blob: bytes | None = None,
) -> Path:
    """An NRRD file; `change` overwrites header fields or (None) leaves them out."""
    fields = {k: v for k, v in {**NRRD, **(change or {})}.items() if v is not None}
    raw = (values((6, 5, 4)) if data is None else data).tobytes("F")
    if fields.get("encoding") in ("gzip", "gz"):
        raw = gzip.compress(raw, 1, mtime=0)
    head = "NRRD0004\n# a comment\n" + "".join(f"{k}: {v}\n" for k, v in fields.items()) + "note:=hello\n\n"
    path.write_bytes(head.encode() + (raw if blob is None else blob))
    return path


META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-3 4 5",
    "CenterOfRotation": "0 0 0",
    "ElementSpacing": "1 1 2.5",
    "DimSize": "6 5 4",
    "ElementType": "MET_FLOAT",
    "ElementDataFile": "LOCAL",
}


def meta_file(
    path: Path,
    data: NDArray[Any] | None = None,
    change: dict[str, str | None] | None = None,
    blob: bytes | None = None,
) -> Path:
    """A MetaImage file; `change` overwrites header fields or (None) leaves them out."""
    fields = {k: v for k, v in {**META, **(change or {})}.items() if v is not None}
    fields.update({k: fields.pop(k) for k in ("ElementDataFile",) if k in fields})  # the last line, always
    raw = (values((6, 5, 4)) if data is None else data).tobytes("F") if blob is None else blob
    path.write_bytes("".join(f"{k} = {v}\n" for k, v in fields.items()).encode() + raw)
    return path
