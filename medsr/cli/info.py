"""``medsr info``: what medsr reads in a scan, which series a DICOM folder has, what `reconstruct` would do."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsr.cli.streams import write
from medsr.io.names import is_raw

if TYPE_CHECKING:
    from medsr.io.dicom.series import SeriesInfo
    from medsr.io.scans import Scan

EXAMPLES = """\
examples:
  medsr info scan.nii.gz
  medsr info scan.nii.gz --header-only        voxels are not read: quick, but the noise is not estimated
  medsr info scan.nii.gz --json
  medsr info dicom/                           the series of a DICOM folder; the scan, if only one fits
  medsr info dicom/ --series 5                one of them
  medsr info dicom/ --descriptions            with their descriptions, which may name a patient

A file whose header can be read exits with 0, though its voxels may be damaged or `reconstruct` may refuse it:
the last rows say so.
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="what is read in a file, and what would be done with it",
        description="What medsr reads in a scan, what it would assume of it, and what `reconstruct` would make.",
        epilog=EXAMPLES,
    )
    parser.add_argument("file", metavar="FILE", help="a scan: an image, a folder of DICOM files, or one of them")
    parser.add_argument("--series", metavar="SERIES", help="which series of a DICOM folder")
    parser.add_argument(
        "--descriptions", action="store_true", help="show the descriptions of the series; they may name a patient"
    )
    parser.add_argument("--header-only", action="store_true", help="do not read the voxels")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints it."""
    from medsr.errors import InputError
    from medsr.io.names import is_folder
    from medsr.io.scans import Scan

    scan = Scan(Path(arguments.file), arguments.series)
    facts: dict[str, Any] = {"file": arguments.file}
    if scan.is_dicom:
        listed, scan = _series(scan, words=arguments.descriptions)
        facts["series"] = listed if arguments.json else _lines(listed)
    elif is_folder(scan.path):
        raise InputError(f"{scan.path}: this is a folder of images", hint="name one, or a folder of DICOM files")
    if is_raw(scan.path):
        facts |= describe_raw(arguments.file)
    elif not scan.is_dicom or scan.series is not None:
        facts |= describe(scan, header_only=arguments.header_only)
    if arguments.json:
        write(json.dumps(facts, indent=2) + "\n")
        return 0
    from medsr.cli.rows import show

    if "shape" in facts:
        facts["shape"] = " x ".join(map(str, facts["shape"]))
        facts["spacing_mm"] = " x ".join(f"{s:g}" for s in facts["spacing_mm"])
    else:
        fit = sum(entry["fits"] for entry in listed)
        facts["reconstruct_would"] = f"need --series: {fit} of these fit" if fit else "refuse: none of these fits"
    show(facts)
    return 0


def _series(scan: Scan, *, words: bool) -> tuple[list[dict[str, Any]], Scan]:
    """The series of a DICOM folder, and the scan, opened where one was asked for or only one fits."""
    from dataclasses import replace

    from medsr.io.dicom import choose_series, list_series
    from medsr.io.dicom.series import told

    found = list_series(scan.path)
    fit = [info for info in found if info.fits]
    if scan.selector is not None or len(fit) == 1:
        chosen = choose_series(found, scan.selector, where=str(scan.path))
        scan = replace(scan, series=chosen, alone=len(fit) == 1)
    lines = told(found)
    return [_entry(info, line, words=words) for info, line in zip(found, lines, strict=True)], scan


def _entry(info: SeriesInfo, line: str, *, words: bool) -> dict[str, Any]:
    grid = info.grid
    return {
        "series": info.selector,
        "uid": info.uid,
        **({"description": info.description} if words else {}),
        "modality": info.modality,
        "images": info.count,
        "shape": list(grid.shape) if grid else None,
        "spacing_mm": [round(s, 6) for s in grid.spacing] if grid else None,
        "slice_thickness": info.thickness,
        "frames": info.times,
        "localiser": info.localiser,
        "fits": info.fits,
        "problem": info.reason,
        "told": line,
    }


def _lines(listed: list[dict[str, Any]]) -> list[str]:
    """A line a series, as in the messages of `reconstruct`."""
    return [entry["told"] + (f" - {entry['description']}" if entry.get("description") else "") for entry in listed]


def describe(scan: Scan, *, header_only: bool = False) -> dict[str, Any]:
    """What is known of the scan."""
    from medsr import memory
    from medsr.acquisition.noise import estimate_noise
    from medsr.acquisition.slices import plan_acquisition
    from medsr.errors import MedsrError
    from medsr.models.card import AUTO, chosen_card
    from medsr.reconstruction import blank, need

    header = scan.header()
    grid, notes = header.grid, list(header.notes)
    facts: dict[str, Any] = {
        "format": header.format,
        "stored_as": header.stored,
        "shape": list(grid.shape),
        "frames": header.frames or 1,
        "spacing_mm": [round(s, 6) for s in grid.spacing],
        "axes": axis_codes(grid.direction),
        "centre_mm": [round(float(c), 3) for c in grid.centre],
        "header": {k: v for k, v in asdict(header.facts).items() if v is not None},
    }
    would: list[str] = []
    try:
        plan = plan_acquisition(blank(header), noise=0.0)
        needed = need(plan, header.frames or 1, chosen_card(AUTO, "image"))
        facts["memory_needed"] = f"{needed / 2**30:.2f} GiB"
        would = [text for text in plan.assumptions if not text.startswith("noise")]
        would.append(f"give {plan.target.describe()}")
        memory.check(needed, None, f"a result of {plan.target.describe()}")
        if not header_only:
            volume = header.load()
            notes = list(volume.notes)
            noise, source = estimate_noise(volume.data if volume.frames == 1 else volume.data[volume.frames // 2])
            facts["noise"] = f"{noise:.4g}, estimated from the {source}"
    except MedsrError as error:
        would = [f"refuse: {error}"]
    return {**facts, "notes": notes, "reconstruct_would": would}


def describe_raw(file: str) -> dict[str, Any]:
    """What is known of the raw data `file`."""
    from medsr import memory
    from medsr.acquisition.preparation import Prepared
    from medsr.errors import MedsrError
    from medsr.io.mrd import read_mrd
    from medsr.models.card import AUTO, chosen_card
    from medsr.reconstruction_kspace import need

    scan = read_mrd(file)
    grid = scan.grid
    facts: dict[str, Any] = {
        "file": file,
        "format": "MRD raw data",
        "shape": list(grid.shape),
        "frames": scan.frames,
        "spacing_mm": [round(s, 6) for s in grid.spacing],
        "axes": axis_codes(grid.direction),
        "centre_mm": [round(float(c), 3) for c in grid.centre],
        "header": {
            k: v
            for k, v in (("slice_thickness", scan.slice_thickness), ("tr", scan.tr), ("te", scan.te))
            if v is not None
        },
        "coils": scan.coils,
        "encoding": "slices" if scan.dims == 2 else "a slab",
        "readouts": f"{scan.readouts} of {scan.data.shape[-1] // scan.readouts} samples in a frame",
        "readout_ms": round(float(scan.times.max() - scan.times.min()) * 1e3, 3),
        "calibration": "no" if scan.calibration is None else f"{scan.calibration.readouts} readouts a slice",
        "noise_scan": "no" if scan.noise is None else "yes",
    }
    try:
        chosen = chosen_card(AUTO, "kspace")
        prepared = Prepared(scan)
        needed = need(scan, chosen)
        facts["memory_needed"] = f"{needed / 2**30:.2f} GiB"
        would = [*prepared.notes, f"give {scan.frames} frames of {grid.describe()} by {chosen.name}"]
        memory.check(needed, None, f"a series of {scan.frames} frames")
    except MedsrError as error:
        would = [f"refuse: {error}"]
    return {**facts, "notes": list(scan.notes), "reconstruct_would": would}


def axis_codes(direction: Any) -> str:
    """Where the axes of the file point, each to its nearest anatomical direction: "RAS"."""
    letters = ""
    for axis in range(3):
        column = direction[:, axis]
        world = int(abs(column).argmax())
        letters += ("RAS" if column[world] > 0 else "LPI")[world]
    return letters
