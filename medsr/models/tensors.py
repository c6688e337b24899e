"""Files of weights: safetensors, checked against their card before they are used."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from medsr.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 64 * 2**20
"""Bytes; no file of weights that medsr reads is larger."""


def shipped_weights(name: str) -> Path:
    """Where the weights file `name` lies in the package."""
    return Path(str(resources.files("medsr") / "models" / "weights" / name))


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def read_tensors(path: Path, sha256: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The float32 tensors of a file of weights, on the CPU, and what the file says of itself.

    Parameters
    ----------
    sha256 : what its card says; not checked where not given.

    Raises
    ------
    WeightsError
        where the file is missing, is no safetensors file, is not the one on the card, or is not finite.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: the weights are missing", hint="install medsr again")
    if path.stat().st_size > LARGEST:
        raise WeightsError(f"{path}: not weights of medsr", rule=f"at most {LARGEST // 2**20} MiB")
    if sha256 is not None and (found := sha256_of(path)) != sha256:
        raise WeightsError(
            f"{path}: not the weights on the card",
            got=f"sha256 {found[:16]}...",
            rule=f"{sha256[:16]}...",
            hint="install medsr again",
        )
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        what = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not a file of weights", got=f"{type(error).__name__}: {what}") from None
    if not all(bool(torch.isfinite(v).all()) for v in tensors.values()):
        raise WeightsError(f"{path}: the weights are not finite", hint="train them again")
    return tensors, about
