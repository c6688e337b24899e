"""Which series are reconstructed, and how: rules over what the server tells of a series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from medsr.cli.main import parser
from medsr.cli.reconstruct import job_from
from medsr.errors import UsageError
from medsr.io.dicom.derived import MANUFACTURER, RESEARCH_MARK

_RANGE = (0.0, math.inf)
_KNOWN = ("name", "modality", "description", "not_description", "thickness", "slices", "derived", "options")
_OURS = (
    "-o",
    "--output",
    "--format",
    "--series",
    "--force",
    "--skip-existing",
    "--no-report",
    "--log-json",
    "--debug",
)


@dataclass(frozen=True)
class Facts:
    """What decides about a series. Held in memory for the decision alone: the description may name a patient.

    thickness : slice thickness in mm; None where the header has none.
    image_type, manufacturers : of the first image.
    """

    modality: str
    description: str
    thickness: float | None
    slices: int
    image_type: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether medsr made it: it is never reconstructed again, whatever a rule says."""
        return (
            MANUFACTURER in (maker.strip().lower() for maker in self.makers) or RESEARCH_MARK in self.description
        )

    @property
    def derived(self) -> bool:
        """Whether another program made it."""
        return self.image_type[:2] == ("DERIVED", "SECONDARY")


@dataclass(frozen=True)
class Rule:
    """One rule. A series matches where all that is said of it holds; the first rule that matches counts.

    description, not_description : patterns with ``*`` and ``?``, upper and lower case the same; one of the first
        has to match, none of the second may.
    thickness, slices : lowest and highest, both included; a series without a thickness matches no bound.
    derived : whether derived images (reformats of the scanner) are taken as well.
    options : of `medsr reconstruct`.
    """

    name: str
    modality: str = "MR"
    description: tuple[str, ...] = ("*",)
    not_description: tuple[str, ...] = ()
    thickness: tuple[float, float] | None = None
    slices: tuple[float, float] = _RANGE
    derived: bool = False
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, table: Any, number: int) -> Rule:
        """A rule from the settings.

        Raises
        ------
        UsageError
            naming the rule and what is wrong with it.
        """
        where = f"rule {number}"
        if not isinstance(table, dict) or not isinstance(table.get("name"), str) or not table["name"].strip():
            raise UsageError(f"{where} has no name")
        where = f"rule {table['name']!r}"
        for key in table:
            if key not in _KNOWN:
                raise UsageError(f"{where}: {key} is not known", hint=f"known are {', '.join(_KNOWN)}")
        options = _words(table.get("options", []), where, "options")
        _check_options(options, where)
        patterns = _words(table.get("description", ["*"]), where, "description")
        return cls(
            name=table["name"],
            modality=_words(table.get("modality", "MR"), where, "modality")[0],
            description=tuple(p.lower() for p in patterns),
            not_description=tuple(
                p.lower() for p in _words(table.get("not_description", []), where, "not_description")
            ),
            thickness=_range(table["thickness"], where, "thickness") if "thickness" in table else None,
            slices=_range(table.get("slices", list(_RANGE)), where, "slices"),
            derived=table.get("derived", False) is True,
            options=options,
        )

    def matches(self, facts: Facts) -> bool:
        """Whether the rule is for a series."""
        said = facts.description.lower()
        if facts.ours or facts.modality != self.modality or (facts.derived and not self.derived):
            return False
        if not any(fnmatchcase(said, p) for p in self.description):
            return False
        if any(fnmatchcase(said, p) for p in self.not_description):
            return False
        if self.thickness is not None and not (
            facts.thickness is not None and self.thickness[0] <= facts.thickness <= self.thickness[1]
        ):
            return False
        return self.slices[0] <= facts.slices <= self.slices[1]


def _words(value: Any, where: str, what: str) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{where}: {what} is not text", got=repr(value))
    return tuple(words)


def _range(value: Any, where: str, what: str) -> tuple[float, float]:
    numbers = [v for v in value if isinstance(v, int | float)] if isinstance(value, list) else []
    if len(numbers) != 2 or not 0 <= numbers[0] <= numbers[1]:
        raise UsageError(f"{where}: {what} is not a range", got=repr(value), hint=f"e.g. {what} = [2.5, 8.0]")
    return float(numbers[0]), float(numbers[1])


def _check_options(options: tuple[str, ...], where: str) -> None:
    """Refuses at the start what would fail for every series."""
    taken = [option for option in options if option.split("=")[0] in _OURS]
    if taken:
        raise UsageError(f"{where}: {taken[0]} is the worker's own", hint="leave it out")
    try:
        job = job_from(parser().parse_args(["reconstruct", "--format", "dicom", *options, "--", "scan"]))
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", got=error.got, hint="see medsr reconstruct --help") from None
    if job.inputs != ("scan",):
        raise UsageError(f"{where}: options name inputs", got=" ".join(options))
