"""DICOM in, valid DICOM out.

Reading: `list_series` finds the series under a folder, `choose_series` picks one, `read_series` makes a `Volume`
of it. Writing: `write_series` writes a derived MR series on a new grid, `write_uncertainty` a Parametric Map
beside it.

Nothing that names a patient goes into an exception or a log: series are named by their number, places by
millimetres.
"""

from __future__ import annotations

from medsr.errors import InputError

try:
    import pydicom  # noqa: F401
except ImportError:
    raise InputError("DICOM needs pydicom and highdicom", hint='pip install "medsr[dicom]"') from None

from medsr.io.dicom.capture import write_capture
from medsr.io.dicom.derived import Derivation
from medsr.io.dicom.read import read, read_series
from medsr.io.dicom.series import SeriesInfo, choose_series, list_files, list_series
from medsr.io.dicom.write import Written, write_series

__all__ = [
    "Derivation",
    "SeriesInfo",
    "Written",
    "choose_series",
    "list_files",
    "list_series",
    "read",
    "read_series",
    "write_capture",
    "write_series",
]
