"""A program in the background, asked now and then how it is doing.

Its output goes to files rather than to pipes: nothing blocks, no thread is needed, Slicer's event loop is free.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MedSRLib.problem import Problem

GRACE = 5.0
"""Seconds that a program has to clean up after itself before it is killed."""


class Process:
    """A program and all that it starts.

    Parameters
    ----------
    command : its name and arguments. variables : its environment. folder : where its output is kept; made if
        missing.

    Raises
    ------
    Problem
        if it cannot be started.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder / "stdout.txt", folder / "stderr.txt"
        self._place = 0
        self._tail = b""
        self._killed_at: float | None = None
        with self._out.open("wb") as out, self._err.open("wb") as err:
            try:
                self._child = subprocess.Popen(
                    list(command),
                    env=dict(variables),
                    cwd=str(folder),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    **_of_its_own(),
                )
            except OSError as error:
                raise Problem(f"{command[0]} cannot be started ({error.strerror})") from None

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._child.poll()

    def lines(self) -> list[str]:
        """What it has said on stdout since this was asked last, in whole lines; at its end, all."""
        ended = self.code is not None
        if self._killed_at is not None and not ended and time.monotonic() > self._killed_at:
            self._kill(hard=True)
        with self._out.open("rb") as file:
            file.seek(self._place)
            self._tail += file.read()
            self._place = file.tell()
        *whole, self._tail = self._tail.split(b"\n")
        if ended and self._tail:
            whole, self._tail = [*whole, self._tail], b""
        return [line.decode("utf-8", "replace").rstrip("\r") for line in whole]

    def complaints(self) -> str:
        """All that it has said on stderr."""
        return self._err.read_text(encoding="utf-8", errors="replace")

    def cancel(self) -> None:
        """Asks it to end, and sees to it that it does: `lines` has to be asked for until `code` is known."""
        if self._killed_at is None:
            self._killed_at = time.monotonic() + GRACE
            self._kill(hard=os.name == "nt")  # Windows has no other way for a program without a console

    def finish(self) -> None:
        """Ends it and all that it has started, now."""
        if self.code is None:
            self._kill(hard=True)
            self._child.wait()
        elif self._killed_at is not None:
            self._kill(hard=True)  # of its group, what has outlived it

    def _kill(self, *, hard: bool) -> None:
        if os.name == "nt":
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(self._child.pid)],
                capture_output=True,
                check=False,
                **_hidden(),
            )
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL if hard else signal.SIGTERM)


def run(command: Sequence[str], variables: Mapping[str, str], seconds: float) -> str | None:
    """What a short program says; None where it fails, is not there, or takes longer than `seconds`."""
    try:
        done = subprocess.run(
            list(command),
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            **_hidden(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _of_its_own() -> dict[str, Any]:
    """A group of its own, so that all of it can be ended together."""
    return _hidden() if os.name == "nt" else {"start_new_session": True}


def _hidden() -> dict[str, Any]:
    """No console window."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}  # type: ignore[attr-defined]
