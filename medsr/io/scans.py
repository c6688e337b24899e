"""What there is to reconstruct: an image file, or a series of a DICOM folder."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medsr.io.magic import holds_dicom
from medsr.io.names import (
    companions,
    data_halves,
    header_halves,
    image_suffix,
    is_data_half,
    is_folder,
    is_raw,
    stem,
)

if TYPE_CHECKING:
    from medsr.io.dicom.series import SeriesInfo
    from medsr.io.image import Header


@dataclass(frozen=True)
class Scan:
    """One scan, before it is read.

    path : an image file, a folder of DICOM files, or one DICOM file.
    selector : which series of the folder; None for the only one that fits.
    series : the series, once it was found.
    alone : whether the folder has no other series to take this one for.
    """

    path: Path
    selector: str | None = None
    series: SeriesInfo | None = field(default=None, repr=False, compare=False)
    alone: bool = True

    @property
    def is_dicom(self) -> bool:
        """Whether it is read as DICOM."""
        return self.selector is not None or self.series is not None or holds_dicom(self.path)

    @property
    def name(self) -> str:
        """Of the file or folder, without what leads to it; never a word of the header."""
        name = self.path.name or self.path.resolve().name or "scan"
        if self.series is None or self.alone:
            return name
        return f"{name} series {self.series.selector}"

    @property
    def stem(self) -> str:
        """What its results are called after: the name of the file or folder, and the series where needed."""
        if image_suffix(self.path):
            return stem(self.path)
        if is_raw(self.path) and not is_folder(self.path):
            return self.path.stem
        name = self.path.name or self.path.resolve().name or "scan"
        name = name if is_folder(self.path) else re.sub(r"\.(dcm|ima)$", "", name, flags=re.IGNORECASE)
        if self.series is None or self.alone:
            return name
        series = self.series
        number = series.number if series.number is not None and series.number >= 0 else _short(series.uid)
        part = re.sub(r"[^a-zA-Z0-9.]", "", series.part)
        return f"{name}_series-{number}{part and '_part-'}{part}"

    def opened(self) -> Scan:
        """The same scan, its series found and chosen; an image file stays as it is.

        Raises
        ------
        InputError
            where no series fits, or several do.
        """
        if self.series is not None or not self.is_dicom:
            return self
        from medsr.io.dicom import choose_series, list_series

        found = list_series(self.path)
        chosen = choose_series(found, self.selector, where=str(self.path))
        others = [info for info in found if info is not chosen and info.fits]
        return replace(self, series=chosen, alone=not others)

    def header(self) -> Header:
        """Its checked header; no voxel is read. Raises as `medsr.io.open_header`."""
        scan = self.opened()
        if scan.series is not None:
            from medsr.io.dicom.read import series_header

            return series_header(scan.series, scan.path)
        from medsr.io import open_header

        return open_header(scan.path)

    def sha256(self) -> str:
        """Of the image file's bytes; of a series, of the checksums of its files, whatever those are called."""
        scan = self.opened()
        if scan.series is None:
            return sha256(scan.path)
        files = sorted(sha256(file) for file in scan.series.files)
        return hashlib.sha256("\n".join(files).encode()).hexdigest()

    def files(self) -> list[Path]:
        """The files that belong to it: an image's other half, its sidecar and its tables too."""
        if self.series is not None:
            return list(self.series.files)
        if not image_suffix(self.path):
            return [self.path]
        halves = header_halves(self.path) if is_data_half(self.path) else data_halves(self.path)
        paired = image_suffix(self.path) in (".hdr", ".hdr.gz", ".img", ".img.gz")
        beside = self.path.with_name(stem(self.path) + ".json")
        return [self.path, *(halves if paired else ()), beside, *self.tables()]

    def tables(self) -> tuple[Path, ...]:
        """The tables of b-values and b-vectors beside an image."""
        return companions(self.path) if image_suffix(self.path) else ()


def sha256(path: Path) -> str:
    """Of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:8]
