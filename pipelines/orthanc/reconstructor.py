"""The worker's side of the process that reconstructs: one order at a time, with a limit, looked after without
waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.orthanc.settings import DELIVERY_PREFIX, PREFIX

_COMMAND = (sys.executable, "-m", "pipelines.orthanc.child")


@dataclass(frozen=True)
class Outcome:
    """What became of an order: exit code of `medsr reconstruct` (-1 where the process died), and why."""

    exit_code: int
    error: str | None
    seconds: float


class Reconstructor:
    """Starts the process when it is first needed, and again after it died."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._child: subprocess.Popen[bytes] | None = None
        self._lines: list[dict[str, Any]] = []
        self._order = 0
        self._started: float | None = None

    @property
    def busy(self) -> bool:
        """Whether an order is being obeyed."""
        return self._started is not None

    def start(self, source: Path, target: Path, options: tuple[str, ...]) -> None:
        """Gives an order: every part of the series in `source` into a folder under `target`."""
        assert not self.busy
        self._lines.clear()
        self._order += 1
        self._started = time.monotonic()
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
            threading.Thread(target=self._read, args=(self._child,), daemon=True).start()
        order = {"order": self._order, "source": str(source), "target": str(target), "options": list(options)}
        with contextlib.suppress(OSError):  # the process has died: `look` will tell
            assert self._child.stdin
            self._child.stdin.write(json.dumps(order).encode() + b"\n")
            self._child.stdin.flush()

    def look(self) -> Outcome | None:
        """What became of the order; None while it is being obeyed."""
        assert self._child is not None
        assert self._started is not None
        seconds = time.monotonic() - self._started
        lines = list(self._lines)
        over = next((line for line in lines if line.get("order") == self._order), None)
        if over is not None:
            said = next((line.get("error") for line in reversed(lines) if line.get("error")), None)
            return self._end(int(over["exit_code"]), over.get("error") or said, seconds)
        if self._child.poll() is not None:
            return self._end(-1, f"the reconstruction process died ({self._child.returncode})", seconds)
        if seconds > self._limit:
            self.stop()
            return self._end(-1, f"the reconstruction took longer than {self._limit:.0f} s", seconds)
        return None

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _end(self, code: int, error: str | None, seconds: float) -> Outcome:
        self._started = None
        return Outcome(code, error, seconds)

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout
        for line in child.stdout:
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict) and found.get("event") != "progress":
                    self._lines.append(found)


def _environment() -> dict[str, str]:
    """Without the credentials, finding the same packages."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, DELIVERY_PREFIX))}
    root = str(Path(__file__).parents[2])
    return kept | {"PYTHONPATH": os.pathsep.join([root, *filter(None, [kept.get("PYTHONPATH")])])}
