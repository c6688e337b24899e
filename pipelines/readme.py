"""Fills the parts of README.md that are made from data files: ``python -m pipelines.readme``.

The table of methods comes from the cards; that of the 2D models from the rows that
``python -m pipelines.benchmarks.models --json pipelines/benchmarks/models.json`` left; that of the claims
likewise, and that of the runs of raw data (``python -m pipelines.benchmarks.fmri --json FILE``).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from medsr.models.card import cards
from pipelines.benchmarks import claims, fmri_rows

README = Path(__file__).parents[1] / "README.md"
ROWS = Path(__file__).parent / "benchmarks" / "models.json"
CLAIMS = Path(__file__).parent / "benchmarks" / "claims.json"
FMRI = Path(__file__).parent / "benchmarks" / "fmri.json"
COLUMNS = {
    "psnr": ("PSNR", ".2f"),
    "raw": ("before the projection", ".2f"),
    "noisy": ("PSNR, 2 % noise", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "hfen": ("HFEN", ".3f"),
    "gmsd": ("GMSD", ".4f"),
    "sharp": ("sharpness", ".3f"),
    "dice": ("Dice", ".3f"),
    "s": ("CPU s", ".1f"),
    "GiB": ("GiB", ".2f"),
}


def methods_table() -> str:
    """The methods as a Markdown table."""
    rows = ["| method | what it does | learned | promises of the data residual |", "|---|---|---|---|"]
    for card in cards().values():
        promise = card.promise
        kept = [
            f"{text}"
            for bound, text in (
                (promise.exact, f"≤ {promise.exact:g} ‖y‖ without noise" if promise.exact else ""),
                (promise.noisy, f"≤ {promise.noisy:g} σ√N with noise" if promise.noisy else ""),
            )
            if bound
        ]
        learned = "yes" if card.learned else "no"
        rows.append(f"| `{card.name}` | {card.summary} | {learned} | {', '.join(kept) or 'none'} |")
    return "\n".join(rows)


def models_table() -> str:
    """The benchmark of the 2D models, a table for each mode and head; the first head's are open."""
    rows: list[dict[str, Any]] = json.loads(ROWS.read_text(encoding="utf-8"))
    modes, heads = (list(dict.fromkeys(r[key] for r in rows)) for key in ("mode", "head"))
    parts: list[str] = []
    for head in heads:
        if len(heads) > 1 and head == heads[1]:
            parts.append(f"<details><summary>The same on {' and '.join(heads[1:])}</summary>")
        for mode in modes:
            here = [r for r in rows if (r["head"], r["mode"]) == (head, mode)]
            parts += [_models_of(here), _own_network(here)] if here else []
    if len(heads) > 1:
        parts.append("</details>")
    return "\n\n".join(part for part in parts if part)


def _models_of(rows: list[dict[str, Any]]) -> str:
    """The rows of a head and mode; columns without figures are left out."""
    shown = {k: v for k, v in COLUMNS.items() if any(r.get(k) is not None for r in rows)}
    names = ["model", "parameters (M)", "kMAC a voxel", *(name for name, _ in shown.values())]
    lines = [
        f"{rows[0]['head']}, {rows[0]['mode']}:",
        "",
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
    ]
    for row in rows:
        cells = [f"`{row['name']}`", _cell(row.get("M par."), ".3f"), _cell(row.get("kMAC/vox"), ".1f")]
        cells += [_cell(row.get(key), form) for key, (_, form) in shown.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _own_network(rows: list[dict[str, Any]]) -> str:
    """How the own network stands to the best of the others, and what it costs beside it."""
    models = {row["name"]: row for row in rows if "kMAC/vox" in row and not row["name"].endswith("-final")}
    own = models.pop("fast2d", None)
    if own is None or not models:
        return ""
    best = max(models.values(), key=lambda row: float(row["psnr"]))
    cost = own["kMAC/vox"] / best["kMAC/vox"]
    return (
        f"`fast2d` is {own['psnr'] - best['psnr']:+.2f} dB from the best of the others, `{best['name']}`, "
        f"at {cost:.2f} of its multiply-accumulates."
    )


def claims_table() -> str:
    """The papers' claims, with an answer each."""
    return claims.table(json.loads(CLAIMS.read_text(encoding="utf-8")))


def fmri_table() -> str:
    """The methods for raw data on the test runs, as text."""
    return "```\n" + fmri_rows.table(fmri_rows.read(FMRI)) + "```"


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def filled(text: str) -> str:
    """`text` with the parts between marks such as ``<!-- methods -->`` and ``<!-- /methods -->`` made anew."""
    tables = {"methods": methods_table(), "models": models_table(), "claims": claims_table(), "fmri": fmri_table()}
    for name, table in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
        text = re.sub(pattern, lambda m, table=table: m[1] + table + m[2], text, flags=re.DOTALL)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
