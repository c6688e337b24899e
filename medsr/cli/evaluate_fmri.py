"""``medsr evaluate fmri``: methods compared on raw data whose truth is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medsr.cli.streams import say, write
from medsr.job import parse_frames, parse_slices, parse_threads

NAME = "evaluate fmri"

EXAMPLES = """\
examples:
  medsr evaluate fmri raw.h5
  medsr evaluate fmri raw.h5 --methods kt,sliding-window --json
  medsr evaluate fmri raw.h5 --methods kt --pictures comparison.png

The truth (raw_truth.nii.gz), the activation (raw_activation.nii.gz) and the task's events (raw_events.tsv) lie
beside the raw data, as `medsr simulate spiral-fmri` writes them. A run without events is a null run: its false
positives are those of a task that never happened.
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        NAME,
        help="methods compared on raw data of known truth: error, tSNR, BOLD, false positives",
        description="Reconstructs raw data by several methods and holds each against the truth: image error, "
        "temporal signal to noise, the response's amplitude and detection, false positives, temporal transfer.",
        epilog=EXAMPLES,
    )
    parser.add_argument("raw", metavar="RAW", help="raw data (.h5)")
    parser.add_argument("--methods", metavar="A,B", default="", help="default: all for raw data")
    parser.add_argument("--truth", metavar="FILE", help="default: RAW_truth.nii.gz")
    parser.add_argument(
        "--activation", metavar="FILE", help="percent signal change; default: RAW_activation.nii.gz"
    )
    parser.add_argument("--events", metavar="TSV", help="default: RAW_events.tsv")
    parser.add_argument("--slices", metavar="A:B", help="which slices; default: all")
    parser.add_argument("--frames", metavar="A:B", help="which frames; default: all")
    parser.add_argument("--threads", metavar="N", help="CPU threads; default: all cores")
    parser.add_argument("--pictures", metavar="PNG", help="write images, errors, maps of t and time courses")
    parser.add_argument("--force", action="store_true", help="replace the picture if it exists")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints the table."""
    slices = None if arguments.slices is None else slice(*parse_slices(arguments.slices))
    frames = None if arguments.frames is None else slice(*parse_frames(arguments.frames))
    threads = None if arguments.threads is None else parse_threads(arguments.threads)
    from medsr.evaluation.runs import compare, open_known, render_rows
    from medsr.io.atomic import Transaction, check_target

    picture = None if arguments.pictures is None else Path(arguments.pictures)
    if picture is not None:
        check_target(picture, force=arguments.force)
    run = open_known(
        arguments.raw,
        truth=arguments.truth,
        events=arguments.events,
        activation=arguments.activation,
        slices=slices,
        frames=frames,
    )
    methods = [m for m in arguments.methods.split(",") if m]
    rows = compare(run, methods, threads=threads)
    write(render_rows([r.row() for r in rows], "json" if arguments.json else "text"))
    if picture is not None:
        from medsr.evaluation.pictures import comparison

        with Transaction(force=arguments.force) as transaction:
            transaction.path(picture).write_bytes(comparison(run, rows))
        if not arguments.json:
            say(f"wrote {picture}")
    return 0
