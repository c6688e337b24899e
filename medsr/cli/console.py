"""How a run is shown: a bar on a terminal, lines of JSON for machines, silence when asked."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from medsr.errors import MedsrError, one_line
from medsr.outputs import Outputs
from medsr.result import Result


class Console:
    """Tells a person. Results on stdout; progress and complaints on stderr.

    Parameters
    ----------
    quiet : say nothing but errors. verbose : say also what was assumed of every axis and how long it took.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet, self.verbose = quiet, verbose
        self._bar: Any = None
        self._task: Any = None

    def progress(self, fraction: float, stage: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, description=stage)

    def started(self, source: Path, number: int, total: int) -> None:
        if self.quiet or self._bar is not None or not sys.stderr.isatty():
            return
        from rich.console import Console as Rich
        from rich.progress import Progress

        rich = Rich(stderr=True, no_color="NO_COLOR" in os.environ)
        self._bar = Progress(console=rich, transient=True)
        self._task = self._bar.add_task("reading", total=1.0)
        self._bar.start()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def done(self, source: Path, result: Result, written: list[Path]) -> None:
        if self.quiet:
            return
        before, after = result.measured.grid.describe(), result.volume.grid.describe()
        lines = [f"{source.name}: {before} -> {after}, method {result.method}"]
        lines += [f"  {text}" for text in result.acquisition["assumptions"]]
        lines.append(f"  {residual_line(result)}")
        lines += [f"  {flag.level.upper()}: {flag.text}" for flag in result.flags]
        if self.verbose:
            lines.append("  " + ", ".join(f"{k} {v:.2f} s" for k, v in result.timings.items()))
        lines += [f"  wrote {path}" for path in written]
        self._say(lines, sys.stdout)

    def skipped(self, source: Path, outputs: Outputs) -> None:
        if not self.quiet:
            self._say([f"{source.name}: skipped, {outputs.image} exists"], sys.stdout)

    def failed(self, source: Path, error: MedsrError) -> None:
        self._say([f"medsr: {error}"], sys.stderr)

    def _say(self, lines: list[str], stream: TextIO) -> None:
        for line in lines:
            if self._bar is not None:
                self._bar.console.file.flush()
            print(one_line(line), file=stream, flush=True)


class JsonLines:
    """Tells a machine: one JSON object a line on stdout, flushed."""

    def progress(self, fraction: float, stage: str) -> None:
        self._write("progress", fraction=round(fraction, 4), stage=stage)

    def started(self, source: Path, number: int, total: int) -> None:
        self._write("started", input=str(source), number=number + 1, total=total)

    def close(self) -> None:
        """Nothing is held open."""

    def done(self, source: Path, result: Result, written: list[Path]) -> None:
        self._write(
            "done",
            input=str(source),
            written=[str(p) for p in written],
            method=result.method,
            acquisition=result.acquisition,
            figures=result.figures,
            promises="kept" if result.kept_its_promises else "missed",
            flags=[{"level": f.level, "text": f.text} for f in result.flags],
            seconds=result.timings,
        )

    def skipped(self, source: Path, outputs: Outputs) -> None:
        self._write("skipped", input=str(source), output=str(outputs.image))

    def failed(self, source: Path, error: MedsrError) -> None:
        self._write("failed", input=str(source), error=str(error), exit_code=error.exit_code)

    def _write(self, event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), flush=True)


def residual_line(result: Result) -> str:
    """How well the result explains the scan, in words."""
    figures = result.figures
    text = f"residual {figures['residual_over_data']:.2e} of the data"
    if "residual_over_noise" in figures:
        text += f", {figures['residual_over_noise']:.2f} of the noise"
    promise = "promise kept" if result.kept_its_promises else "PROMISE MISSED"
    return f"{text}: {promise}"
