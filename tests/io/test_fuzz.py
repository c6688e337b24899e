"""Seeded damage to good files: whatever comes out is a volume or a MedsrError, and memory stays bounded."""

from __future__ import annotations

import gzip
import random
import re
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medsr.errors import MedsrError
from medsr.io import open_volume
from tests.io.files import meta_file, nifti_bytes, nifti_file, nrrd_file, rotation, values

MEMORY = 64 << 20
QUICK, THOROUGH = 60, 10_000

Mutation = Callable[[random.Random, bytes], bytes]


def turned() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(10, 20, 30)
    return matrix


def packed(folder: Path, name: str) -> Path:
    """A deflated NRRD or MetaImage."""
    if name.endswith("nrrd"):
        return nrrd_file(folder / name, change={"encoding": "gzip"})
    blob = zlib.compress(values((6, 5, 4)).tobytes("F"))
    return meta_file(
        folder / name, change={"CompressedData": "True", "CompressedDataSize": str(len(blob))}, blob=blob
    )


def pair(folder: Path) -> Path:
    head, voxels = nifti_bytes(values((6, 5, 4)), paired=True, matrix=turned())
    (folder / "good.img").write_bytes(voxels)
    (folder / "good.hdr").write_bytes(head)
    return folder / "good.hdr"


GOOD: dict[str, Callable[[Path], Path]] = {
    "nii": lambda folder: nifti_file(folder / "good.nii", matrix=turned()),
    "nii.gz": lambda folder: nifti_file(folder / "good.nii.gz", matrix=turned()),
    "scaled big-endian nii": lambda folder: nifti_file(
        folder / "good.nii", values((6, 5, 4, 3), dtype="i2"), endian=">", matrix=turned(), raw={"scl_slope": 0.5}
    ),
    "qform only": lambda folder: nifti_file(folder / "good.nii", matrix=turned(), raw={"sform_code": 0}),
    "nii2": lambda folder: nifti_file(folder / "good.nii", version=2, matrix=turned()),
    "pair": pair,
    "nrrd": lambda folder: nrrd_file(folder / "good.nrrd"),
    "nrrd gzip": lambda folder: packed(folder, "good.nrrd"),
    "mha": lambda folder: meta_file(folder / "good.mha"),
    "mha zlib": lambda folder: packed(folder, "good.mha"),
}
HEADERS = {"nii": 352, "nii.gz": 352, "scaled big-endian nii": 352, "qform only": 352, "nii2": 544, "pair": 352}

INTERESTING = [
    *(
        n.to_bytes(8, order, signed=True)
        for n in (0, 1, -1, 2**7, 2**15 - 1, 2**31 - 1, 2**62, -(2**63))
        for order in ("little", "big")
    ),
    *(
        np.array([v], dtype).tobytes()
        for v in (np.nan, np.inf, -np.inf, 1e38, -1e-40, 0.1)
        for dtype in ("<f4", ">f4", "<f8")
    ),
]
WORDS = [
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e308",
    b"99999999999999999999",
    b"none",
    b"()",
    b"(1,2,3)",
    b"LIST",
    b"gzip",
    b"raw",
    b"\xff\xfe",
    b"\0",
    b"4",
    b"MET_DOUBLE",
    b"int16",
    b"%",
    b"..",
    b"9" * 5000,
    b"True",
]


def flip(rng: random.Random, blob: bytes) -> bytes:
    out = bytearray(blob)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(rng: random.Random, blob: bytes) -> bytes:
    out = bytearray(blob)
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = rng.choice(INTERESTING)[: rng.choice((1, 2, 4, 8))]
        start = rng.randrange(len(out)) & ~1
        out[start : start + len(value)] = value
    return bytes(out)


def rubbish(rng: random.Random, blob: bytes) -> bytes:
    start = rng.randrange(len(blob))
    count = rng.randrange(1, 40)
    return blob[:start] + rng.randbytes(count) + blob[start + rng.choice((0, count)) :]


def cut(rng: random.Random, blob: bytes) -> bytes:
    return blob[: rng.randrange(len(blob))]


def remove(rng: random.Random, blob: bytes) -> bytes:
    start = rng.randrange(len(blob))
    return blob[:start] + blob[start + rng.randrange(1, 60) :]


def repeat(rng: random.Random, blob: bytes) -> bytes:
    start = rng.randrange(len(blob))
    return blob[:start] + blob[max(0, start - rng.randrange(1, 200)) :]


def reword(rng: random.Random, blob: bytes) -> bytes:
    """Replace a word of a header of text."""
    words = list(re.finditer(rb"[\w.,()+-]+", blob[:400]))
    word = rng.choice(words)
    return blob[: word.start()] + rng.choice(WORDS) + blob[word.end() :]


MUTATIONS: list[Mutation] = [flip, overwrite, rubbish, cut, remove, repeat]


def mutate(rng: random.Random, kind: str, blob: bytes) -> bytes:
    """Damage the header mostly, since that is what is trusted; inside of the compression or outside."""
    inside = kind == "nii.gz" and rng.random() < 0.6
    if inside:
        blob = gzip.decompress(blob)
    mutation = rng.choice(MUTATIONS if kind in HEADERS else [*MUTATIONS, reword, reword, reword, reword])
    end = HEADERS.get(kind, 300)
    if rng.random() < 0.7 and (inside or kind != "nii.gz"):
        blob = mutation(rng, blob[:end]) + blob[end:]
    else:
        blob = mutation(rng, blob)
    return gzip.compress(blob, 1) if inside else blob


def attack(kind: str, seeds: range, folder: Path) -> int:
    """Read a mutation a seed; how many were refused."""
    path = GOOD[kind](folder)
    blob = path.read_bytes()
    open_volume(path)
    refused = 0
    for seed in seeds:
        rng = random.Random(f"{kind} {seed}")
        path.write_bytes(mutate(rng, kind, blob))
        tracemalloc.start()
        try:
            volume = open_volume(path)
        except MedsrError as error:
            refused += 1
            assert error.exit_code == 3, (kind, seed)
            assert "good" in str(error), (kind, seed)
            assert str(error).isprintable(), (kind, seed)
        except BaseException as error:
            error.add_note(f"{kind}, seed {seed}")
            raise
        else:
            assert np.isfinite(volume.data).all(), (kind, seed)
            assert np.isfinite(volume.grid.affine).all(), (kind, seed)
            assert all(note.isprintable() for note in volume.notes), (kind, seed)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MEMORY, (kind, seed, peak)
    return refused


@pytest.mark.parametrize("kind", GOOD)
def test_damaged_files(kind: str, tmp_path: Path) -> None:
    refused = attack(kind, range(QUICK), tmp_path)
    assert QUICK / 10 < refused <= QUICK  # the damage does reach what matters


@pytest.mark.slow
@pytest.mark.parametrize("kind", GOOD)
def test_damaged_files_thoroughly(kind: str, tmp_path: Path) -> None:
    assert attack(kind, range(QUICK, THOROUGH), tmp_path) > THOROUGH / 10
