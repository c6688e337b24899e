"""Decoding compressed pixels in a child process with limits, so that a bad stream can crash nothing here.

The child (`decode_worker`) runs this Python, takes a list of files on its standard input and answers with frames
on its standard output; nothing touches the disk. It limits its own memory where the system can (not on Windows),
and is killed when a frame takes longer than its time.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError

SECONDS = 10.0
"""Time for one frame, besides 1 s for each MiB of it; the first may take three times as long (the child has to
start).
"""
MEMORY = 768 << 20
"""Address space of the child, besides four times the largest file and eight times its frame."""

_WORKER = ("-P", "-m", "medsr.io.dicom.decode_worker")
_ANSWER = struct.Struct("<Q4s")
_WHY = {
    b"none": (
        "no decoder is installed for its compression",
        "pip install pylibjpeg-openjpeg pyjpegls python-gdcm",
    ),
    b"size": ("its compressed frames are not of the size that the header promises", "fetch the file again"),
    b"full": ("its compressed pixels need more memory than images of that size do", "fetch the file again"),
    b"bad!": ("its compressed pixels cannot be decoded", "fetch it again, or export the series uncompressed"),
}
_KINDS = {b"u1  ", b"i1  ", b"u2  ", b"i2  ", b"u4  ", b"i4  "}


@dataclass(frozen=True)
class Request:
    """A file, and what its header says of its frames."""

    path: Path
    frames: int
    rows: int
    columns: int
    frame_bytes: int


def decoded(requests: Sequence[Request]) -> Iterator[NDArray[np.integer]]:
    """All frames of all files, in order, (rows, columns).

    Raises
    ------
    InputError
        if a frame cannot be decoded within the limits, naming its file.
    """
    if not requests:
        return
    memory = MEMORY + max(8 * r.frame_bytes + 4 * r.path.stat().st_size for r in requests)
    order = {
        "memory": memory,
        "files": [[str(r.path.resolve()), r.frames, r.rows, r.columns] for r in requests],
    }
    child = subprocess.Popen(  # noqa: S603 - this interpreter, a fixed module, data on its standard input
        [sys.executable, *_WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    assert child.stdin and child.stdout
    try:
        _send(child.stdin, json.dumps(order).encode())
        patience = 3.0
        for request in requests:
            for _ in range(request.frames):
                yield _answer(child, child.stdout, request, patience * SECONDS + request.frame_bytes / (1 << 20))
                patience = 1.0
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def _environment() -> dict[str, str]:
    """This process's environment, finding the same medsr, with one thread (each takes address space)."""
    root = str(Path(__file__).parents[3])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": path}


def _send(pipe: IO[bytes], order: bytes) -> None:
    try:
        with pipe:
            pipe.write(order)
    except OSError:
        return  # the child has died; reading its answer says so


def _answer(
    child: subprocess.Popen[bytes], pipe: IO[bytes], request: Request, seconds: float
) -> NDArray[np.integer]:
    late = threading.Event()

    def stop() -> None:
        late.set()
        child.kill()

    watch = threading.Timer(seconds, stop)
    watch.start()
    try:
        head = pipe.read(_ANSWER.size)
        length, kind = _ANSWER.unpack(head) if len(head) == _ANSWER.size else (0, b"dead")
        fits = kind in _KINDS and length == request.rows * request.columns * int(kind[1:2])
        block = pipe.read(length) if fits else b""
    finally:
        watch.cancel()
    name = request.path.name
    if late.is_set():
        raise InputError(f"{name}: decoding took longer than {seconds:.0f} s", hint="decompress the series first")
    if kind == b"dead" or (fits and len(block) != length):
        raise InputError(f"{name}: the decoder of its compressed pixels crashed", hint="fetch the file again")
    if not fits:
        what, hint = _WHY.get(kind, _WHY[b"size"])
        raise InputError(f"{name}: {what}", hint=hint)
    return np.frombuffer(block, f"<{kind[:2].decode()}").reshape(request.rows, request.columns)
