"""The two steps that touch the server: a series comes, and a result goes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from medsr.errors import InputError
from medsr.io.dicom.quiet import quiet
from medsr.io.dicom.technical import Clock, first_reference, restored, technical
from pipelines.orthanc.delivery import NotStored, Target
from pipelines.orthanc.server import Orthanc, Series


class Changed(InputError):  # noqa: N818 - nobody's error
    """The series on the server is not the one that was decided about."""


def content_of(series: Series) -> str:
    """A hash of what a series consists of."""
    return hashlib.sha256(" ".join(series.instances).encode()).hexdigest()


def fetch(orthanc: Orthanc, name: str, content: str, folder: Path) -> int:
    """Writes the technical part of a series into `folder`. How many files.

    Raises
    ------
    Changed
        if the series is not the one of `content`.
    InputError
        if an object of it is broken.
    Away, Refused, Missing, OSError
    """
    series = orthanc.series(name)
    if content_of(series) != content:
        raise Changed("the series has changed on the server")
    clock = Clock()
    for number, instance in enumerate(series.instances):
        data = technical(orthanc.image(instance), clock)
        (folder / f"{number:06d}.dcm").write_bytes(data)
    return len(series.instances)


@dataclass(frozen=True)
class _Image:
    path: Path
    sop: str
    study: str
    series: str


def deliver(orthanc: Orthanc, target: Target, source: str, folder: Path, *, as_it_is: bool) -> tuple[int, int]:
    """Sends what of a result `target` does not have, and looks whether all of it is there. Images sent, and all.

    Parameters
    ----------
    source : the series on the server that it was made from; patient and study are read there again.
    as_it_is : for a result that was made without patient and study on purpose.

    Raises
    ------
    NotStored
        if an image is not there in the end.
    InputError
        if the source is no longer on the server, or another one is.
    Away, Refused, OSError
    """
    images = _images(folder)
    missing = _missing(target, images)
    if missing:
        if as_it_is:
            target.store(one.path.read_bytes() for one in missing)
        else:
            header = _header(orthanc, source, folder)
            target.store(restored(one.path.read_bytes(), header) for one in missing)
        lost = _missing(target, images)
        if lost:
            raise NotStored(f"{len(lost)} of {len(images)} images are not there after they were sent")
    return len(missing), len(images)


def _images(folder: Path) -> list[_Image]:
    return list(_read(sorted(folder.rglob("*.dcm"))))


def _read(paths: list[Path]) -> Iterator[_Image]:
    with quiet():
        for path in paths:
            one = dcmread(path, specific_tags=["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
            yield _Image(path, str(one.SOPInstanceUID), str(one.StudyInstanceUID), str(one.SeriesInstanceUID))


def _missing(target: Target, images: list[_Image]) -> list[_Image]:
    groups: dict[tuple[str, str], list[_Image]] = defaultdict(list)
    for image in images:
        groups[image.study, image.series].append(image)
    found: list[_Image] = []
    for (study, series), members in groups.items():
        there = target.present(study, series)
        found += [image for image in members if image.sop not in there]
    return found


def _header(orthanc: Orthanc, source: str, folder: Path) -> bytes:
    """The file of the image that the result refers to first, from the server."""
    references = (first_reference(path.read_bytes()) for path in sorted(folder.rglob("IMG*.dcm")))
    reference = next(filter(None, references), "")
    mine = set(orthanc.series(source).instances)
    found = [name for name in orthanc.find("Instance", reference) if name in mine] if reference else []
    if not found:
        raise InputError("the source is no longer on the server, so the result belongs to no study there")
    return orthanc.image(found[0])
