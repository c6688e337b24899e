"""One run of medsr, in full: the single source of the command line, of batch rows and of Slicer's form.

Each field carries its help, its parser and its place in its metadata; nothing else repeats them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from medsr.errors import UsageError

Span = tuple[int, int | None]
"""The first of some slices or frames, and the one after the last; None for all that follow."""

PSF_KINDS = ("gaussian", "boxcar", "rf", "kspace")
NEGATIVE = ("keep", "clip")
FORMATS = ("nifti", "dicom")
DTYPES = ("float32", "int16")
UNSCALED = (".nrrd", ".nhdr", ".mha", ".mhd")
"""Suffixes of formats that have no place for a scale of the stored values."""
BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
DECIMAL = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS = {"": 1, "b": 1, **BINARY, **{f"{k}ib": v for k, v in BINARY.items()}, **DECIMAL}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Option:
    """How a field of `Job` is offered.

    parse : from the text of the command line. flags : a short form. group : a heading in the help.
    shapes : whether the voxels that are written, or their header, depend on it.
    """

    help: str
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    group: str = "options"
    shapes: bool = True


def _option(default: Any, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"option": Option(help, **more)})


def parse_spacing(text: str) -> tuple[float, ...]:
    """``1`` or ``0.9,0.9,1``, in mm."""
    values = tuple(parse_float(part) for part in text.split(","))
    if len(values) not in (1, 3) or not all(math.isfinite(v) and v > 0 for v in values):
        raise UsageError("--spacing is not a voxel size", got=repr(text), hint="give mm, e.g. 1 or 0.9,0.9,1")
    return values * 3 if len(values) == 1 else values


def parse_psf(text: str) -> dict[str, str]:
    """``gaussian`` or ``x=kspace,y=kspace,z=boxcar``."""
    spreads: dict[str, str] = {}
    for part in text.lower().split(","):
        axis, equals, kind = (word.strip() for word in part.partition("="))
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
    value = parse_float(digits) * UNITS.get(unit, math.nan)
    if not math.isfinite(value) or value < 1:
        raise UsageError("--max-mem is not an amount of memory", got=repr(text), hint="e.g. 4GiB, 4G or 500MB")
    return int(value)


def parse_device(text: str) -> str:
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    name, _, index = text.partition(":")
    numbered = name == "cuda" and index.isascii() and index.isdigit() and len(index) < 4
    if name not in ("auto", "cpu", "cuda", "mps") or (":" in text and not numbered):
        raise UsageError("--device is not one", got=repr(text), hint="choose auto, cpu, cuda, cuda:N or mps")
    return text


def parse_float(text: str) -> float:
    """The number that `text` is; NaN where it is none (Python's own "1_0" and "infinity" are none here)."""
    return float(text) if NUMBER.fullmatch(text.strip()) else math.nan


def parse_count(flag: str, text: str, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number from `least` to `most`."""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise UsageError(
            f"{flag} is not a whole number that makes sense", got=repr(text), hint=f"give {least} to {most}"
        )
    return int(text)


def _number(flag: str, text: str, what: str) -> float:
    value = parse_float(text)
    if not math.isfinite(value) or value < 0:
        raise UsageError(f"{flag} is not a number that makes sense", got=repr(text), hint=f"give {what}")
    return value


def parse_threads(text: str) -> int:
    """A number of threads, 1 or more."""
    return parse_count("--threads", text, 1, 1024)


def parse_coils(text: str) -> int:
    """A number of virtual coils, 1 or more."""
    return parse_count("--coils", text, 1, 1024)


def parse_readouts(text: str) -> int:
    """A number of readouts, 1 or more."""
    return parse_count("--readouts", text, 1, 65535)


def parse_delay(text: str) -> tuple[float, ...] | Literal["auto"]:
    """``2.5`` or ``2,3`` in microseconds; the result is in s. Or ``auto``."""
    if text == "auto":
        return "auto"
    values = tuple(parse_float(part) for part in text.split(","))
    if not 1 <= len(values) <= 3 or not all(abs(v) < 1000 for v in values):
        raise UsageError(
            "--delay is not a delay", got=repr(text), hint="give microseconds, e.g. 2.5 or 2,3, or auto"
        )
    return tuple(v * 1e-6 for v in values)


def parse_slices(text: str) -> Span:
    """``3``, ``0:10``."""
    return _range("--slices", text)


def parse_frames(text: str) -> Span:
    """``3``, ``0:10``."""
    return _range("--frames", text)


def _range(flag: str, text: str) -> Span:
    first, colon, last = text.partition(":")
    start = parse_count(flag, first) if first else 0
    if not colon:
        return start, start + 1
    end = parse_count(flag, last, start + 1) if last else None
    return start, end


@dataclass(frozen=True)
class Job:
    """What `medsr reconstruct` was asked to do."""

    inputs: tuple[str, ...] = _option(
        (),
        "scans: NIfTI (.nii, .nii.gz, .hdr/.img), NRRD or MetaImage files, raw data (MRD .h5), folders of them "
        "(sub-folders and earlier results are left out), or folders of DICOM files (searched to any depth for one "
        "series)",
        metavar="INPUT",
        group="files",
    )
    series: str | None = _option(
        None,
        "which series of a DICOM folder: its number, its UID or a word of its description; `medsr info FOLDER` "
        "lists them; default: the only one that fits",
        metavar="SERIES",
        group="files",
    )
    output: str | None = _option(
        None,
        "a file (one input; .nii.gz, .nii, .nrrd or .mha) or a folder, made if missing; with --format dicom the "
        "folder of the series; default: <input>_desc-sr.nii.gz, or the folder <input>_desc-sr, beside the input",
        metavar="OUT",
        flags=("-o",),
        group="files",
    )
    method: str = _option(
        "auto",
        "how to reconstruct; `medsr models` lists what there is and the default for each kind of scan; "
        "default: auto ",
        metavar="NAME",
        group="what is wanted",
    )
    model: str | None = _option(
        None,
        "the trained network of a method that takes one (slicewise), e.g. drudn; `medsr models` lists them",
        metavar="NAME",
        group="what is wanted",
    )
    fast: bool = _option(
        False, "the faster form of a method that has one, a little less good", group="what is wanted"
    )
    spacing: tuple[float, ...] | None = _option(
        None,
        "target voxel size in mm, e.g. 1 or 0.9,0.9,1; default: thick slices go to the in-plane spacing, "
        "a near-isotropic scan to half its spacing",
        metavar="MM",
        parse=parse_spacing,
        group="what is wanted",
    )
    slice_thickness: float | None = _option(
        None,
        "slice thickness in mm (full width at half maximum of the slice profile); default: the sidecar's, else "
        "the spacing between slices",
        metavar="MM",
        parse=parse_length,
        group="how the scan was made",
    )
    psf: Mapping[str, str] | None = _option(
        None,
        f"point spread ({', '.join(PSF_KINDS)}) of all refined axes, or an axis, e.g. z=boxcar; "
        "default: gaussian across slices, kspace elsewhere",
        metavar="KIND",
        parse=parse_psf,
        group="how the scan was made",
    )
    noise: float | None = _option(
        None,
        "standard deviation of the noise in the image's units; 0: the result explains the scan exactly; "
        "auto (default): estimated from the scan",
        metavar="SIGMA",
        parse=parse_noise,
        group="how the scan was made",
    )
    coils: int | None = _option(
        None,
        "virtual coils to compress to; default: as many as hold all but 0.01 % of the signal",
        metavar="N",
        parse=parse_coils,
        group="how raw data were made",
    )
    delay: tuple[float, ...] | Literal["auto"] | None = _option(
        None,
        "how late the gradients come, in microseconds, for all axes or x,y, or auto: estimated from the data; "
        "the trajectory is corrected by it",
        metavar="US",
        parse=parse_delay,
        group="how raw data were made",
    )
    field_map: str | None = _option(
        None,
        "static field in Hz, an image in the scanner's coordinates: off-resonance during the readout is corrected",
        metavar="FILE",
        group="how raw data were made",
    )
    slices: tuple[int, int | None] | None = _option(
        None,
        "which slices, e.g. 3 or 0:10; default: all",
        metavar="A:B",
        parse=parse_slices,
        group="how raw data were made",
    )
    frames: tuple[int, int | None] | None = _option(
        None,
        "which time frames, e.g. 10:100; default: all",
        metavar="A:B",
        parse=parse_frames,
        group="how raw data were made",
    )
    readouts: int | None = _option(
        None,
        "readouts in a frame, to cut up or join the frames of the file; default: the file's",
        metavar="N",
        parse=parse_readouts,
        group="how raw data were made",
    )
    negative: str = _option(
        "keep",
        "values below zero where the scan has none: keep them (default; clipping them makes the result explain "
        "the scan less well) or clip them to zero",
        choices=NEGATIVE,
        group="what is written",
    )
    format: str = _option(
        "nifti",
        "nifti (default; or another format by the suffix of OUT), or dicom: a derived MR series with the patient "
        "and the study of the input",
        choices=FORMATS,
        group="what is written",
    )
    dtype: str = _option(
        "float32",
        "how voxels are stored: float32 (default), or int16, which takes a third of the space and keeps values to "
        "1/65535 of their range; NIfTI only (DICOM has 16 bits in any case)",
        choices=DTYPES,
        group="what is written",
    )
    capture: bool = _option(
        False,
        "with --format dicom: add a picture of the report, as a Secondary Capture in the same study",
        group="what is written",
    )
    deidentify: bool = _option(
        False,
        "leave out what identifies the patient: DICOM attributes beside an allow-list, dates, UIDs (hashed), and "
        "the input's name; faces and the names of output files stay as they are, and a batch's table of outcomes "
        "names the input files",
        group="what is written",
    )
    force: bool = _option(False, "replace outputs that exist", group="what is written", shapes=False)
    skip_existing: bool = _option(
        False,
        "pass over inputs whose result exists, and finish what an interrupted run has left",
        group="what is written",
        shapes=False,
    )
    no_report: bool = _option(False, "write no HTML report", group="what is written", shapes=False)
    device: str = _option(
        "auto",
        "auto (default: a CUDA device if there is one, else the CPU), cpu, cuda, cuda:N or mps",
        metavar="DEVICE",
        parse=parse_device,
        group="resources",
        shapes=False,
    )
    max_mem: int | None = _option(
        None,
        "refuse a scan that needs more memory, e.g. 4GiB; default: more than the machine has free",
        metavar="SIZE",
        parse=parse_bytes,
        group="resources",
        shapes=False,
    )
    threads: int | None = _option(
        None,
        "CPU threads; default: all cores; the result is the same",
        metavar="N",
        parse=parse_threads,
        group="resources",
        shapes=False,
    )

    def __post_init__(self) -> None:
        if self.force and self.skip_existing:
            raise UsageError("--force and --skip-existing contradict each other", hint="choose one")
        if self.capture and self.format != "dicom":
            raise UsageError("--capture is for DICOM", hint="add --format dicom")
        if self.dtype != DTYPES[0] and (self.format == "dicom" or (self.output or "").lower().endswith(UNSCALED)):
            raise UsageError("--dtype is for NIfTI", got=self.dtype, hint="write .nii.gz, or leave it out")
        if self.output == "" or "" in self.inputs:
            raise UsageError("the name of an input or of the output is empty", hint="name a file or a folder")
        if any("\0" in name for name in (*self.inputs, self.output or "")):
            raise UsageError("the name of an input or of the output cannot be one", rule="no name has a zero byte")

    def described(self) -> dict[str, Any]:
        """The options that differ from their defaults, for the sidecar."""
        changed = (
            (f, getattr(self, f.name)) for f in fields(self) if f.name not in ("inputs", "output", "series")
        )
        return {f.name: _plain(value) for f, value in changed if value != f.default}

    def shaping(self) -> dict[str, Any]:
        """Those of them that the written voxels or their header depend on."""
        return {k: v for k, v in self.described().items() if SHAPES[k]}


def options() -> list[tuple[Field[Any], Option]]:
    """The fields of `Job` with their options, in order."""
    return [(f, f.metadata["option"]) for f in fields(Job)]


SHAPES = {field.name: option.shapes for field, option in options()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
