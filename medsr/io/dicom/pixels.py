"""The pixels of DICOM files, as numbers, with every size checked against the file before memory is asked for.

Native pixels are read here; compressed ones are decoded in a child process (see `decode`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from medsr.errors import InputError
from medsr.io.dicom.decode import Request, decoded
from medsr.io.dicom.header import open_plain
from medsr.io.dicom.instance import Instance

BLANK_BASE = 64 << 20
BLANK_RATIO = 1000
"""A compressed file may decode to 64 MiB and 1000 times its size; only empty images compress further."""

_MASKED = {uid.RLELossless}


def check_size(instance: Instance) -> None:
    """Refuse an instance whose file cannot hold the pixels that its header promises.

    Raises
    ------
    InputError
        with the bytes promised and the bytes there.
    """
    place = instance.pixels
    promised = _frame_bytes(instance) * instance.count
    if uid.UID(place.syntax).is_encapsulated != (place.length is None):
        raise InputError(
            f"{instance.path.name}: the pixel data are not stored as their transfer syntax says",
            got="a length" if place.length is not None else "no length",
            rule="native pixel data have one, compressed ones have none",
        )
    if place.length is None:
        limit = BLANK_BASE + BLANK_RATIO * place.size
        if promised > limit:
            raise InputError(
                f"{instance.path.name} promises more pixels than its compressed data can hold",
                got=f"{promised} bytes from a file of {place.size}",
            )
        return
    there = max(0, min(place.length, place.size - place.start))
    if there < promised:
        raise InputError(
            f"{instance.path.name} is cut off",
            got=f"{there} bytes of pixel data",
            rule=f"its header promises {promised}",
            hint="fetch the file again",
        )


def stored_frames(instances: Sequence[Instance]) -> Iterator[tuple[Instance, int, NDArray[np.integer]]]:
    """Each frame of each instance, (rows, columns) integers as stored, unused bits removed.

    Raises
    ------
    InputError
        if pixels are cut off, cannot be decoded, or need a decoder that is not installed.
    """
    for instance in instances:
        check_size(instance)
    packed = []
    for instance in instances:
        if instance.pixels.length is None:
            packed.append(instance)
            continue
        for index, codes in enumerate(_native(instance)):
            yield instance, index, codes
    requests = [Request(i.path, i.count, i.rows, i.columns, _frame_bytes(i)) for i in packed]
    order = ((i, n) for i in packed for n in range(i.count))
    for (instance, index), codes in zip(order, decoded(requests), strict=True):
        masked = instance.pixels.syntax in _MASKED
        yield instance, index, _without_unused_bits(codes, instance) if masked else codes


def _frame_bytes(instance: Instance) -> int:
    return instance.rows * instance.columns * (instance.bits_allocated // 8)


def _native(instance: Instance) -> Iterator[NDArray[np.integer]]:
    size, order = _frame_bytes(instance), "<" if instance.pixels.little_endian else ">"
    kind = np.dtype(f"{order}{'i' if instance.signed else 'u'}{instance.bits_allocated // 8}")
    if kind.itemsize == 1 and not instance.pixels.little_endian:
        raise InputError(
            f"{instance.path.name}: big-endian 8-bit pixels", hint="export as Explicit VR Little Endian"
        )
    try:
        with open_plain(instance.path) as file:
            file.seek(instance.pixels.start, os.SEEK_SET)
            for _ in range(instance.count):
                block = file.read(size)
                if len(block) != size:
                    raise InputError(f"{instance.path.name} is cut off", hint="fetch the file again")
                codes = np.frombuffer(block, kind).reshape(instance.rows, instance.columns)
                yield _without_unused_bits(codes, instance)
    except OSError as error:
        raise InputError(f"{instance.path} cannot be read", got=error.strerror) from None


def _without_unused_bits(codes: NDArray[np.integer], instance: Instance) -> NDArray[np.integer]:
    """The stored bits alone, sign kept: bits beside them once held overlays."""
    width = 8 * codes.dtype.itemsize
    if instance.bits_stored >= width:
        return codes
    codes = codes.astype(codes.dtype.newbyteorder("="))
    up = width - 1 - instance.high_bit
    return (codes << up) >> (width - instance.bits_stored)
