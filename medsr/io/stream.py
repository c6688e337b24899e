"""The bytes of a file, plain or deflated, read once from front to back and to the last one.

Other readers stop when they have the voxels and so never meet the checksum at the end of a gzip file; here
every stream is finished, nothing larger than a block is ever inflated at once, and what a header claims is
compared with what the file can hold before anything is allocated.
"""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from medsr.errors import InputError

CHUNK = 1 << 16
BLOCK = 1 << 20
MAX_EXPANSION = 1032
"""Deflate makes at most 1032 bytes of one."""

SLACK = 1 << 20
"""Bytes that may follow the voxels (padding, a vendor's footer)."""


def check_file(path: Path) -> int:
    """Size in bytes of the regular file at `path`.

    Raises
    ------
    InputError
        if there is none, or it is empty, or something else than a file.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat has no answer of its own for absurd names
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the file cannot be read", got=_reason(error)) from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: this is a folder", rule="an image is a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: this is not a regular file", rule="an image is a file")
    if status.st_size == 0:
        raise InputError(f"{path}: the file is empty", got="0 bytes", hint="fetch or export it again")
    return status.st_size


class ByteStream:
    """The bytes of a file from `start` on; inflated on the way where they are gzip or zlib.

    Parameters
    ----------
    path : the file.
    start : offset in the file of the first byte.
    compressed : whether the bytes are deflated; None looks for the mark of a gzip stream.

    Raises
    ------
    InputError
        if there is no such file, or it cannot be opened.
    """

    def __init__(self, path: Path, *, start: int = 0, compressed: bool | None = None) -> None:
        self.path = path
        self.file_size = check_file(path)
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise InputError(f"{path}: the file cannot be read", got=_reason(error)) from None
        try:
            self._file.seek(start)
            if compressed is None:
                compressed = self._file.read(2) == b"\x1f\x8b"
                self._file.seek(start)
        except BaseException:
            self._file.close()
            raise
        self.compressed = compressed
        self.position = 0
        self._inflate = _Inflate(self._file) if compressed else None
        self._stored = max(0, self.file_size - start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def capacity(self) -> int:
        """The most bytes that the stream can hold."""
        return self._stored * MAX_EXPANSION if self.compressed else self._stored

    def read_up_to(self, count: int) -> bytes | bytearray:
        """The next `count` bytes, fewer where the stream ends."""
        try:
            data = self._inflate.read(count) if self._inflate else self._file.read(count)
        except EOFError:
            raise InputError(
                f"{self.path}: the compressed data end too early",
                got=f"{self.file_size} bytes",
                rule="a gzip stream ends with its checksum",
                hint="fetch or export the file again",
            ) from None
        except zlib.error as error:
            raise InputError(
                f"{self.path}: the compressed data are damaged",
                got=_zlib_reason(error),
                rule="the checksum of a gzip stream has to hold",
                hint="fetch or export the file again",
            ) from None
        except OSError as error:
            raise InputError(f"{self.path}: the file cannot be read", got=_reason(error)) from None
        self.position += len(data)
        return data

    def read(self, count: int, what: str = "voxels") -> bytes | bytearray:
        """The next `count` bytes, all of them.

        Raises
        ------
        InputError
            if the stream ends before, or is damaged.
        """
        data = self.read_up_to(count)
        if len(data) < count:
            raise InputError(
                f"{self.path}: the file is cut short",
                got=f"{self.position} bytes of at least {self.position - len(data) + count}",
                rule=f"the file has to hold all {what} its header tells of",
                hint="fetch or export it again",
            )
        return data

    def skip(self, count: int) -> None:
        """Leave out `count` bytes."""
        while count > 0:
            count -= len(self.read(min(count, BLOCK)))

    def finish(self) -> int:
        """Read to the end, so that checksums are met, and return how many bytes were left.

        Raises
        ------
        InputError
            if more than `SLACK` bytes are left, or the end is damaged.
        """
        if not self.compressed:
            return check_rest(self.path, self._stored - self.position)
        rest = 0
        while count := len(self.read_up_to(BLOCK)):
            rest = check_rest(self.path, rest + count)
        return rest


def check_rest(path: Path, rest: int) -> int:
    """`rest`, the number of bytes after the voxels, if it is bearable."""
    if rest > SLACK:
        raise InputError(
            f"{path}: the file holds more than its header tells of",
            got=f"{rest} bytes or more after the voxels",
            rule=f"at most {SLACK} bytes may follow",
            hint="mend the size in the header",
        )
    return rest


class _Inflate:
    """Inflates gzip (any number of members, zero padding between them) or zlib, a bounded piece at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pending = b""
        self._member = zlib.decompressobj(47)  # 47: gzip or zlib, as its first bytes say
        self._fresh = True  # nothing of this member was read yet
        self._first = True

    def read(self, count: int) -> bytearray:
        out = bytearray()
        while len(out) < count:
            at_end = not self._pending and not self._refill()
            if at_end and self._fresh and not self._first:
                break
            piece = self._member.decompress(self._pending, count - len(out))
            out += piece
            self._pending = self._member.unconsumed_tail
            self._fresh = False
            if self._member.eof:
                self._pending = self._member.unused_data.lstrip(b"\0")
                self._member = zlib.decompressobj(47)
                self._fresh, self._first = True, False
            elif at_end and not piece:
                raise EOFError
        return out

    def _refill(self) -> bool:
        while not self._pending:
            chunk = self._file.read(CHUNK)
            if not chunk:
                return False
            self._pending = chunk.lstrip(b"\0") if self._fresh and not self._first else chunk
        return True


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _zlib_reason(error: zlib.error) -> str:
    return str(error).rpartition(": ")[2]
