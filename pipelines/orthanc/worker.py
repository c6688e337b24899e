"""The worker: one loop that looks at the server, decides, fetches, has reconstructed, and sends.

Everything that it knows is on the disk before it acts on it, and every act can be done twice: a worker that is
killed anywhere goes on where it was, and a server that goes away is waited for.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from medsr.errors import InputError, MedsrError, OutputError
from pipelines.orthanc.delivery import target_of
from pipelines.orthanc.log import log
from pipelines.orthanc.queue import OPEN, Arrival, Job, Queue
from pipelines.orthanc.reconstructor import Outcome, Reconstructor
from pipelines.orthanc.rules import Rule
from pipelines.orthanc.server import Orthanc
from pipelines.orthanc.settings import Settings
from pipelines.orthanc.spool import Spool
from pipelines.orthanc.steps import Changed, content_of, deliver, fetch
from pipelines.orthanc.web import Away, Missing, Refused, Web

ROOM = 1 << 30
"""Bytes that are left free on the disk: below, nothing more is fetched."""
_TICK = 0.2
_LONGEST = 60.0
_PAUSE = 30.0
_DECISIONS = 50
_FINAL = (2, 3, 5)
"""Exit codes of `medsr reconstruct` that come again however often it is tried."""


class Patience:
    """Waits longer after each failure in a row, up to a minute."""

    def __init__(self, who: str) -> None:
        self._who, self._failures, self._until = who, 0, 0.0

    @property
    def over(self) -> bool:
        """Whether it is time to try."""
        return time.monotonic() >= self._until

    def failed(self, error: Away | Refused) -> None:
        wait = min(_LONGEST, 2.0**self._failures)
        self._failures += 1
        self._until = time.monotonic() + wait
        log("away", server=self._who, reason=error, again_in=wait)

    def worked(self) -> None:
        if self._failures:
            log("back", server=self._who)
        self._failures, self._until = 0, 0.0


class Worker:
    """A worker of one server, with one folder.

    Raises
    ------
    OutputError
        if the folder cannot be used, or another worker uses it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        os.umask(0o077)
        self._spool = Spool(settings.folder / "jobs")
        self._lock = _locked(settings.folder / "lock")
        self._queue = Queue(settings.folder / "queue.sqlite")
        self._orthanc = Orthanc(Web(settings.server))
        self._target = target_of(settings.delivery)
        self._source_patience, self._target_patience = Patience("source"), Patience("target")
        self._maker = Reconstructor(settings.limit)
        self._current: tuple[Job, Path] | None = None
        self._looked = float("-inf")
        self._seen: dict[str, float] = {}
        """When arrivals that could not be decided about were looked at last."""
        self._all_read = False
        self._spool.tidy(self._queue.jobs(*OPEN, "held"))

    def run(self, stop: threading.Event, *, until_idle: bool = False) -> None:
        """Works until `stop`, or until there is nothing to do and nothing to wait for."""
        log("started", **self._queue.counts())
        try:
            while not stop.is_set():
                if not self._step() and not (until_idle and self._idle()):
                    stop.wait(_TICK)
                elif until_idle and self._idle():
                    return
        finally:
            self._maker.stop()
            self._queue.close()
            os.close(self._lock)
            log("stopped")

    def _idle(self) -> bool:
        """Whether all changes are read and all that came of them is over."""
        counts = self._queue.counts()
        return self._all_read and not any(counts[state] for state in ("arrived", *OPEN))

    def _step(self) -> bool:
        """One round. Whether something was done."""
        asked = [self._with_source(act) for act in (self._watch, self._decide)]
        asked.append(self._send())
        asked.append(self._with_source(self._fetch))
        return self._make() or any(asked)

    def _with_source(self, act: Callable[[], bool]) -> bool:
        """Does what needs the server that is watched, if it is there. Whether it was asked and answered."""
        if not self._source_patience.over:
            return False
        try:
            asked = act()
        except (Away, Refused) as error:
            self._source_patience.failed(error)
            return False
        if asked:
            self._source_patience.worked()
        return asked

    def _watch(self) -> bool:
        """Reads a page of changes."""
        if time.monotonic() - self._looked < self._settings.poll:
            return False
        position = self._queue.position()
        if position is None:
            position = self._orthanc.last_change() if self._settings.start == "now" else 0
            self._queue.arrived((), (), position)
            log("first-start", change=position)
        changes, last, done = self._orthanc.changes(position)
        if last < position:
            log("server-replaced", change=position, last=last)
            self._queue.arrived((), (), 0)
            return True
        self._queue.arrived(
            [change.series for change in changes if change.kind == "NewSeries"],
            [change.series for change in changes if change.kind == "StableSeries"],
            last,
        )
        self._all_read = done
        if done:
            self._looked = time.monotonic()
        return True

    def _decide(self) -> bool:
        """Decides about series that are whole; of those that the server has not called so, now and then."""
        now = time.monotonic()
        rest = {True: self._settings.poll, False: self._settings.settle / 2}
        arrivals = self._queue.arrivals()
        self._seen = {a.series: self._seen[a.series] for a in arrivals if a.series in self._seen}
        ripe = [a for a in arrivals if now - self._seen.get(a.series, float("-inf")) >= rest[a.stable]]
        for arrival in ripe[:_DECISIONS]:
            self._decide_one(arrival)
            self._seen[arrival.series] = now
        return bool(ripe)

    def _decide_one(self, arrival: Arrival) -> None:
        try:
            series = self._orthanc.series(arrival.series)
            if not arrival.stable and len(series.instances) != arrival.images:
                self._queue.growing(arrival.series, len(series.instances))
                return
            if not series.stable or (not arrival.stable and time.time() - arrival.since < self._settings.settle):
                return
            facts = self._orthanc.facts(series)
        except (Missing, IndexError):
            self._queue.decided(arrival.series)
            log("passed-over", series=arrival.series, reason="it was deleted")
            return
        rule = next((rule for rule in self._settings.rules if rule.matches(facts)), None)
        if rule is None:
            self._queue.decided(arrival.series)
            log("passed-over", series=arrival.series, reason="made by medsr" if facts.ours else "no rule")
        elif self._queue.decided(arrival.series, content_of(series), rule.name):
            log("queued", series=arrival.series, images=len(series.instances), rule=rule.name)

    def _fetch(self) -> bool:
        """Fetches one series."""
        jobs = self._queue.jobs("queued", due=time.time())
        if not jobs or len(self._queue.jobs("fetched")) >= self._settings.ahead:
            return False
        job = jobs[0]
        if self._spool.free() < ROOM:
            self._again(job, OSError(errno.ENOSPC, "less than 1 GiB is free on the disk of the queue"))
            return False
        with self._answering_for(job):
            part = self._spool.unfinished(job, "source")
            try:
                count = fetch(self._orthanc, job.series, job.content, part)
                self._spool.finish(part)
            finally:
                self._spool.drop(part)
            self._queue.move(job, "fetched")
            log("fetched", job=job.id, series=job.series, images=count)
        return True

    def _make(self) -> bool:
        """Starts a reconstruction, or looks how one is getting on."""
        if self._current is None:
            jobs = self._queue.jobs("fetched", due=time.time())
            if not jobs:
                return False
            job = jobs[0]
            with self._answering_for(job):
                part = self._spool.unfinished(job, "result")
                self._current = job, part
                self._maker.start(self._spool.source(job), part, self._rule(job).options)
            return True
        outcome = self._maker.look()
        if outcome is None:
            return False
        (job, part), self._current = self._current, None
        with self._answering_for(job):
            try:
                self._made(job, part, outcome)
            finally:
                self._spool.drop(part)
        return True

    def _made(self, job: Job, part: Path, outcome: Outcome) -> None:
        code = outcome.exit_code
        reason = (outcome.error or f"exit code {code}").replace(f"{self._spool.source(job)}: ", "")
        if code in (0, 7):
            self._spool.finish(part)
            held = code == 7 and self._settings.missed == "hold"
            self._queue.move(
                job, "held" if held else "ready", "a promise of the card was missed" if code else None
            )
            self._spool.drop(self._spool.source(job))
            log("held" if held else "made", job=job.id, series=job.series, seconds=outcome.seconds, exit_code=code)
        elif code in _FINAL:
            self._give_up(job, reason)
        else:
            self._again(job, OutputError(reason))

    def _send(self) -> bool:
        """Sends one result."""
        jobs = self._queue.jobs("ready", due=time.time())
        if not jobs or not self._target_patience.over:
            return False
        job = jobs[0]
        with self._answering_for(job):
            try:
                sent, count = deliver(
                    self._orthanc,
                    self._target,
                    job.series,
                    self._spool.result(job),
                    as_it_is="--deidentify" in self._rule(job).options,
                )
            except Away as error:
                self._target_patience.failed(error)
                return False
            self._target_patience.worked()
            self._queue.move(job, "done")
            self._spool.forget(job)
            log("delivered", job=job.id, series=job.series, images=count, sent=sent)
        return True

    @contextlib.contextmanager
    def _answering_for(self, job: Job) -> Iterator[None]:
        """Whatever goes wrong in here is `job`'s fault alone, and is tried again where that may help."""
        try:
            yield
        except Away:
            raise
        except Changed:
            self._queue.again(job.series)
            self._give_up(job, "the series has changed on the server; it is decided about again")
        except Missing:
            self._give_up(job, "the series was deleted on the server")
        except InputError as error:
            self._give_up(job, str(error))
        except (MedsrError, OSError) as error:
            self._again(job, error)
        except Exception as error:
            # its words may quote a header: only its place is told
            place = traceback.extract_tb(error.__traceback__)[-1]
            self._again(job, OutputError(f"unexpected {type(error).__name__} at {place.name}:{place.lineno}"))

    def _again(self, job: Job, error: Exception) -> None:
        """Tries later, or gives up."""
        reason = str(error) if isinstance(error, MedsrError) else f"{getattr(error, 'strerror', None)}"
        known = self._queue.job(job.id) or job
        if known.attempts + 1 >= self._settings.attempts:
            self._give_up(job, reason)
            return
        wait = _PAUSE * 2**known.attempts
        self._queue.postpone(known, wait, reason)
        log("postponed", job=job.id, series=job.series, reason=reason, again_in=wait)

    def _give_up(self, job: Job, reason: str) -> None:
        self._queue.move(job, "failed", reason)
        self._spool.forget(job)
        log("failed", job=job.id, series=job.series, reason=reason)

    def _rule(self, job: Job) -> Rule:
        rule = next((rule for rule in self._settings.rules if rule.name == job.rule), None)
        if rule is None:
            raise InputError(f"the rule {job.rule} is no longer in the settings")
        return rule


def _locked(path: Path) -> int:
    """A lock that goes when the process goes, however it goes."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(f"{path.parent}: the folder cannot be used", got=error.strerror) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise OutputError(f"{path.parent}: another worker uses this folder") from None
    return handle
