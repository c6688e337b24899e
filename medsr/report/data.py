"""What a report is made from: plain arrays, grids and dictionaries, from a run or from its files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError, InputError
from medsr.models.card import Card, cards
from medsr.report.scene import Scene
from medsr.result import Flag, Result
from medsr.volume import Grid, Volume


@dataclass(frozen=True, eq=False)
class ReportData:
    """A result as its report needs it.

    Arrays are (x, y, z) or (t, x, y, z), of real numbers; they may be memory maps, and are read a slice at a
    time.

    image, grid : the result and its grid. scan, scan_grid : what the scanner gave.
    name : of the scan's file, without its folder. method : by its card's name.
    residual : ``y - A x``, on the scan's grid. uncertainty : on the result's grid.
    acquisition : "point_spread" {axis of the file: words}, "noise", "assumptions" [words].
    figures, flags, timings : as in `Result`.
    card : of the method; None where there is none any more.

    Raises
    ------
    GeometryError
        where an array does not fit its grid, or the two grids lie at an angle.
    """

    image: NDArray[Any]
    grid: Grid
    scan: NDArray[Any]
    scan_grid: Grid
    name: str
    method: str
    residual: NDArray[Any] | None = None
    uncertainty: NDArray[Any] | None = None
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    flags: Sequence[Flag] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    card: Card | None = None

    def __post_init__(self) -> None:
        for what, array, grid in (
            ("result", self.image, self.grid),
            ("scan", self.scan, self.scan_grid),
            ("residual", self.residual, self.scan_grid),
            ("uncertainty", self.uncertainty, self.grid),
        ):
            if array is None:
                continue
            if array.ndim not in (3, 4) or tuple(array.shape[-3:]) != grid.shape or 0 in array.shape:
                raise GeometryError(
                    f"the {what} does not fit its grid",
                    got=f"{tuple(array.shape)} on {grid.shape}",
                    rule="(x, y, z) or (t, x, y, z)",
                    hint="give the files that belong together",
                )
        Scene(self.grid).check(self.scan_grid)

    @classmethod
    def from_result(cls, result: Result) -> ReportData:
        """The data of a run that just ended; no array is copied."""
        return cls(
            image=result.volume.data,
            grid=result.volume.grid,
            scan=result.measured.data,
            scan_grid=result.measured.grid,
            name=_file_name(result.measured.source or "scan"),
            method=result.method,
            residual=result.residual.data,
            uncertainty=None if result.uncertainty is None else result.uncertainty.data,
            acquisition=result.acquisition,
            figures=result.figures,
            flags=result.flags,
            timings=result.timings,
            card=cards().get(result.method),
        )

    @classmethod
    def from_sidecar(
        cls,
        sidecar: Mapping[str, Any],
        volume: Volume,
        measured: Volume,
        residual: Volume | None = None,
        uncertainty: Volume | None = None,
    ) -> ReportData:
        """The data of a run that ended some time ago, from its sidecar and its images.

        Raises
        ------
        InputError
            where the sidecar is not one of medsr's.
        GeometryError
            where the images do not belong together.
        """
        said = sidecar.get("medsr")
        try:
            if not isinstance(said, Mapping):
                raise TypeError
            return cls(
                image=volume.data,
                grid=volume.grid,
                scan=measured.data,
                scan_grid=measured.grid,
                name=_file_name(str(said["input"]["name"])),
                method=str(said["method"]),
                residual=None if residual is None else residual.data,
                uncertainty=None if uncertainty is None else uncertainty.data,
                acquisition=dict(said["acquisition"]),
                figures={str(k): float(v) for k, v in said["figures"].items()},
                flags=tuple(
                    Flag("missed" if f["level"] == "missed" else "warning", str(f["text"])) for f in said["flags"]
                ),
                timings={str(k): float(v) for k, v in said["seconds"].items()},
                card=cards().get(str(said["method"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "the sidecar cannot be used",
                rule="it is the JSON file that medsr wrote beside the result",
                hint="run medsr reconstruct again",
            ) from error

    @property
    def frame(self) -> int:
        """The frame of a series that is shown: the middle one of the result."""
        return len(self.image) // 2 if self.image.ndim == 4 else 0

    @property
    def noise(self) -> float:
        """Standard deviation of the scan's noise in its units; 0 where there is none or it is not known."""
        value = self.acquisition.get("noise")
        return float(value) if isinstance(value, int | float) and np.isfinite(value) and value > 0 else 0.0

    def shown(self, array: NDArray[Any]) -> NDArray[Any]:
        """The three axes of `array` that are shown; no copy."""
        if array.ndim == 3:
            return array
        return array[min(len(array) - 1, self.frame)]


def _file_name(path: str) -> str:
    """Without its folders, whichever system wrote it."""
    return re.split(r"[\\/]", path)[-1]
