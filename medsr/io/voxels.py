"""From stored voxels to float32 and back, block by block, so that the array is the only large thing in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, MemoryLimitError
from medsr.io.stream import ByteStream

BLOCK = 2 << 20
"""Bytes of stored voxels that are converted at once."""

MAX_AXIS = 1 << 17
"""No scanner makes an axis longer than this; a header that claims one is damaged."""

LARGEST = 1e18
"""Values beyond this (or ranges below its inverse) overflow (vanish) once squared in float32."""

MAX_NAN_SHARE = 0.9
"""SPM and others write NaN outside the brain's mask, which is most of the field of view."""

EXACT_IN_FLOAT32 = 1 << 24
"""Whole numbers up to this are exact in float32."""

MAX_LABELS = 32

Place = tuple[int | slice, ...]


@dataclass(frozen=True)
class Encoding:
    """How voxels lie in a file: Fortran order, ``value = slope * stored + intercept``.

    path : the file that holds them.
    dtype : of one stored voxel, its byte order included.
    start : offset in the file where the stream of bytes begins.
    skip : bytes of that stream (inflated) before the first voxel.
    compressed : whether the stream is deflated; None where the file's first bytes say so.
    frames_first : whether the frame is the fastest axis, rather than the slowest.
    """

    path: Path
    dtype: np.dtype[np.generic]
    start: int = 0
    skip: int = 0
    compressed: bool | None = None
    slope: float = 1.0
    intercept: float = 0.0
    frames_first: bool = False

    @property
    def scaled(self) -> bool:
        """Whether stored and true values differ."""
        return (self.slope, self.intercept) != (1.0, 0.0)


def check_shape(path: Path, shape: tuple[int, int, int], frames: int | None) -> None:
    """Refuse axes that are empty or absurd; Python integers, so that nothing overflows."""
    for name, count in zip("xyzt", (*shape, 1 if frames is None else frames), strict=True):
        if not 1 <= count <= MAX_AXIS:
            raise InputError(
                f"{path}: the header gives an absurd number of voxels",
                got=f"{count} along {name}",
                rule=f"every axis has 1 to {MAX_AXIS}",
                hint="the header is damaged; export the file again",
            )


def check_size(encoding: Encoding, shape: tuple[int, int, int], frames: int | None) -> None:
    """Compare what the header claims with what the file can hold, before anything is allocated."""
    with open_voxels(encoding) as stream:
        needed = encoding.skip + stored_bytes(encoding, shape, frames)
        if needed > stream.capacity:
            bound = f"at most {stream.capacity} bytes once inflated" if stream.compressed else f"{stream.capacity}"
            raise InputError(
                f"{encoding.path}: the file is cut short, or its header claims too much",
                got=f"{stream.file_size} bytes ({bound})" if stream.compressed else f"{bound} bytes",
                rule=f"the header tells of {needed}",
                hint="fetch or export it again",
            )


def stored_bytes(encoding: Encoding, shape: tuple[int, int, int], frames: int | None) -> int:
    """Bytes that the voxels take in the file once inflated."""
    return math.prod(shape) * (1 if frames is None else frames) * encoding.dtype.itemsize


def open_voxels(encoding: Encoding) -> ByteStream:
    """The stream that holds the voxels, at its beginning."""
    return ByteStream(encoding.path, start=encoding.start, compressed=encoding.compressed)


def read_voxels(
    encoding: Encoding,
    shape: tuple[int, int, int],
    frames: int | None,
    max_bytes: int | None = None,
    *,
    allow_constant: bool = False,
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The voxels as C-contiguous float32, ``(x, y, z)`` or ``(t, x, y, z)``, and notes for the user.

    Voxels that are NaN become 0 and are noted, since programs mark what lies outside a mask with NaN.

    Parameters
    ----------
    max_bytes : refuse an array larger than this.
    allow_constant : accept voxels that are all the same (a residual, a mask).

    Raises
    ------
    InputError
        if the file is cut short or damaged, or its values are not those of an image: constant, infinite,
        mostly NaN, or too large or too alike to be computed with.
    MemoryLimitError
        if the array is larger than `max_bytes` or does not fit in memory.
    """
    path = encoding.path
    needed = 4 * math.prod(shape) * (1 if frames is None else frames)
    if max_bytes is not None and needed > max_bytes:
        raise MemoryLimitError(
            f"{path}: the image does not fit in the memory allowed",
            got=f"{needed} bytes",
            rule=f"at most {max_bytes}",
            hint="allow more, or crop the image",
        )
    with open_voxels(encoding) as stream:
        suspicious = stream.compressed and needed > (1 << 26) and needed > 64 * stream.file_size
    if suspicious:  # a few bytes that inflate to very many: look at them all before making room
        _scan(encoding, shape, frames, None, allow_constant)
    try:
        out = np.empty(shape if frames is None else (frames, *shape), dtype=np.float32)
    except MemoryError:
        raise MemoryLimitError(f"{path}: the image does not fit in memory", got=f"{needed} bytes") from None
    notes = _scan(encoding, shape, frames, out, allow_constant)
    if not allow_constant and looks_like_labels(out):
        notes.append("the values are a few whole numbers, as in a label map; medsr is made for images")
    return out, tuple(notes)


def _scan(
    encoding: Encoding,
    shape: tuple[int, int, int],
    frames: int | None,
    out: NDArray[np.float32] | None,
    allow_constant: bool,
) -> list[str]:
    """Read all voxels, into `out` where given, judge them, and return notes."""
    tally = _Tally(encoding, allow_constant)
    with open_voxels(encoding) as stream:
        stream.skip(encoding.skip)
        for where, stored in _stored_blocks(stream, encoding, shape, frames):
            block = tally.convert(stored)
            if out is not None:
                out[where] = block.T
        rest = stream.finish()
    notes = tally.judge()
    if rest:
        notes.append(f"{rest} bytes after the voxels were ignored")
    return notes


def _stored_blocks(
    stream: ByteStream, encoding: Encoding, shape: tuple[int, int, int], frames: int | None
) -> Iterator[tuple[Place, NDArray[np.generic]]]:
    """Blocks in file order, (z, y, x) or (z, y, x, t), each with the place of its transpose in the array."""
    everything = slice(None)
    if frames is not None and encoding.frames_first:
        starts: list[Place] = [(everything,)]
        line: tuple[int, ...] = (shape[0], frames)
    else:
        starts = [()] if frames is None else [(t,) for t in range(frames)]
        line = (shape[0],)
    itemsize = encoding.dtype.itemsize
    for start in starts:
        for ys, zs in block_places(shape, itemsize * math.prod(line[1:])):
            sizes = (zs.stop - zs.start, ys.stop - ys.start, *line)
            raw = stream.read(math.prod(sizes) * itemsize)
            yield (*start, everything, ys, zs), np.frombuffer(raw, dtype=encoding.dtype).reshape(sizes)


def block_places(shape: tuple[int, int, int], itemsize: int) -> Iterator[tuple[slice, slice]]:
    """Cut a volume of Fortran order into runs of at most about `BLOCK` bytes: ranges along y and z."""
    nx, ny, nz = shape
    slices = max(1, BLOCK // (nx * ny * itemsize))
    rows = ny if nx * ny * itemsize <= BLOCK else max(1, BLOCK // (nx * itemsize))
    for z in range(0, nz, slices):
        for y in range(0, ny, rows):
            yield slice(y, min(ny, y + rows)), slice(z, min(nz, z + slices))


class _Tally:
    """Converts blocks of stored voxels to float32, and remembers what has to be judged once all were seen."""

    def __init__(self, encoding: Encoding, allow_constant: bool) -> None:
        self.encoding, self.allow_constant = encoding, allow_constant
        self.count = self.nan = self.infinite = 0
        self.low, self.high = math.inf, -math.inf
        self.rounded = False

    def convert(self, stored: NDArray[np.generic]) -> NDArray[np.float32]:
        """`stored` as float32, scaled, NaN as 0."""
        self._look_at_integers(stored)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            if self.encoding.scaled:
                true = stored.astype(np.float64)
                true *= self.encoding.slope
                true += self.encoding.intercept
                block = true.astype(np.float32)
            else:
                block = stored.astype(np.float32)
        self.count += block.size
        low, high = float(block.min()), float(block.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            low, high = self._mend(block)
        self.low, self.high = min(self.low, low), max(self.high, high)
        return block

    def _mend(self, block: NDArray[np.float32]) -> tuple[float, float]:
        nan = np.isnan(block)
        finite = block[np.isfinite(block)]
        self.nan += int(nan.sum())
        self.infinite += int(block.size - finite.size - nan.sum())
        block[nan] = 0
        return (float(finite.min()), float(finite.max())) if finite.size else (math.inf, -math.inf)

    def _look_at_integers(self, stored: NDArray[np.generic]) -> None:
        kind, size = self.encoding.dtype.kind, self.encoding.dtype.itemsize
        if kind in "iu" and size >= 4 and not self.encoding.scaled and not self.rounded:
            self.rounded = max(int(stored.max()), -int(stored.min())) > EXACT_IN_FLOAT32

    def judge(self) -> list[str]:
        """Notes for the user, if the values are those of an image.

        Raises
        ------
        InputError
            if they are not.
        """
        path = self.encoding.path
        if self.infinite:
            raise InputError(
                f"{path}: the image has infinite values",
                got=f"{self.infinite} of {self.count} voxels infinite, or beyond the range of float32",
                rule="values are finite",
                hint="find out where they come from; an overflow in an earlier step is likely",
            )
        if self.nan > MAX_NAN_SHARE * self.count:
            share = "all voxels" if self.nan == self.count else f"{self.nan} of {self.count} voxels"
            raise InputError(
                f"{path}: the image is not a number (NaN) almost everywhere",
                got=f"{share} NaN",
                rule=f"at most {MAX_NAN_SHARE:.0%} may be",
                hint="export it again",
            )
        constant = self.low == self.high
        if constant and not self.allow_constant:
            raise InputError(
                f"{path}: the image is empty: all voxels are the same",
                got=f"{self.low:g} everywhere",
                rule="an image has contrast",
                hint="export it again",
            )
        if max(-self.low, self.high) > LARGEST or (self.high - self.low < 1 / LARGEST and not constant):
            raise InputError(
                f"{path}: the values are absurd",
                got=f"{self.low:g} to {self.high:g}",
                rule=f"magnitudes stay below {LARGEST:g}, ranges above {1 / LARGEST:g}",
                hint="the byte order or the data type in the header may be wrong",
            )
        notes = []
        if self.nan:
            notes.append(f"{self.nan} of {self.count} voxels are not a number (NaN) and were set to 0")
        if self.rounded:
            notes.append(f"{self.encoding.dtype.name} values beyond {EXACT_IN_FLOAT32} were rounded to float32")
        return notes


def looks_like_labels(data: NDArray[np.float32]) -> bool:
    """Whether the values are at most `MAX_LABELS` different whole numbers (in a volume large enough to tell)."""
    flat = data.reshape(-1)
    if flat.size < 4096:
        return False

    def few(values: NDArray[np.float32]) -> bool:
        found = np.unique(values)
        return found.size <= MAX_LABELS and bool((found == np.round(found)).all())

    # a sparse look settles it for nearly every image; only candidates are looked at in full
    step = max(1, flat.size // 20_000) | 1
    return few(flat[::step]) and all(few(flat[i : i + (1 << 22)]) for i in range(0, flat.size, 1 << 22))
