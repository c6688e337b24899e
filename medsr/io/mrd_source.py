"""The bytes of an MRD file through HDF5: header text, acquisition headers, samples by blocks.

HDF5 may crash or hang on a damaged file, whatever its version; `mrd_worker` runs this in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.io.hdf5 import member

_ROWS = 64
"""Acquisitions read at a time."""

Heads = NDArray[Any]
"""Acquisition headers: a structured array with MRD's field names."""

Block = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Samples (rows, 2 x coils x samples) and positions (rows, samples x dims), dims may be 0."""

FIELDS = {
    "flags",
    "acquisition_time_stamp",
    "number_of_samples",
    "active_channels",
    "discard_pre",
    "discard_post",
    "center_sample",
    "encoding_space_ref",
    "trajectory_dimensions",
    "sample_time_us",
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
    "idx",
}
"""Header fields that a reconstruction needs."""


class Source(Protocol):
    """Where acquisitions come from; rows are read in ascending order."""

    xml: bytes
    heads: Heads

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[Block]:
        """The samples of `rows` (ascending, alike in size), some rows at a time."""


class Hdf5Source:
    """Acquisitions straight from an open HDF5 file.

    Raises
    ------
    InputError
        if the file is not one MRD scan, or keeps its values elsewhere.
    """

    def __init__(self, file: Any, path: Path) -> None:
        self.path = path
        group = self._group(file)
        xml, self.dataset = member(group, "xml", path), member(group, "data", path)
        if xml.shape not in ((), (1,)) or xml.dtype.kind not in "OS":
            raise InputError(f"{path}: the XML header is not one text")
        text = xml[()] if xml.shape == () else xml[0]
        self.xml = text.encode() if isinstance(text, str) else bytes(text)
        self._check()
        # one field of a compound is read alone: the samples stay in the file
        self.heads: Heads = self.dataset.fields("head")[:]
        if "traj" not in self.dataset.dtype.names:
            self.heads["trajectory_dimensions"] = 0
        sizes = self.heads["number_of_samples"].astype(np.int64) * self.heads["active_channels"] * 8
        if int(sizes.sum()) > path.stat().st_size:
            raise InputError(
                f"{path}: the headers declare more samples than the file holds",
                got=f"{int(sizes.sum())} bytes in a file of {path.stat().st_size}",
                hint="copy the file again",
            )

    def _group(self, file: Any) -> Any:
        import h5py

        found = []
        for name in file:
            group = member(file, name, self.path)
            if isinstance(group, h5py.Group) and all(
                isinstance(member(group, part, self.path), h5py.Dataset) for part in ("xml", "data")
            ):
                found.append(group)
        if len(found) != 1:
            raise InputError(
                f"{self.path}: not one MRD scan",
                got=f"{len(found)} groups that hold 'xml' and 'data'",
                rule="one scan a file",
                hint="split the file, or convert the scan to MRD",
            )
        return found[0]

    def _check(self) -> None:
        dtype, shape = self.dataset.dtype, self.dataset.shape
        names = dtype.names or ()
        if len(shape) != 1 or "head" not in names or "data" not in names:
            raise InputError(f"{self.path}: 'data' is not a list of MRD acquisitions", got=f"{shape} {names}")
        missing = FIELDS - set(dtype["head"].names or ())
        if missing or dtype["data"].kind != "O":
            raise InputError(f"{self.path}: the acquisition headers lack fields", got=", ".join(sorted(missing)))
        # each acquisition holds samples of its own: more rows than that is a forged size
        if shape[0] < 1 or shape[0] * 16 > self.path.stat().st_size:
            raise InputError(f"{self.path}: the number of acquisitions is absurd", got=shape[0])

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[Block]:
        """See `Source`."""
        head = self.heads[rows[0]]
        n, coils, dims = (
            int(head[name]) for name in ("number_of_samples", "active_channels", "trajectory_dimensions")
        )
        wanted = self.dataset.fields(["data", "traj"] if dims else ["data"])
        for block in np.split(rows, range(_ROWS, len(rows), _ROWS)):
            low, high = int(block[0]), int(block[-1]) + 1
            if high - low > 4 * _ROWS:  # far apart: one by one
                parts = [wanted[int(i) : int(i) + 1][0] for i in block]
            else:
                whole = wanted[low:high]
                parts = [whole[int(i) - low] for i in block]
            data = np.empty((len(block), 2 * coils * n), dtype=np.float32)
            traj = np.empty((len(block), n * dims), dtype=np.float32)
            for at, part in enumerate(parts):
                data[at] = self._exactly(part["data"], data.shape[1], int(block[at]))
                if dims:
                    traj[at] = self._exactly(part["traj"], traj.shape[1], int(block[at]))
            yield data, traj

    def _exactly(self, values: Any, size: int, row: int) -> NDArray[np.float32]:
        found = np.asarray(values, dtype=np.float32)
        if found.size != size:
            raise InputError(
                f"{self.path}: acquisition {row} is cut short", got=f"{found.size} numbers", rule=f"{size}"
            )
        return found.ravel()
