"""What a study costs: ``python -m pipelines.cluster.plan SOURCE``.

Reconstructs the scans under SOURCE with `medsr batch`, one thread, into a temporary folder, then once more to see
what an already finished scan costs, and prints seconds and bytes a scan and what they make for many scans. Measure
on a quiet machine of the kind that the cluster has, with scans and options of the kind that the study has.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HOURS_A_SHARD = 4.0
"""Long enough that starting does not count, short enough that a lost node loses little."""


@dataclass(frozen=True)
class Measured:
    """Means over the scans that were done.

    seconds : of one thread, of a scan. start : of a shard, before its first scan. again : of a scan that is
    finished already. read, written : bytes. files : written. memory : GiB, at the peak.
    """

    scans: int
    seconds: float
    start: float
    again: float
    read: float
    written: float
    files: float
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
    """Runs `medsr batch` over `source` twice."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        command = [sys.executable, "-m", "medsr", "batch", str(source), "-o", str(out), "-q", "--threads", "1"]
        walls = []
        for _ in range(2):
            start = time.perf_counter()
            code = subprocess.run([*command, *options], check=False).returncode
            walls.append(time.perf_counter() - start)
            if code not in (0, 7, 8):
                raise SystemExit(code)
            if len(walls) == 1:
                with (out / "outcomes.csv").open(newline="", encoding="utf-8") as file:
                    rows = [row for row in csv.DictReader(file) if row["status"] in ("done", "missed")]
        if not rows:
            raise SystemExit("no scan could be reconstructed")
        count = len(rows)
        seconds = sum(float(row["seconds"]) for row in rows) / count
        start = max(0.0, walls[0] - count * seconds)
        inputs = {Path(row["input"]) for row in rows}
        files = [p for p in out.rglob("*") if p.is_file() and not p.name.startswith("outcomes")]
        return Measured(
            scans=count,
            seconds=seconds,
            start=start,
            again=max(0.0, walls[1] - start) / count,
            read=sum(map(_size, inputs)) / count,
            written=sum(p.stat().st_size for p in files) / count,
            files=len(files) / count,
            memory=max(float(row["memory_gib"] or 0) for row in rows),
        )


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def table(measured: Measured, plans: list[Plan]) -> str:
    """What was measured and what follows, as text."""
    lines = [
        f"measured on {measured.scans} scans, one thread each:",
        f"  {measured.seconds:.2f} s a scan, {measured.start:.1f} s to start a shard, "
        f"{measured.again:.3f} s for a scan that is finished already",
        f"  {measured.read / 1e6:.2f} MB read, {measured.written / 1e6:.2f} MB written in {measured.files:.1f} "
        f"files, {measured.memory:.2f} GiB at the peak",
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
