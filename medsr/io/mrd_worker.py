"""HDF5 in a process of its own, so that a damaged file cannot take medsr down with it.

The HDF5 library was found to crash and to hang on files with a few bytes changed. Here a child process reads
the file and sends plain arrays through a pipe; if it dies, or is silent for too long, the file is refused.

Messages from the child: one byte of kind, eight of length, then the payload. ``X`` XML, ``H`` headers (.npy),
``D`` and ``T`` samples and positions (.npy), ``.`` the end of an answer, ``E`` a refusal as UTF-8 text.
The parent sends row numbers as eight bytes of length and an .npy.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, MedsrError
from medsr.io.hdf5 import open_hdf5
from medsr.io.mrd_source import Block, Hdf5Source, Heads

PATIENCE = 10.0
"""Seconds that the child may be silent."""

_SPARE_BYTES = 4 << 30
"""Address space that the child may use beyond three times the file's size."""

_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from medsr.io import mrd_worker; mrd_worker.serve(sys.argv[2])"
)


@contextmanager
def worker_source(path: Path) -> Iterator[WorkerSource]:
    """The acquisitions of `path`, read by a child process that ends with this context.

    Raises
    ------
    InputError
        if the file is refused, or the HDF5 library fails on it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    root = str(Path(__file__).resolve().parents[2])
    # the child runs this interpreter and this copy of medsr; -P keeps the working directory off its path
    command = [sys.executable, "-P", "-c", _START, root, str(path)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(  # noqa: S603 - no shell, and the command is our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            yield WorkerSource(process, path)
        finally:
            process.kill()


class WorkerSource:
    """The parent's side: a `Source` that asks the child."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self._process, self._path = process, path
        self.xml: bytes = self._expect(b"X")
        self.heads: Heads = _unpacked(self._expect(b"H"))

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[Block]:
        """See `Source`."""
        pipe = self._process.stdin
        assert pipe is not None
        packed = _packed(rows)
        try:
            pipe.write(struct.pack("<Q", len(packed)) + packed)
            pipe.flush()
        except OSError:
            raise self._failed() from None
        while True:
            kind, payload = self._receive()
            if kind == b".":
                return
            yield _unpacked(payload), _unpacked(self._expect(b"T"))

    def _expect(self, kind: bytes) -> bytes:
        found, payload = self._receive()
        if found != kind:
            raise self._failed()
        return payload

    def _receive(self) -> tuple[bytes, bytes]:
        pipe = self._process.stdout
        assert pipe is not None
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            head = pipe.read(9)
            if len(head) < 9:
                raise self._failed()
            (size,) = struct.unpack("<Q", head[1:])
            payload = pipe.read(size)
        finally:
            watchdog.cancel()
        if len(payload) < size:
            raise self._failed()
        if head[:1] == b"E":
            raise InputError(payload.decode(errors="replace"))
        return head[:1], payload

    def _failed(self) -> InputError:
        return InputError(
            f"{self._path}: the HDF5 library fails on this file",
            rule=f"readable without a crash, {PATIENCE:.0f} s of silence or excessive memory",
            hint="copy the file again",
        )


def serve(name: str) -> None:
    """The child's side: answers on standard output until standard input ends."""
    path, out, asked = Path(name), sys.stdout.buffer, sys.stdin.buffer
    _limit_memory(path)
    try:
        with open_hdf5(path) as file:
            source = Hdf5Source(file, path)
            _send(out, b"X", source.xml)
            _send(out, b"H", _packed(source.heads))
            while len(size := asked.read(8)) == 8:
                rows = _unpacked(asked.read(struct.unpack("<Q", size)[0]))
                for data, traj in source.blocks(rows):
                    _send(out, b"D", _packed(data))
                    _send(out, b"T", _packed(traj))
                _send(out, b".", b"")
    except MedsrError as e:
        _send(out, b"E", str(e).encode())


def _send(out: BinaryIO, kind: bytes, payload: bytes) -> None:
    out.write(kind + struct.pack("<Q", len(payload)))
    out.write(payload)
    out.flush()


def _packed(array: NDArray[Any]) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _unpacked(data: bytes) -> NDArray[Any]:
    return np.lib.format.read_array(BytesIO(data), allow_pickle=False)


def _limit_memory(path: Path) -> None:
    try:
        import resource
    except ImportError:
        return
    limit = _SPARE_BYTES + 3 * path.stat().st_size
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or hard > limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
