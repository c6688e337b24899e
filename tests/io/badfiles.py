"""Files that medsr has to refuse, each built by a small function, with a part of what it has to say.

`BAD_FILES` maps a name to a `BadFile`; ``BAD_FILES[name].build(folder)`` makes the file and returns its path.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.io.files import meta_file, nifti_bytes, nifti_file, nrrd_file, rotation, values

Builder = Callable[[Path], Path]


@dataclass(frozen=True)
class BadFile:
    build: Builder
    says: str


BAD_FILES: dict[str, BadFile] = {}


def bad(name: str, says: str) -> Callable[[Builder], Builder]:
    def register(build: Builder) -> Builder:
        add(name, says, build)
        return build

    return register


def add(name: str, says: str, build: Builder) -> None:
    if name in BAD_FILES:
        raise ValueError(name)
    BAD_FILES[name] = BadFile(build, says)


def blob(name: str, says: str, file: str, content: bytes) -> None:
    def build(folder: Path) -> Path:
        path = folder / file
        path.write_bytes(content)
        return path

    add(name, says, build)


def header(name: str, says: str, file: str = "bad.nii", data: NDArray[Any] | None = None, **options: Any) -> None:
    """A NIfTI file with header fields overwritten."""
    version = options.pop("version", 1)
    endian = options.pop("endian", "<")
    raw = {k.replace("_at_", "."): v for k, v in options.items()}
    add(name, says, lambda folder: nifti_file(folder / file, data, version=version, endian=endian, raw=raw))


GOOD = b"".join(nifti_bytes(values((6, 5, 4))))
PACKED = gzip.compress(GOOD, 1, mtime=0)


# -- not an image at all
add("missing", "no such file", lambda folder: folder / "bad.nii")
add("missing nrrd", "no such file", lambda folder: folder / "bad.nrrd")
blob("empty", "empty", "bad.nii", b"")
blob("empty gzip", "empty", "bad.nii.gz", b"")
blob("empty nrrd", "empty", "bad.nrrd", b"")
blob("empty mha", "empty", "bad.mha", b"")
blob("one byte", "cut short", "bad.nii", b"\x5c")
blob("text", "not a NIfTI image", "bad.nii", b"this is no image\n" * 100)
blob("text in gzip", "not a NIfTI image", "bad.nii.gz", gzip.compress(b"this is no image\n" * 100))
blob("png", "not a NIfTI image", "bad.nii", b"\x89PNG\r\n\x1a\n" + bytes(600))
blob("dicom", "not a NIfTI image", "bad.nii", bytes(128) + b"DICM" + bytes(600))
blob("zip", "not a NIfTI image", "bad.nii.gz", b"PK\x03\x04" + bytes(600))
blob("hdf5", "not a NIfTI image", "bad.nii", b"\x89HDF\r\n\x1a\n" + bytes(600))
blob("noise", "not a NIfTI image", "bad.nii", np.random.default_rng(1).bytes(5000))
blob("html error page", "not a NIfTI image", "bad.nii.gz", b"<!DOCTYPE html><html>404</html>")
blob(
    "git-lfs pointer", "not a NIfTI image", "bad.nii.gz", b"version https://git-lfs.github.com/spec/v1\noid ...\n"
)
blob("unknown suffix", "not the name of an image", "bad.txt", GOOD)
blob("no suffix", "not the name of an image", "bad", GOOD)
blob("nifti named nrrd", "not an NRRD image", "bad.nrrd", GOOD)
blob("nifti named mha", "header", "bad.mha", GOOD)


@bad("folder", "folder")
def _(folder: Path) -> Path:
    (folder / "bad.nii").mkdir()
    return folder / "bad.nii"


@bad("folder without suffix", "folder")
def _(folder: Path) -> Path:
    (folder / "bad").mkdir()
    return folder / "bad"


if hasattr(os, "mkfifo"):

    @bad("fifo", "not a regular file")
    def _(folder: Path) -> Path:
        os.mkfifo(folder / "bad.nii")
        return folder / "bad.nii"

    @bad("dangling link", "no such file")
    def _(folder: Path) -> Path:
        (folder / "bad.nii.gz").symlink_to(folder / "nowhere")
        return folder / "bad.nii.gz"


@bad("name too long", "cannot be read")
def _(folder: Path) -> Path:
    return folder / ("bad" * 200 + ".nii")


# -- cut short, damaged
blob("cut in the header", "cut short", "bad.nii", GOOD[:200])
blob("header alone", "cut short", "bad.nii", GOOD[:352])
blob("half the voxels", "cut short", "bad.nii", GOOD[: 352 + 240])
blob("one byte missing", "cut short", "bad.nii", GOOD[:-1])
blob("gzip cut", "end too early", "bad.nii.gz", PACKED[: len(PACKED) // 2])
blob("gzip cut in its trailer", "end too early", "bad.nii.gz", PACKED[:-3])
blob("gzip mark alone", "end too early", "bad.nii.gz", b"\x1f\x8b")
blob("gzip checksum", "damaged", "bad.nii.gz", PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:])
blob("gzip length", "damaged", "bad.nii.gz", PACKED[:-4] + bytes([PACKED[-4] ^ 1]) + PACKED[-3:])
blob("gzip method", "damaged", "bad.nii.gz", PACKED[:2] + b"\x07" + PACKED[3:])
blob("gzip followed by rubbish", "damaged", "bad.nii.gz", PACKED + b"rubbish")
blob("gzip of nothing", "cut short", "bad.nii.gz", gzip.compress(b""))
blob("gzip of a cut file", "cut short", "bad.nii.gz", gzip.compress(GOOD[:-100]))
blob("gzip of a header", "cut short", "bad.nii.gz", gzip.compress(GOOD[:100]))


@bad("gzip with flipped bits", "damaged")
def _(folder: Path) -> Path:
    middle = len(PACKED) // 2
    path = folder / "bad.nii.gz"
    path.write_bytes(PACKED[:middle] + bytes([PACKED[middle] ^ 0x55]) + PACKED[middle + 1 :])
    return path


@bad("gzip bomb", "more than its header tells of")
def _(folder: Path) -> Path:
    path = folder / "bad.nii.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(200 << 20), 9))
    return path


@bad("honest gzip bomb", "all voxels are the same")
def _(folder: Path) -> Path:
    """A few hundred kilobytes that claim, and hold, 256 MiB of zeros: a gibibyte as float32."""
    head, _ = nifti_bytes(np.zeros((1, 1, 1), "u1"), raw={"dim.1": 512, "dim.2": 512, "dim.3": 1024})
    path = folder / "bad.nii.gz"
    path.write_bytes(gzip.compress(head + bytes(512 * 512 * 1024), 9))
    return path


@bad("more voxels than the header tells of", "more than its header tells of")
def _(folder: Path) -> Path:
    path = folder / "bad.nii"
    path.write_bytes(GOOD + bytes(2 << 20))
    return path


# -- sizes
header("no axes", "axes", dim_at_0=0)
header("eight axes", "axes", dim_at_0=8)
header("negative axes", "axes", dim_at_0=-3)
header("axes of another byte order", "axes", dim_at_0=768)
header("empty axis", "absurd number of voxels", dim_at_2=0)
header("negative axis", "absurd number of voxels", dim_at_2=-5)
header("huge axes", "header claims too much", dim_at_1=32767, dim_at_2=32767, dim_at_3=32767)
header("huge axes in gzip", "header claims too much", "bad.nii.gz", dim_at_1=32767, dim_at_2=32767, dim_at_3=32767)
header("one row too many", "cut short", dim_at_2=6)
header("huge time axis", "header claims too much", dim_at_0=4, dim_at_4=30000)
header("nifti-2 huge axis", "absurd number of voxels", version=2, dim_at_1=2**62)
header("nifti-2 size beyond 64 bits", "absurd number of voxels", version=2, dim_at_1=2**32, dim_at_2=2**32)
header("nifti-2 negative axis", "absurd number of voxels", version=2, dim_at_3=-(2**63))
header("nifti-2 large axes", "header claims too much", version=2, dim_at_1=2**17, dim_at_2=2**17, dim_at_3=2**17)
header("nifti-2 absurd axes", "axes", version=2, dim_at_0=2**40)
header("five axes", "too many axes", data=values((4, 3, 2, 1, 3)))
header("seven axes", "too many axes", data=values((2, 2, 2, 2, 2, 2, 2)))
header("voxels from NaN on", "vox_offset", vox_offset=np.nan)
header("voxels from infinity on", "vox_offset", vox_offset=np.inf)
header("voxels from before the start", "vox_offset", vox_offset=-352)
header("voxels within the header", "vox_offset", vox_offset=100)
header("voxels from half a byte on", "vox_offset", vox_offset=352.5)
header("voxels beyond the end", "cut short", vox_offset=1e9)
header("nifti-2 voxels beyond the end", "cut short", version=2, vox_offset=2**62)

# -- kinds of voxels
header("RGB", "RGB", data=np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]))
header("RGBA", "RGBA", data=np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")]))
header("complex", "complex", data=values((4, 4, 4)).astype("c8"))
header("double complex", "complex", data=values((4, 4, 4)).astype("c16"))
header("complex, big-endian", "complex", data=values((4, 4, 4)).astype("c8"), endian=">")
header("long double", "128-bit", datatype=1536)
header("bits", "single bits", datatype=1)
header("unknown type", "unknown type", datatype=0)
header("type that is none", "unknown type", datatype=9999)
header("infinite slope", "scale of the values", scl_slope=np.inf)
header("NaN intercept", "scale of the values", scl_slope=2.0, scl_inter=np.nan)
header("infinite intercept", "scale of the values", scl_slope=1.0, scl_inter=-np.inf)

# -- marks
header("wrong mark", "not a NIfTI image", magic=b"n+3")
header("analyze", "ANALYZE", magic=b"")
header(
    "nifti-2 wrong mark", "not a NIfTI image", version=2, eol_check=(10, 26, 10, 0)
)  # as a text-mode transfer leaves it
header("header of a pair", "header of a pair", magic=b"ni1")
header("wrong header size", "not a NIfTI image", sizeof_hdr=340)


@bad("pair without voxels", "voxels of the pair are missing")
def _(folder: Path) -> Path:
    path = folder / "bad.hdr"
    path.write_bytes(nifti_bytes(values((6, 5, 4)), paired=True)[0])
    return path


@bad("pair without header", "header of the pair is missing")
def _(folder: Path) -> Path:
    path = folder / "bad.img"
    path.write_bytes(nifti_bytes(values((6, 5, 4)), paired=True)[1])
    return path


@bad("pair cut short", "cut short")
def _(folder: Path) -> Path:
    head, voxels = nifti_bytes(values((6, 5, 4)), paired=True)
    (folder / "bad.img").write_bytes(voxels[:-50])
    (folder / "bad.hdr").write_bytes(head)
    return folder / "bad.hdr"


@bad("pair with empty voxels", "empty")
def _(folder: Path) -> Path:
    (folder / "bad.hdr").write_bytes(nifti_bytes(values((6, 5, 4)), paired=True)[0])
    (folder / "bad.img").write_bytes(b"")
    return folder / "bad.img"


@bad("pair with the header of a single file", "single file")
def _(folder: Path) -> Path:
    head, voxels = nifti_bytes(values((6, 5, 4)))
    (folder / "bad.hdr").write_bytes(head)
    (folder / "bad.img").write_bytes(voxels)
    return folder / "bad.hdr"


# -- geometry
header("NaN in the sform", "not a finite", srow_x_at_0=np.nan)
header("infinity in the sform", "not a finite", srow_z_at_3=np.inf)
header("singular sform", "singular", srow_x=(0, 0, 0, 0))
header("empty sform", "singular", srow_x=(0, 0, 0, 0), srow_y=(0, 0, 0, 0), srow_z=(0, 0, 0, 0))
header(
    "two axes alike", "right angle", srow_y=(1, 0, 0, 0), srow_x=(1, 0, 0, 0), srow_z=(0, 1, 1, 0), qform_code=0
)
header("sheared sform", "right angle", srow_x=(1, 0.2, 0, 0), qform_code=0)
header("sheared sform, sound qform", "its qform is sound", srow_x=(1, 0.2, 0, 0))
header("absurd voxel size", "absurd", srow_x=(1e30, 0, 0, 0))
header("absurdly far away", "absurd", srow_x=(1, 0, 0, 1e20))
header("nifti-2 sform that overflows", "absurd", version=2, srow_x=(1e300, 0, 0, 0))
header("quaternion too long", "not a finite", sform_code=0, quatern_b=0.9, quatern_c=0.9)
header("NaN quaternion", "not a finite", sform_code=0, quatern_d=np.nan)
header("NaN qform offset", "not a finite", sform_code=0, qoffset_y=np.nan)
header("no voxel size", "singular", sform_code=0, pixdim_at_3=0)
header("NaN voxel size", "not a finite", sform_code=0, pixdim_at_2=np.nan)
header("infinite voxel size", "not a finite", sform_code=0, pixdim_at_2=np.inf)
header("no form, no voxel size", "singular", sform_code=0, qform_code=0, pixdim=np.zeros(8))
header("no form, NaN voxel size", "not a finite", sform_code=0, qform_code=0, pixdim_at_1=np.nan)

# -- values
ZEROS = np.zeros((6, 5, 4), "f4")


def _last(data: NDArray[Any], value: float, count: int) -> NDArray[Any]:
    flat = data.ravel(order="F").copy()
    flat[-count:] = value
    return flat.reshape(data.shape, order="F")


header("all zero", "all voxels are the same", data=ZEROS)
header("all zero integers", "all voxels are the same", data=ZEROS.astype("i2"))
header("all zero in gzip", "all voxels are the same", "bad.nii.gz", data=ZEROS)
header("constant", "all voxels are the same", data=ZEROS + 7)
header("constant in float32", "all voxels are the same", data=1e9 + values((6, 5, 4)).astype("f8") * 1e-6)
header(
    "constant by its slope",
    "all voxels are the same",
    data=values((6, 5, 4), dtype="i2"),
    scl_slope=1e-30,
    scl_inter=5,
)
header("all NaN", "NaN", data=ZEROS * np.nan)
header("mostly NaN", "NaN", data=_last(values((6, 5, 4)), np.nan, 115))
header("constant but for NaN", "all voxels are the same", data=_last(ZEROS + 1, np.nan, 50))
header("infinite voxel", "infinite", data=_last(values((6, 5, 4)), np.inf, 1))
header("negative infinite voxels", "infinite", data=_last(values((6, 5, 4)), -np.inf, 20))
header("beyond float32", "infinite", data=_last(values((6, 5, 4), dtype="f8"), 1e300, 3))
header("scaled beyond float32", "infinite", data=values((6, 5, 4), dtype="i4"), scl_slope=3e38)
header("absurd values", "absurd", data=_last(values((6, 5, 4)), 1e30, 2))
header("absurdly small values", "absurd", data=values((6, 5, 4)) * np.float32(1e-35))
header("floats of the other byte order", "values", data=values((6, 5, 4)).byteswap())


# -- NRRD
def nrrd(name: str, says: str, **change: str | None) -> None:
    fields = {k.replace("_", " "): v for k, v in change.items()}
    add(name, says, lambda folder: nrrd_file(folder / "bad.nrrd", change=fields))


def nrrd_blob(name: str, says: str, content: bytes, encoding: str = "raw") -> None:
    add(name, says, lambda folder: nrrd_file(folder / "bad.nrrd", change={"encoding": encoding}, blob=content))


RAW = values((6, 5, 4)).tobytes("F")
RAW_GZ = gzip.compress(RAW, 1, mtime=0)
nrrd_blob("nrrd without voxels", "cut short", b"")
nrrd_blob("nrrd cut in half", "cut short", RAW[:240])
nrrd_blob("nrrd gzip cut", "end too early", RAW_GZ[:-40], "gzip")
nrrd_blob("nrrd gzip of half", "cut short", gzip.compress(RAW[:240]), "gzip")
nrrd_blob("nrrd gzip checksum", "damaged", RAW_GZ[:-6] + bytes([RAW_GZ[-6] ^ 1]) + RAW_GZ[-5:], "gzip")
nrrd_blob("nrrd gzip that is none", "damaged", RAW, "gzip")
nrrd_blob("nrrd bomb", "more than its header tells of", gzip.compress(RAW + bytes(100 << 20), 9), "gzip")
nrrd_blob("nrrd zeros", "all voxels are the same", bytes(480))
nrrd_blob("nrrd NaN", "NaN", (ZEROS * np.nan).tobytes())
nrrd("nrrd without sizes", "header is damaged", sizes=None)
nrrd("nrrd with one size too few", "header is damaged", sizes="6 20")
nrrd("nrrd with a word for a size", "header is damaged", sizes="6 five 4")
nrrd("nrrd negative size", "absurd number of voxels", sizes="6 -5 4")
nrrd("nrrd empty axis", "absurd number of voxels", sizes="6 0 4")
nrrd("nrrd huge", "header claims too much", sizes="99999 99999 99999")
nrrd("nrrd beyond 64 bits", "absurd number of voxels", sizes="99999999999999999999 5 4")
nrrd("nrrd endless size", "header is damaged", sizes="9" * 5000 + " 5 4")
nrrd("nrrd without dimension", "header is damaged", dimension=None)
nrrd("nrrd dimension in words", "header is damaged", dimension="three")
nrrd("nrrd of five axes", "too many axes", dimension="5", sizes="6 5 2 2 1", kinds=None, space_directions=None)
nrrd("nrrd of one axis", "too few", dimension="1", sizes="120", kinds=None, space_directions=None)
nrrd("nrrd colours", "vectors or colours", sizes="3 5 8", kinds="RGB-color domain domain")
nrrd("nrrd vectors", "vectors or colours", sizes="3 5 8", kinds="vector domain domain")
nrrd("nrrd complex", "vectors or colours", sizes="2 10 6", kinds="complex domain domain")
nrrd(
    "nrrd unnamed channels",
    "vectors or colours",
    dimension="4",
    sizes="3 5 4 2",
    space_directions="none (1,0,0) (0,1,0) (0,0,1)",
    kinds=None,
)
nrrd("nrrd without type", "not real numbers", type=None)
nrrd("nrrd block type", "not real numbers", type="block")
nrrd("nrrd without byte order", "header is damaged", endian=None)
nrrd("nrrd as text", "encoding", encoding="ascii")
nrrd("nrrd bzip2", "encoding", encoding="bzip2")
nrrd("nrrd without encoding", "encoding", encoding=None)
nrrd("nrrd outside its folder", "outside", data_file="../../etc/passwd")
nrrd("nrrd absolute path", "outside", data_file="/etc/passwd")
nrrd("nrrd drive path", "outside", data_file="C:\\voxels.raw")
nrrd("nrrd list of files", "several files", data_file="LIST")
nrrd("nrrd numbered files", "several files", data_file="slice%03d.raw 1 4 1")
nrrd("nrrd voxels missing", "voxels are missing", data_file="nowhere.raw")
nrrd("nrrd line skip", "odd place", line_skip="3")
nrrd("nrrd negative byte skip", "odd place", byte_skip="-7")
nrrd("nrrd huge byte skip", "cut short", byte_skip="99999999999999999999")
nrrd("nrrd byte skip from the end", "cut short", byte_skip="-1", sizes="60 50 40")
nrrd("nrrd NaN direction", "not a finite", space_directions="(nan,0,0) (0,1,0) (0,0,1)")
nrrd("nrrd singular", "singular", space_directions="(0,0,0) (0,1,0) (0,0,1)")
nrrd("nrrd sheared", "right angle", space_directions="(1,0,0) (0.3,1,0) (0,0,1)")
nrrd("nrrd overflowing direction", "absurd", space_directions="(1e300,0,0) (0,1,0) (0,0,1)")
nrrd("nrrd direction of two numbers", "header is damaged", space_directions="(1,0) (0,1,0) (0,0,1)")
nrrd("nrrd two directions", "header is damaged", space_directions="(1,0,0) (0,1,0)")
nrrd("nrrd words for a direction", "header is damaged", space_directions="(a,b,c) (0,1,0) (0,0,1)")
nrrd("nrrd NaN origin", "not a finite", space_origin="(nan,0,0)")
nrrd("nrrd no spacing", "not a finite", space_directions=None, spacings="nan 1 1")
blob("nrrd wrong mark", "not an NRRD image", "bad.nrrd", b"NRRD0009\ntype: float\n\n")
blob("nrrd line without a colon", "header is damaged", "bad.nrrd", b"NRRD0004\nrubbish\n\n" + RAW)
blob("nrrd without an end", "header has no end", "bad.nrrd", b"NRRD0004\n" + b"x" * (2 << 20))
blob("nrrd endless header", "header has no end", "bad.nrrd", b"NRRD0004\n" + b"# a line\n" * 200_000)


# -- MetaImage
def meta(name: str, says: str, **change: str | None) -> None:
    add(name, says, lambda folder: meta_file(folder / "bad.mha", change=change))


def meta_blob(name: str, says: str, content: bytes, compressed: str = "False") -> None:
    add(
        name,
        says,
        lambda folder: meta_file(folder / "bad.mha", change={"CompressedData": compressed}, blob=content),
    )


ZLIB = zlib.compress(RAW, 1)
meta_blob("mha without voxels", "cut short", b"")
meta_blob("mha cut in half", "cut short", RAW[:240])
meta_blob("mha zlib cut", "end too early", ZLIB[:-30], "True")
meta_blob("mha zlib checksum", "damaged", ZLIB[:-1] + bytes([ZLIB[-1] ^ 1]), "True")
meta_blob("mha zlib that is none", "damaged", RAW, "True")
meta_blob("mha zlib of half", "cut short", zlib.compress(RAW[:240]), "True")
meta_blob("mha bomb", "more than its header tells of", zlib.compress(RAW + bytes(100 << 20), 9), "True")
meta_blob("mha zeros", "all voxels are the same", bytes(480))
meta_blob("mha infinite", "infinite", struct.pack("<120f", *[1.0] * 119, float("inf")))
meta("mha colours", "vectors or colours", ElementNumberOfChannels="3")
meta("mha channels in words", "header is damaged", ElementNumberOfChannels="three")
meta("mha without type", "not real numbers", ElementType=None)
meta("mha array type", "not real numbers", ElementType="MET_FLOAT_ARRAY")
meta("mha of five axes", "too many axes", NDims="5")
meta("mha of no axes", "too few", NDims=None)
meta("mha axes in words", "header is damaged", NDims="three")
meta("mha without sizes", "header is damaged", DimSize=None)
meta("mha with two sizes", "header is damaged", DimSize="6 20")
meta("mha negative size", "absurd number of voxels", DimSize="6 -5 4")
meta("mha huge", "header claims too much", DimSize="99999 99999 99999")
meta("mha beyond 64 bits", "absurd number of voxels", DimSize="99999999999999999999 1 1")
meta("mha of a tube", "not an image", ObjectType="Tube")
meta("mha as text", "written as text", BinaryData="False")
meta("mha list of files", "several files", ElementDataFile="LIST")
meta("mha outside its folder", "outside", ElementDataFile="../voxels.raw")
meta("mha absolute path", "outside", ElementDataFile="/etc/passwd")
meta("mha voxels missing", "voxels are missing", ElementDataFile="nowhere.raw")
meta("mha NaN direction", "not a finite", TransformMatrix="nan 0 0 0 1 0 0 0 1")
meta("mha singular", "right angle", TransformMatrix="1 0 0 1 0 0 0 0 1")
meta("mha sheared", "right angle", TransformMatrix="1 0 0 0.3 1 0 0 0 1")
meta("mha short matrix", "header is damaged", TransformMatrix="1 0 0 0 1 0")
meta("mha NaN spacing", "not a finite", ElementSpacing="1 nan 1")
meta("mha no spacing", "singular", ElementSpacing="1 0 1")
meta("mha infinite origin", "not a finite", Offset="0 0 inf")
meta("mha absurd origin", "absurd", Offset="0 0 1e200")
meta("mha words for an origin", "header is damaged", Offset="here there everywhere")
meta("mha skip of minus five", "header is damaged", HeaderSize="-5")
meta("mha without a data file", "header", ElementDataFile=None)
blob("mha without an end", "header has no end", "bad.mha", b"ObjectType = Image\n" * 100_000)
blob("mha with a line of rubbish", "not a MetaImage", "bad.mha", b"rubbish\nElementDataFile = LOCAL\n")
blob(
    "mhd without a value",
    "several files",
    "bad.mhd",
    b"NDims = 3\nDimSize = 2 2 2\nElementType = MET_FLOAT\nElementDataFile =\n",
)


@bad("mha with a skewed time axis", "mixed")
def _(folder: Path) -> Path:
    turn = np.eye(4)
    turn[1:, 1:] = rotation(0, 30, 0)
    change = {
        "NDims": "4",
        "DimSize": "6 5 2 2",
        "Offset": "0 0 0 0",
        "ElementSpacing": "1 1 1 1",
        "CenterOfRotation": None,
        "TransformMatrix": " ".join(map(str, turn.ravel())),
    }
    return meta_file(folder / "bad.mha", change=change)
