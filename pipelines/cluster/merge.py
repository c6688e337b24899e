"""The tables of all shards as one: ``python merge.py TABLE SHARD...``."""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter
from pathlib import Path


def merge(target: Path, shards: list[Path]) -> Counter[str]:
    """Writes the rows of all shards' tables, sorted by input, to `target`. How many scans came to which status."""
    rows: list[dict[str, str]] = []
    columns: list[str] = []
    for shard in shards:
        with shard.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns += [name for name in reader.fieldnames or [] if name not in columns]
            rows += list(reader)
    rows.sort(key=lambda row: row["input"])
    part = target.with_name(f".{target.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, target)  # noqa: PTH105
    return statuses(target)


def statuses(table: Path) -> Counter[str]:
    """How many scans came to which status, from a table of outcomes."""
    with table.open(newline="", encoding="utf-8") as file:
        return Counter(row["status"] for row in csv.DictReader(file))


if __name__ == "__main__":
    found = merge(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
    print(", ".join(f"{count} {status}" for status, count in found.items()), file=sys.stderr)
