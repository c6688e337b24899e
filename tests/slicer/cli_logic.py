"""What Slicer makes of a command line module's description: the arguments that it starts it with.

The rules are those of vtkSlicerCLIModuleLogic::ApplyTask (Slicer 5.8): options first, in order; a number, an
enumeration or a boolean that is true is always handed over; a string only if it is not empty; a volume as the name
of a temporary file; parameters with an index last, by index.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

IF_NOT_EMPTY = {"string", "file", "directory"} | {f"{k}-vector" for k in ("integer", "float", "double", "string")}


def arguments(description: str, values: Mapping[str, str]) -> list[str]:
    """The arguments for `values` by parameter name; defaults where there is none."""
    options: list[str] = []
    indexed: dict[int, str] = {}
    for group in ElementTree.fromstring(description.encode()).iter("parameters"):
        for parameter in group:
            if not len(parameter):
                continue
            value = values.get(parameter.findtext("name") or "", parameter.findtext("default") or "")
            if parameter.findtext("index") is not None:
                indexed[int(parameter.findtext("index") or 0)] = value
                continue
            flag = "--" + (parameter.findtext("longflag") or "")
            if parameter.tag == "boolean":
                options += [flag] if value == "true" else []
            elif value or parameter.tag not in IF_NOT_EMPTY | {"image"}:
                options += [flag, value]
    return options + [indexed[n] for n in sorted(indexed)]
