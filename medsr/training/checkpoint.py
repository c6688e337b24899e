"""Checkpoints that resume to the step: safetensors and JSON, written as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def save(path: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Writes weights, their average, the optimiser and `state` (JSON) to `path`, atomically."""
    tensors = {f"network.{k}": v.detach().clone().contiguous() for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v.detach().clone().contiguous() for k, v in average.state_dict().items()}
    for index, entry in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{k}": v.detach().clone().contiguous()
            for k, v in entry.items()
            if isinstance(v, Tensor)
        }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"state": json.dumps(state)})
    partial.replace(path)


def load(path: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    """Restores what `save` wrote; returns the state."""
    with safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    for prefix, module in (("network.", network), ("average.", average)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            entries.setdefault(int(index), {})[key] = value
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": entries, "param_groups": whole["param_groups"]})
    return state
