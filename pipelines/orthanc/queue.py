"""The queue on disk: an SQLite file, in which every step is one transaction that is on the disk before the next.

It holds Orthanc's hashed ids, states and medsr's own words. A job goes through

    queued -> fetched -> ready -> done

or to "failed" (given up) or "held" (made, but not to be sent); a killed worker finds it where it was.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medsr.errors import OutputError

STATES = ("queued", "fetched", "ready", "done", "held", "failed")
OPEN = ("queued", "fetched", "ready")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS place (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS arrivals (
    series TEXT PRIMARY KEY, stable INTEGER NOT NULL, images INTEGER NOT NULL, since REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, series TEXT NOT NULL, content TEXT NOT NULL, rule TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0, reason TEXT,
    UNIQUE (series, content)
);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, due);
"""


@dataclass(frozen=True)
class Arrival:
    """A series that is new on the server and not decided about.

    stable : whether the server said that it is whole. images, since : how many it had, and when that changed last.
    """

    series: str
    stable: bool
    images: int
    since: float


@dataclass(frozen=True)
class Job:
    """One series with one content, to be reconstructed once.

    content : a hash of the ids of its instances. due : the time before which it is not tried again.
    """

    id: int
    series: str
    content: str
    rule: str
    state: str
    attempts: int
    due: float
    reason: str | None


class Queue:
    """The queue in a file; one process at a time.

    Raises
    ------
    OutputError
        if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._base = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OutputError(f"{path}: the queue cannot be opened", got=error) from None

    def close(self) -> None:
        self._base.close()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """What is done inside is done whole or not at all."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    def position(self) -> int | None:
        """Number of the last change of the server that was read; None before the first."""
        row = self._base.execute("SELECT value FROM place WHERE name = 'change'").fetchone()
        return None if row is None else int(row[0])

    def arrived(self, new: Iterable[str], stable: Iterable[str], position: int) -> None:
        """Takes in series of a page of changes, together with the place up to which the changes are read."""
        with self._whole():
            for series in new:
                self._base.execute("INSERT OR IGNORE INTO arrivals VALUES (?, 0, 0, ?)", (series, time.time()))
            for series in stable:
                self._base.execute(
                    "INSERT INTO arrivals VALUES (?, 1, 0, 0) ON CONFLICT (series) DO UPDATE SET stable = 1",
                    (series,),
                )
            self._base.execute("INSERT OR REPLACE INTO place VALUES ('change', ?)", (position,))

    def arrivals(self) -> list[Arrival]:
        """Series that are not decided about."""
        rows = self._base.execute("SELECT series, stable, images, since FROM arrivals ORDER BY rowid")
        return [Arrival(series, bool(stable), images, since) for series, stable, images, since in rows.fetchall()]

    def growing(self, series: str, images: int) -> None:
        """Notes that a series has another number of images than before."""
        self._base.execute(
            "UPDATE arrivals SET images = ?, since = ? WHERE series = ?", (images, time.time(), series)
        )

    def decided(self, series: str, content: str = "", rule: str | None = None) -> bool:
        """A series becomes a job for `rule`, or nothing where that is None. Whether there is a new job."""
        with self._whole():
            self._base.execute("DELETE FROM arrivals WHERE series = ?", (series,))
            if rule is None:
                return False
            made = self._base.execute(
                "INSERT OR IGNORE INTO jobs (series, content, rule, state) VALUES (?, ?, ?, 'queued')",
                (series, content, rule),
            )
            return made.rowcount == 1

    def jobs(self, *states: str, due: float | None = None) -> list[Job]:
        """Jobs in any of `states`, oldest first; those alone that are due at a time, if one is given."""
        marks = ", ".join("?" * len(states))
        rows = self._base.execute(
            f"SELECT id, series, content, rule, state, attempts, due, reason FROM jobs WHERE state IN ({marks})"  # noqa: S608 - question marks
            " AND due <= ? ORDER BY id",
            (*states, 1e18 if due is None else due),
        )
        return [Job(*row) for row in rows.fetchall()]

    def job(self, number: int) -> Job | None:
        """One job."""
        found = self._base.execute(
            "SELECT id, series, content, rule, state, attempts, due, reason FROM jobs WHERE id = ?", (number,)
        ).fetchone()
        return Job(*found) if found else None

    def counts(self) -> dict[str, int]:
        """Jobs in each state, and arrivals."""
        rows = dict(self._base.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())
        (arrivals,) = self._base.execute("SELECT COUNT(*) FROM arrivals").fetchone()
        return {"arrived": arrivals, **{state: rows.get(state, 0) for state in STATES}}

    def move(self, job: Job, state: str, reason: str | None = None) -> None:
        """A job reaches a state; the next step starts with no failures."""
        self._base.execute(
            "UPDATE jobs SET state = ?, attempts = 0, due = 0, reason = ? WHERE id = ?", (state, reason, job.id)
        )

    def again(self, series: str) -> None:
        """A series is to be decided about once more."""
        self._base.execute("INSERT OR IGNORE INTO arrivals VALUES (?, 0, 0, ?)", (series, time.time()))

    def postpone(self, job: Job, seconds: float, reason: str) -> int:
        """A step failed and is tried again after a time. How often it has failed."""
        self._base.execute(
            "UPDATE jobs SET attempts = attempts + 1, due = ?, reason = ? WHERE id = ?",
            (time.time() + seconds, reason, job.id),
        )
        return job.attempts + 1
