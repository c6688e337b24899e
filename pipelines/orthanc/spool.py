"""The files of the jobs: a folder each, in which a step's outcome appears whole or not at all.

``jobs/7/source`` holds the technical part of a series (`medsr.io.dicom.technical`), ``jobs/7/result`` what was
made of it. No file there names a patient.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from medsr.errors import OutputError
from pipelines.orthanc.queue import Job

_UNFINISHED = ".part-"


class Spool:
    """The folder of all jobs; nobody else may read it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OutputError(f"{folder}: the folder cannot be made", got=error.strerror) from None

    def source(self, job: Job) -> Path:
        return self._of(job) / "source"

    def result(self, job: Job) -> Path:
        return self._of(job) / "result"

    def unfinished(self, job: Job, name: str) -> Path:
        """A new folder to write into; `finish` gives it its name."""
        path = self._of(job) / f"{name}{_UNFINISHED}{secrets.token_hex(6)}"
        path.mkdir(parents=True, mode=0o700)
        return path

    def finish(self, part: Path) -> None:
        """A folder that was written whole gets its name, on the disk too."""
        for path in [*(p for p in part.rglob("*")), part]:
            _sync(path)
        final = part.with_name(part.name.split(_UNFINISHED)[0])
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        _sync(part.parent)

    def drop(self, path: Path) -> None:
        """Removes a folder."""
        shutil.rmtree(path, ignore_errors=True)

    def forget(self, job: Job) -> None:
        """Removes all of a job."""
        self.drop(self._of(job))

    def tidy(self, alive: Iterable[Job]) -> None:
        """Removes what a killed worker left: unfinished folders, and jobs that are over."""
        known = {str(job.id) for job in alive}
        for folder in self._folder.iterdir():
            if folder.name not in known:
                self.drop(folder)
                continue
            for part in folder.glob(f"*{_UNFINISHED}*"):
                self.drop(part)

    def free(self) -> int:
        """Bytes left on the disk."""
        return shutil.disk_usage(self._folder).free

    def _of(self, job: Job) -> Path:
        return self._folder / str(job.id)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
