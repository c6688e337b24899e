"""Telling DICOM files by their first bytes, without pydicom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from medsr.io.names import is_file, is_folder, is_image, list_images

PREAMBLE = 128


def is_dicom(path: Path) -> bool:
    """Whether a file starts like DICOM: the DICM prefix, or group 0008 where an old file has no preamble."""
    try:
        with path.open("rb") as file:
            start = file.read(PREAMBLE + 4)
    except OSError:
        return False
    return start[PREAMBLE:] == b"DICM" or is_bare(start)


def is_bare(start: bytes) -> bool:
    """Group 0008, a small even element, then a VR or a small length: a data set without a preamble."""
    if len(start) < 8 or start[:2] != b"\x08\x00" or start[3] > 0x20:
        return False
    return (start[4:6].isalpha() and start[4:6].isupper()) or int.from_bytes(start[4:8], "little") < 1024


def holds_dicom(path: Path) -> bool:
    """Whether `path` is a DICOM file (not called as images are), or a folder with one in it, at any depth.

    A folder with an image of another format right in it is a folder of images.
    """
    if is_file(path):
        return not is_image(path) and is_dicom(path)
    try:
        return is_folder(path) and not list_images(path) and next(dicom_files(path), None) is not None
    except OSError:
        return False


def dicom_files(folder: Path) -> Iterator[Path]:
    """The DICOM files under `folder`, by name; hidden ones, where half-written results lie, are passed over."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and name.upper() != "DICOMDIR" and is_dicom(path):
                yield path
