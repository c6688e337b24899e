"""What a reconstruction gives back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from medsr.volume import Volume


@dataclass(frozen=True)
class Flag:
    """Something the user has to know.

    level : "warning" (the input's domain, an oddity) or "missed" (a promise of the method's card).
    """

    level: Literal["warning", "missed"]
    text: str


@dataclass(frozen=True, eq=False)
class Result:
    """A reconstruction and what is known of it.

    volume : the image, on the target grid.
    measured : the scan it came from; of raw data, what one frame of them shows by gridding alone.
    residual : ``y - A x``, on the scan's grid, in its units; of raw data, its root mean square over frames,
        gridded.
    uncertainty : half width of the interval named on the method's card, on the target grid; None where the
        method has no calibrated one.
    method : its name.
    made_with : of a learned method: "model", "weights" (the file) and "weights_sha256".
    acquisition : what was read and assumed of the scan: point spreads, slice thickness, noise.
    figures : the residual against the data and against the noise, counts of voxels.
    flags : warnings, and promises that were missed.
    timings : seconds a stage.
    memory : bytes that were planned for.
    """

    volume: Volume
    measured: Volume
    residual: Volume
    method: str
    uncertainty: Volume | None = None
    made_with: dict[str, str] = field(default_factory=dict)
    acquisition: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    memory: int = 0

    @property
    def kept_its_promises(self) -> bool:
        """Whether no promise on the method's card was missed."""
        return all(flag.level != "missed" for flag in self.flags)


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the seconds of what is done within to those of the `stage`."""
    start = time.perf_counter()
    yield
    timings[stage] = round(timings.get(stage, 0.0) + time.perf_counter() - start, 3)
