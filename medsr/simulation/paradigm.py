"""When a task happens and how blood oxygenation answers it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medsr.errors import UsageError

Kind = Literal["blocks", "events", "rest"]

_STEP = 0.05
"""Seconds between the points at which responses are convolved."""


@dataclass(frozen=True)
class Event:
    """A stretch of the task: onset and duration in s from the first frame."""

    onset: float
    duration: float


def haemodynamic_response(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Response at times `t` (s) to an impulse: a gamma density that peaks near 5 s less a sixth of one near 15 s.

    The canonical double gamma function of Friston et al. (NeuroImage 7:30, 1998, doi 10.1006/nimg.1997.0306);
    its integral is 5/6.
    """
    t = np.maximum(np.asarray(t, dtype=np.float64), 0.0)
    return t**5 * np.exp(-t) / math.gamma(6) - t**15 * np.exp(-t) / math.gamma(16) / 6


def paradigm(kind: Kind, duration: float, block: float = 20.0, seed: int = 0) -> tuple[Event, ...]:
    """The events of a run of `duration` s.

    Blocks of task and rest, `block` s each, rest first; or short events of 1 to 2 s, 6 to 14 s apart, drawn
    from `seed`; or none at all.

    Raises
    ------
    UsageError
        for an unknown kind, or a block that is not positive.
    """
    if kind == "rest":
        return ()
    if kind == "blocks":
        if not block > 0:
            raise UsageError("the length of a block is not positive", got=block)
        starts = np.arange(block, duration, 2 * block)
        return tuple(Event(float(s), float(block)) for s in starts)
    if kind != "events":
        raise UsageError("no such paradigm", got=kind, rule="blocks, events or rest")
    rng = np.random.default_rng(seed)
    events, at = [], float(rng.uniform(4, 8))
    while at < duration:
        events.append(Event(round(at, 2), round(float(rng.uniform(1, 2)), 2)))
        at += float(rng.uniform(6, 14))
    return tuple(events)


def response(events: Sequence[Event], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Response to `events` at `times` (s), scaled to a greatest value of 1; zeros where nothing happens.

    The events as a boxcar, convolved with `haemodynamic_response`; the scale is that of the whole course, so
    it does not depend on which times are asked for.
    """
    if not events:
        return np.zeros(len(times))
    end = max(float(np.max(times)), *(e.onset + e.duration for e in events)) + 32
    grid = np.arange(0, end, _STEP)
    boxcar = np.zeros(len(grid))
    for event in events:
        boxcar[(grid >= event.onset) & (grid < event.onset + event.duration)] = 1
    kernel = haemodynamic_response(np.arange(0, 32, _STEP))
    course = np.convolve(boxcar, kernel)[: len(grid)]
    return np.interp(times, grid, course / course.max())


def task_frequency(events: Sequence[Event]) -> float | None:
    """How often the task recurs, in Hz: one over the mean time between onsets; None for fewer than two."""
    if len(events) < 2:
        return None
    return (len(events) - 1) / (events[-1].onset - events[0].onset)


def events_tsv(events: Sequence[Event]) -> str:
    """The events as a BIDS events table."""
    lines = ["onset\tduration\ttrial_type"] + [f"{e.onset:g}\t{e.duration:g}\ttask" for e in events]
    return "\n".join(lines) + "\n"


def parse_events_tsv(text: str, name: str = "events") -> tuple[Event, ...]:
    """The events of a BIDS events table, in order of onset.

    Raises
    ------
    UsageError
        if it has no columns onset and duration, or numbers that are not.
    """
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    if not rows or not {"onset", "duration"} <= set(rows[0]):
        raise UsageError(f"{name}: not a table of events", rule="columns onset and duration, tab-separated")
    onset, duration = rows[0].index("onset"), rows[0].index("duration")
    try:
        events = [Event(float(r[onset]), float(r[duration])) for r in rows[1:]]
    except (ValueError, IndexError):
        raise UsageError(f"{name}: an event has no number for its onset or duration") from None
    if not all(math.isfinite(e.onset) and math.isfinite(e.duration) and e.duration >= 0 for e in events):
        raise UsageError(f"{name}: an onset or a duration is not finite, or negative")
    return tuple(sorted(events, key=lambda e: e.onset))
