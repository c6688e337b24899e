"""``medsr batch``: many scans, resumed where they were left."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medsr.cli.reconstruct import add_options, job_from, listening
from medsr.job import Job

EXAMPLES = """\
examples:
  medsr batch scans/ -o results/                    all images and DICOM series under a folder
  medsr batch bids/ -o bids/derivatives/medsr       a BIDS data set: its structural images, named as derivatives
  medsr batch scans.csv -o results/ --spacing 1     a list: a column `input`, and options as further columns
  medsr batch study.toml -o results/ --shard 2/8    the second of eight shares, as on a cluster

Run it again after an interruption, or after scans have come in: what is finished is passed over. Finished is what
was made from the same scan (its checksum) with the same options, method, weights and version, and still has the
bytes that were written; a file that was cut off or changed is made again. OUT/outcomes.csv and OUT/outcomes.html
tell what became of each scan (outcomes-i-of-n with --shard). A scan that fails does not stop the others; the exit
code is then 8.
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "batch",
        help="many scans: a folder, a list or a BIDS data set",
        description="Reconstructs all scans of a folder, a list or a BIDS data set in one process, and goes on\n"
        "where an earlier run was left.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder (searched to any depth for images and DICOM series), a BIDS data set, a .csv list or a "
        ".toml manifest",
    )
    parser.add_argument("--shard", metavar="I/N", help="do the I-th of N shares of the work, 1/N to N/N")
    add_options(parser, without=("inputs", "series", "skip_existing"), required=("output",))
    parser.set_defaults(command=command, inputs=(), series=None, skip_existing=False)


def command(arguments: argparse.Namespace) -> int:
    """Runs it."""
    from medsr.batch.items import parse_shard

    job = job_from(arguments)
    shard = parse_shard(arguments.shard) if arguments.shard is not None else None

    def work(listener: Any, told: list[str]) -> None:
        _work(Path(arguments.source), job, shard, listener, told)

    return listening(arguments, job, work)


def _work(source: Path, job: Job, shard: tuple[int, int] | None, listener: Any, told: list[str]) -> None:
    from medsr.batch.run import run_batch

    run_batch(source, job, shard, listener, told)
