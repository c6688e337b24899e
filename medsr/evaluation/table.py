"""Comparisons as a table: text, Markdown or JSON. Range, mask and border stand with the figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from medsr.errors import UsageError, one_line
from medsr.evaluation.image import Comparison

COLUMNS = {
    "psnr": ("PSNR (dB)", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "nrmse": ("NRMSE", ".4f"),
    "mae": ("MAE", ".4g"),
    "bc": ("BC", ".4f"),
    "hfen": ("HFEN", ".4f"),
}

Format = Literal["text", "markdown", "json"]
Row = tuple[str, Comparison]


def render(rows: Sequence[Row], format: Format = "text") -> str:
    """`rows` of (label, comparison) as a table that ends in a newline.

    Text and Markdown give the statement of range, mask and border below the table, once where all rows share
    it; JSON gives it with each row.

    Raises
    ------
    UsageError
        if there is no such format, or no row.
    """
    if not rows:
        raise UsageError("there is nothing to put in a table")
    if format == "json":
        return json.dumps([{"name": n, **c.as_dict()} for n, c in rows], indent=2, allow_nan=False) + "\n"
    statements = list(dict.fromkeys(c.statement for _, c in rows))
    marks = len(statements) > 1
    cells = [["", *(title for title, _ in COLUMNS.values())]]
    for name, comparison in rows:
        number = statements.index(comparison.statement) + 1
        label = one_line(f"{name} [{number}]" if marks else name)
        cells.append([label, *(format_figure(comparison, figure) for figure in COLUMNS)])
    notes = [one_line(f"[{i}] {s}" if marks else s) for i, s in enumerate(statements, 1)]
    if format == "text":
        return text_table(cells) + "\n" + "".join(f"{note}\n" for note in notes)
    if format == "markdown":
        return _markdown(cells) + "\n" + "\n\n".join(_escape(note) for note in notes) + "\n"
    raise UsageError("unknown format of a table", got=repr(format), hint="choose text, markdown or json")


def format_figure(comparison: Comparison, figure: str) -> str:
    """One figure with the digits that mean something."""
    return format(getattr(comparison, figure), COLUMNS[figure][1])


def text_table(cells: list[list[str]]) -> str:
    """Rows of cells in aligned columns, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _markdown(cells: list[list[str]]) -> str:
    lines = ["| " + " | ".join(_escape(c) for c in row) + " |" for row in cells]
    lines.insert(1, "|---" + "|---:" * (len(cells[0]) - 1) + "|")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
