"""BIDS data sets: which images are reconstructed, and how the derivatives are called.

BIDS: https://bids-specification.readthedocs.io, "BIDS Derivatives".
"""

from __future__ import annotations

import re
from pathlib import Path

from medsr.batch.items import Item
from medsr.io.names import is_file, stem
from medsr.io.scans import Scan
from medsr.outputs import Outputs

STRUCTURAL = ("T1w", "T2w", "FLAIR", "PDw", "T2starw", "inplaneT1", "inplaneT2", "angio")
"""Suffixes (the last word of a name) of the images under anat/ that are reconstructed."""

NAME = re.compile(r"(sub-[0-9a-zA-Z+]+(?:_[a-z]+-[0-9a-zA-Z+]+)*)_([0-9a-zA-Z]+)")


def is_data_set(folder: Path) -> bool:
    """Whether a folder is the root of a BIDS data set."""
    return is_file(folder / "dataset_description.json")


def items_of_data_set(root: Path, output: Path) -> list[Item]:
    """The structural images of the subjects, sorted."""
    items = []
    for image in sorted(root.glob("sub-*/**/anat/sub-*.nii*")):
        if output in image.parents:
            continue
        found = NAME.fullmatch(stem(image))
        if found and found[2] in STRUCTURAL:
            items.append(Item(image, image.parent.relative_to(root), bids=True))
    return items


def name_derivative(scan: Scan, folder: Path) -> Outputs:
    """What the derivative is called."""
    found = NAME.fullmatch(scan.stem)
    assert found
    return Outputs(folder / f"{found[1]}_desc-sr_{found[2]}.nii.gz")
