"""Several files of one result, written as one act: all of them under their names, or none.

Each file is written under a hidden name beside its target, flushed to the disk and renamed once all are whole;
readers of a folder never see half a file, and a failed or cancelled run leaves nothing behind.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from medsr.errors import OutputError

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
MARK = ".medsr-"
OURS = re.compile(re.escape(MARK) + r"(?:([0-9a-f]{8})([0-9a-f]{8}))?[0-9a-f]{16}(\..*)?")
"""A temporary file: of which machine and process, where it says so, and a random number."""
PART = ".part"
"""Suffix of a temporary folder."""
STALE = 24 * 3600.0
"""Seconds after which a temporary file is one that a killed run has left, whoever made it."""

_process = os.getpid()
_unfinished: set[Path] = set()
"""Temporary files of this process, for the way out: a second Ctrl-C may come while the first is dealt with."""

RETRIES = 5
"""Windows refuses to rename what a virus scanner is just looking at."""


@dataclass(frozen=True)
class _Item:
    final: Path
    temporary: Path


class Transaction:
    """Write files so that they appear together, or not at all.

    ::

        with Transaction() as t:
            write(volume, t.path("scan_desc-sr.nii.gz"))
            t.path("scan_desc-sr.json").write_text(text)

    Parameters
    ----------
    force : replace what exists.
    make_folders : create missing folders (and remove them again on failure).

    Raises
    ------
    OutputError
        if a target exists and `force` is not given, a folder cannot be written, or the disk is full.
    """

    def __init__(self, *, force: bool = False, make_folders: bool = True) -> None:
        self.force, self.make_folders = force, make_folders
        self._items: list[_Item] = []
        self._outdated: list[Path] = []
        self._folders: list[Path] = []
        self._expected: dict[Path, int] = {}

    def __enter__(self) -> Self:
        return self

    def path(self, final: str | Path, expect: int | None = None) -> Path:
        """Where to write what shall be called `final` in the end; the suffix is the same.

        Parameters
        ----------
        expect : bytes that will be written, if known: a disk without room for them is refused at once.
        """
        final = Path(final)
        if any(item.final == final for item in self._items):
            raise OutputError(f"{final}: two outputs have the same name", hint="choose another name for one")
        check_target(final, force=self.force)
        self._make_folder(final.parent)
        if expect is not None:
            self._expected[final] = expect
            _check_room(final, expect)
        item = _Item(final, final.with_name(temporary_name(_suffixes(final))))
        _unfinished.add(item.temporary)
        self._items.append(item)  # first, so that it is removed whatever happens next
        try:
            item.temporary.open("xb").close()
        except OSError as error:
            raise self._explain(error, item) from None
        return item.temporary

    def discard(self, final: Path) -> None:
        """`final` belongs to what is replaced: it goes when the new files come. Only with `force`."""
        if self.force:
            self._outdated.append(final)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._commit()
            elif isinstance(error, OSError) and (item := self._culprit(error)):
                raise self._explain(error, item) from None
        except BaseException:
            self._remove(everything=True)
            raise
        self._remove(everything=error is not None)

    def _commit(self) -> None:
        for item in self._items:
            try:
                with item.temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            except OSError as error:
                raise self._explain(error, item) from None
        with _uninterrupted():
            self._give_names()
        for folder in {item.final.parent for item in self._items}:
            _sync_folder(folder)

    def _give_names(self) -> None:
        """The first that was asked for comes last: where it is, so are the others."""
        created: list[Path] = []
        try:
            for item in reversed(self._items):
                check_target(item.final, force=self.force)
                fresh = not os.path.lexists(item.final)
                if fresh:
                    created.append(item.final)
                try:
                    _rename(item, keep_existing=not self.force)
                except FileExistsError:
                    if fresh:
                        created.pop()
                    raise _exists(item.final) from None
                except OSError as error:
                    raise self._explain(error, item) from None
        except BaseException:
            for final in created:
                final.unlink(missing_ok=True)
            raise
        for final in self._outdated:
            with contextlib.suppress(OSError):
                final.unlink(missing_ok=True)

    def _remove(self, *, everything: bool) -> None:
        with _uninterrupted():
            for item in self._items:
                with contextlib.suppress(OSError):
                    item.temporary.unlink(missing_ok=True)
                _unfinished.discard(item.temporary)
            if everything:
                for folder in reversed(self._folders):
                    with contextlib.suppress(OSError):
                        folder.rmdir()

    def _make_folder(self, folder: Path) -> None:
        missing = [f for f in (folder, *folder.parents) if not f.exists()]
        if missing and not self.make_folders:
            raise OutputError(f"{folder}: there is no such folder", hint="create it first")
        for new in reversed(missing):
            try:
                new.mkdir(exist_ok=True)
            except OSError as error:
                raise OutputError(f"{new}: the folder cannot be created", got=error.strerror) from None
            self._folders.append(new)
        if not folder.is_dir():
            raise OutputError(f"{folder}: this is not a folder", hint="choose another place for the output")
        if not any(item.final.parent == folder for item in self._items):
            sweep(folder)

    def _culprit(self, error: OSError) -> _Item | None:
        """The output that `error` is about, if it is about one."""
        for item in self._items:
            if error.filename is not None and Path(str(error.filename)) == item.temporary:
                return item
        return self._items[-1] if self._items and error.errno in FULL else None

    def _explain(self, error: OSError, item: _Item) -> OutputError:
        if error.errno in FULL:
            return _full(item.final, self._written(), self._expected.get(item.final))
        return OutputError(
            f"{item.final}: the output cannot be written",
            got=error.strerror or str(error),
            hint="choose another place for the output",
        )

    def _written(self) -> int:
        sizes = 0
        for item in self._items:
            with contextlib.suppress(OSError):
                sizes += item.temporary.stat().st_size
        return sizes


@atexit.register
def _remove_unfinished() -> None:
    for temporary in _unfinished if os.getpid() == _process else ():  # a forked child's are its parent's
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_name(suffix: str) -> str:
    """A hidden name that nothing else has, and that tells whose it is."""
    return f"{MARK}{_machine()}{os.getpid():08x}{secrets.token_hex(8)}{suffix}"


@functools.cache
def _machine() -> str:
    """Of the machine, or the container, within which process numbers count."""
    words = [platform.node()]
    for place in ("/proc/self/ns/pid", "/proc/sys/kernel/random/boot_id"):
        with contextlib.suppress(OSError):
            path = Path(place)
            words.append(str(path.readlink()) if path.is_symlink() else path.read_text(encoding="ascii"))
    return hashlib.sha256("|".join(words).encode()).hexdigest()[:8]


def sweep(folder: Path) -> None:
    """Remove what killed runs have left in `folder`: our names, of processes of this machine that are no more, or
    older than a day.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            ours = OURS.fullmatch(entry.name)
            if not ours:
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if not (_orphaned(ours) or time.time() - status.st_mtime > STALE):
                    continue
                if stat.S_ISREG(status.st_mode):
                    Path(entry.path).unlink()
                elif stat.S_ISDIR(status.st_mode) and entry.name.endswith(PART):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _orphaned(name: re.Match[str]) -> bool:
    """Whether the process that a temporary name tells of is known to be gone."""
    if os.name != "posix" or name[1] != _machine():  # elsewhere a signal of 0 is no question
        return False
    try:
        os.kill(int(name[2], 16), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Holds Ctrl-C and the like back for the few moments in which files get, or lose, their names."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    before = {}
    try:
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None and callable(handler := signal.getsignal(number)):
                before[number] = handler
                signal.signal(number, hold)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def check_target(final: Path, *, force: bool) -> None:
    """Refuse a target that is a folder, or that exists where `force` is not given.

    Raises
    ------
    OutputError
        if so.
    """
    if "\0" in str(final) or not final.name:
        raise OutputError(f"{final}: the output cannot be written", rule="it needs the name of a file")
    try:
        is_folder, exists = final.is_dir(), os.path.lexists(final)
    except OSError as error:
        raise OutputError(f"{final}: the output cannot be written", got=error.strerror) from None
    if is_folder:
        raise OutputError(f"{final}: this is a folder", hint="name a file")
    if exists and not force:
        raise _exists(final)


def _exists(final: Path) -> OutputError:
    return OutputError(f"{final}: the output exists already", hint="--force replaces it, -o names another")


def _check_room(final: Path, needed: int) -> None:
    try:
        free = shutil.disk_usage(final.parent).free
    except OSError:
        return
    if needed > free:
        raise _full(final, 0, needed)


def _full(final: Path, written: int, needed: int | None) -> OutputError:
    free = None
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(final.parent).free
    got = f"{written} bytes written" + ("" if free is None else f", {free} bytes free")
    return OutputError(
        f"{final}: the disk is full, or a quota is reached",
        got=got,
        rule=None if needed is None else f"{needed} bytes are needed",
        hint="make room, then run it again",
    )


def _rename(item: _Item, *, keep_existing: bool) -> None:
    """Rename onto the target in one step; FileExistsError where it exists and has to be kept."""
    if keep_existing and os.name == "posix":
        # a link fails where the name is taken, even by a file that came into being a moment ago
        try:
            os.link(item.temporary, item.final, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            pass
        else:
            item.temporary.unlink()
            return
    for attempt in range(RETRIES):
        try:
            if keep_existing and os.name != "posix":
                item.temporary.rename(item.final)
            else:
                item.temporary.replace(item.final)
        except FileExistsError:
            raise
        except PermissionError:
            if os.name == "posix" or attempt == RETRIES - 1:
                raise
            time.sleep(0.1 * 2**attempt)
        else:
            return


def _sync_folder(folder: Path) -> None:
    """Make the renaming last through a power cut, where the system lets a folder be flushed."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _suffixes(path: Path) -> str:
    """The suffix, with the one before where it says what was compressed (".nii.gz")."""
    return "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix
