"""Recipes of the 2D systems. Data files; a recipe may extend another one and repeats nothing of it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from medsr.errors import InputError, UsageError
from medsr.operators.pointspread import Kind

Stage = Literal["pixel", "final"]


@dataclass(frozen=True)
class PlaneSource:
    """Files that are alike.

    files, val : glob patterns under the data folder, for training and for selection.
    planes : pairs of axes of the file, rows and columns, along both of which the resolution is true.
    weight : share of the patches.
    true_spacing : the resolution where the file's voxels are finer than it (mm); it is resampled to that.
    tissues : how many of the volumes get tissue classes where they are wanted; 0 where a classifier would not make
        sense of them (heads with a skull).
    """

    files: tuple[str, ...]
    planes: tuple[tuple[int, int], ...]
    weight: float
    val: tuple[str, ...] = ()
    true_spacing: tuple[float, float, float] | None = None
    tissues: int = 0


@dataclass(frozen=True)
class SliceRecipe:
    """One training run; see `medsr/training/recipes` for commented files.

    slices : that go in, the slice itself in the middle; as many as the network was made for where not given.
    scale : pixels along the rows and the columns for one of the scan.
    stage : "pixel", or "final": the losses of a system that is trained for perception, from pixel-stage weights.
    patch, batch : coarse pixels of a patch; patches a step. ``steps * batch`` is the number of patches seen.
    learning_rate, warmup : the peak of half a cosine, after so many steps of rising.
    average : decay of the exponential average of the weights, which is what is kept.
    profiles : kind, width over the distance of samples, share.
    noisy, most_noise : share of steps with Rician noise, its greatest σ over the 99.5th percentile.
    contrast : share of patches with another contrast.
    data : what the files are, with licences, for the card.
    options : of the objective, see `medsr.training.slices.systems`.
    """

    name: str
    network: str
    scale: tuple[int, int]
    source: tuple[PlaneSource, ...]
    steps: int
    batch: int
    patch: tuple[int, int]
    profiles: tuple[tuple[Kind, float, float], ...]
    configuration: str = "compact"
    slices: int | None = None
    stage: Stage = "pixel"
    seed: int = 0
    learning_rate: float = 1e-3
    optimizer: Literal["muon", "adamw"] = "muon"
    warmup: int = 50
    average: float = 0.998
    noisy: float = 0.2
    most_noise: float = 0.02
    contrast: float = 0.3
    save_every: int = 100
    validate_every: int = 250
    data: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def fine(self) -> tuple[int, int]:
        """Fine pixels of a patch."""
        return self.patch[0] * self.scale[0], self.patch[1] * self.scale[1]


def read_recipe(name: str) -> dict[str, Any]:
    """The table of a recipe, by the name of one that medsr ships or by the path of a file, with what it extends
    (a shipped one, or one beside it).

    Raises
    ------
    UsageError
        where there is no such recipe. InputError : where it is not TOML.
    """
    shipped = resources.files("medsr") / "training" / "recipes" / f"{name}.toml"
    path = Path(name)
    if path.name == name and shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise UsageError(
            "no such recipe", got=repr(name), hint=f"one of {', '.join(shipped_recipes())}, or the path of a file"
        )
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: not a recipe", got=str(error), hint="compare with a shipped one") from None
    if (base := table.pop("extends", None)) is None:
        return table
    beside = path.parent / str(base)
    below = read_recipe(str(beside if beside.is_file() else base))
    options = {**below.get("options", {}), **table.get("options", {})}
    return {**below, **table, **({"options": options} if options else {})}


def shipped_recipes() -> list[str]:
    """Names of the recipes that can be run as they are: those that name a network, or train the 3D one."""
    found = []
    for entry in (resources.files("medsr") / "training" / "recipes").iterdir():
        if entry.name.endswith(".toml"):
            name = entry.name.removesuffix(".toml")
            table = read_recipe(name)
            if table.get("kind") != "slices" or "network" in table:
                found.append(name)
    return sorted(found)


def slice_recipe(name: str, table: dict[str, Any]) -> SliceRecipe:
    """The recipe of the table of file `name`; an InputError where it is not one."""
    try:
        values = {k: _frozen(v) for k, v in table.items() if k not in ("kind", "source", "options")}
        values["source"] = tuple(PlaneSource(**{k: _frozen(v) for k, v in s.items()}) for s in table["source"])
        values["options"] = table.get("options", {})
        values.setdefault("name", Path(name).stem)
        recipe = SliceRecipe(**values)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{name}: not a recipe", got=str(error), hint="compare with a shipped one") from None
    if recipe.steps < 1 or recipe.batch < 1 or min(recipe.patch) < 1 or not recipe.profiles:
        raise InputError(f"{name}: not a recipe", rule="steps, batch and patch are positive, profiles are given")
    return recipe


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
