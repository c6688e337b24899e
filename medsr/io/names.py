"""File names: which are images, and what is left of a name without its suffix."""

from __future__ import annotations

import os
from pathlib import Path

NIFTI_SUFFIXES = (".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)
"""Suffixes of the images that are read, the longer of two that end alike first."""


RAW_SUFFIX = ".h5"
"""Of raw data (MRD)."""


def is_raw(path: str | Path) -> bool:
    """Whether the name is that of raw data."""
    name = Path(path).name
    return not name.startswith(".") and name.lower().endswith(RAW_SUFFIX)


def image_suffix(path: str | Path) -> str:
    """The image suffix of `path` in lower case (".nii.gz"), or "" where it has none."""
    name = Path(path).name.lower()
    return next((s for s in IMAGE_SUFFIXES if name.endswith(s)), "")


def is_image(path: str | Path) -> bool:
    """Whether the name is that of an image (hidden files, such as macOS's "._scan.nii", are not)."""
    name = Path(path).name
    return not name.startswith(".") and image_suffix(name) not in ("", name.lower())


def stem(path: str | Path) -> str:
    """The name without its folder and image suffix: "sub-01_T1w" of "a/sub-01_T1w.nii.gz"."""
    path = Path(path)
    suffix = image_suffix(path)
    return path.name[: -len(suffix)] if suffix else path.stem


def list_images(folder: str | Path) -> list[Path]:
    """The images right in `folder`, sorted by name; of a pair (.hdr, .img) the header alone."""
    found = {p for p in Path(folder).iterdir() if is_image(p) and is_file(p)}
    return sorted(p for p in found if not (is_data_half(p) and any(h in found for h in header_halves(p))))


def list_raw(folder: str | Path) -> list[Path]:
    """The raw data right in `folder`, sorted by name."""
    return sorted(p for p in Path(folder).iterdir() if is_raw(p) and is_file(p))


def is_data_half(path: str | Path) -> bool:
    """Whether the name is that of a pair's voxels (.img), which a header (.hdr) describes."""
    return image_suffix(path) in (".img", ".img.gz")


def header_halves(path: Path) -> list[Path]:
    """Where the header of the voxels at `path` (.img, .img.gz) may be, likeliest first."""
    return _other_half(path, "hdr")


def data_halves(path: Path) -> list[Path]:
    """Where the voxels of the header at `path` (.hdr, .hdr.gz) may be, likeliest first."""
    return _other_half(path, "img")


def is_file(path: str | Path) -> bool:
    """Whether there is a file at `path`; absurd names are none, and no error."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises on a name that is too long


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder at `path`; absurd names are none, and no error."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def companions(path: str | Path) -> tuple[Path, ...]:
    """The b-value and b-vector tables (.bval, .bvec) that lie beside an image and share its name."""
    path = Path(path)
    beside = [path.with_name(stem(path) + suffix) for suffix in (".bval", ".bvec")]
    return tuple(p for p in beside if is_file(p))


def _other_half(path: Path, wanted: str) -> list[Path]:
    suffix = path.name[-len(image_suffix(path)) :]
    other = wanted.upper() if suffix[1:4].isupper() else wanted
    packed = [".gz", ""] if suffix.lower().endswith(".gz") else ["", ".gz"]
    return [path.with_name(f"{stem(path)}.{other}{gz}") for gz in packed]
