"""The scans under a folder: images, and folders of DICOM files, without reading more than a few headers."""

from __future__ import annotations

import os
from pathlib import Path

from medsr.batch.items import Item
from medsr.errors import InputError
from medsr.io.magic import is_dicom
from medsr.io.names import is_image, list_images
from medsr.outputs import RESULT


def items_in(source: Path, output: Path) -> list[Item]:
    """The images under `source`, and a folder or several for the DICOM files of a series; `output` is left out.

    Results of medsr and hidden files are left out. A series may lie in several folders where an archive starts a
    new one after so many files: folders whose first or last files share a series are one item.
    """
    items: list[Item] = []
    ends: dict[Path, list[Path]] = {}
    for root, folders, names in os.walk(source):
        here = Path(root)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _same(here / name, output)
        )
        place = here.relative_to(source)
        items += [Item(image, place) for image in list_images(here) if RESULT not in image.name]
        found = [here / n for n in sorted(names) if _may_be_dicom(n)]
        first = next((p for p in found if is_dicom(p)), None)
        if first is not None:
            ends[here] = [first, next(p for p in reversed(found) if is_dicom(p))]
    for group in _joined(ends):
        above = group[0] if len(group) == 1 else Path(os.path.commonpath(group))
        parent = above.parent if above != source else above
        items.append(Item(above, parent.relative_to(source), folders=tuple(group)))
    return sorted(items, key=lambda item: (str(item.path), str(item.folders)))


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _may_be_dicom(name: str) -> bool:
    return not name.startswith(".") and name.upper() != "DICOMDIR" and not is_image(name)


def _joined(ends: dict[Path, list[Path]]) -> list[list[Path]]:
    """The folders, in groups that share a series."""
    if not ends:
        return []
    from medsr.io.dicom.header import read_header
    from medsr.io.dicom.quiet import quiet
    from medsr.io.dicom.values import text

    groups: list[list[Path]] = []
    by_uid: dict[str, list[Path]] = {}
    for folder, files in ends.items():
        uids = set()
        for file in files:
            try:
                with quiet():
                    uids.add(text(read_header(file, ["SeriesInstanceUID"]).data, "SeriesInstanceUID"))
            except InputError:  # the item will say so
                continue
        known = {id(by_uid[uid]): by_uid[uid] for uid in uids if uid and uid in by_uid}
        group: list[Path] = [folder]
        for other in known.values():
            group += other
            groups.remove(other)
        groups.append(group)
        by_uid |= {uid: group for uid, other in by_uid.items() if id(other) in known}
        by_uid |= dict.fromkeys((uid for uid in uids if uid), group)
    return [sorted(group) for group in groups]
