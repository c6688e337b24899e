"""Weights of the 2D networks: files that say what they are of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medsr.errors import MedsrError, WeightsError
from medsr.models.tensors import read_tensors

if TYPE_CHECKING:
    from medsr.networks.base import SliceNetwork


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
    tensors, about = read_tensors(path, sha256)
    from medsr.networks import architecture

    try:
        rows, _, columns = about["scale"].partition("x")
        network = architecture(about["network"]).build(
            (int(rows), int(columns)),
            about["configuration"],
            int(about["slices"]) if "slices" in about else None,
            inference=True,
        )
        network.load_state_dict(tensors)
    except (KeyError, ValueError, RuntimeError, MedsrError) as error:
        what = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not weights of a 2D network", got=f"{type(error).__name__}: {what}") from None
    return network
