"""Slice views side by side, linked: before, after and the maps, at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from MedSRLib.scene import to_ras

FIRST = 7100
"""Numbers of layouts that are this module's; Slicer's own are below 1000."""

COLOURS = ("#EDD54C", "#6EB04B", "#E17012", "#6A80E0")

ITEM = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{tag}"><property name="orientation" action="default">'
    '{orientation}</property><property name="viewlabel" action="default">{label}</property>'
    '<property name="viewcolor" action="default">{colour}</property></view></item>'
)


def tag(number: int) -> str:
    """The name of the view at place `number`."""
    return f"MedSR{number + 1}"


def describe(count: int, orientation: str) -> str:
    """The layout of `count` slice views in a row, as Slicer's layout manager reads it."""
    items = "".join(
        ITEM.format(tag=tag(n), orientation=orientation, label=n + 1, colour=COLOURS[n % len(COLOURS)])
        for n in range(count)
    )
    return f'<layout type="horizontal" split="true">{items}</layout>'


def across_the_slices(volume: Any) -> str:
    """The standard plane that thick slices are seen in from the side, where a finer grid shows."""
    matrix = to_ras(volume)[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    thick = int(np.argmax(spacing))
    world = int(np.argmax(np.abs(matrix[:, thick])))  # 0 right, 1 anterior, 2 superior
    return "Axial" if world == 1 else "Coronal"


def arrange(layout: Any, count: int, orientation: str) -> None:
    """Switches the layout (a vtkMRMLLayoutNode) to `count` views in a row; the views appear with it."""
    number = FIRST + count
    text = describe(count, orientation)
    if layout.IsLayoutDescription(number):
        layout.SetLayoutDescription(number, text)
    else:
        layout.AddLayoutDescription(number, text)
    layout.SetViewArrangement(number)


def fill(scene: Any, volumes: Sequence[Any], orientation: str) -> None:
    """Shows a volume in each of the module's views, and links the views."""
    composites = _by_layout_name(scene, "vtkMRMLSliceCompositeNode")
    slices = _by_layout_name(scene, "vtkMRMLSliceNode")
    for number, volume in enumerate(volumes):
        composite, view = composites.get(tag(number)), slices.get(tag(number))
        if composite is None or view is None:
            continue
        view.SetOrientation(orientation)
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(None)
        composite.SetLinkedControl(1)
        composite.SetHotLinkedControl(1)


def _by_layout_name(scene: Any, kind: str) -> dict[str, Any]:
    nodes = [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]
    return {node.GetLayoutName(): node for node in nodes}
