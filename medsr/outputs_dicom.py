"""A result as DICOM: a folder of its own, written as one act."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr._version import VERSION
from medsr.errors import InputError, OutputError
from medsr.io.atomic import Transaction
from medsr.io.names import is_file
from medsr.io.scans import Scan, sha256
from medsr.models.card import card
from medsr.outputs import RESULT, UTF8, as_json, beside, describe, unnamed
from medsr.result import Result

OURS = re.compile(r"(IMG|MAP|CAP)\d{6}\.dcm|sidecar\.json|report\.html")
"""Names in a folder that medsr wrote; one that holds anything else is never replaced."""


@dataclass(frozen=True)
class SeriesOutputs:
    """The folder of a derived series: its images, the maps, the sidecar and the report."""

    image: Path

    @property
    def sidecar(self) -> Path:
        """How the result was made."""
        return self.image / "sidecar.json"

    @property
    def report(self) -> Path:
        """The report for a browser."""
        return self.image / "report.html"

    def exists(self) -> bool:
        """Whether there is a result; the folder appears with all that is in it."""
        return is_file(self.sidecar)

    def files(self, scan: Scan, *, uncertainty: bool, report: bool) -> list[Path]:
        """The folder: all else lies in it."""
        return [self.image]


def name_series(scan: Scan, output: str | None, several: bool) -> SeriesOutputs:
    """The folder for the result of `scan`: `output`, one in it where there are several, or one beside the scan."""
    name = f"{scan.stem}{RESULT}"
    if output is None:
        return SeriesOutputs(beside(scan, name))
    return SeriesOutputs(Path(output) / name if several else Path(output))


def check_series(outputs: SeriesOutputs, scan: Scan, *, force: bool) -> None:
    """Refuses, before any work, what could not be written after it.

    Raises
    ------
    OutputError
        if the folder exists and `force` is not given, or holds what medsr did not write, or the scan; or if it
        cannot be created.
    InputError
        if the scan is a series of another modality than MR.
    """
    folder = outputs.image
    series = scan.series
    if series is not None and series.modality != "MR":
        raise InputError(
            f"{scan.path}: a derived MR series needs an MR source",
            got=f"series {series.selector} of modality {series.modality or 'unknown'}",
            hint="write --format nifti",
        )
    inside = os.path.realpath(folder)
    if any(os.path.commonpath([inside, os.path.realpath(file)]) == inside for file in scan.files()):
        raise OutputError(f"{folder}: the scan lies in this folder", hint="name another output with -o")
    try:
        found = sorted(path.name for path in folder.iterdir()) if os.path.lexists(folder) else []
    except OSError as error:
        raise OutputError(f"{folder}: the folder of the series cannot be written", got=error.strerror) from None
    strange = [name for name in found if not OURS.fullmatch(name)]
    if strange:
        raise OutputError(
            f"{folder}: this folder holds other files",
            got=f"{strange[0]!r}" + (f" and {len(strange) - 1} more" if len(strange) > 1 else ""),
            rule="a derived series gets a folder of its own",
            hint="name a new folder with -o",
        )
    if found and not force:
        raise OutputError(f"{folder}: the output exists already", hint="--force replaces it, -o names another")
    with contextlib.suppress(_Enough), Transaction(force=True) as transaction:
        transaction.path(folder.parent / "trial")
        raise _Enough


RESEARCH = (
    "For research use only; not for diagnosis. A reconstructed image can show detail that is not in the patient "
    "and miss detail that is: read it beside the scan."
)


class _Enough(Exception):  # noqa: N818 - takes back what was tried
    pass


def save_series(
    result: Result,
    outputs: SeriesOutputs,
    scan: Scan,
    *,
    options: dict[str, Any],
    shaping: dict[str, Any],
    command: Sequence[str],
    force: bool,
    report: bool,
) -> list[Path]:
    """Writes the derived series with its maps, sidecar and report; all of it, or nothing. Returns the paths.

    options : for the sidecar. shaping : those that the series depends on; they go into its UIDs.

    Raises
    ------
    OutputError
        if the folder exists and `force` is not given, or cannot be written.
    """
    from medsr.io.dicom.derived import Derivation
    from medsr.io.dicom.folder import atomic_folder
    from medsr.io.dicom.write import write_into

    deidentify = bool(options.get("deidentify"))
    chosen = card(result.method)
    provenance = describe(result, scan, options, command)
    derivation = Derivation(
        description=_words(result),
        parameters={"method": result.method, **result.made_with, **shaping},
        learned=chosen.learned,
    )
    with atomic_folder(outputs.image, overwrite=force) as part:
        written = write_into(
            part,
            result.volume,
            derivation,
            source=scan.series,
            uncertainty=result.uncertainty,
            deidentify=deidentify,
        )
        provenance["medsr"]["series_uid"] = written.series_uid
        if options.get("capture"):
            from medsr.io.dicom.capture import write_capture
            from medsr.report.capture import captured

            picture = captured(result, [derivation.description, RESEARCH])
            write_capture(part / "CAP000001.dcm", picture, "Report", source=scan.series, deidentify=deidentify)
        if report:
            from medsr.report.html import render

            html = render(unnamed(result) if deidentify else result, provenance)
            (part / outputs.report.name).write_text(html, **UTF8)
        made = sorted(part.iterdir())
        provenance["medsr"]["outputs"] = {path.name: sha256(path) for path in made}
        (part / outputs.sidecar.name).write_text(as_json(provenance), **UTF8)
    return [outputs.image]


def _words(result: Result) -> str:
    """What was done, for people who look at the images; nothing of the patient."""
    spreads = ", ".join(f"{axis} {words}" for axis, words in result.acquisition["point_spread"].items())
    return (
        f"Research use only. medsr {VERSION}, method {result.method}: {result.measured.grid.describe()} to "
        f"{result.volume.grid.describe()}; point spread {spreads}; noise {result.acquisition['noise']:.4g}; "
        f"residual {result.figures['residual_over_data']:.3g} of the data"
    )
