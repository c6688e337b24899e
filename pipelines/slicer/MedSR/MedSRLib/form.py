"""The options of medsr, as its description (``medsr reconstruct --xml``) tells them: made from its `Job`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from MedSRLib.problem import Problem

SHIPPED = "MedSRReconstruct.xml"
"""The description that came with the extension, for as long as no medsr is installed."""


@dataclass(frozen=True)
class Parameter:
    """One option. kind : "string", "string-enumeration", "boolean" or "image"."""

    name: str
    kind: str
    label: str
    help: str
    flag: str
    default: str = ""
    choices: tuple[str, ...] = ()


def parameters(description: str) -> dict[str, Parameter]:
    """The options by name, in order; volumes left out.

    Raises
    ------
    Problem
        if the description is none.
    """
    try:
        root = ElementTree.fromstring(description.encode())  # noqa: S314 - medsr's own
    except ElementTree.ParseError:
        raise Problem("medsr's description of its options cannot be read; make the environment again") from None
    found = [_parameter(element) for group in root.iter("parameters") for element in group if len(element)]
    return {p.name: p for p in found if p.kind != "image"}


def shipped() -> str | None:
    """The description beside the command line module; None where it is not there."""
    here = Path(__file__).resolve().parents[1]
    for place in (here.parent / "cli-modules", here.parent / "MedSRReconstruct"):
        if (place / SHIPPED).is_file():
            return (place / SHIPPED).read_text(encoding="utf-8")
    return None


def arguments(options: Mapping[str, str], known: Mapping[str, Parameter]) -> list[str]:
    """The options (by the names of Job's fields) as the command line has them; empty ones are left out.

    Raises
    ------
    Problem
        if an option is not one of this medsr's.
    """
    line: list[str] = []
    for name, value in options.items():
        text = value.strip()
        if name not in known:
            raise Problem(f"this medsr has no option {name}; make the environment again to have it")
        if known[name].kind == "boolean":
            line += [known[name].flag] if text == "true" else []
        elif text and text != known[name].default:
            line += [f"{known[name].flag}={text}"]  # in one word: a value may begin with a minus
    return line


def spacing_of_factor(text: str, spacing: Sequence[float]) -> str:
    """The target spacing of a factor such as ``2`` or ``1,1,4``, for a scan of `spacing` mm.

    Raises
    ------
    Problem
        if it is no factor.
    """
    try:
        factors = [float(part) for part in text.split(",")]
    except ValueError:
        factors = []
    if len(factors) not in (1, 3) or not all(0.05 <= f <= 20 for f in factors):
        raise Problem(f"{text!r} is no factor; give one number, or one an axis, e.g. 2 or 1,1,4")
    factors = factors * 3 if len(factors) == 1 else factors
    return ",".join(f"{s / f:.6g}" for s, f in zip(spacing, factors))


def _parameter(element: ElementTree.Element) -> Parameter:
    def text(name: str) -> str:
        return (element.findtext(name) or "").strip()

    choices = tuple(e.text or "" for e in element.findall("element"))
    return Parameter(
        text("name"),
        element.tag,
        text("label"),
        text("description"),
        "--" + text("longflag"),
        text("default"),
        choices,
    )
