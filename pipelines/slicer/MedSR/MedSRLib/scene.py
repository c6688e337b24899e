"""Volumes out of the scene and into it. The MRML scene alone is needed, no window."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from MedSRLib import frames
from MedSRLib.problem import Problem

GREY = ("vtkMRMLColorTableNodeGrey",)
FACTS = ("SliceThickness", "MRAcquisitionType", "SliceEncodingDirection", "RepetitionTime", "EchoTime")
"""What medsr reads in a BIDS sidecar that still holds for a volume in the scene."""

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

HEAT = ("vtkMRMLColorTableNodeFileInferno.txt", "vtkMRMLPETProceduralColorNodePET-Heat")
"""Colours from dark to bright; the first that there is: it is even in lightness, the second is in every scene."""


def export(volume: Any, path: Path) -> None:
    """Writes a volume as NRRD, uncompressed: its voxels as they are, its geometry in LPS.

    Raises
    ------
    Problem
        if it has no voxels, more than one value a voxel, or cannot be written.
    """
    image = volume.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise Problem(f"{volume.GetName()}: the volume has no voxels")
    if image.GetNumberOfScalarComponents() != 1:
        raise Problem(f"{volume.GetName()}: the volume has colours or vectors; choose one with a value a voxel")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetUseCompression(0)
    if not storage.WriteData(volume) or not path.is_file():
        raise Problem(f"{volume.GetName()}: the volume cannot be written to {path.parent}")


def load(scene: Any, path: Path, name: str, like: Any = None) -> Any:
    """Adds the image at `path` to the scene: a volume, or a sequence of volumes with a browser.

    like : the volume it belongs with: it comes under the same transform.

    Returns
    -------
    the volume; of a sequence, the one that shows the chosen frame.

    Raises
    ------
    Problem
        if it cannot be read; nothing is added then.
    """
    series = frames.read(path)
    volume = _load_volume(scene, path, name) if series is None else _load_series(scene, series, name)
    if like is not None and like.GetTransformNodeID():
        volume.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    return volume


def remove(scene: Any, nodes: list[Any]) -> None:
    """Takes volumes out of the scene again, with all that came with them."""
    for node in nodes:
        for browser in _all(scene, "vtkMRMLSequenceBrowserNode"):
            sequence = browser.GetSequenceNode(node)
            if sequence is not None:
                scene.RemoveNode(browser)
                scene.RemoveNode(sequence)
        displays = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
        for other in (node, node.GetStorageNode(), *displays):
            if other is not None:
                scene.RemoveNode(other)


def facts_of(volume: Any) -> dict[str, Any]:
    """What the sidecar beside the volume's own file says of how it was made; nothing where there is none."""
    storage = volume.GetStorageNode()
    name = (storage.GetFileName() if storage else None) or ""
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), None)
    if suffix is None:
        return {}
    try:
        found = json.loads(Path(name[: -len(suffix)] + ".json").read_text(encoding="utf-8"))
        return {key: found[key] for key in FACTS if key in found}
    except (OSError, ValueError, TypeError):
        return {}


def to_ras(volume: Any) -> Any:
    """(4, 4) from voxel indices to RAS+ mm, of the volume's own coordinates."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def show_like(volume: Any, like: Any) -> None:
    """The same window and level, so that two volumes can be compared by eye."""
    of = like.GetDisplayNode()
    display = volume.GetDisplayNode()
    if of is None or display is None:
        return
    display.SetAutoWindowLevel(0)
    display.SetWindowLevel(of.GetWindow(), of.GetLevel())


def show_map(scene: Any, volume: Any, colours: tuple[str, ...], *, signed: bool) -> None:
    """Colours for a map: from its 2nd to its 99.5th percentile; if `signed`, as far on either side of zero."""
    display = volume.GetDisplayNode()
    known = next((c for c in colours if scene.GetNodeByID(c) is not None), None)
    if known is not None:
        display.SetAndObserveColorNodeID(known)
    values = vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars())
    low, top = map(float, np.percentile(np.abs(values), (2, 99.5)))
    low = -top if signed else low
    display.SetAutoWindowLevel(0)
    display.SetWindowLevel(top - low or 1.0, (top + low) / 2)


def _load_volume(scene: Any, path: Path, name: str) -> Any:
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    if not storage.ReadData(volume):
        scene.RemoveNode(volume)
        raise Problem(f"{path.name}: the result cannot be read back")
    volume.CreateDefaultDisplayNodes()
    return volume


def _load_series(scene: Any, series: frames.Series, name: str) -> Any:
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    try:
        for number, data in enumerate(series):
            frame = slicer.vtkMRMLScalarVolumeNode()
            frame.SetName(name)
            _fill(frame, data, series.to_ras)
            sequence.SetDataNodeAtValue(frame, f"{number * series.tr:.6g}")
    except Problem:
        scene.RemoveNode(sequence)
        raise
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.AddSynchronizedSequenceNode(sequence)
    shown = browser.GetProxyNode(sequence)  # made by the logic of sequences, where it listens
    if shown is None:
        shown = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        browser.AddProxyNode(shown, sequence, False)
    _fill(shown, voxels(sequence.GetNthDataNode(0)), series.to_ras)
    shown.CreateDefaultDisplayNodes()
    return shown


def voxels(volume: Any) -> Any:
    """The voxels of a volume, (z, y, x); no copy."""
    image = volume.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def _fill(volume: Any, data: Any, to_ras: Any) -> None:
    image = vtk.vtkImageData()
    image.SetDimensions(*data.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(data.ravel(), deep=1))
    volume.SetAndObserveImageData(image)
    matrix = vtk.vtkMatrix4x4()
    for i in range(4):
        for j in range(4):
            matrix.SetElement(i, j, float(to_ras[i, j]))
    volume.SetIJKToRASMatrix(matrix)


def _all(scene: Any, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]


def add_results(scene: Any, scan: Any, image: Path, maps: Mapping[str, Path], name: str) -> dict[str, Any]:
    """The image and its maps, in the scene and ready to be looked at; all of them, or none.

    scan : the volume they were made from; None where that was a file.

    Returns
    -------
    dict
        volumes by name: "image", and those of "residual", "uncertainty", "tsnr" that there are.

    Raises
    ------
    Problem
        if one cannot be read.
    """
    added: dict[str, Any] = {}
    try:
        added["image"] = load(scene, image, f"{name}_desc-sr", scan)
        for kind, path in maps.items():
            added[kind] = load(scene, path, f"{name}_desc-sr_{kind}", scan)
    except Problem:
        remove(scene, list(added.values()))
        raise
    if scan is not None:
        show_like(added["image"], scan)
    for kind, colours in (("residual", GREY), ("uncertainty", HEAT), ("tsnr", HEAT)):
        if kind in added:
            show_map(scene, added[kind], colours, signed=kind == "residual")
    return added
