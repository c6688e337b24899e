"""What the worker asks of an Orthanc server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipelines.orthanc.rules import Facts
from pipelines.orthanc.web import Away, Missing, Web

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_PAGE = 100
_IN_GROUPS = ("5200-9229", "5200-9230")
_MEASURES = "0028-9110"


@dataclass(frozen=True)
class Change:
    """What happened to a series: "NewSeries" or "StableSeries"."""

    kind: str
    series: str


@dataclass(frozen=True)
class Series:
    """A series on the server; instances in the order of their ids."""

    instances: tuple[str, ...]
    stable: bool
    tags: dict[str, str]


class Orthanc:
    """An Orthanc server's REST interface. Raises as `Web`; its ids are checked before they are used or logged."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def check(self) -> str:
        """The server's version."""
        return str(self._web.json("/system").get("Version", ""))

    def last_change(self) -> int:
        """Number of the last thing that happened."""
        return int(self._web.json("/changes?last")["Last"])

    def changes(self, since: int) -> tuple[list[Change], int, bool]:
        """What happened to series after the change `since`, the number of the last change read, and whether that
        is all.
        """
        answer = self._web.json(f"/changes?since={since}&limit={_PAGE}")
        try:
            found = [
                Change(change["ChangeType"], _id(change["ID"]))
                for change in answer["Changes"]
                if change["ChangeType"] in ("NewSeries", "StableSeries")
            ]
            return found, int(answer["Last"]), bool(answer["Done"])
        except (KeyError, TypeError, ValueError):
            raise Away("the server's list of changes is not one", hint="is it an Orthanc server?") from None

    def series(self, name: str) -> Series:
        """A series; Missing where it was deleted."""
        answer = self._web.json(f"/series/{_id(name)}")
        try:
            return Series(
                tuple(sorted(_id(one) for one in answer["Instances"])),
                bool(answer["IsStable"]),
                dict(answer["MainDicomTags"]),
            )
        except (KeyError, TypeError, ValueError):
            raise Away("the server's description of a series is not one") from None

    def facts(self, series: Series) -> Facts:
        """What the rules ask of a series: its own tags, and a few of its first instance."""
        first = series.instances[0]
        frames = self._content(first, "0028-0008") or ""
        return Facts(
            modality=series.tags.get("Modality", "").strip(),
            description=series.tags.get("SeriesDescription", "").strip(),
            thickness=_number(self._thickness(first)),
            slices=max(len(series.instances), int(frames) if frames.isascii() and frames.isdigit() else 1),
            image_type=tuple((self._content(first, "0008-0008") or "").split("\\")),
            makers=tuple(self._content(first, tag) or "" for tag in ("0008-0070", "0008-1090")),
        )

    def image(self, name: str) -> bytes:
        """The file of an instance."""
        return self._web.file(f"/instances/{_id(name)}/file")

    def find(self, kind: str, uid: str) -> list[str]:
        """Ids of what has a UID: `kind` is "Series" or "Instance"."""
        found: Any = self._web.post("/tools/lookup", uid.encode("ascii"), "text/plain")[1]
        return [_id(one["ID"]) for one in found if one["Type"] == kind]

    def uids(self, series: str) -> set[str]:
        """SOP Instance UIDs of the instances of a series."""
        found = self._web.json(f"/series/{_id(series)}/instances")
        return {one["MainDicomTags"]["SOPInstanceUID"] for one in found}

    def _thickness(self, instance: str) -> str | None:
        places = ["0018-0050"] + [f"{group}/0/{_MEASURES}/0/0018-0050" for group in _IN_GROUPS]
        return next((value for place in places if (value := self._content(instance, place))), None)

    def _content(self, instance: str, place: str) -> str | None:
        return self._web.text(f"/instances/{_id(instance)}/content/{place}")


def _id(name: Any) -> str:
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise Away("the server's answer names something by an id that is none")
    return name


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


__all__ = ["Change", "Missing", "Orthanc", "Series"]
