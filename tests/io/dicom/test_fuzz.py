"""Whatever a file holds, reading it ends in a volume or in a MedsrError."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from medsr.errors import MedsrError
from medsr.io.dicom import list_series, read_series
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic, write_enhanced, write_mosaic

AFFINE = GEOMETRIES["oblique"]


def classic(folder, syntax=ExplicitVRLittleEndian):
    return write_classic(folder, numbers(4, 4, 3), AFFINE, syntax=syntax)[1]


def compressed(folder, syntax):
    for path in (paths := write_classic(folder, numbers(16, 16, 3), AFFINE)):
        one = pydicom.dcmread(path)
        one.compress(syntax, generate_instance_uid=False)
        one.save_as(path)
    return paths[1]


KINDS = {
    "explicit": classic,
    "implicit": lambda folder: classic(folder, ImplicitVRLittleEndian),
    "big endian": lambda folder: classic(folder, ExplicitVRBigEndian),
    "deflated": lambda folder: classic(folder, DeflatedExplicitVRLittleEndian),
    "enhanced": lambda folder: write_enhanced(folder / "a.dcm", numbers(4, 4, 3), AFFINE),
    "mosaic": lambda folder: write_mosaic(folder, numbers(1, 4, 4, 3), AFFINE, protocol=True)[0],
}
PACKED = {
    "rle": lambda folder: compressed(folder, RLELossless),
    "jpeg-ls": lambda folder: compressed(folder, JPEGLSLossless),
}
WORDS = [
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xfe\xff\0\xe0",
    b"\xfe\xff\xdd\xe0",
    b"SQ",
    b"UN",
    b"OB",
    b"1e400",
    b"nan",
]


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """A few bytes changed, cut out, put in, moved, or the end cut off; headers more often than pixels."""
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        at = (
            int(random.integers(len(changed)))
            if random.random() < 0.3
            else int(random.integers(132, len(changed)))
        )
        match random.integers(6):
            case 0:
                changed[at] = random.integers(256)
            case 1:
                changed[at] ^= 1 << int(random.integers(8))
            case 2:
                del changed[at : at + int(random.integers(1, 20))]
            case 3:
                word = WORDS[random.integers(len(WORDS))]
                changed[at : at + len(word)] = word
            case 4:
                changed[at:at] = changed[: int(random.integers(1, 64))]
            case _:
                if random.random() < 0.3:
                    del changed[max(200, at) :]
    return bytes(changed)


def fuzz(folder, make, rounds: int, seed: int) -> int:
    """Rounds that ended in an error; anything but a MedsrError ends the test."""
    path = make(folder)
    good = path.read_bytes()
    refused = 0
    for n in range(rounds):
        path.write_bytes(mutated(good, np.random.default_rng([seed, n])))
        try:
            for info in list_series(folder):
                if info.problem is None:
                    assert np.isfinite(read_series(info).data).all()
                else:
                    refused += 1
        except MedsrError:
            refused += 1
    return refused


@pytest.mark.parametrize("kind", KINDS)
def test_mutations(tmp_path, kind):
    assert fuzz(tmp_path, KINDS[kind], 60, 1) > 5


@pytest.mark.parametrize("kind", PACKED)
def test_mutations_of_compressed_files(tmp_path, kind):
    fuzz(tmp_path, PACKED[kind], 4, 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutations(tmp_path, kind):
    fuzz(tmp_path, KINDS[kind], 1700, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PACKED)
def test_many_mutations_of_compressed_files(tmp_path, kind):
    fuzz(tmp_path, PACKED[kind], 100, 4)
