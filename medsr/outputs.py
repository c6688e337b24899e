"""The files of a result: their names, and their writing as one act."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsr._version import VERSION
from medsr.errors import InputError, OutputError, UsageError
from medsr.io import WRITTEN_SUFFIXES, open_volume, stem, write_volume
from medsr.io.atomic import Transaction, check_target
from medsr.io.names import image_suffix, is_file, is_folder, is_raw
from medsr.io.scans import Scan, sha256
from medsr.models.card import card
from medsr.result import Result
from medsr.volume import Grid, Volume

if TYPE_CHECKING:
    from medsr.report.data import ReportData


@dataclass(frozen=True)
class Outputs:
    """Where the files of one result go; all lie beside the image and share its name.

    keys : of the sidecar, in place of what it says by itself.
    """

    image: Path
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return stem(self.image)

    def beside(self, ending: str) -> Path:
        """A file that belongs to the image: ``_residual.nii.gz``, ``.json``, ``.html``."""
        return self.image.with_name(self.base + ending)

    @property
    def map_suffix(self) -> str:
        return image_suffix(self.image)

    @property
    def residual(self) -> Path:
        """``y - A x``, on the scan's grid."""
        return self.beside(f"_residual{self.map_suffix}")

    @property
    def tsnr(self) -> Path:
        """Temporal signal to noise of a series from raw data."""
        return self.beside(f"_tsnr{self.map_suffix}")

    @property
    def uncertainty(self) -> Path:
        """On the result's grid."""
        return self.beside(f"_uncertainty{self.map_suffix}")

    @property
    def sidecar(self) -> Path:
        """How the result was made."""
        return self.beside(".json")

    @property
    def report(self) -> Path:
        """The report for a browser."""
        return self.beside(".html")

    def notes(self, *, uncertainty: bool) -> dict[Path, dict[str, Any]]:
        """Further sidecars, where a layout asks for them."""
        return {}

    def exists(self) -> bool:
        """Whether there is a result; the image gets its name last."""
        return is_file(self.image)

    def files(self, scan: Scan, *, uncertainty: bool, report: bool) -> list[Path]:
        """What a result of `scan` consists of, the image first."""
        maps = [self.residual, *[self.tsnr] * is_raw(scan.path), *[self.uncertainty] * uncertainty]
        tables = [self.beside(table.suffix) for table in scan.tables()]
        notes = self.notes(uncertainty=uncertainty)
        return [self.image, *maps, *tables, *notes, self.sidecar, *[self.report] * report]


RESULT = "_desc-sr"
"""In the names of results, which are not taken for scans when a folder is searched."""

LEAST_FRAMES = 4
"""Of a series whose temporal signal to noise means anything."""

UTF8: Any = {"encoding": "utf-8", "errors": "backslashreplace"}
"""Names of files need not be text; what is none is escaped as JSON does."""

FILE_SUFFIX = re.compile(r"\.[a-zA-Z][a-zA-Z0-9]{1,4}")
"""What `-o` is not taken for a folder with, unless it ends in a slash or is one."""


def name_outputs(scan: Scan, output: str | None, several: bool) -> Outputs:
    """Outputs for `scan`: `output` is a file, a folder, or None for beside the scan.

    A folder is one that exists, or a name that ends in a slash or has no suffix as files have.

    Raises
    ------
    UsageError
        if one file is named for several inputs, or a file that cannot be written.
    """
    name = f"{scan.stem}{RESULT}.nii.gz"
    if output is None:
        return Outputs(beside(scan, name))
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


def beside(scan: Scan, name: str) -> Path:
    """A file of that name beside the scan: in the same folder, or, for a folder, in the one above."""
    return (scan.path if scan.path.name else scan.path.resolve()).with_name(name)


def protect(targets: Iterable[Path], inputs: Iterable[Scan]) -> None:
    """Refuses to write over an input, whatever `--force` says.

    Raises
    ------
    OutputError
        if a target is one of the files of an input, by whatever name.
    """
    known = {os.path.realpath(file) for scan in inputs for file in scan.files()}
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
    scan: Scan,
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
    provenance = describe(result, scan, options, command) | dict(outputs.keys)
    written: dict[Path, Path] = {}
    dtype = options.get("dtype", "float32")
    with Transaction(force=force) as transaction:

        def target(path: Path, expect: int | None = None) -> Path:
            written[path] = transaction.path(path, expect)
            return written[path]

        def write(volume: Volume, path: Path) -> None:
            description = f"medsr {VERSION} {result.method}"
            expected = _expected_bytes(volume, path, dtype)
            write_volume(volume, target(path, expected), dtype=dtype, description=description)

        write(result.volume, outputs.image)
        write(result.residual, outputs.residual)
        if is_raw(scan.path) and (ratio := _tsnr(result.volume)) is not None:
            write(ratio, outputs.tsnr)
        if result.uncertainty is not None:
            write(result.uncertainty, outputs.uncertainty)
        for table in scan.tables():
            target(outputs.beside(table.suffix)).write_bytes(table.read_bytes())
        for path, said in outputs.notes(uncertainty=result.uncertainty is not None).items():
            target(path).write_text(as_json(said), **UTF8)
        if report:
            from medsr.report.html import render

            html = render(unnamed(result) if options.get("deidentify") else result, provenance)
            target(outputs.report).write_text(html, **UTF8)
        provenance["medsr"]["outputs"] = {path.name: sha256(file) for path, file in written.items()}
        target(outputs.sidecar).write_text(as_json(provenance), **UTF8)
        for path in outputs.files(scan, uncertainty=True, report=True):
            if path not in written:  # of an earlier result, which `force` replaces
                transaction.discard(path)
    return sorted(written, key=[*outputs.files(scan, uncertainty=True, report=True)].index)


def as_json(provenance: dict[str, Any]) -> str:
    """A sidecar's text."""
    return json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"


def unnamed(result: Result) -> Result:
    """The same result, of a scan without a name."""
    return replace(result, measured=replace(result.measured, source=None))


def _tsnr(series: Volume) -> Volume | None:
    """Temporal signal to noise; None where the series is too short, or its TR not known."""
    if series.data.ndim != 4 or series.frames < LEAST_FRAMES or not series.facts.tr:
        return None
    from medsr.evaluation.fmri import tsnr_map

    return tsnr_map(series)


def _expected_bytes(volume: Volume, path: Path, dtype: str = "float32") -> int:
    """Of the file that `volume` is written to; where it is compressed, what it takes at the very least."""
    raw = (2 if dtype == "int16" else 4) * math.prod(volume.data.shape)
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
    outputs = name_outputs(Scan(Path(output)), output, several=False)
    if outputs.image != Path(output):
        raise UsageError(
            f"{output}: this is the name of a folder", hint="name the file to write, e.g. scan.nii.gz"
        )
    sidecar = outputs.beside(".json")
    protect([outputs.image, sidecar], [Scan(truth)])
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
    target = output or Outputs(image).report
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
    provenance = _read_sidecar(outputs.sidecar)
    result = open_volume(image)
    said = provenance["medsr"]["input"]
    source, series = scan or _scan_beside(image, said), said.get("series")
    if not (is_file(source) or is_folder(source)):
        raise InputError(f"{source}: the scan is not there", hint="say where it is with --scan")
    maps = {
        name: open_volume(path, allow_constant=True) if is_file(path) else None
        for name, path in (("residual", outputs.residual), ("uncertainty", outputs.uncertainty))
    }
    if is_raw(source):
        scanned = _one_frame(source, provenance["medsr"].get("options", {}))
    else:
        scanned = open_volume(source, series=series)
    return ReportData.from_sidecar(provenance, result, scanned, **maps), provenance


def _one_frame(raw: Path, options: Mapping[str, Any]) -> Volume:
    """What raw data show without a method: a frame by gridding, read and prepared as the sidecar's options say."""
    from medsr.reconstruction import reconstruct

    def span(name: str) -> slice | None:
        return slice(*options[name]) if options.get(name) is not None else None

    return reconstruct(
        raw,
        method="gridding",
        coils=options.get("coils"),
        delay=options.get("delay"),
        field_map=options.get("field_map"),
        readouts=options.get("readouts"),
        slices=span("slices"),
        frames=span("frames"),
    ).measured


def _scan_beside(image: Path, said: dict[str, Any]) -> Path:
    """The scan that the sidecar's words `said` are about, if it lies beside the result `image`."""
    # a name, whatever the sidecar makes of it: no path that leads elsewhere
    source = image.with_name(re.split(r"[\\/]", str(said["name"]))[-1] or "scan")
    there = is_file(source) or is_folder(source)
    if there and said.get("sha256", "") != Scan(source, said.get("series")).sha256():
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
        provenance["medsr"]["input"].setdefault("name", "scan")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: no sidecar of a result of medsr", got=type(error).__name__, hint="name the image, not a map"
        ) from None
    return provenance


def describe(result: Result, scan: Scan, options: dict[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """The sidecar: BIDS keys where BIDS has them, the rest under ``medsr``.

    With the option `deidentify` it has no name of the scan, and the command without what bears names.
    """
    chosen = card(result.method)
    named = not options.get("deidentify")
    source: dict[str, Any] = {"name": scan.name} if named else {}
    if scan.series is not None:
        source |= {"format": "DICOM", "files": len(scan.series.files)}
        source |= {"series": scan.series.selector} if named else {}
    bids = {
        "Description": f"{chosen.summary}",
        "Sources": [scan.name] if named else None,
        "Resolution": result.volume.grid.describe(),
        "RepetitionTime": result.volume.facts.tr,
        "EchoTime": result.volume.facts.te,
    }
    return {k: v for k, v in bids.items() if v is not None} | {
        "medsr": {
            "version": VERSION,
            "command": list(command) if named else None,
            "method": result.method,
            **result.made_with,
            "citation": chosen.citation,
            "options": options,
            "input": source | {"sha256": scan.sha256()},
            "geometry": {"before": _geometry(result.measured.grid), "after": _geometry(result.volume.grid)},
            "acquisition": result.acquisition,
            "figures": result.figures,
            "promises": "kept" if result.kept_its_promises else "missed",
            "flags": [{"level": f.level, "text": f.text} for f in result.flags],
            "seconds": result.timings,
            "memory_planned": result.memory,
        }
    }


def _geometry(grid: Grid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "spacing_mm": list(grid.spacing), "affine": grid.affine.tolist()}
