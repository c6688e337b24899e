"""The straight line from files to files: the whole product, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medsr.errors import Cancelled, InputError, MedsrError, PromiseMissedError, SomeFailedError
from medsr.io import list_images
from medsr.job import Job
from medsr.outputs import Outputs, name_outputs, save
from medsr.result import Result


class Listener(Protocol):
    """Who is told what happens: a terminal, a log of JSON lines, Slicer."""

    def progress(self, fraction: float, stage: str) -> None: ...
    def started(self, source: Path, number: int, total: int) -> None: ...
    def done(self, source: Path, result: Result, written: list[Path]) -> None: ...
    def skipped(self, source: Path, outputs: Outputs) -> None: ...
    def failed(self, source: Path, error: MedsrError) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What became of one input; `error` where it failed, `missed` where a promise was."""

    source: Path
    error: MedsrError | None = None
    missed: bool = False


def run(job: Job, listener: Listener, command: Sequence[str] = ()) -> None:
    """Reconstructs every input of `job`.

    Raises
    ------
    MedsrError
        of the one input that failed; SomeFailedError if some of several did; PromiseMissedError if all were
        written and a promise of the method's card was missed.
    """
    if job.threads:
        import torch

        torch.set_num_threads(job.threads)
    sources = find_inputs(job.inputs)
    outputs = [name_outputs(s, job.output, len(sources) > 1) for s in sources]
    _refuse_collisions(sources, outputs)
    outcomes = [
        _one(job, source, target, listener, (number, len(sources)), command)
        for number, (source, target) in enumerate(zip(sources, outputs, strict=True))
    ]
    failed = [o for o in outcomes if o.error]
    if failed and len(outcomes) == 1 and failed[0].error:
        raise failed[0].error
    if failed:
        raise SomeFailedError(f"{len(failed)} of {len(outcomes)} inputs failed", hint="see the lines above")
    missed = [o.source.name for o in outcomes if o.missed]
    if missed:
        raise PromiseMissedError(
            f"written, but a promise of the card of {job.method} was missed for {', '.join(missed)}",
            hint="the report and the sidecar say which; check --psf, --slice-thickness and --noise",
        )


def find_inputs(inputs: Sequence[str]) -> list[Path]:
    """The images named, and those in the folders named.

    Raises
    ------
    InputError
        if there is no such file, or a folder holds no image.
    """
    sources: list[Path] = []
    for name in inputs:
        path = Path(name)
        if not path.is_dir():
            sources.append(path)
            continue
        found = [p for p in list_images(path) if "_desc-sr" not in p.name]
        if not found:
            raise InputError(f"{path}: no image in this folder", rule="NIfTI, NRRD or MetaImage files")
        sources += found
    return sources


def _one(
    job: Job, source: Path, outputs: Outputs, listener: Listener, place: tuple[int, int], command: Sequence[str]
) -> Outcome:
    from medsr.io.atomic import check_target
    from medsr.reconstruction import reconstruct

    if job.skip_existing and outputs.image.exists():
        listener.skipped(source, outputs)
        return Outcome(source)
    number, total = place
    listener.started(source, number, total)
    try:
        check_target(outputs.image, force=job.force)
        result = reconstruct(
            source,
            job.spacing,
            method=job.method,
            slice_thickness=job.slice_thickness,
            psf=dict(job.psf) if job.psf else None,
            noise=job.noise,
            negative=job.negative,
            device=job.device,
            max_mem=job.max_mem,
            progress=lambda f, stage: listener.progress((number + 0.9 * f) / total, stage),
        )
        listener.progress((number + 0.9) / total, "writing")
        written = save(
            result,
            outputs,
            source,
            options=job.described(),
            command=command,
            force=job.force,
            report=not job.no_report,
        )
    except Cancelled:
        raise
    except MedsrError as error:
        named = (
            error
            if source.name in str(error)
            else type(error)(f"{source}: {error.what}", got=error.got, rule=error.rule, hint=error.hint)
        )
        listener.failed(source, named)
        return Outcome(source, error=named)
    listener.done(source, result, written)
    return Outcome(source, missed=not result.kept_its_promises)


def _refuse_collisions(sources: Sequence[Path], outputs: Sequence[Outputs]) -> None:
    seen: dict[Path, Path] = {}
    for source, target in zip(sources, outputs, strict=True):
        if target.image in seen:
            raise InputError(
                f"{source} and {seen[target.image]} would have the same output",
                got=str(target.image),
                hint="run them apart, or into different folders",
            )
        seen[target.image] = source
