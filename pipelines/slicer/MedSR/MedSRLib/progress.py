"""The progress tags of Slicer's Execution Model, read line by line."""

from __future__ import annotations

import re
from xml.sax.saxutils import unescape

TAG = re.compile(r"<(/?)filter-([a-z-]+)>(?:([^<]*)</filter-\2>)?")


class Progress:
    """How far a run is: `fraction` (0 to 1, never falling) and `stage`."""

    def __init__(self) -> None:
        self.fraction = 0.0
        self.stage = ""

    def take(self, line: str) -> str | None:
        """Learns from a line; gives it back if it was meant for the reader of a log."""
        tag = TAG.fullmatch(line.strip())
        if tag is None:
            return line
        if tag[2] == "comment" and tag[3] is not None:
            self.stage = unescape(tag[3])
        elif tag[2] == "progress" and tag[3] is not None:
            try:
                self.fraction = max(self.fraction, min(1.0, float(tag[3])))
            except ValueError:
                return line
        return None
