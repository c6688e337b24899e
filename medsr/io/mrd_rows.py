"""The acquisitions of an MRD file: all headers at once, samples on demand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.io.mrd_header import MrdHeader, parse_header
from medsr.io.mrd_source import Heads, Source


class Rows:
    """header : of the file. heads : of all acquisitions."""

    def __init__(self, source: Source, path: Path) -> None:
        self.path, self._source = path, source
        self.header: MrdHeader = parse_header(source.xml, str(path))
        self.heads: Heads = source.heads

    def samples(self, index: NDArray[np.int64]) -> tuple[NDArray[np.complex64], NDArray[np.float32] | None]:
        """Samples (len(index), coils, samples) and trajectory (len(index), samples, dims) of some rows.

        What the headers tell to discard is left out.

        Raises
        ------
        InputError
            if the rows differ in their sizes, or are damaged.
        """
        head = agreed(self.heads[index], self.path)
        n, coils, dims = (
            int(head[name]) for name in ("number_of_samples", "active_channels", "trajectory_dimensions")
        )
        first, last = int(head["discard_pre"]), n - int(head["discard_post"])
        if last - first < 2 or coils < 1:
            raise InputError(f"{self.path}: an acquisition has no samples", got=f"{coils} coils, {n} samples")
        data = np.empty((len(index), coils, last - first), dtype=np.complex64)
        traj = np.empty((len(index), last - first, dims), dtype=np.float32) if dims else None
        order = np.argsort(index, kind="stable")
        done = 0
        for values, positions in self._source.blocks(index[order]):
            at = order[done : done + len(values)]
            data[at] = values.view(np.complex64).reshape(-1, coils, n)[..., first:last]
            if traj is not None:
                traj[at] = positions.reshape(-1, n, dims)[:, first:last]
            done += len(values)
        if not np.isfinite(data.view(np.float32)).all() or not (traj is None or np.isfinite(traj).all()):
            raise InputError(f"{self.path}: samples or positions are not finite")
        return data, traj


def agreed(heads: Heads, path: Path) -> Any:
    """The first of some headers, having checked that the readouts are alike."""
    for name in (
        "number_of_samples",
        "active_channels",
        "trajectory_dimensions",
        "discard_pre",
        "discard_post",
        "center_sample",
        "sample_time_us",
    ):
        values = Counter(heads[name].tolist())
        if len(values) > 1:
            raise InputError(
                f"{path}: the readouts differ in {name}",
                got=", ".join(f"{v} ({c} x)" for v, c in values.most_common(3)),
            )
    return heads[0]
