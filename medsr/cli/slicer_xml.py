"""The command line in 3D Slicer's words: the XML of its Execution Model, made from `Job`.

Schema: https://github.com/Slicer/SlicerExecutionModel (ModuleDescriptionParser/ModuleDescription.xsd).

Slicer hands over a number or an enumeration whether it was touched or not, and a string where it is not empty.
So what may be left out (None in `Job`) is a string here, and is parsed by medsr as on the command line.
"""

from __future__ import annotations

from dataclasses import Field, replace
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from medsr._version import VERSION
from medsr.job import Option, options
from medsr.models.card import cards

SLICERS_OWN = {"force", "skip_existing", "no_report", "series", "format", "deidentify", "capture", "dtype"}
"""Fields about files beside others and about DICOM: Slicer keeps its own files, and reads DICOM itself."""

IMAGES = {"inputs": "the scan, as it was measured", "output": "the scan on the finer grid"}
"""Fields that are volumes in Slicer, in its words: there they have no file names."""

DESCRIPTION = (
    "Reconstructs a thick-slice or coarse MR volume on a finer grid, so that the result explains the scan. "
    "For research use."
)


def slicer_xml() -> str:
    """The description that Slicer asks an executable for with ``--xml``."""
    root = Element("executable")
    for name, text in (
        ("category", "Filtering"),
        ("title", "MedSR Reconstruct"),
        ("description", DESCRIPTION),
        ("version", VERSION),
        ("license", "Apache-2.0"),
        ("contributor", "medsr"),
    ):
        _text(root, name, text)
    groups: dict[str, Element] = {}
    for field, option in options():
        if field.name in SLICERS_OWN:
            continue
        if option.group not in groups:
            groups[option.group] = _group(root, option.group)
        _parameter(groups[option.group], field, option)
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _group(root: Element, heading: str) -> Element:
    group = SubElement(root, "parameters")
    if heading == "resources":
        group.set("advanced", "true")
    _text(group, "label", heading.capitalize())
    _text(group, "description", heading.capitalize())
    return group


def _parameter(group: Element, field: Field[Any], option: Option) -> None:
    if field.name in IMAGES:
        _image(group, field, option)
        return
    choices = tuple(dict.fromkeys((*cards(), str(field.default)))) if field.name == "method" else option.choices
    kind = "boolean" if isinstance(field.default, bool) else "string-enumeration" if choices else "string"
    parameter = _named(group, kind, field, option)
    _text(parameter, "longflag", field.name.replace("_", "-"))
    if isinstance(field.default, bool):
        _text(parameter, "default", str(field.default).lower())
    elif field.default is not None:
        _text(parameter, "default", str(field.default))
    for choice in choices or ():
        _text(parameter, "element", choice)


def _image(group: Element, field: Field[Any], option: Option) -> None:
    parameter = _named(group, "image", field, replace(option, help=IMAGES[field.name]))
    if field.name == "inputs":
        _text(parameter, "channel", "input")
        _text(parameter, "index", "0")
    else:
        parameter.set("reference", "inputs")
        _text(parameter, "longflag", field.name)
        _text(parameter, "channel", "output")


def _named(group: Element, kind: str, field: Field[Any], option: Option) -> Element:
    parameter = SubElement(group, kind)
    label = field.name.replace("_", " ").capitalize()
    _text(parameter, "name", field.name)
    _text(parameter, "label", {"inputs": "Scan", "output": "Result", "psf": "Point spread"}.get(field.name, label))
    _text(parameter, "description", option.help)
    return parameter


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text
