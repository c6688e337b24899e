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
    spiral = kinds.add_parser(
        "spiral-fmri",
        help="raw data of a spiral fMRI run",
        description="What a scanner would have sampled of a head that thinks, breathes and moves: spirals, coils, "
        "decay, off-resonance, noise. Beside OUT.h5 (MRD) come the truth, the activation, the static field, the "
        "task's events and the protocol.",
        epilog=SPIRAL_EXAMPLES,
    )
    spiral.add_argument("image", metavar="IMAGE", help="a head, T1-weighted")
    spiral.add_argument("-o", "--output", metavar="OUT", required=True, help="the raw data to write (.h5)")
    for name, _, metavar, words in _SPIRAL:
        spiral.add_argument("--" + name, metavar=metavar, help=words)
    spiral.add_argument("--order", choices=("golden", "cyclic"), help="of the interleaves; default: golden")
    spiral.add_argument("--task", choices=("blocks", "events", "rest"), help="the paradigm; default: blocks")
    spiral.add_argument(
        "--trajectory",
        metavar="MAT",
        help="a measured spiral (matmri's field-camera file) in place of the designed",
    )
    spiral.add_argument("--force", action="store_true", help="replace the output if it exists")
    spiral.set_defaults(command=spiral_command)


# option, field of the protocol, metavar, help
_SPIRAL = (
    ("slices", "slices", "N", "number of slices; default: 1"),
    ("slice-thickness", "slice_thickness", "MM", "in mm; default: 3"),
    ("slice-offset", "slice_offset", "MM", "of the stack's middle from the head's; default: 0"),
    ("frames", "frames", "N", "number of time frames; default: 240"),
    ("tr", "tr", "S", "time from frame to frame in s; default: 1"),
    ("te", "te", "S", "echo time in s; default: 0.03"),
    ("matrix", "matrix", "N", "voxels along each side; default: 96"),
    ("fov", "fov", "MM", "field of view in mm; default: 220"),
    ("interleaves", "interleaves", "N", "that fill k-space; default: 20"),
    ("readouts", "readouts", "N", "of them in a frame; default: 1"),
    ("coils", "coils", "N", "receive coils; default: 16"),
    ("snr", "snr", "RATIO", "signal to noise of a fully sampled frame; default: 100"),
    ("off-resonance", "off_resonance", "HZ", "98th percentile of the static field in tissue; default: 20"),
    ("bold", "bold", "PERCENT", "response of activated tissue; default: 3"),
    ("block", "block", "S", "length of a block; default: 20"),
    ("seed", "seed", "N", "of everything drawn; default: 0"),
)
_COUNTS = ("slices", "frames", "matrix", "interleaves", "readouts", "coils", "seed")

SPIRAL_EXAMPLES = """\
examples:
  medsr simulate spiral-fmri head.nii.gz -o raw.h5
  medsr simulate spiral-fmri head.nii.gz -o small.h5 --matrix 32 --interleaves 6 --coils 4 --frames 60 --tr 2
  medsr reconstruct raw.h5
  medsr evaluate fmri raw.h5
"""


def spiral_command(arguments: argparse.Namespace) -> int:
    """Writes raw data, truth, activation, field, events and protocol."""
    given: dict[str, Any] = {}
    for name, field, _, _ in _SPIRAL:
        text = getattr(arguments, name.replace("-", "_"))
        if text is not None:
            given[field] = parse_count("--" + name, text) if field in _COUNTS else _finite("--" + name, text)
    given |= {k: getattr(arguments, k) for k in ("order", "task") if getattr(arguments, k) is not None}
    from medsr.io import open_volume
    from medsr.simulation.protocol import Protocol
    from medsr.simulation.spiral_fmri import run_files, save_run, simulate_spiral_fmri

    protocol = Protocol(**given)
    spiral = None
    if arguments.trajectory is not None:
        from medsr.acquisition.measured import matmri_spiral

        spiral = matmri_spiral(arguments.trajectory, protocol.matrix, protocol.fov / 1e3, protocol.interleaves)
    output = Path(arguments.output)
    from medsr.io.scans import Scan
    from medsr.outputs import check_outputs, protect

    targets = run_files(output)
    protect(targets, [Scan(Path(arguments.image))])
    check_outputs(targets, force=arguments.force)
    run = simulate_spiral_fmri(open_volume(arguments.image), protocol, spiral=spiral)
    for path in save_run(run, output, force=arguments.force):
        say(f"wrote {path}")
    return 0


def _finite(flag: str, text: str) -> float:
    value = parse_float(text)
    if not abs(value) < float("inf"):
        raise UsageError(f"{flag} is not a number", got=repr(text))
    return value


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
