"""NIfTI-1 and NIfTI-2: one file (.nii, .nii.gz) or a pair (.hdr and .img, plain or gzipped).

The header is decoded by nibabel and checked here; the voxels are read and written here, block by block.
NIfTI: https://nifti.nimh.nih.gov; Cox et al., "A (sort of) new image data format standard: NIfTI-1", 2004.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from medsr.errors import InputError, OutputError
from medsr.io.encode import GZIP_LEVEL, scaling, storable, write_voxels
from medsr.io.image import ImageHeader
from medsr.io.names import data_halves, header_halves, image_suffix, is_data_half, is_file
from medsr.io.stream import ByteStream
from medsr.io.voxels import Encoding, check_shape
from medsr.io.xform import FORM_TOLERANCE, NiftiFields, world
from medsr.volume import Grid, ScanFacts, Volume

SIZES = {1: 348, 2: 540}
MAGIC = {1: (b"n+1\0", b"ni1\0"), 2: (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")}

REAL_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
OTHER_TYPES = {
    0: "of unknown type",
    1: "single bits",
    32: "complex numbers",
    128: "RGB colours",
    1536: "128-bit floating point",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colours",
}

LONGEST_TR = 60.0
"""Seconds; a repetition time without a unit is not believed above this."""


def read(path: str | Path, max_bytes: int | None = None) -> Volume:
    """The image at `path` as float32, in the order of the file, ``(x, y, z)`` or ``(t, x, y, z)``.

    Values have the scale and offset of the header applied. World coordinates follow the sform where it has a
    code, else the qform, else nibabel's default; what was assumed or contradicts itself stands in the notes.

    Parameters
    ----------
    path : .nii, .nii.gz, or either half of a pair .hdr/.img (each plain or gzipped).
    max_bytes : refuse an image that takes more memory than this.

    Raises
    ------
    InputError
        if the file is not a NIfTI image of real numbers, or is damaged, cut short or empty of content.
    GeometryError
        if its affine is not finite, singular or sheared.
    MemoryLimitError
        if it takes more than `max_bytes`.
    """
    return read_header(path).load(max_bytes)


def read_header(path: str | Path) -> ImageHeader:
    """The checked header of the image at `path`; the file is known to be large enough for what it claims.

    Raises
    ------
    InputError, GeometryError
        as `read`.
    """
    path = Path(path)
    header_path, data_path = _halves(path)
    with ByteStream(header_path) as stream:
        fields = _decode(header_path, stream, paired=data_path is not None)
    with np.errstate(all="ignore"):  # absurd numbers overflow before they are refused
        return _understand(path, fields, data_path).check_size()


def _understand(path: Path, fields: NiftiFields, data_path: Path | None) -> ImageHeader:
    """What the fields of a header mean."""
    shape, frames = _shape(fields)
    encoding = _encoding(fields, data_path)
    grid, xform_code, geometry_notes = world(fields, shape)
    tr, tr_notes = _repetition_time(fields, frames)
    facts = ScanFacts(tr=tr, slice_axis=_slice_axis(fields))
    notes = (*fields.notes, *geometry_notes, *tr_notes, *_intent_notes(fields))
    return ImageHeader(path, f"NIfTI-{fields.version}", grid, frames, encoding, facts, notes, xform_code)


def _halves(path: Path) -> tuple[Path, Path | None]:
    """The file of the header, and that of the voxels where it is another one."""
    suffix = image_suffix(path)
    if is_data_half(path):
        found = next((p for p in header_halves(path) if is_file(p)), None)
        if found is None:
            raise InputError(f"{path}: the header of the pair is missing", rule="a .hdr lies beside the .img")
        return found, path
    if suffix in (".hdr", ".hdr.gz"):
        found = next((p for p in data_halves(path) if is_file(p)), None)
        if found is None:
            raise InputError(f"{path}: the voxels of the pair are missing", rule="an .img lies beside the .hdr")
        return path, found
    return path, None


def _decode(path: Path, stream: ByteStream, paired: bool) -> NiftiFields:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    start = stream.read(4, "bytes of a header")
    order, version = _byte_order(path, bytes(start))
    block = bytes(start) + bytes(stream.read(SIZES[version] - 4, "bytes of a header"))
    kind = Nifti1Header if version == 1 else Nifti2Header
    header = kind(block, endianness=order, check=False)
    magic = block[344:348] if version == 1 else block[4:12]
    single, pair = MAGIC[version]
    if magic == pair and not paired:
        raise InputError(
            f"{path}: this is the header of a pair",
            rule="its voxels are in a file of their own",
            hint="name the pair .hdr and .img",
        )
    if magic == single and paired:
        raise InputError(
            f"{path}: the header is that of a single file",
            rule="a pair .hdr, .img says so in its header",
            hint="name the file .nii",
        )
    if magic not in (single, pair):
        analyze = version == 1 and not any(magic)
        raise InputError(
            f"{path}: this is not a NIfTI image",
            got="an ANALYZE 7.5 header, which does not tell left from right" if analyze else f"mark {magic!r}",
            rule=f"a NIfTI-{version} header has the mark {single!r} or {pair!r}",
            hint="convert it to NIfTI with the program that made it" if analyze else None,
        )
    notes: tuple[str, ...] = ()
    if path.name.lower().endswith(".gz") != stream.compressed:
        notes = (f"the file is {'' if stream.compressed else 'not '}gzipped, which its name does not say",)
    return NiftiFields(path, version, paired, header, notes)


def _byte_order(path: Path, start: bytes) -> tuple[str, int]:
    """Byte order and version, from the first field of the header: its own size."""
    for version, size in SIZES.items():
        if int.from_bytes(start, "little") == size:
            return "<", version
        if int.from_bytes(start, "big") == size:
            return ">", version
    raise InputError(
        f"{path}: this is not a NIfTI image",
        got=f"first bytes {start!r}",
        rule="a NIfTI header begins with its size, 348 or 540",
    )


def _shape(fields: NiftiFields) -> tuple[tuple[int, int, int], int | None]:
    """The three axes of space, and the number of frames where there is a fourth axis."""
    path = fields.path
    count, *lengths = (int(n) for n in fields.header["dim"])
    if not 1 <= count <= 7:
        raise InputError(
            f"{path}: the header is damaged", got=f"{count} axes (dim[0])", rule="NIfTI has 1 to 7 axes"
        )
    dims = lengths[:count]
    while len(dims) > 3 and dims[-1] == 1:
        dims.pop()
    if len(dims) > 4:
        raise InputError(
            f"{path}: the image has too many axes",
            got=" x ".join(map(str, dims)),
            rule="medsr takes (x, y, z) or (x, y, z, t)",
            hint="split vectors or further axes into images of their own",
        )
    dims += [1] * (3 - len(dims))
    shape, frames = (dims[0], dims[1], dims[2]), dims[3] if len(dims) == 4 else None
    check_shape(path, shape, frames)
    return shape, frames


def _encoding(fields: NiftiFields, data_path: Path | None) -> Encoding:
    path = fields.path
    code = fields.integer("datatype")
    if code not in REAL_TYPES:
        raise InputError(
            f"{path}: the voxels are not real numbers",
            got=f"{OTHER_TYPES.get(code, 'of unknown type')} (datatype {code})",
            rule="medsr takes integers and floating point of up to 64 bits",
            hint="convert it to magnitude or grey values, 16-bit or float, first",
        )
    dtype = np.dtype(fields.header.endianness + REAL_TYPES[code])
    slope, intercept = fields.number("scl_slope"), fields.number("scl_inter")
    if slope == 0 or math.isnan(slope):  # the format's own way to say: not scaled
        slope, intercept = 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise InputError(
            f"{path}: the scale of the values is not finite",
            got=f"scl_slope {slope:g}, scl_inter {intercept:g}",
            rule="value = scl_slope * stored + scl_inter",
            hint="mend the header first",
        )
    return Encoding(data_path or path, dtype, skip=_offset(fields), slope=slope, intercept=intercept)


def _offset(fields: NiftiFields) -> int:
    """Where the voxels begin."""
    offset = fields.number("vox_offset")
    least = 0 if fields.paired else SIZES[fields.version] + 4
    if offset == 0:
        return least
    if not (math.isfinite(offset) and offset == int(offset) and offset >= least):
        raise InputError(
            f"{fields.path}: the header is damaged",
            got=f"voxels from byte {offset:g} on (vox_offset)",
            rule=f"a whole number of at least {least}",
            hint="export the file again",
        )
    return int(offset)


def _repetition_time(fields: NiftiFields, frames: int | None) -> tuple[float | None, tuple[str, ...]]:
    """TR in seconds from pixdim[4], and notes."""
    # the shortest number that gives these 32 bits: 0.72 rather than 0.7200000286
    value, unit = float(str(fields.header["pixdim"][4])), fields.integer("xyzt_units") & 0x38
    if not (math.isfinite(value) and value > 0):
        return None, ()
    if unit in (8, 16, 24):
        tr = value / {8: 1.0, 16: 1e3, 24: 1e6}[unit]
        # a single volume with a TR of exactly 1 s: what programs fill in
        return (None if frames is None and tr == 1 else tr), ()
    if frames is None:
        return None, ()
    if unit:
        return None, ("the fourth axis is not time, as its unit says",)
    if value > LONGEST_TR or value == 1:
        return None, (f"the repetition time of {value:g} has no unit and is not used",)
    return value, (f"the repetition time of {value:g} has no unit; seconds are assumed",)


def _slice_axis(fields: NiftiFields) -> int | None:
    axis = (fields.integer("dim_info") >> 4) & 3
    return axis - 1 if axis else None


def _intent_notes(fields: NiftiFields) -> tuple[str, ...]:
    code = fields.integer("intent_code")
    if code == 1002:
        return ("the header says that this is a label map; medsr is made for images",)
    if 2 <= code <= 24:
        return (f"the header says that these are statistics (intent code {code}); medsr is made for images",)
    if 1003 <= code <= 1011 or code in (2003, 2004):
        return (f"the header says that these are no grey values (intent code {code})",)
    return ()


def write(volume: Volume, path: str | Path, *, dtype: DTypeLike = "float32", description: str = "medsr") -> None:
    """Write a volume as NIfTI: .nii or .nii.gz by the suffix of `path`.

    The same volume gives the same bytes. sform and qform agree and carry the volume's code (where its axes are
    off the right angle by more than a quaternion can tell, the sform alone), lengths are in mm, time in seconds.
    NIfTI-2 is written where an axis is too long for NIfTI-1.

    Parameters
    ----------
    volume : data (x, y, z) or (t, x, y, z).
    path : the file, which is overwritten; see `medsr.io.atomic` for how not to leave half a file.
    dtype : of the stored voxels, float32 or float64, or an integer type of up to 32 bits. Integers are stored as
        they are where the values are whole and fit, otherwise scaled to the range of the type.
    description : the header's text, at most 79 bytes.

    Raises
    ------
    UsageError
        if `dtype` cannot be written, or is an integer type and the data are not finite.
    OutputError
        if the suffix is not .nii or .nii.gz.
    """
    path = Path(path)
    if image_suffix(path) not in (".nii", ".nii.gz"):
        raise OutputError(
            f"{path}: no NIfTI image is written under this name", rule="the suffix is .nii or .nii.gz"
        )
    stored = storable(dtype)
    slope, intercept = scaling(volume.data, stored)
    head = _encode(volume, stored, slope, intercept, description)
    with path.open("wb") as file:
        if image_suffix(path) == ".nii":
            file.write(head)
            write_voxels(file, volume.data, stored, slope, intercept)
            return
        # no name and no time in the stream's header: the same image gives the same bytes
        with gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
            packed.write(head)
            write_voxels(packed, volume.data, stored, slope, intercept)


def _encode(
    volume: Volume, stored: np.dtype[np.generic], slope: float, intercept: float, description: str
) -> bytes:
    """Header, and the four bytes that say that no extension follows."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    shape = volume.grid.shape + (volume.data.shape[:1] if volume.data.ndim == 4 else ())
    header = (Nifti1Header if max(shape) < 1 << 15 else Nifti2Header)(endianness="<")
    header.set_data_dtype(stored)
    header.set_data_shape(shape)
    affine, code = volume.grid.affine, volume.xform_code
    header.set_qform(affine, code)
    header.set_sform(affine, code)
    told = Grid(volume.grid.shape, header.get_qform())
    if not told.is_close(volume.grid, FORM_TOLERANCE):
        header["qform_code"] = 0
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4] = volume.facts.tr or 0
    header.set_dim_info(slice=volume.facts.slice_axis)
    header["scl_slope"], header["scl_inter"] = slope, intercept
    header["descrip"] = description.encode()[:79]
    single = 348 + 4 if header["sizeof_hdr"] == 348 else 540 + 4
    header["vox_offset"] = single
    header["magic"] = MAGIC[1 if single == 352 else 2][0].rstrip(b"\0")
    return bytes(header.binaryblock) + bytes(4)
