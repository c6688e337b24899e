"""The table of outcomes: a row a scan, as CSV for machines and as a page for people."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from medsr.errors import one_line
from medsr.io.atomic import Transaction

EVERY = 5.0
"""Seconds between two writings of the table while the batch runs, or 20 times what a writing takes."""


@dataclass(frozen=True)
class Row:
    """What became of one scan.

    status : done (now), unchanged (finished before), missed (written, but a promise was missed), failed, or left
        out (no scan to reconstruct). exit_code : what `medsr reconstruct` would have left with.
    message : why, where it is not done. before, after : geometry in words.
    residual : ‖A x - y‖ over ‖y‖. memory_gib : planned. seconds : that this run spent on it, writing included.
    output, report : relative to the table; the image, or the folder of the series. sha256 : of that image; of a
    series, of its sidecar's list of checksums.
    """

    input: str
    series: str = ""
    status: str = "done"
    exit_code: int = 0
    message: str = ""
    method: str = ""
    before: str = ""
    after: str = ""
    residual: str = ""
    promises: str = ""
    warnings: str = ""
    memory_gib: str = ""
    seconds: str = ""
    output: str = ""
    sha256: str = ""
    report: str = ""


class Outcomes:
    """The rows so far, written every few seconds and at the end.

    Parameters
    ----------
    folder : of the batch's output. shard : (i, n), where the batch is one of several.
    """

    def __init__(self, folder: Path, shard: tuple[int, int] | None) -> None:
        name = f"outcomes-{shard[0]}-of-{shard[1]}" if shard and shard[1] > 1 else "outcomes"
        self.csv, self.html = folder / f"{name}.csv", folder / f"{name}.html"
        self.rows: list[Row] = []
        self._next = time.monotonic() + EVERY

    def add(self, row: Row) -> None:
        """Takes one more."""
        self.rows.append(row)
        if time.monotonic() > self._next:
            self.write(running=True)

    def count(self, status: str) -> int:
        """Rows of a status."""
        return sum(row.status == status for row in self.rows)

    def write(self, *, running: bool = False) -> list[Path]:
        """Writes both files, whole; raises as `Transaction`."""
        from medsr.batch.page import page

        start = time.monotonic()
        with Transaction(force=True) as transaction:
            transaction.path(self.csv).write_text(self._as_csv(), encoding="utf-8", newline="")
            transaction.path(self.html).write_text(page(self.rows, running=running), encoding="utf-8")
        end = time.monotonic()
        self._next = end + max(EVERY, 20 * (end - start))
        return [self.csv, self.html]

    def _as_csv(self) -> str:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([f.name for f in fields(Row)])
        table.writerows([_cell(value) for value in astuple(row)] for row in self.rows)
        return text.getvalue()


def row_of(said: dict[str, Any]) -> dict[str, Any]:
    """The columns that a sidecar fills."""
    ours = said["medsr"]
    warnings = [flag["text"] for flag in ours.get("flags", ()) if isinstance(flag, dict)]
    return {
        "method": ours.get("method", ""),
        "before": _geometry(ours, "before"),
        "after": _geometry(ours, "after"),
        "residual": f"{ours.get('figures', {}).get('residual_over_data', float('nan')):.3g}",
        "promises": ours.get("promises", ""),
        "warnings": " | ".join(map(str, warnings)),
        "memory_gib": f"{ours['memory_planned'] / 2**30:.2f}" if "memory_planned" in ours else "",
        "sha256": _checksum(ours.get("outputs", {})),
    }


def _checksum(outputs: dict[str, str]) -> str:
    """Of the image, the first of a result's files; of a DICOM folder, of all checksums in the order of names."""
    images = [checksum for name, checksum in outputs.items() if name.endswith(".dcm")]
    if not images:
        return next(iter(outputs.values()), "")
    return hashlib.sha256("\n".join(images).encode()).hexdigest()


def _geometry(ours: dict[str, Any], when: str) -> str:
    grid = ours.get("geometry", {}).get(when, {})
    shape, spacing = grid.get("shape", ()), grid.get("spacing_mm", ())
    return f"{' x '.join(map(str, shape))} of {' x '.join(f'{s:.4g}' for s in spacing)} mm"


def _cell(value: Any) -> Any:
    """A cell on one line, that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
