"""Sorting slices into volumes: by place along the normal of the slices, and by time where places repeat.

Nothing is guessed: slices that are missing, doubled, unevenly spaced, turned or slanted are named and refused,
because a volume made of them would put voxels where they are not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError, InputError
from medsr.io.dicom.frames import Clock, Frame
from medsr.volume import MAX_SHEAR_DEGREES, Grid

SAME_PLACE = 0.01
"""Slices whose places along the normal differ by less (mm) are at one place."""
SAME_DIRECTION = 1e-3
"""Largest difference of direction cosines of slices that are parallel."""
EVEN = 0.02
"""Largest deviation of a slice from even spacing, as a fraction of the spacing (or SAME_PLACE, if that is more).
"""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SHOWN = 6


@dataclass(frozen=True)
class Stack:
    """Frames in order, ``frames[time][slice]``, on a grid; x along the rows' direction, y along the columns', z
    across.

    time : what the times were told apart by; None for a single volume.
    step : seconds from one volume to the next where the header has acquisition times.
    """

    grid: Grid
    frames: tuple[tuple[Frame, ...], ...]
    time: str | None
    step: float | None


def build_stack(frames: Sequence[Frame]) -> Stack:
    """Frames of one series, in any order, as one volume or one series of volumes.

    Raises
    ------
    GeometryError
        if they are not the slices of one grid; the message names the places, in mm along the slice normal.
    InputError
        if they do not belong together.
    """
    _one_kind(frames)
    row, column, normal = _axes(frames[0])
    places = np.array([np.dot(frame.position, normal) for frame in frames])
    slots = _slots(places)
    if len(slots) < 2:
        raise GeometryError(
            "one slice only", rule="a volume has two or more", hint="give the folder of the series"
        )
    at = [float(np.mean([places[n] for n in slot])) for slot in slots]
    times, time = _by_time([[frames[n] for n in slot] for slot in slots], at)
    _even(at)
    first, last = np.array(times[0][0].position), np.array(times[0][-1].position)
    step = (last - first) / (len(slots) - 1)
    _straight(frames, places, at[0], first, step, normal)
    affine = np.eye(4)
    affine[:3, 0] = row * frames[0].spacing[1]
    affine[:3, 1] = column * frames[0].spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first
    rows, columns = frames[0].shape
    grid = Grid((columns, rows, len(slots)), _LPS_TO_RAS @ affine)
    return Stack(grid, tuple(tuple(volume) for volume in times), time, _step(times))


def direction_name(orientation: Sequence[float]) -> str:
    """Axial, coronal or sagittal, whichever the slices are nearest to."""
    normal = np.abs(np.cross(orientation[:3], orientation[3:]))
    return ("sagittal", "coronal", "axial")[int(normal.argmax())]


def _one_kind(frames: Sequence[Frame]) -> None:
    """Refuse frames that cannot share a grid."""
    if not frames:
        raise InputError("no slices")
    if len({frame.instance.patient for frame in frames}) > 1:
        raise InputError("slices of different patients in one series", hint="sort the files by patient")
    turned: list[tuple[float, ...]] = []
    counts: Counter[int] = Counter()
    for frame in frames:
        known = (
            n for n, o in enumerate(turned) if np.abs(np.subtract(o, frame.orientation)).max() < SAME_DIRECTION
        )
        which = next(known, None)
        if which is None:
            turned.append(frame.orientation)
            which = len(turned) - 1
        counts[which] += 1
        if len(turned) > 64:
            break
    if len(turned) > 1:
        words = Counter(dict.fromkeys(("axial", "coronal", "sagittal"), 0))
        for which, count in counts.items():
            words[direction_name(turned[which])] += count
        found = ", ".join(f"{count} {name}" for name, count in words.items() if count)
        raise GeometryError(
            "slices of several orientations in one series",
            got=f"{len(turned)} orientations ({found})",
            rule="the slices of a volume are parallel",
            hint="this is a localiser, a rotating view or a mixture",
        )
    kinds: tuple[tuple[str, set[tuple[float, ...]]], ...] = (
        ("matrix sizes", {frame.shape for frame in frames}),
        ("pixel spacings", {tuple(round(s, 5) for s in frame.spacing) for frame in frames}),
    )
    for what, different in kinds:
        if len(different) > 1:
            shown = ", ".join(" x ".join(f"{v:g}" for v in one) for one in sorted(different)[:_SHOWN])
            raise GeometryError(f"slices of different {what} in one series", got=shown)


def _axes(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors (LPS) along a row, along a column, and across."""
    row, column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not all(0.99 < length < 1.01 for length in lengths) or abs(row @ column) > 0.01:
        raise GeometryError(
            "the slice orientation is not two unit vectors at a right angle",
            got=f"lengths {lengths[0]:.4g} and {lengths[1]:.4g}",
        )
    if not all(1e-3 <= spacing <= 1e3 for spacing in frame.spacing):
        raise GeometryError("an absurd pixel spacing", got=f"{frame.spacing[0]:.4g} x {frame.spacing[1]:.4g} mm")
    row, column = row / lengths[0], column / lengths[1]
    normal = np.cross(row, column)
    return row, column, normal / np.linalg.norm(normal)


def _slots(places: NDArray[np.float64]) -> list[list[int]]:
    """Indices of the frames at each place, along the normal."""
    if np.abs(places).max() > 1e5:
        raise GeometryError("slices metres away from the scanner's centre", got=f"{np.abs(places).max():.4g} mm")
    slots: list[list[int]] = []
    for n in np.argsort(places, kind="stable"):
        if slots and places[n] - places[slots[-1][0]] < SAME_PLACE:
            slots[-1].append(int(n))
        else:
            slots.append([int(n)])
    return slots


_KEYS: tuple[tuple[str, Callable[[Clock], float | None]], ...] = (
    ("temporal position", lambda clock: clock.temporal),
    ("acquisition number", lambda clock: clock.acquisition),
    ("trigger time", lambda clock: clock.trigger),
    ("acquisition time", lambda clock: clock.moment),
    ("instance number", lambda clock: clock.number),
)


def _by_time(slots: list[list[Frame]], at: list[float]) -> tuple[list[list[Frame]], str | None]:
    """``volumes[time][slice]`` from frames at each place, and what told the times apart."""
    counts = [len(slot) for slot in slots]
    usual = Counter(counts).most_common(1)[0][0]
    if len(set(counts)) > 1:
        more = [p for p, count in zip(at, counts, strict=True) if count > usual]
        fewer = [p for p, count in zip(at, counts, strict=True) if count < usual]
        if usual == 1 or not fewer:
            raise GeometryError(
                "doubled slices", got=f"{usual} at most places, more at {_mm(more)}", hint=_DOUBLED
            )
        raise GeometryError(
            "missing slices",
            got=f"{usual} times at most places, fewer at {_mm(fewer)}"
            + (f", more at {_mm(more)}" if more else ""),
            rule="each time has all slices",
            hint="fetch the series again, or leave out the incomplete time",
        )
    if usual == 1:
        return [[slot[0] for slot in slots]], None
    for name, key in _KEYS:
        values = [[key(frame.clock) for frame in slot] for slot in slots]
        if all(None not in row and len(set(row)) == usual for row in values):
            ordered = [sorted(slot, key=lambda frame: key(frame.clock) or 0.0) for slot in slots]
            return [[slot[n] for slot in ordered] for n in range(usual)], name
    raise GeometryError(
        "doubled slices", got=f"{usual} at every place, and nothing tells them apart", hint=_DOUBLED
    )


_DOUBLED = "the folder may hold two copies or two reconstructions; leave one of them"


def _even(at: list[float]) -> None:
    """Refuse gaps, naming the places around them."""
    gaps = np.diff(at)
    spacing = (at[-1] - at[0]) / (len(at) - 1)
    if np.abs(np.array(at) - (at[0] + spacing * np.arange(len(at)))).max() <= max(SAME_PLACE, EVEN * spacing):
        return
    usual = float(np.median(gaps))
    wide = [(a, b) for a, b in pairwise(at) if b - a > usual + max(SAME_PLACE, EVEN * usual)]
    ratios = gaps / usual
    if wide and np.abs(ratios - np.round(ratios)).max() < 0.1 and ratios.min() > 0.5:
        missing = [f"{round((b - a) / usual) - 1} between {a:.2f} and {b:.2f} mm" for a, b in wide]
        raise GeometryError(
            "missing slices",
            got=_some(missing),
            rule=f"the others are {usual:.4g} mm apart",
            hint="fetch the series again",
        )
    odd = [(a, b) for a, b in pairwise(at) if abs(b - a - usual) > max(SAME_PLACE, EVEN * usual)]
    raise GeometryError(
        "unevenly spaced slices",
        got=_some([f"{b - a:.4g} mm between {a:.2f} and {b:.2f} mm" for a, b in odd])
        if odd
        else "a drifting distance",
        rule=f"most are {usual:.4g} mm apart",
        hint="resample the scan to even spacing first",
    )


def _straight(
    frames: Sequence[Frame],
    places: NDArray[np.float64],
    start: float,
    first: NDArray[np.float64],
    step: NDArray[np.float64],
    normal: NDArray[np.float64],
) -> None:
    """Refuse slices that do not lie above one another."""
    length = float(np.linalg.norm(step))
    angle = math.degrees(math.acos(min(1.0, abs(float(step @ normal)) / length)))
    if angle > MAX_SHEAR_DEGREES:
        raise GeometryError(
            "a slanted stack, as from a tilted gantry",
            got=f"slices shifted by {angle:.2f} degrees off their normal",
            rule=f"at most {MAX_SHEAR_DEGREES} degrees",
            hint="resample the scan to a grid with right angles first",
        )
    index = (places - start) / float(step @ normal)
    off = np.linalg.norm(
        np.array([f.position for f in frames]) - (first + np.round(index)[:, None] * step), axis=1
    )
    worst = int(off.argmax())
    if off[worst] > max(5 * SAME_PLACE, 2 * EVEN * length):
        raise GeometryError(
            "slices that do not lie above one another",
            got=f"{off[worst]:.3g} mm beside the line of the others at {places[worst]:.2f} mm",
        )


def _step(times: list[list[Frame]]) -> float | None:
    """Median seconds between volumes, from the acquisition times of the first slice."""
    moments = [volume[0].clock.moment for volume in times]
    known = [m for m in moments if m is not None]
    if len(moments) < 2 or len(known) < len(moments):
        return None
    step = float(np.median(np.diff(known)))
    return step if step > 0 else None


def _mm(places: Sequence[float]) -> str:
    return _some([f"{place:.2f}" for place in places]) + " mm along the slice normal"


def _some(words: Sequence[str]) -> str:
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
