"""One offline HTML file of a result: pictures, figures, assumptions, provenance."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

from medsr.models.card import Promise
from medsr.report.data import ReportData
from medsr.report.planes import Pictures
from medsr.report.scene import orientation, tilt
from medsr.report.words import Figure, figures, number, text
from medsr.result import Result
from medsr.volume import Grid

_LABELS = {
    "version": "medsr version",
    "command": "Command",
    "created": "Made on",
    "input": "Input",
    "input_sha256": "Input, SHA-256",
    "weights_sha256": "Weights, SHA-256",
    "citation": "To cite",
    "options": "Options",
}
_ELSEWHERE = (
    "method",
    "geometry",
    "acquisition",
    "figures",
    "promises",
    "flags",
    "seconds",
    "outputs",
    "memory_planned",
)
"""Keys of a sidecar that have a place of their own in the report."""


def render(result: Result | ReportData, provenance: Mapping[str, Any]) -> str:
    """The HTML of a report: one file that asks for nothing from anywhere, to be written as UTF-8.

    The same arguments give the same bytes. Of the scan's identity it shows the name of its file, and whatever
    lines `provenance` holds.

    Parameters
    ----------
    result : a run's result, or what was read back of one.
    provenance : a sidecar of medsr's (its part under "medsr" is shown, less what the report shows elsewhere), or
        "version", "command", "input_sha256", "weights_sha256", "created" and whatever else is worth a line:
        text, numbers, lists or mappings of those. A command that is a list is shown without folders, which may
        bear a patient's name.

    Raises
    ------
    GeometryError
        where the scan and the result do not share their axes.
    """
    data = ReportData.from_result(result) if isinstance(result, Result) else result
    pictures = Pictures(data)
    mark, kind, verdict = _verdict(data)
    css = _file("report.css") + pictures.rules()
    js = _file("report.js")
    return Template(_file("report.html")).substitute(
        css=css,
        css_hash=_hash(css),
        js=js,
        js_hash=_hash(js),
        name=text(data.name),
        change=_change(data),
        verdict_class=kind,
        verdict_mark=mark,
        verdict_words=verdict,
        flags="\n".join(_flag(flag.level, flag.text) for flag in data.flags),
        pictures_words=pictures.words(),
        planes=pictures.comparisons(),
        figures="\n".join(_figure_rows(data)),
        maps=pictures.maps(),
        acquisition=_acquisition(data, pictures.scene.axes_of_file),
        geometry="\n".join(_geometry(data.scan_grid, data.grid, data)),
        provenance="\n".join(_provenance(data, provenance)),
    )


def _file(name: str) -> str:
    return (resources.files("medsr") / "report" / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """What the content security policy calls the style or script by: no other may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _change(data: ReportData) -> str:
    summary = text(data.card.summary) if data.card else ""
    frames = f"{data.image.shape[0]} frames of " if data.image.ndim == 4 else ""
    before, after = text(data.scan_grid.describe()), text(data.grid.describe())
    return f"{frames}{before} → <b>{after}</b>, by <b>{text(data.method)}</b>. {summary}".strip()


def _verdict(data: ReportData) -> tuple[str, str, str]:
    judged = [figure.kept for figure in _figures(data) if figure.kept is not None]
    if any(flag.level == "missed" for flag in data.flags) or not all(judged):
        return (
            "✗ Promise missed",
            "missed",
            "The result does not explain the scan as closely as the method's card promises. Do not rely on it.",
        )
    if not judged:
        return (
            "○ No promise",
            "none",
            "This method's card promises nothing here about how closely its result explains the scan.",
        )
    return (
        "✓ Promise kept",
        "kept",
        "The result explains the scan as closely as the method's card promises, under the model of the scanner "
        "stated below.",
    )


def _flag(level: str, words: str) -> str:
    mark, kind = ("✗ Missed", "missed") if level == "missed" else ("⚠ Warning", "warning")
    return f'<div class="flag {kind}"><p class="chip">{mark}</p><p>{text(words)}</p></div>'


def _figures(data: ReportData) -> list[Figure]:
    return figures(data.figures, data.card.promise if data.card else Promise())


def _figure_rows(data: ReportData) -> list[str]:
    rows = []
    for figure in _figures(data):
        if figure.kept is None:
            promise = '<td class="nothing">–</td>'
        else:
            mark, kind = ("✓ kept", "kept") if figure.kept else ("✗ missed", "missed")
            promise = f'<td class="{kind}">{mark}: at most {figure.bound:g}</td>'
        rows.append(
            f'<tr><th scope="row">{text(figure.symbol)}</th><td>{number(figure.value)}</td>'
            f"{promise}<td>{text(figure.words)}</td></tr>"
        )
    return rows


def _acquisition(data: ReportData, axes: Sequence[str]) -> str:
    rows = []
    along = dict(zip("xyz", axes, strict=True))
    for axis, spread in data.acquisition.get("point_spread", {}).items():
        where = f" ({along[axis]})" if axis in along else ""
        words = "keeps its spacing" if spread == "kept" else spread
        rows.append(_row(f"Point spread, {axis}{where}", words))
    noise = data.acquisition.get("noise")
    if isinstance(noise, int | float):
        rows.append(_row("Noise, σ", number(noise) if noise else "taken as none"))
    table = f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>' if rows else ""
    said = data.acquisition.get("assumptions", ())
    if not said:
        return table
    items = "".join(f"<li>{text(line)}</li>" for line in said)
    return f"{table}<ul>{items}</ul>"


def _geometry(before: Grid, after: Grid, data: ReportData) -> list[str]:
    rows = [
        ("Voxels", [" × ".join(map(str, g.shape)) for g in (before, after)]),
        ("Voxel size, mm", [_three(g.spacing) for g in (before, after)]),
        ("Field of view, mm", [_three(g.field_of_view) for g in (before, after)]),
        ("Centre (RAS), mm", [", ".join(f"{v + 0.0:.1f}" for v in g.centre.round(1)) for g in (before, after)]),
        ("Axes of the file", [orientation(g) for g in (before, after)]),
        ("Tilt to the scanner", [f"{tilt(g) + 0.0:.1f}°" for g in (before, after)]),
    ]
    if data.image.ndim == 4 or data.scan.ndim == 4:
        rows.append(("Frames", [str(a.shape[0] if a.ndim == 4 else 1) for a in (data.scan, data.image)]))
    return [
        f'<tr><th scope="row">{label}</th>' + "".join(f"<td>{text(v)}</td>" for v in values) + "</tr>"
        for label, values in rows
    ]


def _provenance(data: ReportData, provenance: Mapping[str, Any]) -> list[str]:
    rows = [_row("Method", data.method)]
    said = dict(provenance.get("medsr", provenance))
    if isinstance(said.get("input"), Mapping):
        source = said.pop("input")
        said = {**said, "input": source.get("name"), "input_sha256": source.get("sha256")}
    if isinstance(said.get("command"), list | tuple):
        said["command"] = shlex.join(re.sub(r".*[\\/]", "", str(part)) or "." for part in said["command"])
    for key, value in said.items():
        if key in _ELSEWHERE or value in (None, "", {}, []):
            continue
        mono = key == "command" or key.endswith("sha256")
        rows.append(_row(_LABELS.get(key, key.replace("_", " ")), _said(value), mono))
    if data.card and "citation" not in said:
        rows.append(_row(_LABELS["citation"], data.card.citation))
    if data.timings:
        rows.append(_row("Time", ", ".join(f"{stage} {number(s)} s" for stage, s in data.timings.items())))
    return rows


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {_said(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(v) for v in value)
    return "none" if value is None else str(value)


def _row(label: str, words: str, mono: bool = False) -> str:
    kind = ' class="mono"' if mono else ""
    return f'<tr><th scope="row">{text(label)}</th><td{kind}>{text(words)}</td></tr>'


def _three(values: Sequence[float]) -> str:
    return " × ".join(f"{v:.4g}" for v in values)
