"""The straight line from files to files: the whole product, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
from medsr.io.names import is_file, is_folder, is_raw, list_raw
from medsr.io.stream import check_file
from medsr.job import Job
from medsr.models.card import AUTO, card, chosen_card
from medsr.outputs import Outputs, check_outputs, name_outputs, protect, save
from medsr.result import Result

RESULT = "_desc-sr"
"""In the names of results, which are not taken for scans when a folder is searched."""

LESS = "choose a coarser --spacing, or see that nothing else takes the memory"


class Listener(Protocol):
    """Who is told what happens: a terminal, a log of JSON lines, Slicer."""

    def progress(self, fraction: float, stage: str) -> None: ...
    def started(self, source: Path, number: int, total: int) -> None: ...
    def done(self, source: Path, result: Result, written: list[Path]) -> None: ...
    def skipped(self, source: Path, outputs: Outputs) -> None: ...
    def failed(self, source: Path, error: MedsrError) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What became of one input; `error` where it failed, `missed` the method whose promise was."""

    source: Path
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
    if job.method != AUTO:
        card(job.method)  # an unknown one is nobody's fault but the command's
    sources = find_inputs(job.inputs)
    outputs = [name_outputs(s, job.output, len(sources) > 1) for s in sources]
    files = [o.files(s, uncertainty=True, report=True) for s, o in zip(sources, outputs, strict=True)]
    _refuse_collisions(sources, files)
    protect([path for group in files for path in group], sources)
    outcomes = []
    for number, (source, target) in enumerate(zip(sources, outputs, strict=True)):
        outcome = _one(job, source, target, listener, (number, len(sources)), command)
        if outcome.error:
            listener.failed(source, outcome.error)
        outcomes.append(outcome)
    failed = [o.error for o in outcomes if o.error]
    if failed and len(outcomes) == 1:
        raise failed[0]
    if failed:
        raise SomeFailedError(f"{len(failed)} of {len(outcomes)} inputs failed", hint="see the lines above")
    missed = [o.source.name for o in outcomes if o.missed]
    methods = dict.fromkeys(o.missed for o in outcomes if o.missed)
    if missed:
        raise PromiseMissedError(
            f"written, but a promise of the card of {' and '.join(methods)} was missed for {', '.join(missed)}",
            hint="the report and the sidecar say which; check what was assumed of the scan",
        )


def find_inputs(inputs: Sequence[str]) -> list[Path]:
    """The images named, and those in the folders named; a folder without any stands for itself, and will fail."""
    sources: list[Path] = []
    for name in inputs:
        path = Path(name)
        sources += (_images_in(path) or [path]) if is_folder(path) else [path]
    return sources


def _images_in(folder: Path) -> list[Path]:
    try:
        return [p for p in [*list_images(folder), *list_raw(folder)] if RESULT not in p.name]
    except OSError:  # it will fail when it is opened
        return []


def _one(
    job: Job, source: Path, outputs: Outputs, listener: Listener, place: tuple[int, int], command: Sequence[str]
) -> Outcome:
    number, total = place
    if job.skip_existing and is_file(outputs.image):
        listener.skipped(source, outputs)
        return Outcome(source)
    listener.started(source, number, total)
    try:
        result = _reconstruct(job, source, outputs, listener, place, command)
    except Cancelled:
        raise
    except MedsrError as error:
        return Outcome(source, error=_named(error, source))
    except MemoryError as error:
        return Outcome(source, error=_of(error, MemoryLimitError(f"{source}: out of memory", hint=LESS)))
    except Exception as error:
        what = f"{source}: unexpected {type(error).__name__}: {error}"
        return Outcome(source, error=_of(error, MedsrError(what, hint="run it again with --debug and report it")))
    return Outcome(source, missed=None if result.kept_its_promises else result.method)


def _reconstruct(
    job: Job, source: Path, outputs: Outputs, listener: Listener, place: tuple[int, int], command: Sequence[str]
) -> Result:
    from medsr.reconstruction import reconstruct

    number, total = place
    if is_folder(source):
        refuse_folder(source)
    check_file(source)
    # the image comes last: where it is missing, the rest is what an interrupted run has left
    force = job.force or job.skip_existing
    raw = is_raw(source)
    chosen = chosen_card(job.method, "kspace" if raw else "image")
    check_outputs(
        outputs.files(source, uncertainty=chosen.uncertainty is not None, report=not job.no_report), force=force
    )
    listener.progress(number / total, "reading")
    result = reconstruct(
        source,
        job.spacing,
        method=job.method,
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
    written = save(
        result,
        outputs,
        source,
        options=job.described(),
        command=command,
        force=force,
        report=not job.no_report,
    )
    listener.done(source, result, written)
    return result


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
        rule="NIfTI, NRRD, MetaImage or .h5 files that are no results of medsr",
        hint="sub-folders are not searched: name them",
    )


def _named(error: MedsrError, source: Path) -> MedsrError:
    """The same error, with the name of the file if it has none."""
    if source.name in str(error) or one_line(source.name) in str(error):
        return error
    return _of(error, type(error)(f"{source}: {error.what}", got=error.got, rule=error.rule, hint=error.hint))


def _of(cause: BaseException, error: MedsrError) -> MedsrError:
    error.__cause__ = cause  # for --debug
    return error


def _refuse_collisions(sources: Sequence[Path], files: Sequence[Sequence[Path]]) -> None:
    seen: dict[Path, Path] = {}
    for source, group in zip(sources, files, strict=True):
        for path in group:
            if path in seen:
                raise UsageError(
                    f"{source} and {seen[path]} would have the same output",
                    got=str(path),
                    hint="run them apart, or into different folders",
                )
        seen.update(dict.fromkeys(group, source))
