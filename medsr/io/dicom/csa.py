"""Siemens' own header (CSA) and protocol text, as far as a mosaic needs them.

Layout after "SV10" and 4 bytes: the number of tags, 4 bytes; each tag is a name (64 bytes), multiplicity, VR (4
bytes), syngo type, number of items, 4 bytes; each item is four lengths and its text padded to 4 bytes. The older
layout has no "SV10", and its first length counts the items of the first tag on top. No standard describes it;
nibabel's documentation does (https://nipy.org/nibabel/dicom/siemens_csa.html).
"""

from __future__ import annotations

import re
import struct

_MAX_TAGS, _MAX_ITEMS = 1024, 4096
_OF_A_MOSAIC = ("NumberOfImagesInMosaic", "SliceNormalVector", "EchoLinePosition")
_NUMBER = re.compile(r"[-+]?\d*\.?\d+([eE][-+]?\d+)?")
_SLICE = re.compile(r"sSliceArray\.(lSize|asSlice\[\d+\]\.sPosition\.d(Sag|Cor|Tra))")
_LINE = re.compile(r"^[ \t]*([\w.\[\]]+)[ \t]*=[ \t]*(0x[\da-fA-F]+|[-+.\deE]+)[ \t]*\r?$", re.MULTILINE)


def csa_values(block: bytes) -> dict[str, list[str]]:
    """Names of a CSA header and their non-empty values; what follows a broken tag is left out."""
    new = block[:4] == b"SV10"
    at = 8 if new else 0
    found: dict[str, list[str]] = {}
    extra: int | None = None
    try:
        (count,) = struct.unpack_from("<I", block, at)
        at += 8
        for _ in range(min(count, _MAX_TAGS)):
            name = _text(block[at : at + 64])
            (items,) = struct.unpack_from("<I", block, at + 76)
            at += 84
            extra = items if extra is None else extra
            values = []
            for _ in range(min(items, _MAX_ITEMS)):
                lengths = struct.unpack_from("<4I", block, at)
                length = lengths[1] if new else max(0, lengths[0] - extra)
                at += 16
                values.append(_text(block[at : at + length]))
                at += length + (-length % 4)
            found[name] = [value for value in values if value]
    except struct.error:
        pass
    return found


def protocol_values(block: bytes) -> dict[str, float]:
    """Numbers of the protocol text (between ASCCONV BEGIN and ASCCONV END) that a CSA series header carries."""
    begin = block.find(b"### ASCCONV BEGIN")
    end = block.find(b"### ASCCONV END", begin)
    if begin < 0 or end < 0:
        return {}
    found: dict[str, float] = {}
    for name, value in _LINE.findall(block[begin:end].decode("latin-1")):
        try:
            found[name] = float(int(value, 16)) if value.startswith("0x") else float(value)
        except ValueError:
            continue
    return found


def minimal_csa(block: bytes) -> bytes:
    """A block that says of a mosaic's slices what `block` says and nothing else; empty where that is nothing."""
    values = csa_values(block)
    kept = {name: [v for v in values.get(name, []) if _NUMBER.fullmatch(v)] for name in _OF_A_MOSAIC}
    head = b"SV10\4\3\2\1" + struct.pack("<II", sum(map(bool, kept.values())), 77)
    body = b""
    for name, texts in kept.items():
        if not texts:
            continue
        body += struct.pack("<64sI4sIII", name.encode(), len(texts), b"FD\0\0", 4, len(texts), 77)
        for text in texts:
            data = text.encode() + b"\0"
            body += struct.pack("<4I", len(data), len(data), 77, len(data)) + data + b"\0" * (-len(data) % 4)
    lines = [f"{name} = {value!r}" for name, value in protocol_values(block).items() if _SLICE.fullmatch(name)]
    if lines:
        body += "\n".join(["### ASCCONV BEGIN ###", *lines, "### ASCCONV END ###"]).encode()
    return head + body if body else b""


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("latin-1").strip()
