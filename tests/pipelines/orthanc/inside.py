"""A worker inside the test's process: quick, with a reconstruction that is none, and with accidents."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

from medsr.io.dicom import Derivation, list_series, read_series, write_series
from pipelines.orthanc.reconstructor import Outcome
from pipelines.orthanc.settings import Settings, load
from pipelines.orthanc.web import Web
from pipelines.orthanc.worker import Worker
from tests.pipelines.orthanc.system import PASSWORD, USER

ENVIRONMENT = {"MEDSR_ORTHANC_USER": USER, "MEDSR_ORTHANC_PASSWORD": PASSWORD}


class Power(BaseException):
    """It fails."""


class Copying:
    """In the place of the reconstructor: the result is the scan itself, as a derived series."""

    def __init__(self, code: int = 0) -> None:
        self.busy, self.code, self.orders = False, code, 0

    def start(self, source: Path, target: Path, options: tuple[str, ...]) -> None:
        self.busy, self.orders = True, self.orders + 1
        if self.code in (0, 7):
            (info,) = list_series(source)
            write_series(
                target / "part-1",
                read_series(info),
                Derivation("copied", {"options": options}),
                source=info,
                deidentify="--deidentify" in options,
            )

    def look(self) -> Outcome:
        self.busy = False
        return Outcome(self.code, None if self.code in (0, 7) else "some error", 0.1)

    def stop(self) -> None:
        pass


def settings_of(path: Path, text: str, **environment: str) -> Settings:
    path.write_text(text)
    return load(path, {**ENVIRONMENT, **environment})


def text_of(server, state: Path, *, top: str = "", site: str = "", rest: str = '[[rules]]\nname = "all"') -> str:
    return (
        f'folder = "{state}"\nstart = "beginning"\npoll_seconds = 0.1\nsettle_seconds = 1\n{top}\n'
        f'[server]\nurl = "{server.url}"\n{site}\n{rest}'
    )


def run(settings: Settings, code: int = 0, seconds: float = 60) -> Copying:
    """A worker's life until it is idle."""
    worker = Worker(settings)
    worker._maker = Copying(code)
    stop = threading.Event()
    watch = threading.Timer(seconds, stop.set)
    watch.start()
    try:
        worker.run(stop, until_idle=True)
    finally:
        watch.cancel()
    assert not stop.is_set(), "it did not come to an end"
    return worker._maker


class Accidents:
    """Power failures before and after requests, at seeded random."""

    def __init__(self, monkeypatch, seed: int) -> None:
        self.before = self.after = 0
        random = Random(seed)
        ask = Web._ask

        def risky(web, *args, **kwargs):
            if random.random() < 0.07:
                self.before += 1
                raise Power
            answer = ask(web, *args, **kwargs)
            if random.random() < 0.07:
                self.after += 1
                raise Power
            return answer

        monkeypatch.setattr(Web, "_ask", risky)

    def live_and_die(self, settings: Settings, lives: int) -> None:
        """Workers, one after the other, each until the power fails; the last one comes to an end."""
        for _ in range(lives):
            try:
                run(settings)
            except Power:
                continue
            return
        raise AssertionError(f"not at an end after {lives} lives")
