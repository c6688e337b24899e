"""The figures of the test runs of raw data as a file that grows, and as the README shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medsr.evaluation.runs import COLUMNS, NOTE, render_rows
from medsr.models.card import cards
from pipelines.benchmarks.fmri_runs import TEST

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """Rows with `run`, `size`, `method` and figures; none where there is no file."""
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return rows


def write(path: Path, run: str, size: str, rows: list[Row]) -> None:
    """Puts rows of a run into the file, in place of those of the same methods; without their seconds, for they are
    made on machines with other work, and `fmri_cost` measures those."""
    new = [
        {"run": run, "size": size, "method": r["method"]}
        | {c: _rounded(r.get(c)) for c in COLUMNS if c != "seconds"}
        for r in rows
    ]
    named = {(r["run"], r["size"], r["method"]) for r in new}
    kept = [r for r in read(path) if (r["run"], r["size"], r["method"]) not in named]
    lines = ",\n".join(" " + json.dumps(r) for r in [*kept, *new])
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def table(rows: list[Row]) -> str:
    """All runs, by size and in the order of `TEST`, the methods of each in that of their cards."""
    order, runs = list(cards()), [r.name for r in TEST]
    sizes = list(dict.fromkeys(r["size"] for r in rows))
    parts = []
    for run, size in sorted(
        {(r["run"], r["size"]) for r in rows}, key=lambda key: (sizes.index(key[1]), runs.index(key[0]))
    ):
        here = [r for r in rows if (r["run"], r["size"]) == (run, size)]
        here.sort(key=lambda r: order.index(r["method"]) if r["method"] in order else len(order))
        parts.append(f"{run} ({size})\n{render_rows(here).removesuffix(NOTE + chr(10))}")
    return "\n".join(parts)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
