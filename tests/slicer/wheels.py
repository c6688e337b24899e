"""Wheels made on the spot, so that pip can be tried without a network."""

from __future__ import annotations

import zipfile
from pathlib import Path

MAIN = "import sys\n\nprint('stand-in', *sys.argv[1:])\n"


def make(folder: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> Path:
    """A wheel of the package `name` that does nothing but say so when it is run."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: kspace\n"
    metadata += "".join(f"Requires-Dist: {r}\n" for r in requires)
    files = {
        f"{name}/__init__.py": "",
        f"{name}/__main__.py": MAIN,
        f"{about}/METADATA": metadata,
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in files) + f"{about}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(file, text)
    return path
