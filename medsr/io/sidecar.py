"""The BIDS sidecar: a JSON file beside an image, of the same name, that tells how it was acquired.

Within a BIDS data set, sidecars of the folders above it count too, as far as their names are parts of the image's
(the inheritance principle); the nearest wins.

BIDS: https://bids-specification.readthedocs.io, "Magnetic Resonance Imaging". Times are in seconds, lengths in mm.
"""

from __future__ import annotations

import glob
import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medsr.io.image import ImageHeader
from medsr.io.names import is_file, stem
from medsr.volume import Grid, ScanFacts

MAX_BYTES = 1 << 24
"""A sidecar is a few kilobytes; dcm2niix's longest stay below a megabyte."""

LEVELS = 5
"""Folders that are looked at for the root of a data set: datatype, session, subject, and some between."""

LONGEST = {"SliceThickness": 100.0, "SpacingBetweenSlices": 100.0, "RepetitionTime": 100.0, "EchoTime": 1.0}
"""Larger values are in another unit than BIDS says, or wrong."""


def find(path: str | Path) -> list[Path]:
    """The sidecars of the image at `path`, the farthest first: the one beside it is the last."""
    path = Path(path)
    beside = path.with_name(stem(path) + ".json")
    return [*_inherited(path, beside), *([beside] if is_file(beside) else [])]


def _inherited(path: Path, beside: Path) -> list[Path]:
    """The sidecars in the folders of a BIDS data set that apply to the image too."""
    folders = list(Path(os.path.abspath(path)).parents[:LEVELS])  # noqa: PTH100 - links stay as they are
    root = next((n for n, folder in enumerate(folders) if is_file(folder / "dataset_description.json")), None)
    if root is None:
        return []
    *entities, suffix = stem(path).split("_")
    found: list[Path] = []
    for folder in reversed(folders[: root + 1]):
        here = []
        for file in folder.glob(f"*{glob.escape(suffix)}.json"):
            *those, last = file.stem.split("_")
            if last == suffix and set(those) <= set(entities) and file.name != beside.name:
                here.append(file)
        found += sorted(here, key=lambda file: (file.name.count("_"), file.name))
    return found


def fields_of(path: Path, notes: list[str] | None = None) -> dict[str, Any]:
    """All that the sidecars of the image at `path` say; what cannot be read is noted."""
    said: dict[str, Any] = {}
    for sidecar in find(path):
        said |= _fields(sidecar, [] if notes is None else notes) or {}
    return said


def merge(header: ImageHeader) -> ImageHeader:
    """`header` with what the sidecar beside its file says of the acquisition.

    Where both speak, the sidecar wins, but for the repetition time of a series and the axis of its slices. A
    sidecar that cannot be read, or that contradicts the image, is noted and never fatal.
    """
    found = find(header.path)
    if not found:
        return header
    notes: list[str] = []
    facts = read(found, header.facts, header.grid, notes, series=header.frames is not None)
    return replace(header, facts=facts, notes=header.notes + tuple(notes))


def read(paths: Sequence[Path], facts: ScanFacts, grid: Grid, notes: list[str], *, series: bool) -> ScanFacts:
    """`facts` with those of the sidecars at `paths`, the last of which wins; what the user should know is added to
    `notes`.
    """
    fields: dict[str, Any] = {}
    for path in paths:
        fields |= _fields(path, notes) or {}
    name = paths[-1].name
    thickness = _number(fields, "SliceThickness", name, notes)
    spacing = _number(fields, "SpacingBetweenSlices", name, notes)
    tr = _number(fields, "RepetitionTime", name, notes)
    te = _number(fields, "EchoTime", name, notes)
    kind = fields.get("MRAcquisitionType")
    if kind is not None and kind not in ("2D", "3D"):
        notes.append(f"{name}: MRAcquisitionType is neither 2D nor 3D and is not used")
        kind = None
    modality = fields.get("Modality")
    if isinstance(modality, str) and modality not in ("MR", ""):
        notes.append(f"{name}: the modality is {modality[:16]}, not MR")
    axis = _slice_axis(fields)
    if axis is not None and facts.slice_axis is not None and axis != facts.slice_axis:
        notes.append(
            f"{name}: slices lie along {'xyz'[axis]}, the image's header says {'xyz'[facts.slice_axis]}; "
            "the header is used"
        )
    axis = axis if facts.slice_axis is None else facts.slice_axis
    if spacing is not None:
        candidates = grid.spacing if axis is None else (grid.spacing[axis],)
        if all(abs(spacing - s) > 0.02 * s for s in candidates):
            notes.append(
                f"{name}: SpacingBetweenSlices is {spacing:g} mm, the image's voxels are "
                f"{' x '.join(f'{s:.4g}' for s in grid.spacing)} mm; the image may have been resampled"
            )
    if tr is not None and facts.tr is not None and abs(tr - facts.tr) > 0.01 * facts.tr:
        notes.append(
            f"{name}: RepetitionTime is {tr:g} s, the image's header says {facts.tr:g} s; "
            f"{'the header' if series else 'the sidecar'} is used"
        )
    return ScanFacts(
        slice_thickness=facts.slice_thickness if thickness is None else thickness,
        acquisition_type=facts.acquisition_type if kind is None else kind,
        slice_axis=axis,
        tr=facts.tr if tr is None or (series and facts.tr is not None) else tr,
        te=facts.te if te is None else te,
    )


def _fields(path: Path, notes: list[str]) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > MAX_BYTES:
            notes.append(f"{path.name}: the sidecar is absurdly large and was not read")
            return None
        fields = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        notes.append(f"{path.name}: the sidecar cannot be read ({reason}) and was not used")
        return None
    if not isinstance(fields, dict):
        notes.append(f"{path.name}: the sidecar is no JSON object and was not used")
        return None
    return fields


def _number(fields: dict[str, Any], key: str, name: str, notes: list[str]) -> float | None:
    """The positive number under `key`, or None and a note where it cannot be one."""
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST[key]:
        if value != 0:  # scanners and converters write 0 for "unknown"
            notes.append(
                f"{name}: {key} is {str(value)[:16]}, not a number between 0 and {LONGEST[key]:g}, and is not used"
            )
        return None
    return float(value) if math.isfinite(value) else None


def _slice_axis(fields: dict[str, Any]) -> int | None:
    direction = fields.get("SliceEncodingDirection")
    return {"i": 0, "j": 1, "k": 2}.get(direction[:1]) if isinstance(direction, str) else None
