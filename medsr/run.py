"""The straight line from files to files: the whole product, in order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from medsr.errors import (
    Cancelled,
    InputError,
    MedsrError,
    MemoryLimitError,
    PromiseMissedError,
    SomeFailedError,
    UsageError,
    one_line,
)
from medsr.io import list_images
from medsr.io.names import is_folder, is_raw, list_raw
from medsr.io.scans import Scan
from medsr.io.stream import check_file
from medsr.job import Job
from medsr.models.card import AUTO, Card, card, chosen_card
from medsr.outputs import RESULT, Outputs, check_outputs, name_outputs, protect, save
from medsr.outputs_dicom import SeriesOutputs, check_series, name_series, save_series
from medsr.result import Result

LESS = "choose a coarser --spacing, or see that nothing else takes the memory"


class Listener(Protocol):
    """Who is told what happens: a terminal, a log of JSON lines, Slicer."""

    def progress(self, fraction: float, stage: str) -> None: ...
    def started(self, scan: Scan, number: int, total: int) -> None: ...
    def done(self, scan: Scan, result: Result, written: list[Path]) -> None: ...
    def skipped(self, scan: Scan, image: Path, why: str = "exists") -> None: ...
    def failed(self, scan: Scan, error: MedsrError) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What became of one input; `error` where it failed, `missed` the method whose promise was."""

    scan: Scan
    error: MedsrError | None = None
    missed: str | None = None


def run(job: Job, listener: Listener, command: Sequence[str] = ()) -> None:
    """Reconstructs every input of `job`; one that fails does not stop the others.

    Raises
    ------
    MedsrError
        of the one input that failed; SomeFailedError if one of several did; PromiseMissedError if all were
        written and a promise of the method's card was missed.
    """
    check(job)  # an unknown method is nobody's fault but the command's
    scans = find_inputs(job)
    outputs = [name_result(job, scan, len(scans) > 1) for scan in scans]
    files = [o.files(s, uncertainty=True, report=True) for s, o in zip(scans, outputs, strict=True)]
    _refuse_collisions(scans, files)
    protect([path for group in files for path in group], scans)
    outcomes = []
    for number, (scan, target) in enumerate(zip(scans, outputs, strict=True)):
        outcome = one(job, scan, target, listener, (number, len(scans)), command)
        if outcome.error:
            listener.failed(scan, outcome.error)
        outcomes.append(outcome)
    failed = [o.error for o in outcomes if o.error]
    if failed and len(outcomes) == 1:
        raise failed[0]
    if failed:
        raise SomeFailedError(f"{len(failed)} of {len(outcomes)} inputs failed", hint="see the lines above")
    missed = [o.scan.name for o in outcomes if o.missed]
    methods = dict.fromkeys(o.missed for o in outcomes if o.missed)
    if missed:
        raise PromiseMissedError(
            f"written, but a promise of the card of {' and '.join(methods)} was missed for {', '.join(missed)}",
            hint="the report and the sidecar say which; check what was assumed of the scan",
        )


def method_for(job: Job, scan: Scan) -> Card:
    """The card of the method that reconstructs `scan`; a UsageError where the one named is not for its kind."""
    return chosen_card(job.method, "kspace" if is_raw(scan.path) else "image")


def check(job: Job) -> None:
    """Raises a UsageError where the method or its model is not one."""
    if job.method != AUTO:
        card(job.method)
    if job.model is not None:
        from medsr.methods.registry import check_model

        check_model(job.method, job.model)
    if job.fast:
        from medsr.methods.registry import check_fast

        check_fast(job.method)


def find_inputs(job: Job) -> list[Scan]:
    """The scans named, and the images in the folders named.

    A folder of DICOM files is one scan, opened where that succeeds; one that holds nothing stands for itself, and
    will fail.
    """
    scans: list[Scan] = []
    for name in job.inputs:
        path = Path(name)
        if is_folder(path) and job.series is None and (images := images_in(path)):
            scans += [Scan(image) for image in images]
            continue
        scan = Scan(path, job.series)
        with suppress(MedsrError):  # it is told of when its turn comes
            scan = scan.opened()
        scans.append(scan)
    return scans


def images_in(folder: Path) -> list[Path]:
    """The images right in a folder, results left out."""
    try:
        return [p for p in [*list_images(folder), *list_raw(folder)] if RESULT not in p.name]
    except OSError:  # it will fail when it is opened
        return []


def name_result(job: Job, scan: Scan, several: bool) -> Outputs | SeriesOutputs:
    """Where the result of `scan` goes; raises as `medsr.outputs.name_outputs`."""
    name = name_series if job.format == "dicom" else name_outputs
    return name(scan, job.output, several)


def one(
    job: Job,
    scan: Scan,
    outputs: Outputs | SeriesOutputs,
    listener: Listener,
    place: tuple[int, int],
    command: Sequence[str],
) -> Outcome:
    """Reconstructs one scan; whatever goes wrong is in the outcome.

    place : its number, from 0, and how many there are.

    Raises
    ------
    Cancelled
        by the user.
    """
    number, total = place
    if job.skip_existing and outputs.exists():
        listener.skipped(scan, outputs.image)
        return Outcome(scan)
    listener.started(scan, number, total)
    try:
        kept = _reconstruct(job, scan, outputs, listener, place, command)
    except Cancelled:
        raise
    except MedsrError as error:
        return Outcome(scan, error=_named(error, scan.path))
    except MemoryError as error:
        return Outcome(scan, error=_of(error, MemoryLimitError(f"{scan.path}: out of memory", hint=LESS)))
    except Exception as error:
        what = f"{scan.path}: unexpected {type(error).__name__}: {error}"
        return Outcome(scan, error=_of(error, MedsrError(what, hint="run it again with --debug and report it")))
    return Outcome(scan, missed=None if kept else method_for(job, scan).name)


def _reconstruct(
    job: Job,
    scan: Scan,
    outputs: Outputs | SeriesOutputs,
    listener: Listener,
    place: tuple[int, int],
    command: Sequence[str],
) -> bool:
    """Whether no promise was missed."""
    from medsr.reconstruction import reconstruct

    number, total = place
    if is_folder(scan.path) and not scan.is_dicom:
        refuse_folder(scan.path)
    if not is_folder(scan.path):
        check_file(scan.path)
    scan = scan.opened()
    # the image comes last: where it is missing, the rest is what an interrupted run has left
    force = job.force or job.skip_existing
    chosen = method_for(job, scan)
    if isinstance(outputs, SeriesOutputs):
        check_series(outputs, scan, force=force)
    else:
        has_map = chosen.uncertainty is not None
        check_outputs(outputs.files(scan, uncertainty=has_map, report=not job.no_report), force=force)
    listener.progress(number / total, "reading")
    result = reconstruct(
        scan.path if is_raw(scan.path) else scan.header(),
        job.spacing,
        method=job.method,
        model=job.model,
        fast=job.fast,
        slice_thickness=job.slice_thickness,
        psf=job.psf,
        noise=job.noise,
        negative=job.negative,
        coils=job.coils,
        delay=job.delay,
        field_map=job.field_map,
        slices=None if job.slices is None else slice(*job.slices),
        frames=None if job.frames is None else slice(*job.frames),
        readouts=job.readouts,
        device=job.device,
        max_mem=job.max_mem,
        threads=job.threads,
        progress=lambda f, stage: listener.progress((number + 0.9 * f) / total, stage),
    )
    listener.progress((number + 0.9) / total, "writing")
    how: dict[str, Any] = {
        "options": job.described(), "command": command, "force": force, "report": not job.no_report,
    }  # fmt: skip
    if isinstance(outputs, SeriesOutputs):
        written = save_series(result, outputs, scan, shaping=job.shaping(), **how)
    else:
        written = save(result, outputs, scan, **how)
    listener.done(scan, result, written)
    return result.kept_its_promises


def refuse_folder(folder: Path) -> None:
    """Says why nothing was found in a folder.

    Raises
    ------
    InputError
        always.
    """
    try:
        list_images(folder)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read", got=error.strerror) from None
    raise InputError(
        f"{folder}: no image in this folder",
        rule="NIfTI, NRRD, MetaImage or .h5 files that are no results of medsr, or DICOM files",
        hint="sub-folders are not searched for images: name them, or use medsr batch",
    )


def _named(error: MedsrError, source: Path) -> MedsrError:
    """The same error, with the name of the file if it has none."""
    if source.name in str(error) or one_line(source.name) in str(error):
        return error
    return _of(error, type(error)(f"{source}: {error.what}", got=error.got, rule=error.rule, hint=error.hint))


def _of(cause: BaseException, error: MedsrError) -> MedsrError:
    error.__cause__ = cause  # for --debug
    return error


def _refuse_collisions(scans: Sequence[Scan], files: Sequence[Sequence[Path]]) -> None:
    seen: dict[Path, Path] = {}
    for scan, group in zip(scans, files, strict=True):
        for path in group:
            if path in seen:
                raise UsageError(
                    f"{scan.path} and {seen[path]} would have the same output",
                    got=str(path),
                    hint="run them apart, or into different folders",
                )
        seen.update(dict.fromkeys(group, scan.path))
