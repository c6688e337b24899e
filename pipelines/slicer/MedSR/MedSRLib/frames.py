"""The series that medsr writes (4D NRRD), frame by frame.

Slicer reads such files as sequences from 5.13 on; this does it for the versions before, and the same way in all.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from MedSRLib.problem import Problem


@dataclass(frozen=True)
class Series:
    """The header of a series.

    shape : (x, y, z). frames : their number. to_ras : (4, 4) float64, from voxel indices to RAS+ mm. tr : seconds
    from frame to frame. start : where the voxels begin in the file.
    """

    path: Path
    shape: tuple[int, int, int]
    frames: int
    to_ras: Any
    tr: float
    start: int

    def __iter__(self) -> Iterator[Any]:
        """Frame after frame, float32 (z, y, x), as VTK and Slicer have arrays."""
        size = 4 * int(np.prod(self.shape))
        with self.path.open("rb") as file:
            file.seek(self.start)
            with gzip.GzipFile(fileobj=file) as voxels:
                for _ in range(self.frames):
                    data = voxels.read(size)
                    if len(data) != size:
                        raise Problem(f"{self.path.name}: the series is cut short")
                    yield np.frombuffer(data, "<f4").reshape(self.shape[::-1])


def read(path: Path) -> Series | None:
    """The series in `path`; None where it is a single volume.

    Raises
    ------
    Problem
        if it is no file that medsr writes.
    """
    with path.open("rb") as file:
        fields = _fields(file)
        start = file.tell()
    try:
        sizes = [int(n) for n in fields["sizes"].split()]
        if len(sizes) == 3:
            return None
        written = (fields["type"], fields["encoding"], fields["endian"], fields["space"])
        if len(sizes) != 4 or written != ("float", "gzip", "little", "left-posterior-superior-time"):
            raise KeyError("sizes")
        steps = np.array([_vector(v) for v in re.findall(r"\([^)]*\)", fields["space directions"])])
        to_ras = np.eye(4)
        to_ras[:3, :3] = steps[:3, :3].T
        to_ras[:3, 3] = _vector(fields["space origin"])[:3]
        to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ to_ras  # the file is in LPS
        return Series(path, (sizes[0], sizes[1], sizes[2]), sizes[3], to_ras, float(steps[3, 3]), start)
    except (KeyError, ValueError, IndexError):
        raise Problem(f"{path.name}: this is not a series as medsr writes it") from None


def _fields(file: BinaryIO) -> dict[str, str]:
    fields: dict[str, str] = {}
    for _ in range(100):
        line = file.readline(4096).decode("latin-1").strip()
        if not line:
            break
        name, colon, value = line.partition(": ")
        if colon:
            fields[name.lower()] = value
    return fields


def _vector(text: str) -> list[float]:
    return [float(word) for word in text.strip("()").split(",")]
