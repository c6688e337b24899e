"""Values out of a DICOM data set that may be missing, empty, of the wrong kind or broken."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import MutableSequence
from typing import Any

_TIME = re.compile(r"(\d{2})(\d{2})?(\d{2}(?:\.\d{1,6})?)?")
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")


def raw(data: Any, keyword: str) -> Any:
    """The value of `keyword`, or None where it is absent, empty or cannot be decoded."""
    try:
        value = data.get(keyword)
    except Exception:  # what a broken element raises depends on how it is broken
        return None
    if value is None or (isinstance(value, str | bytes) and not value):
        return None
    return value


def private(data: Any, tag: int) -> Any:
    """The value of a private element, None where it is absent or broken."""
    try:
        return data[tag].value
    except Exception:
        return None


def texts(data: Any, keyword: str) -> tuple[str, ...]:
    """All values of a text attribute."""
    value = raw(data, keyword)
    if value is None:
        return ()
    try:
        return tuple(str(v).strip(" \0") for v in (value[:64] if _several(value) else [value]))
    except Exception:
        return ()


def text(data: Any, keyword: str) -> str:
    """The first value of a text attribute, "" where there is none."""
    return next(iter(texts(data, keyword)), "")


def numbers(data: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers, or None."""
    value = raw(data, keyword)
    if value is None:
        return None
    try:
        found = [float(v) for v in (value if _several(value) else [value])]
    except Exception:
        return None
    return tuple(found) if len(found) == count and all(math.isfinite(v) for v in found) else None


def present(data: Any, keyword: str) -> bool:
    """Whether an attribute is there with a value, be it a broken one."""
    try:
        return keyword in data and bool(data[keyword].value not in (None, "", b""))
    except Exception:
        return True


def as_number(value: Any) -> float | None:
    """A value, or the first of several, as a finite number; None where it is none."""
    try:
        found = float(value[0] if _several(value) else value)
    except Exception:
        return None
    return found if math.isfinite(found) else None


def number(data: Any, keyword: str) -> float | None:
    """The first value of a numeric attribute, None where there is no finite one."""
    return as_number(raw(data, keyword))


def whole(data: Any, keyword: str) -> int | None:
    """A number that is a whole one."""
    found = number(data, keyword)
    return int(found) if found is not None and found == int(found) and abs(found) < 2**53 else None


def items(data: Any, keyword: str) -> list[Any]:
    """The items of a sequence; none where it is absent or broken."""
    value = raw(data, keyword)
    try:
        return [item for item in value if hasattr(item, "get")]
    except Exception:
        return []


def item(data: Any, keyword: str) -> Any:
    """The first item of a sequence, an empty dictionary where there is none."""
    return next(iter(items(data, keyword)), {})


def moment(data: Any, date: str, time: str, both: str) -> float | None:
    """Seconds on one long clock from a DT attribute `both`, or else a DA and a TM attribute."""
    stamp = text(data, both)
    day, clock = (stamp[:8], stamp[8:]) if stamp else (text(data, date), text(data, time))
    when = _TIME.match(clock)
    if not when:
        return None
    seconds = int(when[1]) * 3600 + int(when[2] or 0) * 60 + float(when[3] or 0)
    on = _DATE.match(day)
    try:
        return (
            seconds + 86400.0 * datetime.date(*(int(part) for part in on.groups())).toordinal() if on else seconds
        )
    except ValueError:
        return seconds


def _several(value: Any) -> bool:
    """Whether a value is a list; a person's name can be iterated over, but is one value."""
    return isinstance(value, MutableSequence | tuple)
