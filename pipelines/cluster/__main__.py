"""``python -m pipelines.cluster``: all scans of a study, in shards, on this machine or on a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from medsr.cli.main import Parser, parser
from medsr.errors import InputError, MedsrError, UsageError
from pipelines.cluster.merge import statuses

HERE = Path(__file__).resolve().parent
PROFILES = ("local", "slurm")
STATE = ".cluster"
"""In the folder of the results: Snakemake's own files, logs, and the shards' tables."""

DESCRIPTION = """\
medsr batch in shards, as a Snakemake workflow: a shard is a job, failed jobs are tried again, and
the same command again goes on where it was left.
"""
EPILOG = """\
examples:
  python -m pipelines.cluster scans/ -o results/ --shards 8                       on this machine
  python -m pipelines.cluster scans/ -o results/ --shards 500 --profile slurm     on a cluster
  python -m pipelines.cluster scans/ -o results/ --shards 8 -- --spacing 1        options of medsr batch
  python -m pipelines.cluster scans/ -o results/ --shards 8 --again               after scans came in

exit codes: 0 done, 1 the workflow failed (run it again), 2 wrong usage, 7 a promise of the card
was missed for some, 8 some scans failed; results/outcomes.csv says which
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the workflow; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    try:
        return _run(words[:cut], words[cut + 1 :])
    except MedsrError as error:
        print(f"medsr: error: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as left:  # --help
        return int(left.code or 0)


def _run(words: list[str], options: list[str]) -> int:
    top = Parser(prog="python -m pipelines.cluster", description=DESCRIPTION, epilog=EPILOG)
    top.add_argument("source", metavar="SOURCE", help="a folder, a BIDS data set, a .csv list or a .toml manifest")
    top.add_argument("-o", "--output", metavar="OUT", required=True, help="the folder of the results")
    top.add_argument("--shards", metavar="N", type=int, required=True, help="shares of the work: jobs")
    top.add_argument(
        "--profile",
        metavar="NAME",
        default="local",
        help="local (default), slurm, or the folder of another profile",
    )
    top.add_argument("--threads", metavar="N", type=int, default=1, help="CPU threads of a job; default: 1")
    top.add_argument("--memory-mb", metavar="MB", type=int, default=4000, help="memory of a job; default: 4000")
    top.add_argument("--minutes", metavar="MIN", type=int, default=240, help="time of a job; default: 240")
    top.add_argument("--again", action="store_true", help="look at all shards again, for scans that came in")
    top.add_argument(
        "--snakemake", metavar="OPTION", action="append", default=[], help="a further option of snakemake, e.g. -n"
    )
    told = top.parse_args(words)
    source, output = Path(told.source).absolute(), Path(told.output).absolute()
    if not source.exists():
        raise InputError(f"{told.source} does not exist")
    if min(told.shards, told.threads, told.memory_mb, told.minutes) < 1:
        raise UsageError("shards, threads, memory and minutes are whole numbers above 0")
    parser().parse_args(["batch", str(source), "-o", str(output), *options])  # what is wrong is wrong for all
    profile = HERE / "profiles" / told.profile if told.profile in PROFILES else Path(told.profile).absolute()
    if not (profile / "config.yaml").is_file():
        raise UsageError(f"{told.profile}: no profile", hint=f"choose {', '.join(PROFILES)} or name a folder")
    state = output / STATE
    state.mkdir(parents=True, exist_ok=True)
    settings = state / "settings.json"
    settings.write_text(
        json.dumps(
            {
                "source": str(source),
                "output": str(output),
                "shards": told.shards,
                "options": options,
                "threads": told.threads,
                "memory_mb": told.memory_mb,
                "minutes": told.minutes,
                "python": sys.executable,
            }
        ),
        encoding="utf-8",
    )
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(HERE / "Snakefile"),
        "--profile",
        str(profile),
    ]
    command += ["--directory", str(state), "--configfile", str(settings), *told.snakemake]
    command += ["--forcerun", "shard"] if told.again else []
    environment = os.environ | {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(state / "cache"))}
    if subprocess.run(command, env=environment, check=False).returncode:
        print("medsr: the workflow did not come to its end; the same command goes on from there", file=sys.stderr)
        return 1
    table = output / "outcomes.csv"
    if not table.is_file():  # a dry run
        return 0
    found = statuses(table)
    print(f"{', '.join(f'{count} {status}' for status, count in found.items())}: {table}")
    return 8 if found["failed"] else 7 if found["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
