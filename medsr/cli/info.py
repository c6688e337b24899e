"""``medsr info``: what medsr reads in a file, and what `reconstruct` would do with it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from medsr.cli.streams import write
from medsr.io.names import is_raw

EXAMPLES = """\
examples:
  medsr info scan.nii.gz
  medsr info scan.nii.gz --header-only        voxels are not read: quick, but the noise is not estimated
  medsr info scan.nii.gz --json

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
    parser.add_argument("file", metavar="FILE", help="a scan")
    parser.add_argument("--header-only", action="store_true", help="do not read the voxels")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints it."""
    facts = describe(arguments.file, header_only=arguments.header_only)
    if arguments.json:
        write(json.dumps(facts, indent=2) + "\n")
        return 0
    from medsr.cli.rows import show

    facts["shape"] = " x ".join(map(str, facts["shape"]))
    facts["spacing_mm"] = " x ".join(f"{s:g}" for s in facts["spacing_mm"])
    show(facts)
    return 0


def describe(file: str, *, header_only: bool = False) -> dict[str, Any]:
    """What is known of the scan `file`."""
    if is_raw(file):
        return describe_raw(file)
    from medsr import memory
    from medsr.acquisition.noise import estimate_noise
    from medsr.acquisition.slices import plan_acquisition
    from medsr.errors import MedsrError
    from medsr.io import open_header
    from medsr.models.card import AUTO, chosen_card
    from medsr.reconstruction import blank, need

    header = open_header(file)
    grid, notes = header.grid, list(header.notes)
    facts: dict[str, Any] = {
        "file": file,
        "format": header.format,
        "stored_as": header.encoding.dtype.name,
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
