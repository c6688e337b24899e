"""Where results go: an Orthanc server by REST, or any server by DICOMweb. Both are asked before they are sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from medsr.errors import MedsrError
from pipelines.orthanc.server import Orthanc
from pipelines.orthanc.settings import Delivery
from pipelines.orthanc.web import Missing, Web

_PAGE = 500
_PART = 16 << 20
"""Bytes of images that go into one STOW request."""


class NotStored(MedsrError):  # noqa: N818 - as the server puts it
    """The server took a request, but not the image."""


class Target(Protocol):
    """Takes results. Raises as `Web`, and NotStored."""

    def present(self, study: str, series: str) -> set[str]:
        """SOP Instance UIDs that a series has there."""
        ...

    def store(self, images: Iterable[bytes]) -> None:
        """Sends DICOM files."""
        ...


class Rest:
    """Orthanc's own interface: one image a request."""

    def __init__(self, web: Web) -> None:
        self._web, self._orthanc = web, Orthanc(web)

    def present(self, study: str, series: str) -> set[str]:
        found: set[str] = set()
        for name in self._orthanc.find("Series", series):
            try:
                found |= self._orthanc.uids(name)
            except Missing:  # deleted just now
                continue
        return found

    def store(self, images: Iterable[bytes]) -> None:
        for image in images:
            answer: Any = self._web.post("/instances", image, "application/dicom")[1]
            if not isinstance(answer, dict) or answer.get("Status") not in ("Success", "AlreadyStored"):
                raise NotStored("the server did not store an image")


class DicomWeb:
    """STOW-RS and QIDO-RS (DICOM PS3.18): several images a request."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def present(self, study: str, series: str) -> set[str]:
        found: set[str] = set()
        while True:
            where = f"/studies/{study}/series/{series}/instances?limit={_PAGE}&offset={len(found)}"
            try:
                page = self._web.json(where) or []
            except Missing:
                return found
            new = {one["00080018"]["Value"][0] for one in page} - found
            found |= new
            if len(page) < _PAGE or not new:
                return found

    def store(self, images: Iterable[bytes]) -> None:
        for group in _groups(images):
            mark = f"medsr-{secrets.token_hex(16)}"
            head = f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            body = b"".join(head + image + b"\r\n" for image in group) + f"--{mark}--\r\n".encode()
            kind = f'multipart/related; type="application/dicom"; boundary={mark}'
            status, answer = self._web.post("/studies", body, kind, accept="application/dicom+json")
            failed = answer.get("00081198", {}).get("Value", []) if isinstance(answer, dict) else []
            if failed or status == 202:
                raise NotStored(f"the server did not store {len(failed) or 'some'} of {len(group)} images")


def target_of(delivery: Delivery) -> Target:
    """The target that the settings name."""
    web = Web(delivery.site)
    return DicomWeb(web) if delivery.by == "dicomweb" else Rest(web)


def _groups(images: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Images in groups of at most `_PART` bytes, or one."""
    group: list[bytes] = []
    for image in images:
        if group and sum(map(len, group)) + len(image) > _PART:
            yield group
            group = []
        group.append(image)
    if group:
        yield group
