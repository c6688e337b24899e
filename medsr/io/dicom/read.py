"""One DICOM series as a `Volume`."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, MemoryLimitError
from medsr.io.dicom.frames import Frame
from medsr.io.dicom.instance import ENHANCED
from medsr.io.dicom.pixels import stored_frames
from medsr.io.dicom.series import SeriesInfo, choose_series, list_series
from medsr.io.dicom.stack import Stack
from medsr.io.voxels import LARGEST, looks_like_labels
from medsr.volume import Grid, ScanFacts, Volume

_STEP_TOLERANCE = 0.02


def read(path: str | Path, series: str | None = None) -> Volume:
    """The series of a folder (or of one enhanced or mosaic file) that `series` names, or the only one that fits.

    Raises
    ------
    InputError
        if none or several fit, listing them, or if the series cannot be used; see `choose_series` and
        `read_series`.
    """
    return read_series(choose_series(list_series(path), series, where=str(path)))


@dataclass(frozen=True, eq=False)
class SeriesHeader:
    """What is known of a series before its voxels are read; a `medsr.io.image.Header`.

    path : the folder or file that was asked for. format, stored : in words. frames : None for a single volume.
    """

    path: Path
    format: str
    grid: Grid
    frames: int | None
    facts: ScanFacts
    notes: tuple[str, ...]
    stored: str
    info: SeriesInfo

    def load(self, max_bytes: int | None = None, *, allow_constant: bool = False) -> Volume:
        """The series as a volume.

        Raises
        ------
        InputError
            if its pixels are cut off, cannot be decoded, or are all the same.
        MemoryLimitError
            if they take more than `max_bytes`, or do not fit in memory.
        """
        needed = 4 * math.prod(self.grid.shape) * (self.frames or 1)
        if max_bytes is not None and needed > max_bytes:
            raise MemoryLimitError(
                f"{self.path}: the series does not fit in the memory allowed",
                got=f"{needed} bytes",
                rule=f"at most {max_bytes}",
                hint="allow more",
            )
        volume = read_series(self.info)
        low, high = float(volume.data.min()), float(volume.data.max())
        if low == high and not allow_constant:
            raise InputError(
                f"{self.path}: the series is empty: all voxels are the same",
                got=f"{low:g} everywhere",
                rule="an image has contrast",
                hint="fetch it again",
            )
        if max(-low, high) > LARGEST:
            raise InputError(f"{self.path}: the values are absurd", got=f"{low:g} to {high:g}")
        notes = volume.notes
        if looks_like_labels(volume.data):
            notes += ("the values are a few whole numbers, as in a label map; medsr is made for images",)
        return replace(volume, notes=notes, source=str(self.path))


def series_header(info: SeriesInfo, path: Path) -> SeriesHeader:
    """The header of a listed series, found at `path`.

    Raises
    ------
    InputError
        if it cannot be used (`info.reason`).
    """
    stack = info.stack
    if stack is None:
        raise info.problem or InputError(f"series {info.selector} cannot be used")
    facts, notes = _facts(stack)
    first = stack.frames[0][0].instance
    kind = "enhanced " if first.sop_class in ENHANCED else "mosaic " if "MOSAIC" in first.image_type else ""
    packed = ", compressed" if first.pixels.length is None else ""
    return SeriesHeader(
        path=path,
        format=f"DICOM, {kind}{info.modality or 'unknown modality'}{packed}",
        grid=stack.grid,
        frames=len(stack.frames) if len(stack.frames) > 1 else None,
        facts=facts,
        notes=(*info.notes, *_kind(info), *notes),
        stored=f"{'' if first.signed else 'u'}int{first.bits_allocated} ({first.bits_stored} bits used)",
        info=info,
    )


def read_series(info: SeriesInfo) -> Volume:
    """A listed series as a volume, (x, y, z), or (t, x, y, z) where it has several times.

    x runs along the rows of the images, y along their columns, z across them along the cross product of the two,
    so that the axes are right-handed. The affine maps voxel centres to RAS+ mm: DICOM's LPS with its first two
    signs turned. Values are float32, slope x code + intercept of each frame.

    Raises
    ------
    InputError
        if it cannot be used (`info.reason`), or its pixels are cut off or cannot be decoded.
    """
    stack = info.stack
    if stack is None:
        raise info.problem or InputError(f"series {info.selector} cannot be used")
    data = _pixels(stack)
    facts, notes = _facts(stack)
    return Volume(
        data=data if len(stack.frames) > 1 else data[0],
        grid=stack.grid,
        facts=facts,
        notes=(*info.notes, *_kind(info), *notes),
        source=str(_common(info.files)),
    )


def _kind(info: SeriesInfo) -> tuple[str, ...]:
    """What the series is, where that is no scan of an MR scanner."""
    other = [] if info.modality == "MR" else [f"modality {info.modality or 'unknown'}, not MR"]
    return (*other, *(["this is a result of medsr, not a scan"] if info.ours else []))


def _pixels(stack: Stack) -> NDArray[np.float32]:
    """(t, x, y, z) values."""
    wanted: dict[tuple[int, int], list[tuple[int, int, Frame]]] = defaultdict(list)
    instances = {}
    for time, volume in enumerate(stack.frames):
        for place, frame in enumerate(volume):
            wanted[id(frame.instance), frame.index].append((time, place, frame))
            instances[id(frame.instance)] = frame.instance
    data: NDArray[np.float32] | None = None
    for instance, index, codes in stored_frames(list(instances.values())):
        if data is None:
            try:
                data = np.empty((len(stack.frames), *stack.grid.shape), np.float32)
            except MemoryError:
                raise MemoryLimitError("the series does not fit in memory", got=stack.grid.describe()) from None
        for time, place, frame in wanted[id(instance), index]:
            (row, column), (rows, columns) = frame.corner, frame.shape
            tile = codes[row : row + rows, column : column + columns]
            values = tile * np.float64(frame.slope) + frame.intercept
            if not np.abs(values).max() < np.finfo(np.float32).max:
                raise InputError(
                    f"{instance.path.name}: values beyond single precision", hint="its rescale slope is absurd"
                )
            data[time, :, :, place] = values.T
    assert data is not None
    return data


def _facts(stack: Stack) -> tuple[ScanFacts, tuple[str, ...]]:
    first = stack.frames[0][0]
    notes = []
    thick = {round(frame.thickness, 3) for frame in stack.frames[0] if frame.thickness}
    if len(thick) > 1:
        notes.append(f"slice thickness varies from {min(thick):g} to {max(thick):g} mm")
    across = stack.grid.spacing[2]
    if first.spacing_between and abs(first.spacing_between - across) > max(0.01, 0.02 * across):
        notes.append(
            f"the header says {first.spacing_between:g} mm between slices, the positions say {across:.4g} mm"
        )
    tr = first.instance.tr
    if stack.step and tr and abs(stack.step - tr) > _STEP_TOLERANCE * tr:
        notes.append(
            f"volumes are {stack.step:.4g} s apart by their acquisition times; the repetition time is {tr:.4g} s"
        )
    if stack.time == "instance number":
        notes.append("the order in time is that of the instance numbers; the header has no times")
    te = first.echo / 1000 if first.echo and first.echo > 0 else first.instance.te
    acquisition = first.instance.acquisition_type
    return ScanFacts(
        first.thickness, acquisition, 2, stack.step or tr if len(stack.frames) > 1 else tr, te
    ), tuple(notes)


def _common(files: tuple[Path, ...]) -> Path:
    """The file, or the folder of several."""
    return files[0] if len(files) == 1 else files[0].parent
