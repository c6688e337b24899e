"""``medsr simulate``: scans that were never made, from images that were."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medsr.cli.streams import say
from medsr.errors import UsageError
from medsr.job import parse_count, parse_float, parse_length, parse_psf, parse_spacing

EXAMPLES = """\
examples:
  medsr simulate lowres head.nii.gz --spacing 1,1,4 --noise 1 -o thick.nii.gz
  medsr reconstruct thick.nii.gz
  medsr evaluate thick_desc-sr.nii.gz -r head.nii.gz
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser("simulate", help="a scan as a scanner would have made it, from a good image")
    kinds = parser.add_subparsers(title="what to simulate", metavar="KIND", required=True)
    lowres = kinds.add_parser(
        "lowres",
        help="a thick-slice or coarse scan",
        description="What a coarser scan of an image would have measured: slice profile or truncated Fourier "
        "space, sampling, noise. The slice thickness goes into a sidecar, so that `medsr reconstruct` reads it.",
        epilog=EXAMPLES,
    )
    lowres.add_argument("image", metavar="IMAGE", help="the truth")
    lowres.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="the scan to write (.nii.gz, .nii, .nrrd or .mha)"
    )
    lowres.add_argument("--spacing", metavar="MM", required=True, help="voxel size of the scan, e.g. 1,1,4 or 2")
    lowres.add_argument("--slice-thickness", metavar="MM", help="in mm; default: the spacing between slices")
    lowres.add_argument("--psf", metavar="KIND", help="gaussian, boxcar, rf, kspace, or an axis: z=boxcar")
    lowres.add_argument(
        "--noise",
        metavar="PERCENT",
        default="0",
        help="Rician, in percent of the image's 99.5th percentile; default: 0",
    )
    lowres.add_argument(
        "--seed", metavar="N", default="0", help="of the noise; the same seed gives the same scan; default: 0"
    )
    lowres.add_argument("--force", action="store_true", help="replace the output if it exists")
    lowres.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Writes the scan and its sidecar."""
    spacing = parse_spacing(arguments.spacing)
    thickness = parse_length(arguments.slice_thickness) if arguments.slice_thickness else None
    psf = parse_psf(arguments.psf) if arguments.psf else None
    noise = parse_float(arguments.noise)
    if not 0 <= noise <= 100:
        raise UsageError("--noise is not a percentage", got=repr(arguments.noise), hint="give 0 to 100")
    seed = parse_count("--seed", arguments.seed)
    from medsr.io import open_volume
    from medsr.outputs import save_scan
    from medsr.simulation.lowres import simulate_lowres

    volume = open_volume(arguments.image)
    scan = simulate_lowres(volume, spacing=spacing, slice_thickness=thickness, psf=psf, noise=noise, seed=seed)
    for path in save_scan(scan, arguments.output, truth=Path(arguments.image), force=arguments.force):
        say(f"wrote {path}")
    for note in scan.notes:
        say(f"  {note}")
    return 0
