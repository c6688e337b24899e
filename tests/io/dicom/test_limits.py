"""Files that lie about their size, and streams that would take the machine with them."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from medsr.errors import InputError
from medsr.io.dicom import decode, decode_worker, read
from medsr.io.dicom.header import INFLATE_BASE
from medsr.io.dicom.quiet import quiet
from tests.io.dicom.synthetic import GEOMETRIES, base, numbers, save, write_classic, write_enhanced

AFFINE = GEOMETRIES["oblique"]


def grown(action) -> int:
    """Bytes by which an action raised this process's highest memory."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    action()
    unit = 1 if sys.platform == "darwin" else 1024
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit


def refuse(path, message):
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_deflated_bomb_is_refused_before_it_grows(tmp_path):
    """A quarter of a MB that inflates to 256 MB."""
    pytest.importorskip("resource")
    one = base()
    one.SOPInstanceUID, one.PixelData = "1.2.3", b"00"
    path = save(one, tmp_path / "bomb.dcm", DeflatedExplicitVRLittleEndian)
    start = path.read_bytes()
    meta = 144 + struct.unpack_from("<I", start, 140)[0]
    packer = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
    packed = zlib.decompress(start[meta:], -zlib.MAX_WBITS)
    body = packer.compress(packed[:-14]) + packer.compress(b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", 1 << 28))
    for _ in range(16):
        body += packer.compress(bytes(1 << 24))
    path.write_bytes(start[:meta] + body + packer.flush())
    assert path.stat().st_size < 1 << 20
    assert grown(lambda: refuse(path, "larger than images are")) < 3 * INFLATE_BASE


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_header_that_promises_what_its_stream_cannot_hold(tmp_path, syntax):
    def edit(one, time, place):
        one.PixelData = encapsulate([b"\0" * 100])
        one["PixelData"].is_undefined_length = True
        one.Rows = one.Columns = 60000

    write_classic(tmp_path, numbers(4, 4, 3), AFFINE, syntax=syntax, edit=edit)
    refuse(tmp_path, "promises more pixels")


def test_native_pixels_that_are_cut_off(tmp_path):
    path = write_enhanced(tmp_path / "a.dcm", numbers(32, 32, 8), AFFINE)
    path.write_bytes(path.read_bytes()[:-700])
    refuse(path, r"cut off; got 15684 bytes of pixel data; its header promises 16384")


def test_native_pixels_under_a_compressed_syntax(tmp_path):
    for path in write_classic(tmp_path, numbers(4, 4, 3), AFFINE):
        data = path.read_bytes()
        assert data.count(b"1.2.840.10008.1.2.1\0") == 1
        path.write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))
    refuse(tmp_path, "not stored as their transfer syntax says")


def test_a_million_frames_are_not_believed(tmp_path):
    def edit(one):
        one.NumberOfFrames = 1 << 30

    refuse(write_enhanced(tmp_path / "a.dcm", numbers(4, 4, 3), AFFINE, edit=edit), "describes 3 of its")


def test_length_fields_claim_no_memory(tmp_path):
    """A text element that says it is 4 GB long."""
    path = write_classic(tmp_path, numbers(4, 4, 3), AFFINE)[0]
    data = path.read_bytes()
    at = data.index(b"\x20\x00\x32\x00DS")
    path.write_bytes(data[:at] + b"\x20\x00\x32\x00UT\0\0\xfe\xff\xff\xff" + data[at + 8 :])
    with pytest.raises(InputError):
        read(path)


def write_compressed(folder, syntax, stream=None, shape=(64, 48, 3)):
    paths = write_classic(folder, numbers(*shape), AFFINE)
    for path in paths:
        one = pydicom.dcmread(path)
        if stream is None:
            one.compress(syntax, generate_instance_uid=False)
        else:
            one.PixelData = encapsulate([stream])
            one["PixelData"].is_undefined_length = True
            one.file_meta.TransferSyntaxUID = syntax
        one.save_as(path)
    return paths


def test_garbage_streams(tmp_path):
    write_compressed(tmp_path / "a", RLELossless, b"\x01" * 64)
    refuse(tmp_path / "a", "cannot be decoded|not of the size")
    write_compressed(tmp_path / "b", JPEG2000Lossless, bytes(range(256)))
    refuse(tmp_path / "b", "cannot be decoded|no decoder")


def test_a_stream_of_another_size(tmp_path):
    pytest.importorskip("openjpeg")
    paths = write_compressed(tmp_path, JPEG2000Lossless)
    for path in paths:
        one = pydicom.dcmread(path)
        one.Rows, one.Columns = 50, 63
        one.save_as(path)
    refuse(tmp_path, "not of the size|cannot be decoded")


def test_a_stream_that_claims_a_huge_image(tmp_path):
    """A JPEG 2000 stream whose own header says 60000 x 60000."""
    pytest.importorskip("openjpeg")
    for path in write_compressed(tmp_path, JPEG2000Lossless):
        data = bytearray(path.read_bytes())
        at = data.index(b"\xff\x4f\xff\x51") + 8
        struct.pack_into(">II", data, at, 60000, 60000)
        struct.pack_into(">II", data, at + 16, 60000, 60000)
        path.write_bytes(bytes(data))
    refuse(tmp_path, "cannot be decoded|more memory|crashed|not of the size")


def test_no_decoder_is_said_with_what_to_install(tmp_path, monkeypatch):
    paths = write_compressed(tmp_path, RLELossless)
    monkeypatch.setattr(decode, "_answer", _none)
    with pytest.raises(InputError, match="pip install"):
        read(paths[0].parent)


def _none(child, pipe, request, seconds):
    what, hint = decode._WHY[b"none"]
    raise InputError(f"{request.path.name}: {what}", hint=hint)


def test_a_slow_decoder_is_stopped(tmp_path, monkeypatch):
    write_compressed(tmp_path, RLELossless)
    monkeypatch.setattr(decode, "SECONDS", 0.0)
    refuse(tmp_path, "took longer than")


def test_the_child_holds_its_memory_limit():
    pytest.importorskip("resource")
    code = (
        "from medsr.io.dicom.decode_worker import limit_memory, _reason\n"
        "limit_memory(700 << 20)\n"
        "try: bytearray(1 << 30)\n"
        "except Exception as error: print(_reason(error).decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=decode._environment()
    )
    assert done.stdout.strip() == "full"


def test_a_child_that_dies_is_no_crash(tmp_path, monkeypatch):
    write_compressed(tmp_path, RLELossless)
    monkeypatch.setattr(decode, "_WORKER", ("-c", "raise SystemExit(3)"))
    refuse(tmp_path, "crashed")


def test_the_worker_answers_with_a_reason(tmp_path):
    """In this process: frames of one file, then the reason why the next has none."""
    good = write_compressed(tmp_path / "a", RLELossless)[0]
    bad = write_compressed(tmp_path / "b", JPEGLosslessSV1, b"\xff\xd8\xff")[0]
    answer = io.BytesIO()
    with quiet():
        decode_worker.decode_all([(str(good), 1, 48, 64), (str(bad), 1, 48, 64)], answer)
    head = struct.unpack_from("<Q4s", answer.getvalue())
    assert head == (64 * 48 * 2, b"u2  ")
    assert answer.getvalue()[12 + head[0] :][8:] in (b"bad!", b"none")
    assert np.frombuffer(answer.getvalue(), "<u2", 64 * 48, 12).max() < 4096
