"""``python -m pipelines.orthanc``: run the worker, check its settings, see its queue, try failed jobs again."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from medsr.cli.main import Parser
from medsr.errors import MedsrError, UsageError, one_line
from pipelines.orthanc.queue import Queue
from pipelines.orthanc.settings import Settings, load

DESCRIPTION = """\
medsr as a worker of an Orthanc server: series that match a rule are reconstructed, and the
result goes back into the same study. Listens on no port. For research use.
"""
EPILOG = """\
examples:
  python -m pipelines.orthanc check medsr-orthanc.toml     settings, server and credentials
  python -m pipelines.orthanc run medsr-orthanc.toml       until SIGTERM
  python -m pipelines.orthanc status medsr-orthanc.toml    what is queued, held and failed
  python -m pipelines.orthanc retry medsr-orthanc.toml 7   once more; a held result is sent

credentials, from the environment:
  MEDSR_ORTHANC_USER, and MEDSR_ORTHANC_PASSWORD or MEDSR_ORTHANC_PASSWORD_FILE
  MEDSR_DELIVERY_...  the same for a server of its own in [delivery]

exit codes: 0 done, 1 unexpected, 2 wrong usage or settings, 4 the folder cannot be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    # other packages' lines and warnings quote what they complain of
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        told = _parser().parse_args(argv)
        command: Callable[[Settings, argparse.Namespace], int] = told.command
        return command(load(told.settings), told)
    except MedsrError as error:
        print(f"medsr: error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        # its words may quote a header: only its place is told
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        print(f"medsr: error: unexpected {type(error).__name__} at {where}", file=sys.stderr)
        return 1
    except SystemExit as left:  # --help
        return int(left.code or 0)


def _parser() -> Parser:
    top = Parser(prog="python -m pipelines.orthanc", description=DESCRIPTION, epilog=EPILOG)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command, words in (
        ("run", _run, "work until SIGTERM"),
        ("check", _check, "whether the settings are sound and the servers answer"),
        ("status", _status, "what is queued, held and failed"),
        ("retry", _retry, "try jobs again that failed; send a result that is held"),
    ):
        one = commands.add_parser(name, help=words, description=words)
        one.add_argument("settings", metavar="SETTINGS", help="the TOML file")
        one.set_defaults(command=command)
        if name == "run":
            one.add_argument("--until-idle", action="store_true", help="end when nothing is left to do")
        if name == "retry":
            one.add_argument("jobs", nargs="+", metavar="JOB", help="numbers of jobs, or: all")
    return top


def _run(settings: Settings, told: argparse.Namespace) -> int:
    from pipelines.orthanc.worker import Worker

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Worker(settings).run(stop, until_idle=told.until_idle)
    return 0


def _check(settings: Settings, _: argparse.Namespace) -> int:
    from pipelines.orthanc.delivery import target_of
    from pipelines.orthanc.server import Orthanc
    from pipelines.orthanc.web import Web

    print(one_line(f"server: Orthanc {Orthanc(Web(settings.server)).check()} at {settings.server.url}"))
    target_of(settings.delivery).present("2.25.1", "2.25.2")
    print(one_line(f"results go to {settings.delivery.site.url} by {settings.delivery.by}"))
    print(one_line(f"rules: {', '.join(rule.name for rule in settings.rules)}"))
    return 0


def _status(settings: Settings, _: argparse.Namespace) -> int:
    queue = _queue(settings)
    print(", ".join(f"{count} {state}" for state, count in queue.counts().items()))
    for job in queue.jobs("queued", "fetched", "ready", "held", "failed"):
        again = f", failed {job.attempts} times" if job.attempts else ""
        print(one_line(f"job {job.id}: {job.state}{again}, series {job.series}, {job.reason or job.rule}"))
    return 0


def _retry(settings: Settings, told: argparse.Namespace) -> int:
    queue = _queue(settings)
    over = {str(job.id): job for job in queue.jobs("failed", "held")}
    wanted = list(over) if told.jobs == ["all"] else told.jobs
    for number in wanted:
        if number not in over:
            raise UsageError(f"{number}: no job that failed or is held has this number", hint="see status")
    for number in wanted:
        job = over[number]
        queue.move(job, "ready" if job.state == "held" else "queued")
        print(f"job {job.id}: {'will be sent' if job.state == 'held' else 'queued again'}")
    return 0


def _queue(settings: Settings) -> Queue:
    path = settings.folder / "queue.sqlite"
    if not path.is_file():
        raise UsageError(f"{settings.folder}: no queue is there", hint="run the worker first")
    return Queue(path)


if __name__ == "__main__":
    sys.exit(main())
