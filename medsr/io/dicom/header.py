"""Reading a DICOM header with bounds, before any pixel is touched.

The file is never trusted: a length field cannot make it read more than the file has, a deflated data set is
inflated up to a limit, and whatever the parser raises becomes one InputError that quotes no value of the header.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_dataset
from pydicom.tag import Tag

from medsr.errors import InputError
from medsr.io.dicom.quiet import quiet
from medsr.io.magic import PREAMBLE, is_bare

INFLATE_BASE = 64 << 20
INFLATE_RATIO = 50
"""A deflated data set may hold 64 MiB and 50 times its size in the file; images deflate 2 to 10 times."""

_META_LIMIT = 1 << 16
_LONG_LENGTH = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")


class _Clipped:
    """A file whose `read` never asks for more than there is, so that no length field can claim memory."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if count < 0 else min(count, left))


@dataclass(frozen=True)
class PixelPlace:
    """Where a file's pixel data lie.

    syntax : transfer syntax UID.
    tag : the element that holds the pixels (0x7FE00010 for integers), None where there is none.
    start : offset of the pixel value in the (inflated) data set; 0 where it is encapsulated.
    length : its length in bytes; None where it is encapsulated.
    size : bytes in the (inflated) file.
    """

    syntax: str
    tag: int | None
    start: int
    length: int | None
    size: int

    @property
    def little_endian(self) -> bool:
        return self.syntax != uid.ExplicitVRBigEndian


@dataclass(frozen=True)
class Header:
    """The attributes that were asked for, as a pydicom data set, and where the pixel data lie."""

    data: Any
    pixels: PixelPlace


def read_header(path: Path, keywords: Iterable[str | int]) -> Header:
    """The attributes `keywords` (names, or tags of private elements) of one file.

    Raises
    ------
    InputError
        if the file cannot be opened, is no DICOM, is cut off, or is broken.
    """
    try:
        with quiet(), path.open("rb") as file:
            return _read(file, [Tag(k if isinstance(k, int) else tag_for_keyword(k)) for k in keywords])
    except InputError as error:
        raise InputError(f"{path}: {error.what}", got=error.got, rule=error.rule, hint=error.hint) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read", got=error.strerror) from None
    except Exception:  # pydicom raises many kinds on broken files, with values of the header in their text
        raise InputError(f"{path}: the DICOM header is broken", hint="fetch the file again") from None


def open_plain(path: Path) -> BinaryIO:
    """The file, or for a deflated one its inflated copy in memory, for reading native pixel data."""
    with path.open("rb") as file:
        syntax, start = transfer_syntax(file)
        if syntax == uid.DeflatedExplicitVRLittleEndian:
            return inflated(file, start)
    return path.open("rb")


def _read(file: BinaryIO, tags: list[Any]) -> Header:
    syntax, start = transfer_syntax(file)
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        file = inflated(file, start)
        start = 0
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    implicit, little = syntax == uid.ImplicitVRLittleEndian, syntax != uid.ExplicitVRBigEndian
    data = read_dataset(
        _Clipped(file, size),
        implicit,
        little,
        stop_when=lambda tag, _vr, _length: tag.group >= 0x7FE0,
        specific_tags=tags,
    )
    tag, where, length = _pixel_element(file, implicit, little)
    return Header(data, PixelPlace(syntax, tag, where, length, size))


def transfer_syntax(file: BinaryIO) -> tuple[str, int]:
    """Transfer syntax UID, and the offset where the data set starts.

    Raises
    ------
    InputError
        if the file is not DICOM, or names no transfer syntax that is known.
    """
    file.seek(0)
    start = file.read(PREAMBLE + 4)
    if start[PREAMBLE:] != b"DICM":
        if not is_bare(start):
            raise InputError("not a DICOM file", rule="DICOM files carry DICM after 128 bytes")
        explicit = start[4:6].isalpha()
        return str(uid.ExplicitVRLittleEndian if explicit else uid.ImplicitVRLittleEndian), 0
    syntax, block, at = "", file.read(_META_LIMIT), 0
    while block[at : at + 2] == b"\x02\x00" and at + 12 <= len(block):
        vr = block[at + 4 : at + 6]
        long = vr in _LONG_LENGTH
        length = struct.unpack_from("<I" if long else "<H", block, at + (8 if long else 6))[0]
        value = at + (12 if long else 8)
        if block[at + 2 : at + 4] == b"\x10\x00":
            syntax = block[value : value + length].decode("ascii", "replace").strip(" \0")
        at = value + length
    if not syntax:
        raise InputError("the file meta information names no transfer syntax")
    if not uid.UID(syntax).is_transfer_syntax or uid.UID(syntax).is_private:
        raise InputError("an unknown transfer syntax", hint="export the series as Explicit VR Little Endian")
    return syntax, PREAMBLE + 4 + at


def inflated(file: BinaryIO, start: int) -> BinaryIO:
    """A deflated data set, which starts at offset `start`, in memory.

    Raises
    ------
    InputError
        if it is broken, or larger than images are.
    """
    file.seek(start)
    packed = file.read()
    limit = INFLATE_BASE + INFLATE_RATIO * len(packed)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(packed, limit)
    except zlib.error:
        raise InputError("the deflated data set is broken") from None
    if inflater.unconsumed_tail:
        raise InputError(
            "the deflated data set is larger than images are",
            got=f"{len(packed)} bytes that inflate to more than {limit >> 20} MiB",
            hint="export the series without deflate",
        )
    if not inflater.eof:
        raise InputError("the deflated data set is cut off")
    return io.BytesIO(data)


def _pixel_element(file: BinaryIO, implicit: bool, little: bool) -> tuple[int | None, int, int | None]:
    """Tag, offset and length of the pixel element at or after the file's position."""
    order = "<" if little else ">"
    while len(head := file.read(8)) == 8:
        group, element = struct.unpack(f"{order}HH", head[:4])
        tag = group << 16 | element
        if implicit:
            length = struct.unpack(f"{order}I", head[4:])[0]
        elif head[4:6] in _LONG_LENGTH:
            extra = file.read(4)
            if len(extra) < 4:
                break
            length = struct.unpack(f"{order}I", extra)[0]
        else:
            length = struct.unpack(f"{order}H", head[6:])[0]
        if tag in (0x7FE00008, 0x7FE00009, 0x7FE00010):
            return (tag, 0, None) if length == 0xFFFFFFFF else (tag, file.tell(), length)
        if group != 0x7FE0 or length == 0xFFFFFFFF:
            break
        file.seek(length, os.SEEK_CUR)
    return None, 0, None
