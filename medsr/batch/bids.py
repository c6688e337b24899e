"""BIDS data sets: which images are reconstructed, and how their derivatives are called and described.

BIDS: https://bids-specification.readthedocs.io, "BIDS Derivatives". An image
``sub-01/anat/sub-01_acq-ax_T2w.nii.gz`` becomes ``sub-01_acq-ax_res-0p9mm_desc-sr_T2w.nii.gz``; what it
leaves unexplained, on the scan's own grid, is ``sub-01_acq-ax_desc-srresidual_T2w.nii.gz``.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr._version import VERSION
from medsr.batch.items import Item
from medsr.errors import OutputError
from medsr.io.atomic import Transaction
from medsr.io.names import is_file, stem
from medsr.io.scans import Scan
from medsr.job import Job
from medsr.outputs import Outputs, as_json

BIDS_VERSION = "1.10.0"
DESCRIPTION = "dataset_description.json"
README = """\
Super-resolution derivatives by medsr {version}, for research use only.

{name}

Beside each image lie its sidecar (.json: how it was made, under "medsr"), what it leaves unexplained of the
scan (desc-srresidual, on the scan's own grid) and a report for the browser (.html). outcomes.csv and outcomes.html
list what became of each scan.
"""
IGNORED = "*.html\noutcomes*\n"
"""Lines of .bidsignore: files that BIDS has no names for."""

STRUCTURAL = ("T1w", "T2w", "FLAIR", "PDw", "T2starw", "inplaneT1", "inplaneT2")
"""Suffixes (the last word of a name) of the images under anat/ that are reconstructed."""

NAME = re.compile(r"(sub-[0-9a-zA-Z+]+(?:_[a-z]+-[0-9a-zA-Z+]+)*)_([0-9a-zA-Z]+)")


@dataclass(frozen=True)
class Derivative(Outputs):
    """The files of a BIDS derivative, each of a name that BIDS knows.

    entities, resolution, suffix : ``sub-01_acq-ax``, ``0p9mm``, ``T2w``.
    """

    entities: str = ""
    resolution: str = ""
    suffix: str = ""

    @property
    def residual(self) -> Path:
        """``y - A x``, on the scan's grid."""
        return self.image.with_name(f"{self.entities}_desc-srresidual_{self.suffix}{self.map_suffix}")

    @property
    def uncertainty(self) -> Path:
        """On the result's grid."""
        name = f"{self.entities}_res-{self.resolution}_desc-sruncertainty_{self.suffix}{self.map_suffix}"
        return self.image.with_name(name)

    def notes(self, *, uncertainty: bool) -> dict[Path, dict[str, Any]]:
        """The sidecars of the maps."""
        said = {self.residual: {"Description": "What the result leaves unexplained of the scan: y - A x"}}
        if uncertainty:
            voxel = self.resolution.removesuffix("mm").replace("p", ".").replace("x", " x ")
            said[self.uncertainty] = {
                "Description": "Uncertainty of the result, in its units",
                "Resolution": f"voxels of {voxel} mm",
            }
        return {path.with_name(f"{stem(path)}.json"): keys | dict(self.keys) for path, keys in said.items()}


def is_data_set(folder: Path) -> bool:
    """Whether a folder is the root of a BIDS data set."""
    return is_file(folder / DESCRIPTION)


def items_of_data_set(root: Path, output: Path) -> list[Item]:
    """The structural images of the subjects, sorted; other images under anat/ are named and left out."""
    items = []
    for image in sorted((*root.glob("sub-*/anat/*.nii*"), *root.glob("sub-*/ses-*/anat/*.nii*"))):
        found = NAME.fullmatch(stem(image))
        place = image.parent.relative_to(root)
        if not image.name.endswith((".nii", ".nii.gz")) or output in image.parents:
            continue
        if found and found[2] in STRUCTURAL:
            items.append(Item(image, place, bids=root))
        else:
            why = f"a {found[2]} image, not one of {', '.join(STRUCTURAL)}" if found else "its name is not BIDS"
            items.append(Item(image, place, left_out=why))
    return items


def name_derivative(job: Job, scan: Scan, root: Path, folder: Path) -> Derivative:
    """The derivative of an image of the data set at `root`, in `folder`.

    Raises
    ------
    MedsrError
        where the image cannot be opened or planned for: the name tells the voxel size of the result.
    """
    from medsr.acquisition.slices import plan_acquisition
    from medsr.reconstruction import blank

    plan = plan_acquisition(
        blank(scan.header()), noise=0.0, spacing=job.spacing, slice_thickness=job.slice_thickness, psf=job.psf
    )
    found = NAME.fullmatch(scan.stem)
    assert found
    entities, suffix, label = found[1], found[2], resolution_label(plan.target.spacing)
    keys = {
        "Sources": [f"bids:raw:{scan.path.relative_to(root).as_posix()}"],
        "SkullStripped": _skull_stripped(scan),
    }
    image = folder / f"{entities}_res-{label}_desc-sr_{suffix}.nii.gz"
    return Derivative(image, keys, entities, label, suffix)


def resolution_label(spacing: tuple[float, float, float]) -> str:
    """``1mm`` or ``0p86x0p86x1mm``: letters and digits alone, to hundredths of a mm."""
    words = [f"{s:.2f}".rstrip("0").rstrip(".").replace(".", "p") for s in spacing]
    return ("x".join(words) if len(set(words)) > 1 else words[0]) + "mm"


def describe_data_set(root: Path, output: Path) -> None:
    """Writes the derivative's `dataset_description.json` and `.bidsignore`, unless they are there.

    Raises
    ------
    OutputError
        if the folder is another data set, such as the source itself.
    """
    target = output / DESCRIPTION
    if target.exists():
        said = _json(target)
        makers = said.get("GeneratedBy", ())
        names = [maker.get("Name") for maker in makers if isinstance(maker, dict)]
        if "medsr" not in names:
            raise OutputError(
                f"{output}: this is a data set that medsr did not make",
                hint="name a folder of its own with -o, e.g. derivatives/medsr",
            )
        return
    source = _json(root / DESCRIPTION)
    link = _link(root, output)
    described: dict[str, Any] = {
        "Name": f"{source.get('Name') or root.resolve().name}: super-resolution by medsr",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": source.get("License"),
        "Authors": source.get("Authors"),
        "GeneratedBy": [{"Name": "medsr", "Version": VERSION}],
        "SourceDatasets": [{"URL": link} | ({"DOI": source["DatasetDOI"]} if source.get("DatasetDOI") else {})],
        "DatasetLinks": {"raw": link},
    }
    with Transaction() as transaction:
        text = as_json({key: value for key, value in described.items() if value})
        transaction.path(target).write_text(text, encoding="utf-8")
        readme = README.format(version=VERSION, name=described["Name"])
        for name, words in ((".bidsignore", IGNORED), ("README.md", readme)):
            if not (output / name).exists():
                transaction.path(output / name).write_text(words, encoding="utf-8")


def _link(root: Path, output: Path) -> str:
    """The source data set as seen from the derivative: a relative path where it lies within, else an address."""
    here, there = Path(os.path.realpath(output)), Path(os.path.realpath(root))
    return Path(os.path.relpath(there, here)).as_posix() if there in here.parents else there.as_uri()


def _skull_stripped(scan: Scan) -> bool:
    """What the image's sidecars say; raw images are not, by BIDS."""
    from medsr.io.sidecar import fields_of

    return fields_of(scan.path).get("SkullStripped") is True


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
