"""Lists of scans: CSV, a line a scan, or a TOML manifest with options for all and for each.

::

    input,series,spacing,slice_thickness
    sub-01/t2.nii.gz,,1,
    sub-02/dicom,5,1,4

    [options]
    noise = 0
    [[scan]]
    input = "sub-01/t2.nii.gz"
    spacing = [0.9, 0.9, 1]
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsr.batch.items import Item
from medsr.errors import InputError, UsageError
from medsr.job import options

MAX_BYTES = 1 << 28
ALLOWED = {f.name: option for f, option in options() if option.shapes and f.name not in ("inputs", "output")}
"""What a list may say of a scan, besides `input` and `output`: what shapes its result."""


def read_csv(path: Path) -> list[Item]:
    """The scans of a CSV list with a header line; columns: `input`, `output`, and options of `reconstruct`.

    Paths are relative to the list. `output` is a folder under the batch's.

    Raises
    ------
    UsageError
        if a column or an option is none, naming the line.
    InputError
        if the file cannot be read.
    """
    text = _text(path)
    try:
        rows = csv.DictReader(text.splitlines(), strict=True)
        if rows.fieldnames is None or "input" not in rows.fieldnames:
            raise UsageError(f"{path}: the list has no column `input`", rule="its first line names the columns")
        items = []
        for row in rows:
            if None in row or None in row.values():
                raise UsageError(f"{path}, line {rows.line_num}: more or fewer columns than the first line names")
            items.append(_item(path, f"line {rows.line_num}", {k: v for k, v in row.items() if v}))
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV list", got=str(error)) from None
    return items


def read_manifest(path: Path) -> list[Item]:
    """The scans of a TOML manifest: a table `options` for all, and an array of tables `scan`. As `read_csv`."""
    try:
        table = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not a TOML manifest", got=str(error)) from None
    common, scans = table.pop("options", {}), table.pop("scan", [])
    if table or not isinstance(common, dict) or not isinstance(scans, list):
        raise UsageError(f"{path}: a manifest has [options] and [[scan]]", got=", ".join(map(repr, table)) or None)
    items = []
    for number, scan in enumerate(scans, 1):
        if not isinstance(scan, dict):
            raise UsageError(f"{path}, scan {number}: not a table", hint="write [[scan]]")
        items.append(_item(path, f"scan {number}", {**common, **scan}))
    return items


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: the list is absurdly large")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the list cannot be read", got=type(error).__name__, hint="save it as UTF-8"
        ) from None


def _item(path: Path, where: str, said: Mapping[str, Any]) -> Item:
    said = dict(said)
    name, place = said.pop("input", ""), said.pop("output", "")
    if not isinstance(name, str) or not isinstance(place, str) or not name.strip() or "\0" in name + place:
        raise UsageError(f"{path}, {where}: no input is named")
    folder = Path(place)
    if folder.is_absolute() or ".." in folder.parts:
        raise UsageError(
            f"{path}, {where}: the output is not a folder under the batch's",
            got=repr(place),
            hint="e.g. sub-01/anat",
        )
    source = Path(path.parent, name.strip())
    if not place and not Path(name).is_absolute() and ".." not in Path(name).parts:
        folder = Path(name.strip()).parent
    strange = [key for key in said if key not in ALLOWED]
    if strange:
        raise UsageError(
            f"{path}, {where}: there is no such option for a scan",
            got=repr(strange[0]),
            hint=f"choose from {', '.join(ALLOWED)}",
        )
    try:
        values = {key: _parsed(key, value) for key, value in said.items()}
    except UsageError as error:
        raise UsageError(
            f"{path}, {where}: {error.what}", got=error.got, rule=error.rule, hint=error.hint
        ) from None
    return Item(source, folder, series=values.pop("series", None), options=values)


def _parsed(key: str, value: Any) -> Any:
    """A value as the option's field has it, from a cell or from TOML."""
    option = ALLOWED[key]
    if isinstance(value, Mapping):
        value = ",".join(f"{axis}={kind}" for axis, kind in value.items())
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value).strip()
    if key in FLAGS:
        if text.lower() not in ("yes", "true", "1", "no", "false", "0"):
            raise UsageError(f"{key} is yes or no", got=repr(text))
        return text.lower() in ("yes", "true", "1")
    if option.choices and text not in option.choices:
        raise UsageError(f"{key} is none of {', '.join(option.choices)}", got=repr(text))
    return option.parse(text)


FLAGS = {f.name for f, _ in options() if isinstance(f.default, bool)}
