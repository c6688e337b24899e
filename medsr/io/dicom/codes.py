"""Real numbers as 16-bit codes with one slope for the series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.errors import OutputError
from medsr.io.dicom.allowlist import ds


@dataclass(frozen=True)
class Coding:
    """``value = slope x code``, code an unsigned or signed 16-bit integer; the intercept is 0, so that 0 stays 0.

    slope : as it is written, with 16 characters.
    window : centre and width for display, in values.
    """

    slope: float
    signed: bool
    window: tuple[float, float]

    def encode(self, values: NDArray[np.float32]) -> bytes:
        """The nearest codes, little-endian."""
        kind = np.iinfo(np.int16 if self.signed else np.uint16)
        codes = np.rint(values.astype(np.float64) / self.slope)
        return np.clip(codes, kind.min, kind.max).astype(kind.dtype.newbyteorder("<")).tobytes()


def choose_coding(data: NDArray[np.float32]) -> Coding:
    """The finest 16-bit coding that holds all of `data`; whole numbers that fit keep their values.

    Raises
    ------
    OutputError
        if the data hold NaN or infinity.
    """
    low, high = float(data.min()), float(data.max())
    if not np.isfinite([low, high]).all():
        raise OutputError("the result holds NaN or infinity", rule="DICOM pixels are finite numbers")
    signed = low < 0
    top = 32767 if signed else 65535
    whole = max(-low, high) <= top and bool(np.array_equal(data, np.rint(data)))
    largest = max(-low, high)
    slope = 1.0 if whole or largest == 0 else float(ds(largest / top))
    if slope * top < largest * (1 - 1e-9) or slope == 0:
        slope = float(ds(largest / top * (1 + 1e-6)))
    if slope == 0:
        raise OutputError("the result's values are too small for DICOM", got=f"at most {largest:.3g}")
    return Coding(slope, signed, _window(data))


def _window(data: NDArray[np.float32]) -> tuple[float, float]:
    """Centre and width for the 1st to the 99th percentile of what is above 5 % of the highest values."""
    sample = data.reshape(-1)[:: max(1, data.size // 2_000_000)]
    top = float(np.percentile(sample, 99.5))
    inside = sample[sample > 0.05 * top] if top > 0 else sample
    low, high = (float(v) for v in np.percentile(inside if inside.size else sample, (1, 99)))
    low = min(low, 0.0) if low < 0.3 * high else low
    width = max(high - low, 1e-6 * max(abs(high), 1.0))
    return (low + high) / 2, width
