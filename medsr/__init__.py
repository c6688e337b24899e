"""medsr: medical image super-resolution that explains its measurement.

The names here are imported when they are first used, so that ``import medsr`` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medsr._version import VERSION as __version__

if TYPE_CHECKING:
    from medsr.errors import MedsrError
    from medsr.io import open_volume, save_volume
    from medsr.io.mrd import read_mrd
    from medsr.measurement import KSpace
    from medsr.reconstruction import reconstruct
    from medsr.result import Result
    from medsr.volume import Grid, ScanFacts, Volume

__all__ = [
    "Grid",
    "KSpace",
    "MedsrError",
    "Result",
    "ScanFacts",
    "Volume",
    "__version__",
    "open_volume",
    "read_mrd",
    "reconstruct",
    "save_volume",
]

_HOMES = {
    "Grid": "medsr.volume",
    "KSpace": "medsr.measurement",
    "MedsrError": "medsr.errors",
    "Result": "medsr.result",
    "ScanFacts": "medsr.volume",
    "Volume": "medsr.volume",
    "open_volume": "medsr.io",
    "read_mrd": "medsr.io.mrd",
    "reconstruct": "medsr.reconstruction",
    "save_volume": "medsr.io",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'medsr' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
