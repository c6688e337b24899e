"""One scan in, one result out; nothing is read but the scan and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medsr import memory
from medsr.acquisition.slices import SliceAcquisition, plan_acquisition
from medsr.errors import UsageError
from medsr.io import open_header
from medsr.io.image import Header
from medsr.io.names import is_raw
from medsr.job import NEGATIVE, parse_device, parse_length, parse_noise, parse_psf, parse_spacing
from medsr.measurement import KSpace
from medsr.methods.base import Method, Progress, no_progress
from medsr.methods.registry import load_method
from medsr.models.card import AUTO, Card, chosen_card
from medsr.models.promises import missed_promises
from medsr.result import Flag, Result, timed
from medsr.volume import Volume


def reconstruct(
    scan: Volume | Header | KSpace | str | Path,
    spacing: float | Sequence[float] | None = None,
    *,
    series: str | None = None,
    method: str = AUTO,
    model: str | None = None,
    fast: bool = False,
    slice_thickness: float | None = None,
    psf: str | Mapping[str, str] | None = None,
    noise: float | None = None,
    negative: str = "keep",
    coils: int | None = None,
    delay: float | Sequence[float] | Literal["auto"] | None = None,
    field_map: Volume | str | Path | None = None,
    slices: slice | None = None,
    frames: slice | None = None,
    readouts: int | None = None,
    device: str = "auto",
    max_mem: int | None = None,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> Result:
    """Reconstructs one scan; nothing is written.

    Parameters
    ----------
    scan : a volume, its header (`medsr.io.open_header`), raw data (`medsr.measurement.KSpace`), or the path of
        one: an image, a folder of DICOM files, an MRD file.
    spacing : target voxel size in mm, one or three numbers. Default: thick slices go to the in-plane
        spacing, a near-isotropic scan to half its spacing.
    series : which series of a DICOM folder: its number, its UID or its description; by default the only one.
    method : a name from `medsr models`; "auto" for the default of the scan's kind.
    model : the trained network of a method that takes one; None for the method's own choice.
    fast : the faster form of a method that has one, a little less good.
    slice_thickness : full width at half maximum of the slice profile, mm.
    psf : kind of point spread, for all refined axes or by axis: ``"gaussian"``, ``{"z": "boxcar"}``.
    noise : standard deviation in the image's units; 0 for none; None to estimate it.
    negative : "keep" or "clip" values below zero, where the scan has none.
    coils, delay, field_map, slices, frames, readouts : of raw data. Virtual coils to compress to; gradient delay
        in s, one number or one an axis, or "auto" to estimate it; static field in Hz (a volume or the path of
        one); which slices and frames; readouts in a frame, where the file's frames are to be cut up or joined.
    device : "auto", "cpu", "cuda", "cuda:1", "mps".
    max_mem : bytes; work that needs more is refused before the scan is read. Default: what the machine has left.
    threads : of the CPU; the result is the same for any number. Default: torch's.
    progress : called with (fraction, stage).

    Returns
    -------
    Result, with the image on the target grid and the residual under the stated acquisition.

    Raises
    ------
    InputError, GeometryError, UsageError, MemoryLimitError, WeightsError
    """
    raw = _raw_options(coils, delay, field_map, slices, frames, readouts)
    where = parse_device(device)
    if isinstance(scan, KSpace) or (isinstance(scan, str | Path) and is_raw(scan)):
        told = {
            "series": series,
            "model": model,
            "fast": fast or None,
            "spacing": spacing,
            "slice_thickness": slice_thickness,
            "psf": psf,
            "noise": noise,
        }
        _refuse(told, "raw data", "images")
        if where not in ("auto", "cpu"):
            raise UsageError(f"--device {where}: raw data are reconstructed on the CPU", hint="leave --device out")
        from medsr.reconstruction_kspace import RawOptions, reconstruct_kspace

        return reconstruct_kspace(
            scan,
            chosen_card(method, "kspace"),
            RawOptions(**raw),
            max_mem=max_mem,
            threads=threads,
            progress=progress,
        )
    _refuse(raw, "an image", "raw data")
    chosen = chosen_card(method, "image")
    options: dict[str, Any] = {
        "spacing": None if spacing is None else parse_spacing(_words(spacing)),
        "slice_thickness": None if slice_thickness is None else parse_length(str(slice_thickness)),
        "psf": None if psf is None else parse_psf(_words(psf)),
    }
    sigma = None if noise is None else parse_noise(str(noise))
    if negative not in NEGATIVE:
        raise UsageError("--negative is not one", got=repr(negative), hint=f"choose {' or '.join(NEGATIVE)}")
    timings: dict[str, float] = {}
    with timed(timings, "read"):
        header = open_header(scan, series) if isinstance(scan, str | Path) else scan
        planned = foresee(header, chosen, max_mem=max_mem, **options)
        volume = header if isinstance(header, Volume) else header.load()
    with timed(timings, "plan"):
        acquisition = plan_acquisition(volume, noise=sigma, **options)
    run = load_method(chosen.name, model, fast=fast)
    with timed(timings, "reconstruct"), _threads(threads):
        arrays = _frames(volume, acquisition, run, negative, where, progress)
    image, residual, uncertainty, made_with = arrays
    figures = _figures(volume, image, residual, acquisition)
    return Result(
        volume=volume.with_data(image, acquisition.target),
        measured=volume,
        residual=volume.with_data(residual),
        uncertainty=None if uncertainty is None else volume.with_data(uncertainty, acquisition.target),
        method=chosen.name,
        made_with=made_with,
        acquisition={
            "point_spread": acquisition.describe_psf(),
            "noise": acquisition.noise,
            "assumptions": list(acquisition.assumptions),
        },
        figures=figures,
        flags=tuple([Flag("warning", note) for note in volume.notes] + _domain(chosen, volume, acquisition))
        + missed_promises(chosen, figures),
        timings=timings,
        memory=planned,
    )


def _raw_options(
    coils: int | None,
    delay: float | Sequence[float] | Literal["auto"] | None,
    field_map: Volume | str | Path | None,
    slices: slice | None,
    frames: slice | None,
    readouts: int | None,
) -> dict[str, Any]:
    return {
        "coils": coils,
        "delay": delay
        if delay is None or isinstance(delay, str)
        else tuple(float(d) for d in np.atleast_1d(delay)),
        "field_map": str(field_map) if isinstance(field_map, Path) else field_map,
        "slices": slices,
        "frames": frames,
        "readouts": readouts,
    }


def _refuse(told: Mapping[str, Any], here: str, there: str) -> None:
    """Refuses options that the scan has no use for."""
    names = ["--" + name.replace("_", "-") for name, value in told.items() if value is not None]
    if names:
        raise UsageError(f"{', '.join(names)}: this is {here}", rule=f"the option is for {there}")


def foresee(scan: Volume | Header, chosen: Card, *, max_mem: int | None = None, **options: Any) -> int:
    """Refuses, by the header alone, what the method of the card `chosen` could not do; returns the bytes it needs.

    `options` are those of `plan_acquisition`.

    Raises
    ------
    UsageError
        where the options do not fit the scan.
    MemoryLimitError
        if it needs more than `max_mem`, or than the machine has left.
    """
    plan = plan_acquisition(blank(scan), noise=0.0, **options)
    needed = need(plan, scan.frames or 1, chosen)
    memory.check(needed, max_mem, f"a result of {plan.fine.describe()}")
    return needed


def blank(scan: Volume | Header) -> Volume:
    """A volume like `scan` that takes no memory, all zero: enough to plan with."""
    shape = scan.grid.shape if scan.frames in (1, None) else (scan.frames or 1, *scan.grid.shape)
    return Volume(np.broadcast_to(np.float32(0), shape), scan.grid, scan.facts)


def need(plan: SliceAcquisition, frames: int, chosen: Card) -> int:
    """Bytes that the reconstruction of `frames` scans needs at its peak, by the method of the card `chosen`."""
    return memory.need(
        plan.measured.shape,
        plan.fine.shape,
        plan.target.shape,
        frames,
        chosen.memory,
        uncertainty=chosen.uncertainty is not None,
    )


def _frames(
    volume: Volume, acquisition: SliceAcquisition, run: Method, negative: str, device: str, progress: Progress
) -> tuple[Any, Any, Any, dict[str, str]]:
    """Image (target grid), residual (measured grid) and uncertainty of every frame; what made them."""
    import torch

    where = torch.device(_device(device))
    scans = volume.data if volume.data.ndim == 4 else volume.data[None]
    clip = negative == "clip" and bool(volume.data.min() >= 0)
    image = np.empty((len(scans), *acquisition.target.shape), dtype=np.float32)
    residual = np.empty(scans.shape, dtype=np.float32)
    uncertainty: Any = None
    made_with: dict[str, str] = {}
    reduce = acquisition.reduction or (lambda x: x)
    for t, scan in enumerate(scans):
        y = torch.from_numpy(np.ascontiguousarray(scan, dtype=np.float32)).to(where)
        estimate = run(y, acquisition, lambda f, stage, t=t: progress((t + f) / len(scans), stage))  # type: ignore[misc]
        made_with = estimate.made_with
        x = estimate.data.clamp_min(0) if clip else estimate.data
        residual[t] = (y - acquisition.operator(x)).numpy(force=True)
        image[t] = reduce(x).numpy(force=True)
        if estimate.uncertainty is not None:
            if uncertainty is None:
                uncertainty = np.empty_like(image)
            uncertainty[t] = reduce(estimate.uncertainty).numpy(force=True)
    if volume.data.ndim == 3:
        return image[0], residual[0], None if uncertainty is None else uncertainty[0], made_with
    return image, residual, uncertainty, made_with


def _figures(volume: Volume, image: Any, residual: Any, acquisition: SliceAcquisition) -> dict[str, float]:
    norm, data = _norm(residual), _norm(volume.data)
    figures = {
        "residual_over_data": norm / data if data else 0.0,
        "negative_voxels": _below_zero(image, volume.data),
    }
    if acquisition.noise > 0:
        figures["residual_over_noise"] = norm / (acquisition.noise * residual.size**0.5)
    return figures


def _below_zero(image: Any, scan: NDArray[np.float32]) -> int:
    """Voxels that lie below zero by more than 0.1 % of the greatest value of a scan that never does."""
    if scan.min() < 0:
        return 0
    floor = -1e-3 * float(scan.max())
    return sum(int(np.count_nonzero(x < floor)) for x in image)


def _norm(values: NDArray[np.float32]) -> float:
    """Euclidean norm, in double precision, a slab at a time."""
    return float(np.sqrt(sum(np.sum(np.square(slab, dtype=np.float64)) for slab in values)))


def _domain(chosen: Card, volume: Volume, acquisition: SliceAcquisition) -> list[Flag]:
    flags = []
    peak = float(np.percentile(volume.data, 99.5))
    for what, values, bounds in (
        ("voxel sizes of the scan (mm)", acquisition.measured.spacing, chosen.domain.spacing),
        ("refinements", acquisition.ratios, chosen.domain.ratio),
        (
            "noise over the scan's 99.5th percentile",
            [acquisition.noise / peak if peak > 0 else 0],
            chosen.domain.noise,
        ),
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


def _words(value: float | str | Sequence[float] | Mapping[str, str]) -> str:
    """An option from Python as the command line would have it."""
    if isinstance(value, Mapping):
        return ",".join(f"{axis}={kind}" for axis, kind in value.items())
    return value if isinstance(value, str) else ",".join(map(str, np.atleast_1d(value).tolist()))


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Holds torch to a number of threads."""
    if number is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
