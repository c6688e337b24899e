"""Opening HDF5 files that strangers wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medsr.errors import InputError, UsageError


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """The file's root group, for reading; whatever HDF5 raises becomes an `InputError` that names the file.

    Raises
    ------
    InputError
        if the file is missing, not HDF5, or broken where it is read.
    UsageError
        if h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise UsageError("raw data need h5py", hint='pip install "medsr[kspace]"') from None
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except MemoryError:
        raise InputError(
            f"{path}: the file asks for more memory than there is", rule="it may be damaged"
        ) from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, OverflowError, SystemError) as e:
        raise InputError(f"{path}: not readable as HDF5", got=str(e)[:200], hint="copy the file again") from None


def member(group: Any, name: str, path: Path) -> Any:
    """What `group` holds under `name`, None where it holds nothing.

    Raises
    ------
    InputError
        for a link that leaves the file, or a data set whose values lie in other files.
    """
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{path}: '{name}' is a link", rule="external and soft links are not followed")
    found = group[name]
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise InputError(f"{path}: '{name}' keeps its values in other files", rule="a scan is one file")
    return found
