"""One run of raw data in, one series of images out; nothing is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from medsr import memory
from medsr.acquisition.preparation import Preparation, Prepared
from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.delay import estimated_delay
from medsr.consistency.series import KEPT
from medsr.errors import InputError
from medsr.io import open_volume
from medsr.io.mrd import read_mrd
from medsr.measurement import KSpace
from medsr.methods.base import Progress
from medsr.methods.registry import load_series_method
from medsr.methods.stretches import LONGEST
from medsr.models.card import Card
from medsr.models.promises import missed_promises
from medsr.result import Flag, Result, timed
from medsr.volume import ScanFacts, Volume

GROUP = 16
"""Frames whose residual is computed at a time."""

LIBRARIES = 100 * 2**20
"""What the libraries of k-space (SigPy, FINUFFT) take beyond `memory.FIXED`."""


@dataclass(frozen=True)
class RawOptions:
    """What can be said of raw data; see `medsr.job.Job`."""

    coils: int | None = None
    delay: tuple[float, ...] | Literal["auto"] | None = None
    field_map: str | Volume | None = None
    slices: slice | None = None
    frames: slice | None = None
    readouts: int | None = None


def reconstruct_kspace(
    scan: KSpace | str | Path,
    chosen: Card,
    options: RawOptions,
    *,
    max_mem: int | None,
    threads: int | None,
    progress: Progress,
) -> Result:
    """Reconstructs all frames of a run by the method of the card `chosen`.

    Returns
    -------
    Result : `volume` is the magnitude of each frame, (t, x, y, z); `measured` one frame by gridding alone (the
        middle one); `residual` the root mean square over frames of the residual ``y - A x``, gridded, in the
        image's units.

    Raises
    ------
    InputError, GeometryError, UsageError, MemoryLimitError
    """
    timings: dict[str, float] = {}
    slices, frames = options.slices or slice(None), options.frames or slice(None)
    read_here = not isinstance(scan, KSpace)
    with timed(timings, "read"):
        if isinstance(scan, KSpace):
            run = scan.select(slices, frames)
        else:
            run = read_mrd(scan, slices=slices, frames=frames, max_bytes=max_mem)
        if options.readouts is not None:
            run = run.regrouped(options.readouts)
        shape = " x ".join(map(str, run.grid.shape))
        memory.check(need(run, chosen), max_mem, f"a series of {run.frames} frames of {shape}")
        field = options.field_map
        field = open_volume(field, allow_constant=True) if isinstance(field, str) else field
    workers = threads or torch.get_num_threads()
    delay = options.delay
    if delay == "auto":
        with timed(timings, "delay"):
            delay = estimated_delay(run)
    prepared = Prepared(run, Preparation(options.coils, delay, field, workers))
    if options.delay == "auto":
        prepared.notes.append("the delay is estimated from the data")
    method = load_series_method(chosen.name)
    image = np.empty((run.frames, *run.grid.shape), dtype=np.float32)
    unexplained, one_frame = (np.empty(run.grid.shape, dtype=np.float32) for _ in range(2))
    squares = np.zeros(2)
    count = 0
    for s in range(len(prepared)):

        def part(fraction: float, stage: str, s: int = s) -> None:
            progress((s + fraction) / len(prepared), stage)

        with timed(timings, "prepare"):
            part(0.0, "coil sensitivities")
            acquisition = prepared.slice(s)
            if read_here and s == len(prepared) - 1:  # nobody else holds the samples, nobody needs them any more
                run = run.without_samples()
                prepared.forget_samples()
        with timed(timings, "reconstruct"):
            x = method(acquisition, lambda f, stage: part(0.05 + 0.9 * f, stage)).data
        with timed(timings, "residual"):
            where = (..., s) if run.dims == 2 else ...
            for t, frame in enumerate(x):
                image[t][where] = frame.abs().numpy()
            leftover, sums = explain(acquisition, x)
            unexplained[where] = leftover
            one_frame[where] = gridded_frame(acquisition, run.frames // 2)
            squares += sums
            count += acquisition.kspace.numel()
        part(1.0, "residual")
    if not all(np.isfinite(frame).all() for frame in image):
        raise InputError("the reconstruction met values that are not finite", hint="check the raw data")
    return _result(run, prepared, chosen, image, unexplained, one_frame, squares, count, timings)


def _result(
    run: KSpace,
    prepared: Prepared,
    chosen: Card,
    image: NDArray[np.float32],
    unexplained: NDArray[np.float32],
    one_frame: NDArray[np.float32],
    squares: NDArray[np.float64],
    count: int,
    timings: dict[str, float],
) -> Result:
    facts = ScanFacts(run.slice_thickness, "2D" if run.dims == 2 else "3D", 2, run.tr, run.te)

    def volume(data: NDArray[np.float32]) -> Volume:
        return Volume(data, run.grid, facts, source=run.source)

    left, data = (math.sqrt(q) for q in squares)
    figures = {"residual_over_data": left / data if data else 0.0}
    if prepared.noise > 0:
        figures["residual_over_noise"] = left / (prepared.noise * math.sqrt(count))
    warnings = [n.removeprefix("warning: ") for n in prepared.notes if n.startswith("warning: ")]
    return Result(
        volume=volume(image if run.frames > 1 else image[0]),
        measured=volume(one_frame),
        residual=volume(unexplained),
        method=chosen.name,
        acquisition={
            "samples": count // max(1, run.slices),
            "noise_of_a_sample": prepared.noise,
            "assumptions": [*run.notes, *(n for n in prepared.notes if not n.startswith("warning: "))],
        },
        figures=figures,
        flags=tuple(Flag("warning", text) for text in warnings) + missed_promises(chosen, figures),
        timings=timings,
    )


def explain(a: SpiralAcquisition, x: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Root mean square over frames of the gridded residual, and the sums of squares of residual and data."""
    total = np.zeros(a.shape)
    squares = np.zeros(2)
    for first in range(0, a.frames, GROUP):
        some = slice(first, min(first + GROUP, a.frames))
        left = a.residual(x[some], some)
        squares += [float(v.abs().double().square().sum()) for v in (left, a.kspace[some])]
        total += (a.gridded(left, some) * a.frame_gain).abs().double().square().sum(0).numpy()
    return np.sqrt(total / a.frames).astype(np.float32), squares


def gridded_frame(a: SpiralAcquisition, t: int) -> NDArray[np.float32]:
    """Magnitude of frame t by gridding: what its samples show by themselves."""
    some = slice(t, t + 1)
    return (a.gridded(a.kspace[some], some)[0] * a.frame_gain).abs().numpy()


def need(run: KSpace, chosen: Card) -> int:
    """Bytes at the peak of a reconstruction of one slice after another.

    What grows with the frames: the data; the working copy of a slice; trajectory and density weights; the result
    and the series while it is made. The rest is bounded: the method's copies of the frames that it solves together
    (the card's `memory`, the series itself included) and what it prepares of them.
    """
    slice_data = run.data.nbytes // run.slices
    places = run.trajectory_of(0).nbytes  # float32; the working copy holds float64 and a weight a sample
    series = math.prod(run.image_shape) * run.frames
    together = min(run.frames, LONGEST) / run.frames
    copies = 8 * series * (1 + (max(chosen.memory, 1.0) - 1) * together)
    held = run.data.nbytes + slice_data + run.trajectory.nbytes + 2 * places + places // run.dims
    result = 4 * math.prod(run.grid.shape) * run.frames
    return int(memory.FIXED + LIBRARIES + held + result + copies + (KEPT if chosen.memory > 1 else 0))
