"""Checkpoints of several modules and optimisers that resume to the step: one safetensors file, written as one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from medsr.errors import InputError
from medsr.models.tensors import read_tensors
from medsr.models.weights import read_weights


def save(
    path: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, optim.Optimizer], state: Any
) -> None:
    """Writes the weights of `modules`, the state of `optimizers` and `state` (JSON) to `path`, atomically."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{k}": v.detach().clone().contiguous() for k, v in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{index}/{k}": v.detach().clone().contiguous() for k, v in entry.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"state": json.dumps(state)})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, optim.Optimizer]) -> Any:
    """Restores what `save` wrote; returns the state.

    Raises
    ------
    InputError
        where the file is not a checkpoint of these modules.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        for name, module in modules.items():
            module.load_state_dict(_under(name, tensors))
        for name, optimizer in optimizers.items():
            entries: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(name, tensors).items():
                index, entry = key.split("/")
                entries.setdefault(int(index), {})[entry] = value
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": entries, "param_groups": groups})
    except Exception as error:
        raise InputError(
            f"{path}: not a checkpoint of this recipe",
            got=f"{type(error).__name__}: {error}",
            hint="give another output folder, or the recipe that it was made with",
        ) from None
    return state


def starting_weights(path: Path) -> dict[str, Tensor]:
    """What a run starts from: a file of weights, or a run's checkpoint, which has what only training needs too.

    Raises
    ------
    WeightsError
        where the file is neither.
    """
    tensors, about = read_tensors(path)
    return _under("best", tensors) if "state" in about else read_weights(path).state_dict()


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}
