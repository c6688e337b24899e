"""Methods compared on one run of raw data whose truth is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.errors import InputError, UsageError
from medsr.evaluation.fmri import FmriFigures, evaluate_fmri
from medsr.evaluation.table import text_table
from medsr.io import open_volume
from medsr.io.mrd import read_mrd
from medsr.measurement import KSpace
from medsr.models.card import cards, chosen_card
from medsr.reconstruction import reconstruct
from medsr.result import Result
from medsr.simulation.paradigm import Event, parse_events_tsv
from medsr.volume import Volume

COLUMNS: dict[str, tuple[str, str]] = {
    "nrmse": ("NRMSE", ".4f"),
    "nrmse_temporal": ("in time", ".3f"),
    "ssim": ("SSIM", ".4f"),
    "tsnr": ("tSNR", ".1f"),
    "bold": ("BOLD %", ".2f"),
    "amplitude_bias": ("bias", "+.1%"),
    "auc": ("AUC", ".3f"),
    "false_positives": ("FP < .001", ".4f"),
    "transfer": ("transfer", ".3f"),
    "residual_over_noise": ("residual/σ", ".3f"),
    "seconds": ("s", ".1f"),
}
NOTE = (
    "NRMSE over tissue and time; in time: of the deviations from the temporal mean (1: an image without change); "
    "BOLD, bias, AUC, transfer: of active voxels against the truth; FP: share of inactive voxels with p < 0.001; "
    "residual over the noise of the samples."
)


@dataclass(frozen=True, eq=False)
class KnownRun:
    """Raw data with their truth.

    activation : percent signal change; None for a run without task.
    """

    scan: KSpace
    truth: Volume
    events: tuple[Event, ...]
    activation: Volume | None


@dataclass(frozen=True, eq=False)
class Scored:
    """One method on one run."""

    label: str
    figures: FmriFigures
    result: Result

    def row(self) -> dict[str, Any]:
        """All figures by name."""
        seconds = {"seconds": self.result.timings.get("reconstruct")}
        return {"method": self.label} | self.figures.as_dict() | self.result.figures | seconds


def open_known(
    raw: str | Path,
    *,
    truth: str | Path | None = None,
    events: str | Path | None = None,
    activation: str | Path | None = None,
    slices: slice | None = None,
    frames: slice | None = None,
) -> KnownRun:
    """A run and its truth: by default the files beside `raw.h5` that `medsr simulate spiral-fmri` writes.

    Raises
    ------
    InputError
        if one of them is missing.
    """
    raw = Path(raw)
    stem = raw.name[: -len(raw.suffix)]

    def beside(given: str | Path | None, name: str) -> Path:
        path = raw.with_name(f"{stem}_{name}") if given is None else Path(given)
        if not path.is_file():
            raise InputError(f"{path}: not there", hint=f"say where it is with --{name.partition('.')[0]}")
        return path

    known = open_volume(beside(truth, "truth.nii.gz"))
    table = beside(events, "events.tsv")
    happened = parse_events_tsv(table.read_text(encoding="utf-8"), table.name)
    active = open_volume(beside(activation, "activation.nii.gz"), allow_constant=True) if happened else None
    along, when = slices or slice(None), frames or slice(None)
    scan = read_mrd(raw, slices=along, frames=when)
    if slices is not None or frames is not None:
        start = range(*when.indices(known.frames)).start * (scan.tr or known.facts.tr or 0)
        happened = tuple(Event(e.onset - start, e.duration) for e in happened if e.onset + e.duration > start)
        known = known.with_data(known.data[when][..., along], scan.grid)
        active = None if active is None else active.with_data(active.data[..., along], scan.grid)
    return KnownRun(scan, known, happened, active)


def compare(
    run: KnownRun,
    methods: Sequence[str] = (),
    *,
    threads: int | None = None,
    field_map: Volume | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> list[Scored]:
    """Every method (all for raw data by default) on `run`, in the order named; `field_map` in Hz is told to all.

    Raises
    ------
    UsageError
        if one is no method for raw data.
    """
    names = [chosen_card(m, "kspace").name for m in methods] or [
        c.name for c in cards().values() if c.kind == "kspace"
    ]
    rows = []
    for number, name in enumerate(names):

        def tell(fraction: float, stage: str, number: int = number, name: str = name) -> None:
            if progress is not None:
                progress((number + fraction) / len(names), f"{name}: {stage}")

        result = reconstruct(run.scan, method=name, threads=threads, field_map=field_map, progress=tell)
        rows.append(Scored(name, score(result.volume, run), result))
    return rows


def score(series: Volume, run: KnownRun) -> FmriFigures:
    """The figures of a reconstructed series against the run's truth."""
    return evaluate_fmri(series, run.truth, run.events, run.activation)


def render_rows(rows: Sequence[dict[str, Any]], format: str = "text") -> str:
    """A table of `Scored.row`s that ends in a newline: "text" or "json"."""
    if not rows:
        raise UsageError("there is nothing to put in a table")
    if format == "json":
        return json.dumps(list(rows), indent=2) + "\n"
    columns = {n: c for n, c in COLUMNS.items() if any(r.get(n) is not None for r in rows)}
    cells = [["", *(title for title, _ in columns.values())]]
    for row in rows:
        values = [(row.get(name), form) for name, (_, form) in columns.items()]
        cells.append([row["method"], *("-" if v is None else _shown(v, f) for v, f in values)])
    return text_table(cells) + NOTE + "\n"


def _shown(value: float, form: str) -> str:
    """`value` in the form, NaN as a dash."""
    return "-" if math.isnan(value) else format(value, form)
