"""One shard: runs `medsr batch`, and hands its table of outcomes over when the shard is over.

A scan that cannot be used stays that way, so it does not fail the shard; it is in the table. A scan that failed
for want of memory, time or disk, or unexpectedly, fails the shard, so that it is tried again, with more memory.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

ATTEMPTS = 3
"""As many as the profiles' `retries`, and one: the last one's table is taken as it is."""
_AGAIN = {"1", "4", "6", "130", "143"}
_OVER = (0, 7, 8)


def main(argv: list[str] | None = None) -> int:
    """Runs the shard; 0 where its table is complete."""
    parser = argparse.ArgumentParser(
        description="One shard of medsr batch, for the workflow beside this file: ... -- OPTIONS"
    )
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("shard", help="i/n")
    parser.add_argument("table", type=Path, help="where the table goes when the shard is over")
    parser.add_argument("--attempt", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    words = sys.argv[1:] if argv is None else argv
    cut = words.index("--") if "--" in words else len(words)
    told, options = parser.parse_args(words[:cut]), words[cut + 1 :]
    command = [sys.executable, "-m", "medsr", "batch", told.source, "-o", told.output, "--shard", told.shard, "-q"]
    if "--threads" not in options:
        command += ["--threads", str(told.threads)]
    code = subprocess.run([*command, *options], check=False).returncode
    if code not in _OVER:
        return code if code > 0 else 128 - code
    made = Path(told.output, f"outcomes-{told.shard.replace('/', '-of-')}.csv")
    with made.open(newline="", encoding="utf-8") as file:
        again = [row["input"] for row in csv.DictReader(file) if row["exit_code"] in _AGAIN]
    if again and told.attempt < ATTEMPTS:
        print(f"shard {told.shard}: {len(again)} scans are worth another attempt", file=sys.stderr)
        return 8
    part = told.table.with_name(f".{told.table.name}.part")
    shutil.copyfile(made, part)
    os.replace(part, told.table)  # noqa: PTH105
    return 0


if __name__ == "__main__":
    sys.exit(main())
