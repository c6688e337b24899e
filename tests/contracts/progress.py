"""What every reconstruction does with the progress it tells."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from medsr.methods.base import Progress


def rises_to_its_end_and_can_stop(work: Callable[[Progress], object]) -> None:
    """`work` tells fractions that never fall, from 0 or more to 1, and what the callback raises ends it."""
    seen: list[float] = []
    work(lambda f, stage: seen.append(f))
    assert seen == sorted(seen)
    assert seen[0] >= 0
    assert seen[-1] == pytest.approx(1.0)

    def stop(fraction: float, stage: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(stop)
