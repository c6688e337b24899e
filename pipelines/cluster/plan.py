"""What a study costs: ``python -m pipelines.cluster.plan SOURCE``.

Reconstructs the scans under SOURCE with `medsr batch`, one thread, into a temporary folder, then once more to
see what an already finished scan costs, and prints seconds and bytes a scan and what they make for many scans.
All of the processor's seconds are counted (decoding, checksums, compression, the table), so that other work on
the machine changes little; the clock's are said beside them. What a shard spends before its first scan is
measured on a tiny one, which loads all that any scan needs. Measure on a machine of the kind that the cluster
has, with scans and options of the kind that the study has.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HOURS_A_SHARD = 4.0
"""Long enough that starting does not count, short enough that a lost node loses little."""


TINY = 16
"""Voxels along each axis of the scan that costs nothing but the start."""


@dataclass(frozen=True)
class Measured:
    """Means over the scans that were done.

    seconds : of the processor, of a scan. clock : by the clock, of a scan. start : of the processor, of a shard
    before its first scan. again : of the processor, of a scan that is finished already. read, written : bytes.
    files : written. planned, memory : GiB at the peak, as medsr planned it and as the process had it.
    """

    scans: int
    seconds: float
    clock: float
    start: float
    again: float
    read: float
    written: float
    files: float
    planned: float
    memory: float


@dataclass(frozen=True)
class Spent:
    """What went into a process and its children: seconds of the processor and by the clock, GiB at the peak."""

    seconds: float
    clock: float
    memory: float


@dataclass(frozen=True)
class Plan:
    """A study on a cluster; times in hours, sizes in bytes."""

    scans: int
    cores: int
    core_hours: float
    shards: int
    days: float
    read: float
    written: float
    files: float
    again_hours: float


def plan(measured: Measured, scans: int, cores: int) -> Plan:
    """What `scans` scans take on `cores` cores, a shard a core.

    ``core-hours = (scans x seconds + shards x start) / 3600``, ``days = core-hours / cores / 24``; the shards are
    as many as make `HOURS_A_SHARD` each, and no fewer than the cores.
    """
    work = scans * measured.seconds / 3600
    shards = max(1, min(scans, max(cores, round(work / HOURS_A_SHARD))))
    total = work + shards * measured.start / 3600
    return Plan(
        scans=scans,
        cores=cores,
        core_hours=total,
        shards=shards,
        days=total / min(cores, shards) / 24,
        read=scans * measured.read,
        written=scans * measured.written,
        files=scans * measured.files,
        again_hours=(scans * measured.again + shards * measured.start) / 3600,
    )


def measure(source: Path, options: list[str]) -> Measured:
    """Runs `medsr batch` twice over `source`, and twice over a tiny scan."""
    with tempfile.TemporaryDirectory() as folder:
        tiny, out = Path(folder, "tiny"), Path(folder, "out")
        _tiny_scan(tiny)
        start, ready = (_batch(tiny, Path(folder, "started"), options) for _ in range(2))
        first = _batch(source, out, options)
        with (out / "outcomes.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["status"] in ("done", "missed")]
        again = _batch(source, out, options)
        if not rows:
            raise SystemExit("no scan could be reconstructed")
        count = len(rows)
        inputs = {Path(row["input"]) for row in rows}
        files = [p for p in out.rglob("*") if p.is_file() and not p.name.startswith("outcomes")]
        return Measured(
            scans=count,
            seconds=max(0.0, first.seconds - start.seconds) / count,
            clock=max(0.0, first.clock - start.clock) / count,
            start=start.seconds,
            again=max(0.0, again.seconds - ready.seconds) / count,
            read=sum(map(_size, inputs)) / count,
            written=sum(p.stat().st_size for p in files) / count,
            files=len(files) / count,
            planned=max(float(row["memory_gib"] or 0) for row in rows),
            memory=first.memory,
        )


def _batch(source: Path, out: Path, options: list[str]) -> Spent:
    command = [sys.executable, "-m", "medsr", "batch", str(source), "-o", str(out), "-q", "--threads", "1"]
    start = time.perf_counter()
    with subprocess.Popen([*command, *options]) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    clock = time.perf_counter() - start
    if process.returncode not in (0, 7, 8):
        raise SystemExit(process.returncode)
    return Spent(used.ru_utime + used.ru_stime, clock, used.ru_maxrss * 1024 / 2**30)


def _tiny_scan(folder: Path) -> None:
    """A smooth blob with slices twice as thick as wide."""
    import numpy as np

    import medsr

    folder.mkdir()
    x = np.linspace(-2, 2, TINY, dtype=np.float32) ** 2
    blob = 1000 * np.exp(-(x[:, None, None] + x[:, None] + x))
    volume = medsr.Volume(blob, medsr.Grid(blob.shape, np.diag([1.0, 1.0, 2.0, 1.0])))
    medsr.save_volume(volume, folder / "tiny.nii.gz")


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def table(measured: Measured, plans: list[Plan]) -> str:
    """What was measured and what follows, as text."""
    lines = [
        f"measured on {measured.scans} scan{'s' * (measured.scans > 1)}, one thread each:",
        f"  {measured.seconds:.2f} s a scan ({measured.clock:.2f} s by the clock), {measured.start:.1f} s to "
        f"start a shard, {measured.again:.3f} s for a scan that is finished already",
        f"  {measured.read / 1e6:.2f} MB read, {measured.written / 1e6:.2f} MB written in {measured.files:.1f} "
        f"files, {measured.memory:.2f} GiB at the peak ({measured.planned:.2f} GiB planned)",
        "",
        f"{'scans':>9} {'cores':>6} {'core-hours':>11} {'shards':>7} {'days':>8} {'read TB':>8} "
        f"{'written TB':>10} {'files':>11} {'again, core-hours':>17}",
    ]
    lines += [
        f"{p.scans:>9} {p.cores:>6} {p.core_hours:>11.0f} {p.shards:>7} {p.days:>8.2f} {p.read / 1e12:>8.2f} "
        f"{p.written / 1e12:>10.2f} {p.files:>11.0f} {p.again_hours:>17.0f}"
        for p in plans
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="scans of the study's kind")
    parser.add_argument("--scans", type=int, default=1_000_000, help="default: 1000000")
    parser.add_argument("--cores", type=int, nargs="+", default=[100, 1000], help="default: 100 1000")
    words = sys.argv[1:] if argv is None else argv
    cut = words.index("--") if "--" in words else len(words)
    told = parser.parse_args(words[:cut])
    measured = measure(told.source, words[cut + 1 :])
    print(table(measured, [plan(measured, told.scans, cores) for cores in told.cores]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
