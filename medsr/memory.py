"""Memory, planned before it is taken."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from medsr.errors import MemoryLimitError

FIXED = 350 * 2**20
"""The interpreter with torch and the image libraries loaded (285 MiB were measured), and room to breathe."""

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def need(
    measured: tuple[int, ...],
    fine: tuple[int, ...],
    target: tuple[int, ...],
    frames: int,
    copies: float,
    *,
    uncertainty: bool = False,
) -> int:
    """Bytes at the peak of a reconstruction of `frames` scans.

    Parameters
    ----------
    measured, fine, target : voxels of the scan, of the grid that is reconstructed on and of the result's.
    copies : of one fine frame (float32) that the method holds at once, its result included (from its card).
    uncertainty : whether the method gives a map of it.

    The scan, its residual and the result are kept whole; of one frame at a time there are the method's copies
    and five of the scan (noise, residual, the writer's block).
    """
    scan = math.prod(measured) * (2 * frames + 5)
    result = math.prod(target) * frames * (2 if uncertainty else 1)
    return int(FIXED + 4 * (scan + math.prod(fine) * copies + result))


def check(bytes_needed: int, limit: int | None, what: str) -> None:
    """Refuses work that needs more than `limit`, or, where there is none, than the machine has left.

    Raises
    ------
    MemoryLimitError
        if so.
    """
    if limit is not None:
        if bytes_needed > limit:
            raise MemoryLimitError(
                f"{what}: too large for --max-mem",
                got=f"about {_gib(bytes_needed)} needed, {_gib(limit)} allowed",
                hint="choose a coarser --spacing, or allow more",
            )
        return
    left = available()
    if left is not None and bytes_needed > left:
        raise MemoryLimitError(
            f"{what}: too large for the memory that is free",
            got=f"about {_gib(bytes_needed)} needed, {_gib(left)} free",
            hint="choose a coarser --spacing, use a larger machine, or insist with --max-mem",
        )


def available() -> int | None:
    """Bytes that the machine, or the container or batch job that this runs in, can still give; None if unknown.

    Linux: what the kernel can free, and the control groups' limits. Windows: the free physical memory. Elsewhere
    all physical memory, since what is free there does not count what could be freed.
    """
    if sys.platform == "win32":
        return _windows()
    readings = [r for r in (_linux(), _control_group()) if r is not None]
    if readings:
        return min(readings)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _linux() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _control_group() -> int | None:
    """The least that the control groups of this process leave it: limit - usage + cache that can be dropped."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    readings: list[int] = []
    for line in lines:
        number, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        if number == "0":
            root, names = CONTROL_GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = CONTROL_GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.lstrip("/")
        # within a container the path may be the host's, and the container's own group lies at the root
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                readings += _left_in(folder, *names)
    return min(readings, default=None)


def _left_in(group: Path, limit: str, usage: str, cache: str) -> list[int]:
    try:
        most = (group / limit).read_text(encoding="ascii").strip()
        if most == "max":
            return []
        used = int((group / usage).read_text(encoding="ascii"))
        table = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        return [max(0, int(most) - used + int(table.get(cache, 0)))]
    except (OSError, ValueError):
        return []


if sys.platform == "win32":

    def _windows() -> int | None:
        import ctypes

        class Status(ctypes.Structure):
            """MEMORYSTATUSEX of the Windows API."""

            _fields_ = (
                ("length", ctypes.c_ulong),
                ("load", ctypes.c_ulong),
                ("total", ctypes.c_ulonglong),
                ("available", ctypes.c_ulonglong),
                ("others", ctypes.c_ulonglong * 5),
            )

        status = Status(length=ctypes.sizeof(Status))
        known = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.available) if known else None


def _gib(n: int) -> str:
    return f"{n / 2**30:.2f} GiB"
