"""One scan in, one result out; nothing is read but the scan and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from medsr import memory
from medsr.acquisition.slices import SliceAcquisition, plan_acquisition
from medsr.errors import UsageError
from medsr.io import open_volume
from medsr.job import Job, parse_psf, parse_spacing
from medsr.methods.base import Progress, no_progress
from medsr.methods.registry import load_method
from medsr.models.card import Card, card
from medsr.result import Flag, Result
from medsr.volume import Volume


def reconstruct(
    scan: Volume | str | Path,
    spacing: float | Sequence[float] | None = None,
    *,
    method: str = Job.method,
    slice_thickness: float | None = None,
    psf: str | dict[str, str] | None = None,
    noise: float | None = None,
    negative: str = "keep",
    device: str = "auto",
    max_mem: int | None = None,
    progress: Progress = no_progress,
) -> Result:
    """Reconstructs one scan; nothing is written.

    Parameters
    ----------
    scan : a volume, or the path of one.
    spacing : target voxel size in mm, one or three numbers. Default: thick slices go to the in-plane
        spacing, a near-isotropic scan to half its spacing.
    method : a name from `medsr models`.
    slice_thickness : full width at half maximum of the slice profile, mm.
    psf : kind of point spread, for all refined axes or by axis: ``"gaussian"``, ``{"z": "boxcar"}``.
    noise : standard deviation in the image's units; 0 for none; None to estimate it.
    negative : "keep" or "clip" values below zero, where the scan has none.
    device : "auto", "cpu", "cuda", "cuda:1", "mps".
    max_mem : bytes; work that needs more is refused.
    progress : called with (fraction, stage).

    Returns
    -------
    Result, with the image on the target grid and the residual under the stated acquisition.

    Raises
    ------
    InputError, GeometryError, UsageError, MemoryLimitError, WeightsError
    """
    timings: dict[str, float] = {}
    with _timed(timings, "read"):
        volume = scan if isinstance(scan, Volume) else open_volume(scan)
    chosen = card(method)
    aim = parse_spacing(str(spacing)) if isinstance(spacing, int | float) else spacing
    spread = parse_psf(psf) if isinstance(psf, str) else psf
    with _timed(timings, "plan"):
        acquisition = plan_acquisition(
            volume, spacing=aim, slice_thickness=slice_thickness, psf=spread, noise=noise
        )
    needed = memory.need(acquisition.measured.shape, acquisition.fine.shape, volume.frames, chosen.memory)
    memory.check(needed, max_mem, f"a result of {acquisition.fine.describe()}")
    with _timed(timings, "reconstruct"):
        arrays = _frames(volume, acquisition, method, negative, device, progress)
    image, residual, uncertainty = arrays
    figures = _figures(volume, image, residual, acquisition)
    return Result(
        volume=volume.with_data(image, acquisition.target),
        measured=volume,
        residual=volume.with_data(residual),
        uncertainty=None if uncertainty is None else volume.with_data(uncertainty, acquisition.target),
        method=method,
        acquisition={
            "point_spread": acquisition.describe_psf(),
            "noise": acquisition.noise,
            "assumptions": list(acquisition.assumptions),
        },
        figures=figures,
        flags=tuple([Flag("warning", note) for note in volume.notes] + _domain(chosen, acquisition))
        + _promises(chosen, figures),
        timings=timings,
    )


def _frames(
    volume: Volume, acquisition: SliceAcquisition, method: str, negative: str, device: str, progress: Progress
) -> tuple[Any, Any, Any]:
    """Image (target grid), residual (measured grid) and uncertainty of every frame."""
    import torch

    where = torch.device(_device(device))
    run = load_method(method)
    scans = volume.data if volume.data.ndim == 4 else volume.data[None]
    clip = negative == "clip" and bool(volume.data.min() >= 0)
    image = np.empty((len(scans), *acquisition.target.shape), dtype=np.float32)
    residual = np.empty(scans.shape, dtype=np.float32)
    uncertainty: Any = None
    reduce = acquisition.reduction or (lambda x: x)
    for t, scan in enumerate(scans):
        y = torch.from_numpy(np.ascontiguousarray(scan, dtype=np.float32)).to(where)
        estimate = run(y, acquisition, lambda f, stage, t=t: progress((t + f) / len(scans), stage))  # type: ignore[misc]
        x = estimate.data.clamp_min(0) if clip else estimate.data
        residual[t] = (y - acquisition.operator(x)).numpy(force=True)
        image[t] = reduce(x).numpy(force=True)
        if estimate.uncertainty is not None:
            if uncertainty is None:
                uncertainty = np.empty_like(image)
            uncertainty[t] = reduce(estimate.uncertainty).numpy(force=True)
    if volume.data.ndim == 3:
        return image[0], residual[0], None if uncertainty is None else uncertainty[0]
    return image, residual, uncertainty


def _figures(volume: Volume, image: Any, residual: Any, acquisition: SliceAcquisition) -> dict[str, float]:
    norm = float(np.linalg.norm(residual.astype(np.float64)))
    data = float(np.linalg.norm(volume.data.astype(np.float64)))
    figures = {
        "residual_over_data": norm / data if data else 0.0,
        "negative_voxels": int(np.count_nonzero(image < 0)) if volume.data.min() >= 0 else 0,
    }
    if acquisition.noise > 0:
        figures["residual_over_noise"] = norm / (acquisition.noise * residual.size**0.5)
    return figures


def _promises(chosen: Card, figures: dict[str, float]) -> tuple[Flag, ...]:
    noisy = figures.get("residual_over_noise")
    if noisy is None:
        bound, value, what = chosen.promise.exact, figures["residual_over_data"], "‖A x - y‖ / ‖y‖"
    else:
        bound, value, what = chosen.promise.noisy, noisy, "‖A x - y‖ / (σ √N)"
    if bound is None or value <= bound:
        return ()
    return (Flag("missed", f"{what} is {value:.3g}; the card of {chosen.name} promises at most {bound:g}"),)


def _domain(chosen: Card, acquisition: SliceAcquisition) -> list[Flag]:
    flags = []
    ratios = [m / f for m, f in zip(acquisition.measured.spacing, acquisition.fine.spacing, strict=True)]
    for what, values, bounds in (
        ("voxel sizes of the scan (mm)", acquisition.measured.spacing, chosen.domain.spacing),
        ("refinements", ratios, chosen.domain.ratio),
    ):
        if bounds and not all(bounds[0] * 0.99 <= v <= bounds[1] * 1.01 for v in values):
            shown = ", ".join(f"{v:.3g}" for v in values)
            flags.append(
                Flag(
                    "warning", f"{chosen.name} was made for {what} of {bounds[0]:g} to {bounds[1]:g}, not {shown}"
                )
            )
    return flags


def _device(asked: str) -> str:
    import torch

    cuda = torch.cuda.is_available()
    if asked == "auto":
        return "cuda" if cuda else "cpu"
    if asked.startswith("cuda") and not (cuda and int(asked.partition(":")[2] or 0) < torch.cuda.device_count()):
        raise UsageError(f"--device {asked} is not there", hint="use --device cpu")
    if asked == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps is not there", hint="use --device cpu")
    return asked


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = round(time.perf_counter() - start, 3)
