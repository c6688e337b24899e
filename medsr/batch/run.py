"""The batch: every item in turn, one process, one loaded model, one table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medsr.batch.bids import describe_data_set, is_data_set, name_derivative
from medsr.batch.finished import finished, read_sidecar
from medsr.batch.items import Item, find_items
from medsr.batch.outcomes import Outcomes, Row, row_of
from medsr.errors import InputError, MedsrError, OutputError, PromiseMissedError, SomeFailedError
from medsr.io.names import is_folder
from medsr.io.scans import Scan
from medsr.job import Job
from medsr.outputs import Outputs, protect
from medsr.outputs_dicom import SeriesOutputs
from medsr.run import Listener, check, name_result, one


def run_batch(
    source: Path, job: Job, shard: tuple[int, int] | None, listener: Listener, command: Sequence[str] = ()
) -> Outcomes:
    """Reconstructs every scan of `source` into the folder `job.output`; one that fails does not stop the others.

    Work that is finished (`medsr.batch.finished`) is passed over. The table of outcomes is written every few
    seconds and at the end.

    Raises
    ------
    InputError, UsageError, OutputError
        if the source or the folder cannot be used at all.
    SomeFailedError
        if a scan failed. PromiseMissedError: if none did, and a promise of a card was missed.
    """
    assert job.output is not None
    folder = Path(job.output)
    if is_folder(folder) and is_folder(source) and folder.samefile(source):
        raise OutputError(f"{folder}: this is the source", hint="name a folder of its own with -o")
    items = find_items(source, folder)
    for item in items:
        check(replace(job, **item.options))
    if shard:
        items = items[shard[0] - 1 :: shard[1]]
    if is_data_set(source) and job.format == "nifti":
        describe_data_set(source, folder)
    table = Outcomes(folder, shard)
    table.write(running=True)
    seen: dict[Path, Path] = {}
    for number, item in enumerate(items):
        place = (number, len(items))
        for scan, told in _scans(item):
            start = time.monotonic()
            row = told or _one(replace(job, **item.options), item, scan, listener, place, command, seen)
            table.add(told or replace(row, seconds=f"{time.monotonic() - start:.1f}"))
    table.write()
    if count := table.count("failed"):
        raise SomeFailedError(f"{count} of {len(table.rows)} scans failed", hint=f"see {table.csv}")
    if count := table.count("missed"):
        raise PromiseMissedError(
            f"written, but a promise of the method's card was missed for {count} of {len(table.rows)} scans",
            hint=f"see {table.csv}",
        )
    return table


def _scans(item: Item) -> Iterator[tuple[Scan, Row | None]]:
    """The scans of an item; with a row where there is nothing to do."""
    path = str(item.path)
    scan = Scan(item.path, item.series)
    if item.left_out:
        yield scan, Row(path, status="left out", message=item.left_out)
        return
    if item.series is not None or not (item.folders or scan.is_dicom):
        yield scan, None
        return
    from medsr.io.dicom import list_files, list_series

    try:
        found = list_files(_files_in(item.folders), item.path) if item.folders else list_series(item.path)
    except MedsrError as error:
        yield scan, Row(path, status="failed", exit_code=error.exit_code, message=str(error))
        return
    fit = [info for info in found if info.fits]
    for info in found:
        mine = Scan(item.path, None, info, alone=len(fit) == 1)
        if info.fits:
            yield mine, None
        elif info.aside or info.localiser or info.ours:
            why = "a localiser" if info.localiser else "a result of medsr" if info.ours else info.reason or ""
            yield mine, Row(path, info.selector, "left out", message=why)
        else:
            problem = info.problem or InputError("it cannot be used")
            yield mine, Row(path, info.selector, "failed", problem.exit_code, f"{item.path}: {problem}")


def _files_in(folders: Sequence[Path]) -> list[Path]:
    from medsr.io.magic import is_dicom

    names = (path for folder in folders for path in sorted(folder.iterdir()))
    return [p for p in names if not p.name.startswith(".") and p.name.upper() != "DICOMDIR" and is_dicom(p)]


def _one(
    job: Job,
    item: Item,
    scan: Scan,
    listener: Listener,
    place: tuple[int, int],
    command: Sequence[str],
    seen: dict[Path, Path],
) -> Row:
    """Reconstructs one scan, or passes over it."""
    series = scan.series.selector if scan.series else item.series or ""
    base: dict[str, Any] = {"input": str(item.path), "series": series}
    try:
        scan = scan.opened()
        outputs = _outputs(job, item, scan)
        base["output"] = _relative(outputs.image, job)
        if outputs.image in seen:
            raise OutputError(
                f"{scan.path} and {seen[outputs.image]} would have the same output",
                got=str(outputs.image),
                hint="give one of them another `output` in a list",
            )
        seen[outputs.image] = scan.path
        protect(outputs.files(scan, uncertainty=True, report=True), [scan])
        said = finished(job, scan, outputs)
    except MedsrError as error:
        listener.failed(scan, error)
        return Row(**base, status="failed", exit_code=error.exit_code, message=str(error))
    if said is not None:
        listener.skipped(scan, outputs.image, "is finished")
        missed = said["medsr"].get("promises") == "missed"
        return _row(job, outputs, said, base, "missed" if missed else "unchanged")
    # what is there is ours and outdated, damaged or unfinished: it may be replaced
    outcome = one(replace(job, force=True, skip_existing=False), scan, outputs, listener, place, command)
    if outcome.error is not None:
        listener.failed(scan, outcome.error)
        return Row(**base, status="failed", exit_code=outcome.error.exit_code, message=str(outcome.error))
    return _row(job, outputs, read_sidecar(outputs.sidecar), base, "missed" if outcome.missed else "done")


def _outputs(job: Job, item: Item, scan: Scan) -> Outputs | SeriesOutputs:
    folder = Path(job.output or "") / item.place
    if item.bids and job.format == "nifti":
        return name_derivative(job, scan, item.bids, folder)
    return name_result(replace(job, output=f"{folder}/"), scan, several=True)


def _row(
    job: Job, outputs: Outputs | SeriesOutputs, said: dict[str, Any] | None, base: dict[str, Any], status: str
) -> Row:
    there = outputs.report.exists()
    return Row(
        **base,
        **(row_of(said) if said else {}),
        status=status,
        exit_code=7 if status == "missed" else 0,
        report=_relative(outputs.report, job) if there else "",
    )


def _relative(path: Path, job: Job) -> str:
    return path.relative_to(job.output or "").as_posix()
