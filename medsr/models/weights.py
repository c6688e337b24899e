"""Weights of the 2D networks: safetensors that say what they are, checked before they are used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from medsr.errors import MedsrError, WeightsError

if TYPE_CHECKING:
    from medsr.networks.base import SliceNetwork

LARGEST = 64 * 2**20
"""Bytes; no file of weights that medsr reads is larger."""


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def read_weights(path: Path, sha256: str | None = None) -> SliceNetwork:
    """The network that a file of weights is of, ready to be used: in evaluation mode, float32, on the CPU.

    Parameters
    ----------
    sha256 : what its card says; not checked where not given.

    Raises
    ------
    WeightsError
        where the file is missing, is not the one on the card, or does not fit the network that it names.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: the weights are missing", hint="install medsr again, or name another --model")
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

    from medsr.networks import architecture

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
        rows, _, columns = about["scale"].partition("x")
        network = architecture(about["network"]).build(
            (int(rows), int(columns)), about["configuration"], inference=True
        )
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, ValueError, RuntimeError, MedsrError) as error:
        what = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not weights of a 2D network", got=f"{type(error).__name__}: {what}") from None
    if not all(bool(torch.isfinite(v).all()) for v in tensors.values()):
        raise WeightsError(f"{path}: the weights are not finite", hint="train them again")
    return network
