"""The files of a result: their names, and their writing as one act."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsr._version import VERSION
from medsr.errors import InputError, OutputError, UsageError
from medsr.io import WRITTEN_SUFFIXES, companions, open_volume, stem, write_volume
from medsr.io.atomic import Transaction, check_target
from medsr.io.names import data_halves, header_halves, image_suffix, is_data_half, is_file, is_folder, is_raw
from medsr.models.card import card
from medsr.result import Result
from medsr.volume import Grid, Volume

if TYPE_CHECKING:
    from medsr.report.data import ReportData


@dataclass(frozen=True)
class Outputs:
    """Where the files of one result go; all lie beside the image and share its name."""

    image: Path

    @property
    def base(self) -> str:
        return stem(self.image)

    def beside(self, ending: str) -> Path:
        """A file that belongs to the image: ``_residual.nii.gz``, ``.json``, ``.html``."""
        return self.image.with_name(self.base + ending)

    @property
    def map_suffix(self) -> str:
        return image_suffix(self.image)

    def files(self, source: Path, *, uncertainty: bool, report: bool) -> list[Path]:
        """What a result of the scan `source` consists of, the image first."""
        endings = [f"_residual{self.map_suffix}", ".json"]
        endings += [f"_tsnr{self.map_suffix}"] * is_raw(source)
        endings += [f"_uncertainty{self.map_suffix}"] * uncertainty + [".html"] * report
        return [self.image, *map(self.beside, endings + [table.suffix for table in companions(source)])]


LEAST_FRAMES = 4
"""Of a series whose temporal signal to noise means anything."""

UTF8: Any = {"encoding": "utf-8", "errors": "backslashreplace"}
"""Names of files need not be text; what is none is escaped as JSON does."""

FILE_SUFFIX = re.compile(r"\.[a-zA-Z][a-zA-Z0-9]{1,4}")
"""What `-o` is not taken for a folder with, unless it ends in a slash or is one."""


def name_outputs(source: Path, output: str | None, several: bool) -> Outputs:
    """Outputs for the scan `source`: `output` is a file, a folder, or None for beside the scan.

    A folder is one that exists, or a name that ends in a slash or has no suffix as files have.

    Raises
    ------
    UsageError
        if one file is named for several inputs, or a file that cannot be written.
    """
    name = f"{stem(source)}_desc-sr.nii.gz"
    if output is None:
        return Outputs(source.with_name(name))
    suffix = image_suffix(output) or (Path(output).suffix if FILE_SUFFIX.fullmatch(Path(output).suffix) else "")
    if not suffix or output.endswith(("/", os.sep)) or is_folder(output):
        return Outputs(Path(output) / name)
    if suffix not in WRITTEN_SUFFIXES or not stem(output):
        raise UsageError(
            f"{output}: no image is written under this name",
            rule=f"the suffix is one of {', '.join(WRITTEN_SUFFIXES)}",
            hint="end the name with a slash if a folder is meant",
        )
    if several:
        raise UsageError(f"{output}: one file for several inputs", hint="name a folder with -o")
    return Outputs(Path(output))


def source_files(source: Path) -> list[Path]:
    """The files that belong to the image `source`: itself, its other half, its sidecar, its tables."""
    halves = header_halves(source) if is_data_half(source) else data_halves(source)
    paired = image_suffix(source) in (".hdr", ".hdr.gz", ".img", ".img.gz")
    beside = source.with_name(stem(source) + ".json")
    return [source, *(halves if paired else ()), beside, *companions(source)]


def protect(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuses to write over an input, whatever `--force` says.

    Raises
    ------
    OutputError
        if a target is one of the files of an input, by whatever name.
    """
    known = {os.path.realpath(file) for source in inputs for file in source_files(source)}
    for target in targets:
        if os.path.realpath(target) in known:
            raise OutputError(
                f"{target}: this is a file of an input, which is never written over",
                hint="name another output with -o",
            )


def check_outputs(files: Sequence[Path], *, force: bool) -> None:
    """Refuses, before any work, what could not be written after it.

    Raises
    ------
    OutputError
        if a file exists and `force` is not given, or the folder cannot be written.
    """
    for path in files:
        check_target(path, force=force)
    with contextlib.suppress(_Enough), Transaction(force=force) as transaction:
        transaction.path(files[0])
        raise _Enough


class _Enough(Exception):  # noqa: N818 - takes back what was tried
    pass


def save(
    result: Result,
    outputs: Outputs,
    source: Path,
    *,
    options: dict[str, Any],
    command: Sequence[str],
    force: bool,
    report: bool,
) -> list[Path]:
    """Writes image, maps, sidecar and report of `result`; all of them, or none. Returns their paths.

    Raises
    ------
    OutputError
        if one exists and `force` is not given, or cannot be written.
    """
    provenance = describe(result, source, options, command)
    written: list[Path] = []
    with Transaction(force=force) as transaction:

        def target(path: Path, expect: int | None = None) -> Path:
            written.append(path)
            return transaction.path(path, expect)

        def write(volume: Volume, path: Path) -> None:
            description = f"medsr {VERSION} {result.method}"
            write_volume(volume, target(path, _expected_bytes(volume, path)), description=description)

        write(result.volume, outputs.image)
        write(result.residual, outputs.beside(f"_residual{outputs.map_suffix}"))
        if is_raw(source) and (ratio := _tsnr(result.volume)) is not None:
            write(ratio, outputs.beside(f"_tsnr{outputs.map_suffix}"))
        if result.uncertainty is not None:
            write(result.uncertainty, outputs.beside(f"_uncertainty{outputs.map_suffix}"))
        for table in companions(source):
            target(outputs.beside(table.suffix)).write_bytes(table.read_bytes())
        text = json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"
        target(outputs.beside(".json")).write_text(text, **UTF8)
        if report:
            from medsr.report.html import render

            target(outputs.beside(".html")).write_text(render(result, provenance), **UTF8)
        for path in outputs.files(source, uncertainty=True, report=True):
            if path not in written:  # of an earlier result, which `force` replaces
                transaction.discard(path)
    return written


def _tsnr(series: Volume) -> Volume | None:
    """Temporal signal to noise; None where the series is too short, or its TR not known."""
    if series.data.ndim != 4 or series.frames < LEAST_FRAMES or not series.facts.tr:
        return None
    from medsr.evaluation.fmri import tsnr_map

    return tsnr_map(series)


def _expected_bytes(volume: Volume, path: Path) -> int:
    """Of the file that `volume` is written to; where it is compressed, what it takes at the very least."""
    raw = 4 * math.prod(volume.data.shape)
    return raw if image_suffix(path) == ".nii" else raw // 8


def save_scan(scan: Volume, output: str, *, truth: Path, force: bool) -> list[Path]:
    """Writes a scan simulated from the image at `truth`, and its sidecar. Returns their paths.

    Raises
    ------
    UsageError
        if `output` is a folder, or no image is written under its name.
    OutputError
        if one exists and `force` is not given, or cannot be written.
    """
    outputs = name_outputs(Path(output), output, several=False)
    if outputs.image != Path(output):
        raise UsageError(
            f"{output}: this is the name of a folder", hint="name the file to write, e.g. scan.nii.gz"
        )
    sidecar = outputs.beside(".json")
    protect([outputs.image, sidecar], [truth])
    facts = scan.facts
    bids = {
        "SliceThickness": facts.slice_thickness,
        "SpacingBetweenSlices": None if facts.slice_axis is None else scan.grid.spacing[facts.slice_axis],
        "MRAcquisitionType": facts.acquisition_type,
        "SliceEncodingDirection": None if facts.slice_axis is None else "ijk"[facts.slice_axis],
        "RepetitionTime": facts.tr,
        "EchoTime": facts.te,
        "Description": f"Simulated by medsr {VERSION}",
    }
    with Transaction(force=force) as transaction:
        write_volume(scan, transaction.path(outputs.image), description=f"medsr {VERSION} simulated")
        text = json.dumps({k: v for k, v in bids.items() if v is not None}, indent=2) + "\n"
        transaction.path(sidecar).write_text(text, encoding="utf-8")
    return [outputs.image, sidecar]


def save_report(image: Path, scan: Path | None, output: Path | None, *, force: bool) -> Path:
    """Writes the report of the result `image` again, from its files. Returns its path.

    scan : what the scanner gave; by default the file beside the result that the sidecar names.

    Raises
    ------
    InputError
        if the sidecar or the scan is missing.
    OutputError
        if the report exists and `force` is not given, or cannot be written.
    """
    from medsr.report.html import render

    data, provenance = _read_back(image, scan)
    target = output or Outputs(image).beside(".html")
    with Transaction(force=force) as transaction:
        transaction.path(target).write_text(render(data, provenance), **UTF8)
    return target


def save_picture(image: Path, scan: Path | None, output: Path, *, force: bool) -> Path:
    """Writes a PNG of the result `image` beside its scan in three planes. Raises as `save_report`."""
    from medsr.report.pictures import side_by_side

    data, _ = _read_back(image, scan)
    with Transaction(force=force) as transaction:
        transaction.path(output).write_bytes(side_by_side(data))
    return output


def _read_back(image: Path, scan: Path | None) -> tuple[ReportData, dict[str, Any]]:
    """A result from its files: what a report shows of it, and its sidecar."""
    from medsr.report.data import ReportData

    outputs = Outputs(image)
    provenance = _read_sidecar(outputs.beside(".json"))
    result = open_volume(image)
    source = scan or _scan_beside(image, provenance["medsr"]["input"])
    if not is_file(source):
        raise InputError(f"{source}: the scan is not there", hint="say where it is with --scan")
    maps = {
        name: open_volume(path, allow_constant=True) if is_file(path) else None
        for name in ("residual", "uncertainty")
        for path in [outputs.beside(f"_{name}{outputs.map_suffix}")]
    }
    return ReportData.from_sidecar(provenance, result, open_volume(source), **maps), provenance


def _scan_beside(image: Path, said: dict[str, Any]) -> Path:
    """The scan that the sidecar's words `said` are about, if it lies beside the result `image`."""
    # a name, whatever the sidecar makes of it: no path that leads elsewhere
    source = image.with_name(re.split(r"[\\/]", str(said["name"]))[-1] or "scan")
    if is_file(source) and said.get("sha256", "") != sha256(source):
        raise InputError(
            f"{source}: this is not the scan that the result was made from, or it was changed since",
            rule="its checksum is that of the sidecar",
            hint="say where the scan is with --scan",
        )
    return source


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        provenance: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        provenance["medsr"]["input"].items()  # KeyError, AttributeError: some other JSON
        provenance["medsr"]["input"]["name"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: no sidecar of a result of medsr", got=type(error).__name__, hint="name the image, not a map"
        ) from None
    return provenance


def describe(result: Result, source: Path, options: dict[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """The sidecar: BIDS keys where BIDS has them, the rest under ``medsr``."""
    chosen = card(result.method)
    bids = {
        "Description": f"{chosen.summary}",
        "Sources": [source.name],
        "Resolution": result.volume.grid.describe(),
        "RepetitionTime": result.volume.facts.tr,
        "EchoTime": result.volume.facts.te,
    }
    return {k: v for k, v in bids.items() if v is not None} | {
        "medsr": {
            "version": VERSION,
            "command": list(command),
            "method": result.method,
            "citation": chosen.citation,
            "options": options,
            "input": {"name": source.name, "sha256": sha256(source)},
            "geometry": {"before": _geometry(result.measured.grid), "after": _geometry(result.volume.grid)},
            "acquisition": result.acquisition,
            "figures": result.figures,
            "promises": "kept" if result.kept_its_promises else "missed",
            "flags": [{"level": f.level, "text": f.text} for f in result.flags],
            "seconds": result.timings,
        }
    }


def sha256(path: Path) -> str:
    """Of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _geometry(grid: Grid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "spacing_mm": list(grid.spacing), "affine": grid.affine.tolist()}
