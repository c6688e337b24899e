"""The data sets named in data_manifests/: what they are, which files belong to which split, where they lie.

The files themselves are not in the project; the environment variable MEDSR_DATA names the folder that they were
put in, under the paths of the manifests.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FOLDER = Path(__file__).resolve().parent.parent / "data_manifests"
SPLITS = ("train", "val", "test", "dev")
FIELDS = ("name", "title", "address", "licence", "citation", "modality", "use", "processing")
BLOCK = 1 << 20


@dataclass(frozen=True)
class DataFile:
    """One file of a data set, or one folder (`path` ends in "/")."""

    path: str
    split: str
    bytes: int
    sha256: str
    source: str
    processing: str | None = None


@dataclass(frozen=True)
class Manifest:
    """One data set; see any file of data_manifests/. `address` is where it comes from."""

    name: str
    title: str
    address: str
    licence: str
    citation: str
    modality: str
    use: str
    processing: str
    files: tuple[DataFile, ...]
    origin: str | None = None
    derived: tuple[dict[str, str], ...] = ()

    def of_split(self, split: str) -> list[DataFile]:
        """The files of `split`, in order."""
        if split not in SPLITS:
            raise ValueError(f"{split!r} is not a split: {', '.join(SPLITS)}")
        return [f for f in self.files if f.split == split]


def load(path: Path) -> Manifest:
    """The manifest at `path`; a ValueError names what is wrong with it."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    manifest = Manifest(
        **{
            **table,
            "files": tuple(DataFile(**f) for f in table["files"]),
            "derived": tuple(table.get("derived", ())),
        }
    )
    wrong = [field for field in FIELDS if not isinstance(table[field], str) or not table[field].strip()]
    if manifest.name != path.stem:
        wrong.append("name")
    if "https://" not in manifest.address:
        wrong.append("address")
    for file in manifest.files:
        pure = PurePosixPath(file.path)
        bad_path = pure.is_absolute() or ".." in pure.parts or "\\" in file.path
        bad_sum = not re.fullmatch("[0-9a-f]{64}", file.sha256)
        if bad_path or bad_sum or file.split not in SPLITS or file.bytes <= 0:
            wrong.append(file.path)
    if wrong:
        raise ValueError(f"{path.name}: {', '.join(wrong)}")
    return manifest


def load_all() -> dict[str, Manifest]:
    """All manifests by name."""
    return {path.stem: load(path) for path in sorted(FOLDER.glob("*.toml"))}


def data_folder() -> Path:
    """The folder that MEDSR_DATA names."""
    named = os.environ.get("MEDSR_DATA")
    if not named or not Path(named).is_dir():
        raise SystemExit("set MEDSR_DATA to the folder of the research data; see data_manifests/")
    return Path(named)


def checksum(path: Path) -> tuple[int, str]:
    """Bytes and sha256 of a file, or of all files of a folder, one after the other in the order of their paths."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest, size = hashlib.sha256(), 0
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
                size += len(block)
    return size, digest.hexdigest()
