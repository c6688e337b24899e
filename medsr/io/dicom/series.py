"""Finding the DICOM series under a folder, and choosing one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medsr.errors import InputError
from medsr.io.dicom.frames import Frame
from medsr.io.dicom.instance import Instance, left_aside, read_instance
from medsr.io.dicom.slices import frames_of
from medsr.io.dicom.stack import Stack, build_stack, direction_name
from medsr.io.magic import dicom_files
from medsr.volume import Grid

_SHOWN = 20


@dataclass(frozen=True)
class SeriesInfo:
    """One series, or one part of it (an echo, the phase images), or a group of objects that were left aside.

    uid : Series Instance UID.
    number : Series Number.
    part : "" or what tells it from the other parts of the series, such as "echo 9.2 ms" or "phase".
    description : Series Description; may identify a patient, so it is shown on request and never logged.
    modality : "MR", "CT", ...
    count : slices, over all times.
    grid : where its voxels lie; None where it cannot be used.
    times : volumes in it.
    thickness : slice thickness, in mm, where the header has it.
    localiser, ours : whether it says that it is a localiser, or a result of medsr; it is read when asked for.
    problem : why it cannot be used; None where it can.
    aside : whether that is because it is no image to reconstruct (a report, phase images).
    files : its files.
    """

    uid: str = field(repr=False)
    number: int | None
    part: str
    description: str = field(repr=False)
    modality: str
    count: int
    grid: Grid | None
    times: int
    thickness: float | None
    localiser: bool
    ours: bool
    problem: InputError | None
    files: tuple[Path, ...] = field(repr=False)
    stack: Stack | None = field(repr=False, default=None)
    aside: bool = False
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it is what `reconstruct` is for: it can be used, and is no localiser and no result of medsr."""
        return self.problem is None and not self.localiser and not self.ours

    @property
    def reason(self) -> str | None:
        """Why it cannot be used, in one line."""
        return str(self.problem) if self.problem else None

    @property
    def selector(self) -> str:
        """What `--series` takes to choose it, as long as no other series has its number."""
        name = self.uid if self.number is None else str(self.number)
        return f"{name}:{self.part}" if self.part else name

    def describe(self) -> str:
        """One line without words of the header: number, kind, geometry, or why it cannot be used."""
        name = f"{self.selector} ({self.modality or 'no modality'}, {self.count} images)"
        if self.stack is None or self.grid is None:
            return f"{name}: {self.reason}"
        more = f", {self.times} times" if self.times > 1 else ""
        plane = direction_name(self.stack.frames[0][0].orientation)
        kind = ", localiser" if self.localiser else ", a result of medsr" if self.ours else ""
        return f"{name}: {self.grid.describe()}{more}, {plane}{kind}"


def list_series(path: str | Path) -> list[SeriesInfo]:
    """The series in a file or under a folder, by series number; those that cannot be used say why.

    Hidden files and folders are passed over: half-written results of others lie there.

    Raises
    ------
    InputError
        if there is nothing at `path`, or no DICOM in it.
    """
    place = Path(path)
    if place.is_file():
        return _listed_series([_read_file(place)], [], place)
    if not place.is_dir():
        raise InputError(f"{place} does not exist")
    return list_files(dicom_files(place), place)


def list_files(paths: Iterable[Path], place: Path) -> list[SeriesInfo]:
    """The series in some DICOM files, found at `place`; as `list_series`."""
    files, broken = [], []
    for path in paths:
        try:
            files.append(_read_file(path))
        except InputError:
            broken.append(path)
    return _listed_series(files, broken, place)


def _listed_series(files: list[_File], broken: list[Path], place: Path) -> list[SeriesInfo]:
    series: dict[str, list[_File]] = defaultdict(list)
    for file in files:
        series[file.instance.series].append(file)
    if not series:
        if broken:
            raise InputError(
                f"{place}: no DICOM file can be read", got=_names(broken), hint="fetch the series again"
            )
        raise InputError(f"{place} holds no DICOM files", hint="give the folder of a series")
    notes = (f"{len(broken)} files cannot be read and were left out: {_names(broken)}",) if broken else ()
    found = [info for members in series.values() for info in _series(members, notes)]
    return sorted(found, key=lambda info: (info.number is None, info.number or 0, info.uid, info.part))


def choose_series(
    series: Iterable[SeriesInfo], selector: str | None = None, *, where: str = "the folder"
) -> SeriesInfo:
    """The series that `selector` names, or without one the only one that can be used (localisers left out, and
    results of medsr unless there is nothing else).

    Parameters
    ----------
    selector : a series number, a Series Instance UID, or a description (all of it, or a part that only one has;
        upper and lower case are the same), with ``:part`` behind it where a series has parts.
    where : name of the place, for messages.

    Raises
    ------
    InputError
        if none or several fit, listing them, or if the one that was named cannot be used.
    """
    everything = list(series)
    if selector is None:
        fit = [info for info in everything if info.fits]
        fit = fit or [info for info in everything if info.problem is None and info.ours]
        if len(fit) == 1:
            return fit[0]
        if not fit and len(everything) == 1 and everything[0].problem:
            raise _problem(everything[0], where)
        raise InputError(
            f"{where}: {len(fit)} series fit" if fit else f"{where}: no series fits",
            got=_listed(fit or everything),
            rule="one series is reconstructed at a time",
            hint="choose with --series NUMBER" if fit else None,
        )
    named = _matching(everything, selector.strip())
    if len(named) > 1:
        named = [info for info in named if info.problem is None] or named
    if len(named) != 1:
        raise InputError(
            f"{where}: {len(named) or 'no'} series are called so",
            got=_listed(named or everything),
            hint="choose with --series and a number, or a UID",
        )
    if named[0].problem is not None:
        raise _problem(named[0], where)
    return named[0]


def _problem(info: SeriesInfo, where: str) -> InputError:
    problem = info.problem
    assert problem is not None
    return type(problem)(
        f"{where}: series {info.selector}: {problem.what}", got=problem.got, rule=problem.rule, hint=problem.hint
    )


def _matching(series: list[SeriesInfo], selector: str) -> list[SeriesInfo]:
    """From the strictest reading of `selector` to the loosest, the first that anything fits."""
    low = selector.lower()
    for fits in (
        lambda info: selector in (info.uid, info.selector, f"{info.uid}:{info.part}"),
        lambda info: selector == str(info.number),
        lambda info: low in (info.description.lower(), f"{info.description}:{info.part}".lower()),
        lambda info: bool(low) and low in f"{info.description}:{info.part}".lower(),
    ):
        found = [info for info in series if fits(info)]
        if found:
            return found
    return []


def told(series: Sequence[SeriesInfo]) -> list[str]:
    """A line a series, with its UID where its number and part do not tell it from the others."""
    selectors = [info.selector for info in series]
    return [
        f"UID {info.uid}: {info.describe()}" if selectors.count(info.selector) > 1 else info.describe()
        for info in series
    ]


def _listed(series: list[SeriesInfo]) -> str:
    words = told(series)[:_SHOWN]
    return " | ".join(words) + (f" | and {len(series) - _SHOWN} more" if len(series) > _SHOWN else "")


@dataclass(frozen=True)
class _File:
    """What one file gave: slices, or why it is no image (`aside`), or why its slices cannot be used."""

    instance: Instance
    aside: str | None = None
    frames: tuple[Frame, ...] = ()
    problem: InputError | None = None


def _read_file(path: Path) -> _File:
    instance, data = read_instance(path)
    aside = left_aside(instance, data)
    if aside:
        return _File(instance, aside=aside)
    try:
        return _File(instance, frames=tuple(frames_of(instance, data)))
    except InputError as problem:
        return _File(instance, problem=problem)


def _series(members: list[_File], notes: tuple[str, ...]) -> list[SeriesInfo]:
    """The parts of one series, and what of it was left aside."""
    aside: dict[str, list[Instance]] = defaultdict(list)
    for file in members:
        if file.aside:
            aside[file.aside].append(file.instance)
    images = [file for file in members if not file.aside]
    if not images:
        return [_info(those, "", InputError(why), notes, aside=True) for why, those in aside.items()]
    notes += tuple(f"{len(those)} objects left aside: {why}" for why, those in aside.items())
    return _parts(images, notes)


def _parts(images: list[_File], notes: tuple[str, ...]) -> list[SeriesInfo]:
    try:
        images, copies = _without_copies(images)
        problem = next((file.problem for file in images if file.problem), None)
        if problem:
            raise problem
    except InputError as found:
        return [_info([file.instance for file in images], "", found, notes)]
    if copies:
        notes += (f"{copies} files were exact copies of others and were left out",)
    frames = [frame for file in images for frame in file.frames]
    echoes = {_rounded(frame.echo) for frame in frames}
    groups: dict[tuple[str, float | None], list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.component, _rounded(frame.echo)].append(frame)
    parts = []
    for (component, echo), those in groups.items():
        words = [component] if component else []
        words += [f"echo {echo:g} ms"] if len(echoes) > 1 and echo is not None else []
        mine = list({id(frame.instance): frame.instance for frame in those}.values())
        try:
            if component:
                raise InputError(f"{component} images", rule="medsr takes magnitude images")
            parts.append(_info(mine, " ".join(words), None, notes, build_stack(those)))
        except InputError as found:
            parts.append(_info(mine, " ".join(words), found, notes, count=len(those), aside=bool(component)))
    return parts


def _rounded(echo: float | None) -> float | None:
    """An echo time to 0.01 ms, the last digits of which some scanners vary."""
    return None if echo is None else round(echo, 2)


def _without_copies(images: list[_File]) -> tuple[list[_File], int]:
    """Images, each once; a SOP Instance UID with two contents is refused."""
    kept: dict[str, _File] = {}
    copies = 0
    for file in images:
        path = file.instance.path
        other = kept.setdefault(file.instance.uid or str(path), file)
        if other is file:
            continue
        if _digest(other.instance.path) != _digest(path):
            raise InputError(
                "two files with one SOP Instance UID and different contents",
                got=f"{other.instance.path.name} and {path.name}",
                hint="leave the right one",
            )
        copies += 1
    return list(kept.values()), copies


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read", got=error.strerror) from None


def _info(
    members: list[Instance],
    part: str,
    problem: InputError | None,
    notes: tuple[str, ...],
    stack: Stack | None = None,
    count: int | None = None,
    *,
    aside: bool = False,
) -> SeriesInfo:
    first = members[0]
    if stack:
        count = sum(len(volume) for volume in stack.frames)
    return SeriesInfo(
        uid=first.series,
        number=first.number,
        part=part,
        description=first.description,
        modality=first.modality,
        count=count if count is not None else sum(instance.count for instance in members),
        grid=stack.grid if stack else None,
        times=len(stack.frames) if stack else 1,
        thickness=stack.frames[0][0].thickness if stack else None,
        localiser=any(instance.localiser for instance in members),
        ours=any(instance.ours for instance in members),
        problem=problem,
        files=tuple(instance.path for instance in members),
        stack=stack,
        notes=notes,
        aside=aside,
    )


def _names(paths: list[Path]) -> str:
    shown = ", ".join(path.name for path in paths[:5])
    return shown + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
