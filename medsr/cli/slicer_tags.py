"""A run told to 3D Slicer: progress tags on stdout, words between them, nothing on stderr unless it failed."""

from __future__ import annotations

import sys
from xml.sax.saxutils import escape

from medsr.cli.console import Console
from medsr.cli.streams import tell
from medsr.errors import MedsrError, one_line
from medsr.io.scans import Scan

DONE = (0, 7)
"""Exit codes of runs that wrote all they were asked for."""


class SlicerTags(Console):
    """Tells Slicer, in the tags of its Execution Model; each line is flushed, and progress never falls."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug=debug)
        self._fraction = -1.0
        self._stage = ""

    def started(self, scan: Scan, number: int, total: int) -> None:
        if self._fraction < 0:
            self._fraction = 0.0
            tell("<filter-start>", sys.stdout)
            _tag("filter-name", "medsr reconstruct")
            _tag("filter-comment", scan.name)
            tell("</filter-start>", sys.stdout)

    def progress(self, fraction: float, stage: str) -> None:
        if stage != self._stage:
            self._stage = stage
            _tag("filter-comment", stage)
        if fraction > self._fraction:
            self._fraction = min(fraction, 1.0)
            _tag("filter-progress", f"{self._fraction:.4f}")

    def finished(self, exit_code: int, error: MedsrError | None) -> None:
        """The last tags."""
        if self._fraction < 0:
            return
        if exit_code in DONE:
            self.progress(1.0, "done")
        tell("<filter-end>", sys.stdout)
        _tag("filter-name", "medsr reconstruct")
        tell("</filter-end>", sys.stdout)


def _tag(name: str, text: str) -> None:
    """One tag; no text of a file or a stage can close it or open another."""
    tell(f"<{name}>{escape(one_line(text))}</{name}>", sys.stdout)
