"""The XML header of an MRD (ISMRMRD) file: the parts that a reconstruction needs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from xml.etree import ElementTree

from medsr.errors import InputError

_MAX_HEADER = 16 << 20
_MAX_MATRIX = 8192


@dataclass(frozen=True)
class Encoding:
    """One encoding of the header; sizes along read, phase and slice.

    matrix, fov : of the encoded space; fov in mm.
    recon_matrix, recon_fov : of the image to reconstruct.
    trajectory : "cartesian", "spiral", "radial", ...
    described : what the trajectory description says, name to text.
    line_centre, partition_centre : number of the line and of the partition at the centre of k-space, None where
        not said.
    """

    matrix: tuple[int, int, int]
    fov: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_fov: tuple[float, float, float]
    trajectory: str
    described: dict[str, str] = field(default_factory=dict)
    line_centre: int | None = None
    partition_centre: int | None = None


@dataclass(frozen=True)
class MrdHeader:
    """tr, te : lists of the header, in s. noise_bandwidth : the receiver's relative noise bandwidth."""

    encodings: tuple[Encoding, ...]
    tr: tuple[float, ...] = ()
    te: tuple[float, ...] = ()
    noise_bandwidth: float | None = None


def parse_header(xml: bytes, name: str) -> MrdHeader:
    """The header from its XML; `name` is the file, for messages.

    Raises
    ------
    InputError
        if it is not XML, declares a document type (entities), or lacks a sane encoding.
    """
    if len(xml) > _MAX_HEADER:
        raise InputError(f"{name}: the XML header is too large", got=f"{len(xml)} bytes")
    # an entity can only be declared in a document type, and an MRD header has none
    if b"<!" in re.sub(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>", b"", xml, flags=re.DOTALL) or b"\x00" in xml[:8]:
        raise InputError(f"{name}: the XML header declares a document type or entities", rule="plain XML in UTF-8")
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - no document type, hence no entities
    except (ElementTree.ParseError, ValueError, LookupError) as e:
        raise InputError(f"{name}: the XML header is damaged", got=e) from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    if root.tag != "ismrmrdHeader":
        raise InputError(f"{name}: not an MRD header", got=f"<{root.tag[:40]}>")
    encodings = tuple(_encoding(e, name) for e in root.findall("encoding"))
    if not encodings:
        raise InputError(f"{name}: the header has no encoding")
    bandwidth = _numbers(root, "acquisitionSystemInformation/relativeReceiverNoiseBandwidth")
    return MrdHeader(
        encodings,
        tuple(t / 1e3 for t in _numbers(root, "sequenceParameters/TR") if t > 0),
        tuple(t / 1e3 for t in _numbers(root, "sequenceParameters/TE") if t >= 0),
        bandwidth[0] if bandwidth and bandwidth[0] > 0 else None,
    )


def _encoding(element: ElementTree.Element, name: str) -> Encoding:
    described = {"identifier": element.findtext("trajectoryDescription/identifier", "")}
    for parameter in element.findall("trajectoryDescription/*"):
        if parameter.tag.startswith("userParameter"):
            described[parameter.findtext("name", "")] = parameter.findtext("value", "")
    centres = [_numbers(element, f"encodingLimits/kspace_encoding_step_{axis}/center") for axis in (1, 2)]
    return Encoding(
        *_space(element, "encodedSpace", name),
        *_space(element, "reconSpace", name),
        (element.findtext("trajectory") or "").strip().lower(),
        described,
        *(int(centre[0]) if centre else None for centre in centres),
    )


def _space(
    element: ElementTree.Element, which: str, name: str
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    size = [_numbers(element, f"{which}/matrixSize/{a}") for a in "xyz"]
    extent = [_numbers(element, f"{which}/fieldOfView_mm/{a}") for a in "xyz"]
    if not all(size) or not all(extent):
        raise InputError(
            f"{name}: the header's {which} is incomplete", rule="a matrix and a field of view along x, y, z"
        )
    matrix = int(size[0][0]), int(size[1][0]), int(size[2][0])
    fov = extent[0][0], extent[1][0], extent[2][0]
    if not all(1 <= n <= _MAX_MATRIX for n in matrix) or not all(1e-3 < f < 1e5 for f in fov):
        raise InputError(f"{name}: the header's {which} is absurd", got=f"{matrix} voxels over {fov} mm")
    return matrix, fov


def _numbers(element: ElementTree.Element, where: str) -> list[float]:
    values = []
    for found in element.findall(where):
        try:
            value = float(found.text or "")
        except ValueError:
            continue
        if math.isfinite(value):
            values.append(value)
    return values
