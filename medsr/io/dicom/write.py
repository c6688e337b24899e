"""A result as a derived MR series on its own grid, that a PACS takes as part of the study it came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medsr._version import VERSION
from medsr.errors import InputError, OutputError
from medsr.io.dicom.classic_out import classic_images
from medsr.io.dicom.codes import choose_coding
from medsr.io.dicom.derived import Derivation, Plan, describe, save
from medsr.io.dicom.enhanced_out import enhanced_image
from medsr.io.dicom.folder import atomic_folder, refuse_existing
from medsr.io.dicom.planes import planes_of
from medsr.io.dicom.quiet import quiet
from medsr.io.dicom.series import SeriesInfo
from medsr.io.dicom.source import Source, read_source
from medsr.io.dicom.uids import derived_uid
from medsr.io.dicom.uncertainty import parametric_maps
from medsr.volume import Volume

SERIES_OFFSET = 9000
"""Added to the source's Series Number; scanners stay well below it or, as Philips, count in hundreds."""


@dataclass(frozen=True)
class Written:
    """What was written: the series' UIDs (image, and uncertainty where there is one), and the files."""

    series_uid: str
    uncertainty_uid: str | None
    files: tuple[Path, ...]


class Options(TypedDict, total=False):
    """How a series is written.

    source : the series that it was made from; its patient, study and frame of reference are carried on, from an
        allow-list of attributes. Without one, the result gets a study of its own and an empty patient.
    uncertainty : half width of an interval around the volume, on its grid; written beside it as Parametric Maps in
        single precision.
    series_number : 9000 + the source's where None.
    series_description : the source's where None; the research-use mark is put behind it.
    enhanced : one Enhanced MR image in place of a classic image for each slice.
    deidentify : drop what identifies the patient and hash the UIDs. The pixels are not touched: a face stays a
        face.
    """

    source: SeriesInfo | None
    uncertainty: Volume | None
    series_number: int | None
    series_description: str | None
    enhanced: bool
    deidentify: bool


def write_series(
    folder: str | Path,
    volume: Volume,
    derivation: Derivation,
    *,
    overwrite: bool = False,
    **options: Unpack[Options],
) -> Written:
    """Write `volume` as a derived MR series; the folder appears whole or not at all.

    The same source, parameters and voxels give the same UIDs and the same bytes, so that sending twice stores
    once.

    Parameters
    ----------
    volume : (x, y, z) or (t, x, y, z); slices are written across z. Values are kept to 1/65535 of the largest.
    overwrite : replace a folder that is there.
    options : see `Options`.

    Raises
    ------
    OutputError
        if the folder is there already, cannot be written, or the voxels cannot be coded.
    InputError
        if the source cannot be read again, or is not MR.
    """
    target = Path(folder)
    refuse_existing(target, overwrite=overwrite)
    with atomic_folder(target, overwrite=overwrite) as part:
        written = write_into(part, volume, derivation, **options)
    return replace(written, files=tuple(target / path.name for path in written.files))


def write_into(part: Path, volume: Volume, derivation: Derivation, **options: Unpack[Options]) -> Written:
    """The same into a folder that is there, such as one of `medsr.io.dicom.folder.atomic_folder`."""
    source, uncertainty = options.get("source"), options.get("uncertainty")
    enhanced, deidentify = options.get("enhanced", False), options.get("deidentify", False)
    if source is not None and source.modality != "MR":
        raise InputError(
            f"a derived MR series needs an MR source, series {source.selector} is none", got=source.modality
        )
    data = volume.data if volume.data.ndim == 4 else volume.data[None]
    _check_uncertainty(volume, uncertainty)
    known = read_source(source, deidentify=deidentify)
    plan = Plan(
        source=known,
        planes=planes_of(volume.grid),
        coding=choose_coding(data),
        derivation=derivation,
        series_uid=derived_uid(*_identity(volume, derivation, known, enhanced=enhanced, deidentify=deidentify)),
        series_number=options.get("series_number") or SERIES_OFFSET + (known.series_number or 0),
        series_description=describe(options.get("series_description") or known.description or "Super-resolution"),
        times=len(data),
        tr=volume.facts.tr,
        deidentify=deidentify,
    )
    with quiet():
        headers = _write_images(part, plan, data, enhanced=enhanced)
        maps_uid = None
        if uncertainty is not None:
            maps_uid = derived_uid("uncertainty", plan.series_uid, _digest(uncertainty.data))
            maps = parametric_maps(plan, headers, uncertainty, maps_uid)
            for n, one in enumerate(maps, 1):
                save(one, part / f"MAP{n:06d}.dcm")
        names = sorted(path for path in part.iterdir())
    return Written(plan.series_uid, maps_uid, tuple(names))


def _write_images(part: Path, plan: Plan, data: NDArray[np.float32], *, enhanced: bool) -> list[Dataset]:
    """Write the images, and keep their headers."""
    headers = []
    for n, image in enumerate([enhanced_image(plan, data)] if enhanced else classic_images(plan, data), 1):
        save(image, part / f"IMG{n:06d}.dcm")
        del image.PixelData
        headers.append(image)
    return headers


def _check_uncertainty(volume: Volume, uncertainty: Volume | None) -> None:
    if uncertainty is None:
        return
    if uncertainty.data.shape != volume.data.shape or not uncertainty.grid.is_close(volume.grid):
        raise OutputError(
            "the uncertainty does not lie on the grid of the result",
            got=f"{uncertainty.grid.describe()}, not {volume.grid.describe()}",
        )
    if not np.isfinite(uncertainty.data).all():
        raise OutputError("the uncertainty holds NaN or infinity")


def _identity(
    volume: Volume, derivation: Derivation, source: Source, *, enhanced: bool, deidentify: bool
) -> tuple[str | bytes, ...]:
    """All that the written series depends on."""
    options = {
        "parameters": dict(derivation.parameters),
        "description": derivation.description,
        "learned": derivation.learned,
        "slice_thickness": derivation.slice_thickness,
        "enhanced": enhanced,
        "deidentify": deidentify,
        "version": VERSION,
    }
    images = "|".join(uid for time in source.images for _, uid in time)
    affine = np.ascontiguousarray(volume.grid.affine, "<f8").tobytes()
    words = json.dumps(options, sort_keys=True, default=str)
    return "series", source.series_uid, images, words, repr(volume.data.shape), affine, _digest(volume.data)


def _digest(data: NDArray[np.float32]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(data, "<f4").tobytes()).digest()
