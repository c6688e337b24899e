"""The child process that decodes compressed pixels: ``python -m medsr.io.dicom.decode_worker``.

Input: one JSON object, {"memory": bytes, "files": [[path, frames, rows, columns], ...]}.
Output: for each frame 8 bytes of length, 4 bytes of kind (u2, i2, ...) and the numbers, little-endian; or a length
of 0 and a reason of 4 bytes, after which nothing follows.
"""

from __future__ import annotations

import json
import logging
import struct
import sys
import warnings
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

_HEAD = struct.Struct("<Q4s")


def main(source: IO[bytes], answer: IO[bytes]) -> None:
    """Decode what `source` asks for, in a process of its own."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    order = json.loads(source.read())
    limit_memory(int(order["memory"]))
    decode_all(order["files"], answer)


def decode_all(files: list[tuple[str, int, int, int]], answer: IO[bytes]) -> None:
    """Answer with the frames of `files`, or with the reason why one has none."""
    for path, count, rows, columns in files:
        try:
            for frame in frames(path, count):
                if frame.shape != (rows, columns) or frame.dtype.kind not in "iu" or frame.dtype.itemsize > 4:
                    raise _SizeError
                data = np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).tobytes()
                kind = f"{frame.dtype.kind}{frame.dtype.itemsize}".ljust(4).encode()
                answer.write(_HEAD.pack(len(data), kind) + data)
        except Exception as error:
            answer.write(_HEAD.pack(0, _reason(error)))
            return
        finally:
            answer.flush()


def frames(path: str, count: int) -> Iterator[np.ndarray[Any, Any]]:
    """The decoded frames of a file, one at a time."""
    from pydicom import dcmread
    from pydicom.pixels import get_decoder

    data = dcmread(path, force=True)
    decoder = get_decoder(data.file_meta.TransferSyntaxUID)
    if not decoder.is_available:
        raise _DecoderMissingError
    for index in range(count):
        frame, _ = decoder.as_array(data, index=index, raw=True, number_of_frames=count)
        yield frame


def limit_memory(limit: int) -> None:
    """Hold this process to `limit` bytes of address space where the system can."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    except (ImportError, ValueError, OSError):
        return


class _DecoderMissingError(Exception):
    pass


class _SizeError(Exception):
    pass


def _reason(error: Exception) -> bytes:
    if isinstance(error, _DecoderMissingError | NotImplementedError):
        return b"none"
    if isinstance(error, MemoryError):
        return b"full"
    return b"size" if isinstance(error, _SizeError) else b"bad!"


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
