"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medsr.errors import OutputError
from medsr.io.atomic import FULL, PART, sweep, temporary_name


@contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends well, and goes when it does not.

    Raises
    ------
    OutputError
        if `target` exists and is not empty (unless `overwrite`), or if writing fails.
    """
    refuse_existing(target, overwrite=overwrite)
    part = target.parent / temporary_name(PART)
    missing = [folder for folder in target.parents if not folder.exists()]
    done = False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        part.mkdir()
        yield part
        _sync(part)
        _take_place(part, target)
        done = True
    except OSError as error:
        written = sum(path.stat().st_size for path in part.glob("*")) if part.is_dir() else 0
        raise OutputError(
            f"{target}: the disk is full, or a quota is reached"
            if error.errno in FULL
            else f"{target}: the output cannot be written",
            got=f"{error.strerror} after {written} bytes",
            hint="make room, then run it again" if error.errno in FULL else "choose another place for the output",
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for folder in [] if done else missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise OutputError where `target` holds something that must stay."""
    if overwrite or not target.exists():
        return
    if not target.is_dir() or any(target.iterdir()):
        raise OutputError(f"{target}: the output exists already", hint="--force replaces it, -o names another")


def _take_place(part: Path, target: Path) -> None:
    if target.exists():
        old = target.parent / temporary_name(PART)
        target.rename(old)
        part.rename(target)
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink()
    else:
        part.rename(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Ask the system to keep the folder's entries; systems that cannot open folders do so by themselves."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
