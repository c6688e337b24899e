"""Recognising finished work by its content: the same scan, the same options, the same program, the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medsr._version import VERSION
from medsr.errors import OutputError
from medsr.io.names import is_file
from medsr.io.scans import Scan, sha256
from medsr.job import Job
from medsr.models.checksums import checksums
from medsr.outputs import Outputs
from medsr.outputs_dicom import SeriesOutputs
from medsr.run import method_for

MAX_BYTES = 1 << 26


def finished(job: Job, scan: Scan, outputs: Outputs | SeriesOutputs) -> dict[str, Any] | None:
    """The sidecar of a result that need not be made again; None where it has to be.

    Raises
    ------
    OutputError
        if there is a result that was made otherwise (another version, method or options) or is not medsr's, which
        is replaced with `force` alone.
    """
    said = read_sidecar(outputs.sidecar)
    if not outputs.exists():
        return None  # nothing, or what an interrupted run has left
    if said is None:
        if job.force:
            return None
        raise OutputError(
            f"{outputs.image}: the output exists already, and no sidecar of medsr beside it",
            hint="--force replaces it, -o names another folder",
        )
    ours = said["medsr"]
    differs = [name for name, value in made_by(job, scan).items() if ours.get(name) != value]
    used = ours.get("weights_sha256")
    differs += ["weights"] if used is not None and used not in checksums(method_for(job, scan).name) else []
    differs += ["options"] if _shaping(ours.get("options")) != _plain(job.shaping()) else []
    if differs:
        if job.force:
            return None
        raise OutputError(
            f"{outputs.image}: the output exists already, and was made otherwise",
            got=f"another {' and '.join(differs)}",
            hint="--force replaces it, -o names another folder",
        )
    if ours["input"].get("sha256") != scan.sha256() or not _whole(outputs, ours, job):
        return None
    return said


def made_by(job: Job, scan: Scan) -> dict[str, Any]:
    """What of the program a result depends on, by the names of the sidecar."""
    return {"version": VERSION, "method": method_for(job, scan).name}


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The sidecar at `path`; None where there is none of medsr's."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return said if isinstance(said["medsr"]["input"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _whole(outputs: Outputs | SeriesOutputs, ours: dict[str, Any], job: Job) -> bool:
    """Whether all files of the result are there, with the bytes that were written."""
    listed = ours.get("outputs")
    if not isinstance(listed, dict) or not listed:
        return False
    if not job.no_report and not any(name.endswith(".html") for name in listed):
        return False
    folder = outputs.sidecar.parent
    files = [(folder / Path(name).name, checksum) for name, checksum in listed.items()]
    return all(is_file(file) and sha256(file) == checksum for file, checksum in files)


def _shaping(said: Any) -> Any:
    from medsr.job import SHAPES

    return {k: v for k, v in said.items() if SHAPES.get(k, True)} if isinstance(said, dict) else said


def _plain(options: dict[str, Any]) -> Any:
    """As it is after a trip through a file."""
    return json.loads(json.dumps(options))
