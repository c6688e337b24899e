"""How a run is shown: a bar on a terminal, lines of JSON for machines, silence when asked."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from medsr.cli.streams import complain, tell
from medsr.errors import MedsrError, one_line
from medsr.io.scans import Scan
from medsr.models.card import card
from medsr.result import Result


class Console:
    """Tells a person. Results on stdout; progress and complaints on stderr.

    Parameters
    ----------
    quiet : say nothing but errors. verbose : say also what came with the header and how long it took.
    debug : show where errors come from. brief : a line a result, and its warnings.
    """

    def __init__(
        self, quiet: bool = False, verbose: bool = False, debug: bool = False, brief: bool = False
    ) -> None:
        self.quiet, self.verbose, self.debug, self.brief = quiet, verbose, debug, brief and not verbose
        self._bar: Any = None
        self._task: Any = None
        self._label = ""
        self._told: MedsrError | None = None

    def started(self, scan: Scan, number: int, total: int) -> None:
        self._label = one_line(scan.name) + (f" ({number + 1} of {total})" if total > 1 else "")
        if self.quiet or not sys.stderr.isatty():
            return
        from rich.console import Console as Rich
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        # stdout stays as it is: what is said there may go to a file while the bar is on the terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),  # a file may be called [red]
            BarColumn(),
            TaskProgressColumn(),
            console=Rich(stderr=True, no_color="NO_COLOR" in os.environ or None),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(self._label, total=1.0, completed=number / total)
        self._bar.start()

    def progress(self, fraction: float, stage: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, description=f"{self._label}: {stage}")

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            bar, self._bar = self._bar, None
            bar.stop()

    def done(self, scan: Scan, result: Result, written: list[Path]) -> None:
        self.close()
        if self.quiet:
            return
        before, after = result.measured.grid.describe(), result.volume.grid.describe()
        frames = f", {result.volume.frames} frames" if result.volume.frames > 1 else ""
        _tell(f"{scan.name}: {before} -> {after}{frames}, method {result.method}")
        if not self.brief:
            for text in result.acquisition["assumptions"]:
                _tell(f"  {text}")
            _tell(f"  {residual_line(result)}")
        for flag in result.flags:
            _tell(f"  {flag.level}: {flag.text}")
        if self.verbose:
            facts = {k: v for k, v in vars(result.measured.facts).items() if v is not None}
            known = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
            _tell(f"  header: {known or 'says nothing of the acquisition'}")
            _tell(f"  negative values: {result.figures['negative_voxels']:g} voxels")
            _tell("  " + ", ".join(f"{k} {v:.2f} s" for k, v in result.timings.items()))
        for path in written[: 1 if self.brief else None]:
            _tell(f"  wrote {path}{_contents(path)}")

    def skipped(self, scan: Scan, image: Path, why: str = "exists") -> None:
        if not self.quiet:
            _tell(f"{scan.name}: skipped, {image} {why}")

    def failed(self, scan: Scan, error: MedsrError) -> None:
        self.close()
        self._told = error
        complain(error, self.debug)

    def told(self, error: MedsrError) -> bool:
        """Whether the user knows."""
        return error is self._told

    def finished(self, exit_code: int, error: MedsrError | None) -> None:
        """Nothing that was not said."""


class JsonLines:
    """Tells a machine: one JSON object a line on stdout, flushed; the last is "finished". Errors on stderr too."""

    def __init__(self, debug: bool = False) -> None:
        self.debug = debug
        self._told: MedsrError | None = None

    def progress(self, fraction: float, stage: str) -> None:
        self._write("progress", fraction=round(fraction, 4), stage=stage)

    def started(self, scan: Scan, number: int, total: int) -> None:
        self._write("started", input=str(scan.path), series=_series(scan), number=number + 1, total=total)

    def close(self) -> None:
        """Nothing is held open."""

    def done(self, scan: Scan, result: Result, written: list[Path]) -> None:
        self._write(
            "done",
            input=str(scan.path),
            series=_series(scan),
            written=[str(p) for p in written],
            method=result.method,
            acquisition=result.acquisition,
            figures=result.figures,
            promises="kept" if result.kept_its_promises else "missed",
            flags=[{"level": f.level, "text": f.text} for f in result.flags],
            seconds=result.timings,
        )

    def skipped(self, scan: Scan, image: Path, why: str = "exists") -> None:
        self._write("skipped", input=str(scan.path), series=_series(scan), output=str(image), why=why)

    def failed(self, scan: Scan, error: MedsrError) -> None:
        self._write(
            "failed", input=str(scan.path), series=_series(scan), error=str(error), exit_code=error.exit_code
        )
        self._told = error
        complain(error, self.debug)

    def told(self, error: MedsrError) -> bool:
        """Whether the user knows."""
        return error is self._told

    def finished(self, exit_code: int, error: MedsrError | None) -> None:
        """The last line."""
        self._write("finished", exit_code=exit_code, error=None if error is None else str(error))

    def _write(self, event: str, **fields: Any) -> None:
        tell(json.dumps({"event": event} | {k: v for k, v in fields.items() if k != "series" or v}), sys.stdout)


def _series(scan: Scan) -> str | None:
    return scan.series.selector if scan.series else scan.selector


def residual_line(result: Result) -> str:
    """How well the result explains the scan, in words."""
    figures = result.figures
    text = f"residual {figures['residual_over_data']:.2e} of the data"
    if "residual_over_noise" in figures:
        text += f", {figures['residual_over_noise']:.2f} of the noise"
    promised = card(result.method).promise
    if promised.exact is None and promised.noisy is None:
        return text
    return f"{text}: promise {'kept' if result.kept_its_promises else 'missed'}"


def _contents(path: Path) -> str:
    """What is in a folder that was written."""
    if not path.is_dir():
        return ""
    names = sorted(p.name for p in path.iterdir())
    images = [name for name in names if name.endswith(".dcm")]
    return f": {', '.join([f'{len(images)} DICOM files', *(n for n in names if n not in images)])}"


def _tell(line: str) -> None:
    tell(one_line(line), sys.stdout)
