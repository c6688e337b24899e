"""The 2D super-resolution networks, by name.

One file a paper; `NETWORKS` describes each. A network that is built here takes (B, slices, H, W) and gives
(B, 1, H sh, W sw); see `SliceNetwork`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from medsr.errors import UsageError
from medsr.networks.base import LARGEST_FACTOR, SliceNetwork
from medsr.networks.dfrn import DFRN
from medsr.networks.drudn import DRUDN
from medsr.networks.eusr import EUSR
from medsr.networks.fast2d import Fast2D
from medsr.networks.gcn import GCN
from medsr.networks.layers import Scale
from medsr.networks.mdcn import MDCN
from medsr.networks.multitask import MultitaskSR
from medsr.networks.scrsr import SCRSR
from medsr.networks.udgan import UDGAN

__all__ = ["NETWORKS", "Architecture", "Scale", "SliceNetwork", "architecture"]


@dataclass(frozen=True)
class Architecture:
    """What there is to know of a network before it is built.

    name : on the command line.
    title, citation : of the paper; "ours" where there is none.
    network : its class.
    configurations : names of the class methods that build it, the one that is trained and shipped first.
    slices : input slices that it was made for.
    perceptual : whether its paper trains for perception, so that there is a final stage after the pixel loss.
    """

    name: str
    title: str
    citation: str
    network: type[SliceNetwork]
    configurations: tuple[str, ...] = ("compact", "paper")
    slices: int = 1
    perceptual: bool = False

    def supports(self, scale: Scale) -> bool:
        """Whether it can be built for a scale."""
        return self.network.supports(scale)

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Every scale that it can be built for."""
        factors = range(1, LARGEST_FACTOR + 1)
        return tuple((a, b) for a in factors for b in factors if self.supports((a, b)))

    def build(
        self,
        scale: Scale,
        configuration: str = "compact",
        slices: int | None = None,
        *,
        inference: bool = False,
        seed: int | None = None,
    ) -> SliceNetwork:
        """A fresh network.

        Parameters
        ----------
        inference : without what only training needs (the shape that shipped weights have), in evaluation mode.
        seed : of the initial weights; torch's own generator is left as it was.

        Raises
        ------
        UsageError
            if there is no such configuration, or it cannot be built for the scale or the number of slices.
        """
        if configuration not in self.configurations:
            raise UsageError(
                f"{self.name} has no such configuration",
                got=repr(configuration),
                hint=f"choose from {', '.join(self.configurations)}",
            )
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            made: SliceNetwork = getattr(self.network, configuration)(
                scale, self.slices if slices is None else slices
            )
        return made.for_inference().eval() if inference else made


NETWORKS: dict[str, Architecture] = {
    a.name: a
    for a in (
        Architecture(
            "gcn",
            "Generative collaborative networks for single image super-resolution",
            "Seddik, Tamaazousti, Lin; Neurocomputing 398 (2020); arXiv:1902.10467",
            GCN,
            perceptual=True,
        ),
        Architecture(
            "multitask",
            "Benefiting from multitask learning to improve single image super-resolution",
            "Rad et al.; Neurocomputing 398:304-313 (2020); doi 10.1016/j.neucom.2019.07.107",
            MultitaskSR,
        ),
        Architecture(
            "eusr",
            "Deep learning-based image super-resolution considering quantitative and perceptual quality",
            "Choi, Kim, Cheon, Lee; Neurocomputing 398 (2020); doi 10.1016/j.neucom.2019.06.103",
            EUSR,
            perceptual=True,
        ),
        Architecture(
            "udgan",
            "Ultra-dense GAN for satellite imagery super-resolution",
            "Wang, Jiang, Yi, Han, He; Neurocomputing 398:328-337 (2020)",
            UDGAN,
            perceptual=True,
        ),
        Architecture(
            "mdcn",
            "Mixed-dense connection networks for image and video super-resolution",
            "Purohit, Mandal, Rajagopalan; Neurocomputing 398 (2020); arXiv:2201.11996",
            MDCN,
            slices=3,
            perceptual=True,
        ),
        Architecture(
            "drudn",
            "Deep recursive up-down sampling networks for single image super-resolution",
            "Z. Li, Q. Li, W. Wu et al.; Neurocomputing 398 (2020)",
            DRUDN,
            configurations=("compact", "paper", "once"),
        ),
        Architecture(
            "dfrn",
            "Deep fractal residual network for fast and accurate single image super resolution",
            "Zhou et al.; Neurocomputing 398 (2020)",
            DFRN,
        ),
        Architecture(
            "scrsr",
            "SCRSR: an efficient recursive convolutional neural network for fast and accurate image "
            "super-resolution",
            "Lin et al.; Neurocomputing 398 (2020)",
            SCRSR,
            configurations=("compact", "paper", "once"),
        ),
        Architecture(
            "fast2d",
            "Folded plain convolutions on packed pixels",
            "ours",
            Fast2D,
            configurations=("compact",),
        ),
    )
}


def architecture(name: str) -> Architecture:
    """The architecture of a name.

    Raises
    ------
    UsageError
        if there is none of that name.
    """
    if name not in NETWORKS:
        raise UsageError("unknown network", got=repr(name), hint=f"choose from {', '.join(NETWORKS)}")
    return NETWORKS[name]
