"""The table of outcomes as one offline page: what needs looking at first."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from importlib import resources
from string import Template
from urllib.parse import quote

from medsr._version import VERSION
from medsr.batch.outcomes import Row
from medsr.report.words import text

ORDER = ("failed", "missed", "left out", "done", "unchanged")
WORDS = {
    "failed": ("✗ failed", "missed"),
    "missed": ("✗ promise missed", "missed"),
    "left out": ("○ left out", "none"),
    "done": ("✓ done", "kept"),
    "unchanged": ("✓ done before", "kept"),
}
MOST = 5000
"""Rows that a browser shows without trouble; the CSV has all."""


def page(rows: Sequence[Row], *, running: bool) -> str:
    """The HTML of the rows: one file that asks for nothing from anywhere."""
    folder = resources.files("medsr")
    css = (folder / "report" / "report.css").read_text(encoding="utf-8")
    css += (folder / "batch" / "page.css").read_text(encoding="utf-8")
    above = _above([row.input for row in rows])
    ordered = sorted(rows, key=lambda row: ORDER.index(row.status))
    counts = [(status, sum(row.status == status for row in rows)) for status in ORDER]
    state = "The batch is still running, or was interrupted: run it again to go on." if running else ""
    rest = f"{len(rows) - MOST} more rows are in the CSV table beside this page." if len(rows) > MOST else ""
    return Template((folder / "batch" / "page.html").read_text(encoding="utf-8")).substitute(
        css=css,
        css_hash="sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        state=" ".join(filter(None, (state, rest))),
        counts="".join(
            f'<p class="count {WORDS[status][1]}"><b>{count}</b> {text(WORDS[status][0][2:])}</p>'
            for status, count in counts
            if count
        ),
        total=len(rows),
        above=f"Under <b>{text(above)}</b>. " if above else "",
        version=text(VERSION),
        rows="\n".join(_row(row, len(above)) for row in ordered[:MOST]),
    )


def _above(inputs: Sequence[str]) -> str:
    """The folder that all lie in, with its slash; "" where there is none."""
    try:
        above = os.path.commonpath([os.path.dirname(path) for path in inputs])  # noqa: PTH120 - text, as it was given
    except ValueError:
        return ""
    return f"{above}{os.sep}" if above.strip(os.sep) else ""


def _row(row: Row, hidden: int) -> str:
    words, kind = WORDS[row.status]
    series = f' <span class="soft">series {text(row.series)}</span>' if row.series else ""
    change = f'{text(row.before)}<br><span class="soft">→</span> {text(row.after)}' if row.after else ""
    message = row.message.removeprefix(f"{row.input}: ")
    said = [f"<p>{text(part)}</p>" for part in (message, *row.warnings.split(" | ")) if part]
    links = [
        f'<a href="{quote(path)}">{name}</a>' for name, path in (("result", row.output), ("report", row.report))
        if path and row.exit_code in (0, 7)
    ]  # fmt: skip
    cells = (
        f'<td class="{kind}">{words}</td><td><b>{text(row.input[hidden:])}</b>{series}{"".join(said)}</td>'
        f"<td>{change}</td>"
        f'<td class="number">{text(row.residual)}</td><td class="number">{text(row.seconds)}</td>'
        f"<td>{'<br>'.join(links)}</td>"
    )
    return f"<tr>{cells}</tr>"
