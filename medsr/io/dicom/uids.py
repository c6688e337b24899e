"""Unique identifiers that are the same whenever the same thing is made from the same things."""

from __future__ import annotations

import hashlib
import re
import uuid

from pydicom.uid import UID

_VALID = re.compile(r"[0-9]+(\.[0-9]+)+")


def derived_uid(*parts: str | bytes) -> UID:
    """A UID under 2.25 (ITU-T X.667) from the SHA-256 of `parts`, as a version 8 (own scheme) UUID of RFC 9562."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76  # version
    number = number & ~(0x3 << 62) | 2 << 62  # variant
    return UID(f"2.25.{uuid.UUID(int=number).int}")


def is_uid(value: str) -> bool:
    """Whether a UID can be carried on: digits and dots, 64 at most. Leading zeros are wrong, but scanners write
    them.
    """
    return len(value) <= 64 and _VALID.fullmatch(value) is not None
