"""Readers and writers of images.

`open_volume` and `save_volume` choose the format by the suffix of the name; nothing heavy is imported before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medsr.errors import InputError, OutputError
from medsr.io.names import (
    IMAGE_SUFFIXES,
    ITK_SUFFIXES,
    NIFTI_SUFFIXES,
    companions,
    image_suffix,
    is_image,
    list_images,
    stem,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from medsr.io.image import Header
    from medsr.volume import Volume

__all__ = [
    "IMAGE_SUFFIXES",
    "WRITTEN_SUFFIXES",
    "companions",
    "is_image",
    "list_images",
    "open_header",
    "open_volume",
    "save_volume",
    "stem",
    "write_volume",
]

WRITTEN_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def open_header(path: str | Path, series: str | None = None) -> Header:
    """The checked header of the scan at `path`, an image's sidecar included; no voxel is read.

    Raises
    ------
    InputError, GeometryError
        as `open_volume`, as far as the header and the size of the file tell.
    """
    from medsr.io import itk, nifti, sidecar
    from medsr.io.scans import Scan
    from medsr.io.stream import check_file

    path = Path(path)
    scan = Scan(path, series)
    if scan.is_dicom:
        return scan.header()
    suffix = image_suffix(path)
    if suffix in NIFTI_SUFFIXES:
        return sidecar.merge(nifti.read_header(path))
    if suffix in ITK_SUFFIXES:
        return sidecar.merge(itk.read_header(path))
    check_file(path)
    raise InputError(
        f"{path}: this is not the name of an image that medsr reads",
        rule=f"the suffix is one of {', '.join(IMAGE_SUFFIXES)}",
    )


def open_volume(
    path: str | Path,
    *,
    series: str | None = None,
    max_bytes: int | None = None,
    allow_constant: bool = False,
) -> Volume:
    """The scan at `path` as float32, with what its header or its sidecar says of the acquisition.

    Parameters
    ----------
    path : NIfTI (.nii, .nii.gz, .hdr/.img), NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd); a folder of DICOM
        files, or one of them.
    series : which series of a DICOM folder: its number, its UID or its description; by default the only one.
    max_bytes : refuse an image whose voxels take more memory than this.
    allow_constant : accept voxels that are all the same; for maps and masks, which are no scans.

    Raises
    ------
    InputError
        if there is no such image, or it is damaged, cut short or empty of content.
    GeometryError
        if its affine is not finite, singular or sheared.
    MemoryLimitError
        if it takes more than `max_bytes`.
    """
    return open_header(path, series).load(max_bytes, allow_constant=allow_constant)


def write_volume(
    volume: Volume, path: str | Path, *, dtype: DTypeLike = "float32", description: str = "medsr"
) -> None:
    """Write an image in the format of the suffix (.nii, .nii.gz, .nrrd, .mha), straight to `path`.

    Use it within a `medsr.io.atomic.Transaction`; `save_volume` is the same for a single file.

    Raises
    ------
    OutputError
        if no image is written under such a name.
    UsageError
        if the voxels cannot be stored as `dtype`.
    """
    suffix = image_suffix(path)
    if suffix not in WRITTEN_SUFFIXES:
        raise OutputError(
            f"{path}: no image is written under this name",
            rule=f"the suffix is one of {', '.join(WRITTEN_SUFFIXES)}",
        )
    from medsr.io import itk, nifti

    write = nifti.write if suffix in NIFTI_SUFFIXES else itk.write
    write(volume, path, dtype=dtype, description=description)


def save_volume(
    volume: Volume,
    path: str | Path,
    *,
    dtype: DTypeLike = "float32",
    description: str = "medsr",
    force: bool = False,
) -> None:
    """Write an image in one step: `path` is whole, or as it was.

    Raises
    ------
    OutputError
        if `path` exists and `force` is not given, or it cannot be written.
    UsageError
        if the voxels cannot be stored as `dtype`.
    """
    from medsr.io.atomic import Transaction

    with Transaction(force=force) as transaction:
        write_volume(volume, transaction.path(path), dtype=dtype, description=description)
