"""One run of medsr, in full: the single source of the command line, of batch rows and of Slicer's form.

Each field carries its help, its parser and its place in its metadata; nothing else repeats them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from medsr.errors import UsageError

PSF_KINDS = ("gaussian", "boxcar", "rf", "kspace")
UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True)
class Option:
    """How a field of `Job` is offered.

    parse : from the text of the command line. flags : a short form. group : a heading in the help.
    """

    help: str
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    group: str = "options"


def _option(default: Any, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"option": Option(help, **more)})


def parse_spacing(text: str) -> tuple[float, ...]:
    """``1`` or ``0.9,0.9,1``, in mm."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or not all(math.isfinite(v) and v > 0 for v in values):
        raise UsageError("--spacing is not a voxel size", got=repr(text), hint="give mm, e.g. 1 or 0.9,0.9,1")
    return values * 3 if len(values) == 1 else values


def parse_psf(text: str) -> dict[str, str]:
    """``gaussian`` or ``x=kspace,y=kspace,z=boxcar``."""
    spreads: dict[str, str] = {}
    for part in text.split(","):
        axis, equals, kind = part.strip().partition("=")
        if not equals:
            axis, kind = "*", axis
        if axis not in ("*", "x", "y", "z") or kind not in PSF_KINDS or axis in spreads:
            raise UsageError(
                "--psf is not a point spread",
                got=repr(text),
                rule=f"kinds: {', '.join(PSF_KINDS)}",
                hint="e.g. gaussian, or x=kspace,y=kspace,z=boxcar",
            )
        spreads[axis] = kind
    return spreads


def parse_noise(text: str) -> float | None:
    """``auto`` (None) or a standard deviation in the image's units."""
    if text == "auto":
        return None
    return _number("--noise", text, "auto, 0 or a standard deviation in the image's units")


def parse_length(text: str) -> float:
    """A length in mm, above zero."""
    value = _number("--slice-thickness", text, "a length in mm")
    if value == 0:
        raise UsageError("--slice-thickness is zero", hint="give a length in mm")
    return value


def parse_bytes(text: str) -> int:
    """``4GiB``, ``500MB``, ``2000000000``."""
    digits = text.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = text.strip()[len(digits) :].lower()
    try:
        value = float(digits)
    except ValueError:
        value = math.nan
    if unit not in UNITS or not math.isfinite(value) or value <= 0:
        raise UsageError("--max-mem is not an amount of memory", got=repr(text), hint="e.g. 4GiB or 500MB")
    return int(value * UNITS[unit])


def parse_device(text: str) -> str:
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    name, _, index = text.partition(":")
    if name not in ("auto", "cpu", "cuda", "mps") or (index and not (name == "cuda" and index.isdigit())):
        raise UsageError("--device is not one", got=repr(text), hint="choose auto, cpu, cuda, cuda:N or mps")
    return text


def _number(flag: str, text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise UsageError(f"{flag} is not a number that makes sense", got=repr(text), hint=f"give {what}")
    return value


def parse_threads(text: str) -> int:
    """A number of threads, 1 or more."""
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise UsageError("--threads is not a number of threads", got=repr(text), hint="give 1 or more")
    return int(text)


@dataclass(frozen=True)
class Job:
    """What `medsr reconstruct` was asked to do."""

    inputs: tuple[str, ...] = _option(
        (), "scans: NIfTI, NRRD or MHA files, or folders of them", metavar="INPUT", parse=str
    )
    output: str | None = _option(
        None,
        "a file (one input) or a folder; default: <input>_desc-sr.nii.gz beside the input",
        metavar="OUT",
        flags=("-o",),
    )
    method: str = _option("spline", "how to reconstruct; `medsr models` lists them", metavar="NAME")
    spacing: tuple[float, ...] | None = _option(
        None,
        "target voxel size in mm, e.g. 1 or 0.9,0.9,1; default: thick slices go to the in-plane spacing, "
        "a near-isotropic scan to half its spacing",
        metavar="MM",
        parse=parse_spacing,
    )
    slice_thickness: float | None = _option(
        None,
        "full width at half maximum of the slice profile; default: the header's, else the spacing between slices",
        metavar="MM",
        parse=parse_length,
        group="acquisition",
    )
    psf: Mapping[str, str] | None = _option(
        None,
        f"point spread ({', '.join(PSF_KINDS)}) of all refined axes, or an axis, e.g. z=boxcar; "
        "default: gaussian across slices, kspace elsewhere",
        metavar="KIND",
        parse=parse_psf,
        group="acquisition",
    )
    noise: float | None = _option(
        None,
        "standard deviation of the noise in the image's units, 0, or auto (default): estimated",
        metavar="SIGMA",
        parse=parse_noise,
        group="acquisition",
    )
    negative: str = _option(
        "keep",
        "values below zero where the scan has none: keep them (the result then explains the data exactly) "
        "or clip them to zero",
        choices=("keep", "clip"),
        group="output",
    )
    force: bool = _option(False, "overwrite outputs that exist", group="output")
    skip_existing: bool = _option(False, "leave inputs alone whose output exists", group="output")
    no_report: bool = _option(False, "write no HTML report", group="output")
    device: str = _option(
        "auto", "auto, cpu, cuda, cuda:N or mps", metavar="DEVICE", parse=parse_device, group="resources"
    )
    max_mem: int | None = _option(
        None, "refuse work that would need more, e.g. 4GiB", metavar="SIZE", parse=parse_bytes, group="resources"
    )
    threads: int | None = _option(
        None, "CPU threads; default: all cores", metavar="N", parse=parse_threads, group="resources"
    )

    def __post_init__(self) -> None:
        if self.force and self.skip_existing:
            raise UsageError("--force and --skip-existing contradict each other", hint="choose one")

    def described(self) -> dict[str, Any]:
        """The options that differ from their defaults, for the sidecar."""
        changed = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name not in ("inputs", "output"))
        defaults = {f.name: f.default for f in fields(self)}
        return {name: _plain(value) for name, value in changed if value != defaults[name]}


def options() -> list[tuple[Field[Any], Option]]:
    """The fields of `Job` with their options, in order."""
    return [(f, f.metadata["option"]) for f in fields(Job)]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
