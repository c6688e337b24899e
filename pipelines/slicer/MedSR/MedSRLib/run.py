"""One run of medsr: a file in, files out, in a folder that goes when the run does."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from MedSRLib.environment import Environment
from MedSRLib.form import Parameter, arguments
from MedSRLib.problem import Problem
from MedSRLib.process import Process
from MedSRLib.progress import Progress

MISSED = 7
"""medsr's exit code for: written, but a promise on the method's card was missed."""

MAPS = ("residual", "uncertainty", "tsnr")


class WorkFolder:
    """A temporary folder for a scan and what comes of it.

    Raises
    ------
    Problem
        if it cannot be made.
    """

    def __init__(self, within: str) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix="medsr-", dir=within))
        except OSError as error:
            raise Problem(f"{within}: no temporary folder can be made here ({error.strerror})") from None

    @property
    def scan(self) -> Path:
        """Where a volume of the scene is written for medsr."""
        return self.path / "scan.nrrd"

    @property
    def result(self) -> Path:
        """Where medsr writes the image; its maps and its sidecar lie beside."""
        return self.path / "result.nrrd"

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """What is known of how the scan was made, as a BIDS sidecar, where medsr looks for it."""
        if facts:
            self.scan.with_suffix(".json").write_text(json.dumps(dict(facts)) + "\n", encoding="utf-8")

    def remove(self) -> None:
        """Removes it and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


class Run:
    """medsr at work in the background.

    Parameters
    ----------
    environment : where medsr is.
    source : the scan's file.
    folder : where it works.
    options : of `Job`, by name, as text; empty ones are left out.
    known : the options that this medsr has.
    label : what the scan is called in messages, instead of the name of a temporary file.

    Raises
    ------
    Problem
        if an option is unknown, or medsr cannot be started.
    """

    def __init__(
        self,
        environment: Environment,
        source: Path,
        folder: WorkFolder,
        options: Mapping[str, str],
        known: Mapping[str, Parameter],
        label: str,
    ) -> None:
        self.folder, self.label = folder, label
        self.state, self.message = "running", ""
        self.progress = Progress()
        self._source = source
        self._cancelled = False
        words = ["reconstruct", str(source), "-o", str(folder.result), "--force", "--log-slicer"]
        line = environment.command(*words, *arguments(options, known))
        self._process = Process(line, environment.variables(), folder.path / "log")

    def poll(self) -> list[str]:
        """New lines for the log; `state` becomes "done", "failed" or "cancelled", with a `message` in one line."""
        if self.state != "running":
            return []
        said = self._process.lines()
        code = self._process.code
        if code is not None:
            said += self._process.lines()
        lines = [self._renamed(kept) for kept in map(self.progress.take, said) if kept is not None]
        if code is not None:
            self._end(code)
        return lines

    def cancel(self) -> None:
        """Asks medsr to stop; `poll` tells when it has."""
        self._cancelled = True
        self._process.cancel()

    def close(self) -> None:
        """Ends medsr if it still runs, and removes all that is on the disk."""
        self._process.finish()
        self.folder.remove()

    def wait(self, progress: Callable[[float, str], None] | None = None) -> None:
        """Until it has ended; `progress` is called with (fraction, stage), and cancels by raising.

        Raises
        ------
        Problem
            if it failed or was cancelled.
        """
        try:
            while self.state == "running":
                self.poll()
                if progress is not None:
                    progress(self.progress.fraction, self.progress.stage)
                time.sleep(0.02)
        except BaseException:
            self.close()
            raise
        if self.state != "done":
            raise Problem(self.message)

    @property
    def maps(self) -> dict[str, Path]:
        """The maps that were written beside the image: residual, uncertainty, of a series tSNR."""
        image = self.folder.result
        paths = {name: image.with_name(f"{image.stem}_{name}{image.suffix}") for name in MAPS}
        return {name: path for name, path in paths.items() if path.is_file()}

    @property
    def report(self) -> Path | None:
        """The report that was written beside the image."""
        path = self.folder.result.with_suffix(".html")
        return path if path.is_file() else None

    def _end(self, code: int) -> None:
        self._process.finish()
        complaint = self._complaint()
        if self._cancelled:
            self.state, self.message = "cancelled", "cancelled; nothing was changed"
        elif code in (0, MISSED) and self.folder.result.is_file():
            self.state, self.message = "done", complaint if code == MISSED else ""
        else:
            self.state = "failed"
            self.message = complaint or f"medsr stopped without a word (exit code {code}); the log has more"

    def _complaint(self) -> str:
        """The line that says what is wrong, without the program's name and the temporary file's."""
        lines = [line for line in self._process.complaints().splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("medsr: ")]
        line = (told or lines or [""])[-1]
        for prefix in ("medsr: error: ", "medsr: "):
            if line.startswith(prefix):
                line = line[len(prefix) :]
                break
        return self._renamed(line)

    def _renamed(self, text: str) -> str:
        return text.replace(str(self._source), self.label).replace(f"{self._source.name}: ", f"{self.label}: ")
