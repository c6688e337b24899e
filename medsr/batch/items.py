"""What a batch is made of: the scans of a folder, of a list, or of a BIDS data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsr.errors import InputError, UsageError
from medsr.io.names import is_file, is_folder


@dataclass(frozen=True)
class Item:
    """One line of a batch: an image, or DICOM files with one or several series.

    path : of the image or of the folder.
    place : folder under the batch's output for the results.
    series : which series of a DICOM folder; None for all that fit.
    folders : the folders that its DICOM files lie right in; empty for all under `path`.
    options : of this item alone, as fields of `Job`.
    bids : root of the BIDS data set that it is an image of, and after which its result is named.
    left_out : why it is none to reconstruct, in words.
    """

    path: Path
    place: Path = Path()
    series: str | None = None
    folders: tuple[Path, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    bids: Path | None = None
    left_out: str | None = None


def find_items(source: Path, output: Path) -> list[Item]:
    """The items of `source`, sorted, so that every shard sees the same ones.

    Parameters
    ----------
    source : a folder, a BIDS data set, a CSV list or a TOML manifest.
    output : the batch's output; what lies under it is not searched.

    Raises
    ------
    InputError
        if there is no such source, or nothing in it.
    UsageError
        if a list is not one.
    """
    from medsr.batch.bids import is_data_set, items_of_data_set
    from medsr.batch.folders import items_in
    from medsr.batch.lists import read_csv, read_manifest

    if is_folder(source):
        items = items_of_data_set(source, output) if is_data_set(source) else items_in(source, output)
        if not items:
            raise InputError(
                f"{source}: no scan in this folder",
                rule="images (NIfTI, NRRD, MetaImage) that are no results of medsr, or DICOM files, at any depth",
            )
        return items
    if not is_file(source):
        raise InputError(f"{source}: there is no such folder or list")
    suffix = source.suffix.lower()
    if suffix not in (".csv", ".toml"):
        raise UsageError(
            f"{source}: this is no list of scans", rule="a folder, a .csv list or a .toml manifest",
            hint="for one scan there is medsr reconstruct",
        )  # fmt: skip
    items = read_csv(source) if suffix == ".csv" else read_manifest(source)
    if not items:
        raise InputError(f"{source}: the list is empty")
    return items


def parse_shard(text: str) -> tuple[int, int]:
    """``2/4``: the second of four shards."""
    number, slash, count = text.partition("/")
    whole = all(part.isascii() and part.isdigit() and len(part) < 8 for part in (number, count))
    if not (slash and whole and 1 <= int(number) <= int(count)):
        raise UsageError("--shard is not one", got=repr(text), hint="give i/n, from 1/n to n/n")
    return int(number), int(count)
