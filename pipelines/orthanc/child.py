"""The process that reconstructs: ``python -m pipelines.orthanc.child``.

It takes orders on standard input, a JSON line each: a folder, a target folder, options of `medsr reconstruct`. It
answers on standard output with what `medsr --log-json` says, and one line {"event": "over"}. The method stays
loaded from one order to the next. Its life ends with its input: a worker that is killed leaves no process behind.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from medsr.cli.main import main as medsr
from medsr.errors import MedsrError
from medsr.io.dicom import list_series


def main() -> None:
    """Obeys until the input ends."""
    orders: queue.Queue[dict[str, Any]] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            orders.put(json.loads(line))
        os._exit(0)  # the worker is gone: whatever is half done lies in a folder that nobody will look at

    threading.Thread(target=listen, daemon=True).start()
    while True:
        order = orders.get()
        code, error = _obey(Path(order["source"]), Path(order["target"]), order["options"])
        print(
            json.dumps({"event": "over", "order": order["order"], "exit_code": code, "error": error}), flush=True
        )


def _obey(source: Path, target: Path, options: list[str]) -> tuple[int, str | None]:
    """Reconstructs every part of the series in `source` that can be. The worst exit code, and the first error."""
    try:
        found = list_series(source)
    except MedsrError as error:
        return error.exit_code, str(error)
    usable = [info for info in found if info.problem is None]
    if not usable:
        return 3, next((info.reason for info in found if info.reason), "no series")
    worst = 0
    for number, info in enumerate(usable, 1):
        where = target / f"part-{number}"
        named = [] if len(found) == 1 else ["--series", info.selector]
        code = medsr(
            [
                "reconstruct",
                *options,
                *named,
                "--format",
                "dicom",
                "--no-report",
                "--log-json",
                "-o",
                str(where),
                str(source),
            ]
        )
        if code not in (0, 7):
            return code, None
        worst = max(worst, code)
    return worst, None


if __name__ == "__main__":
    main()
